"""Training runs on disk: their logs in every usual format, read once or followed."""
