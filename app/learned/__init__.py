"""What the pair has learned: the view of it, over many responses."""
