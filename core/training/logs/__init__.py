"""Logs of training runs, in every usual format: read once, or followed while they grow."""
