"""Searches that grow the token tree, and the objective that they share."""
