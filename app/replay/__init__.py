"""A run's checkpoints: the scrubber, playing them, and the heat map of a response over them."""
