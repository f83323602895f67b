"""Preferences that are planted by a small training, to see whether ``learned`` finds them."""
