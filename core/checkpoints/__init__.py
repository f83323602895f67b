"""Checkpoints on disk: recognise, check and describe them."""
