"""Widgets that draw what they are given and signal what the user did."""
