"""Data, scored: the rows of a file, what both models say of each token, and the file of that."""
