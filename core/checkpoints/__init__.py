"""What lies on disk: recognise, check and describe checkpoints."""
