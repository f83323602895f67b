"""English said another way with one thing changed, for minimal pairs; pure functions of a text."""
