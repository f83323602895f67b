"""Showing a run's checkpoints: the strip that scrubs, playing, replaying, and the heat map."""
