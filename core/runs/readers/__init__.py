"""Readers of training logs: a module per format."""
