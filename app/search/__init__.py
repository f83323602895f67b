"""The search view: trees that grow, the hypotheses found, and what can be done at a node."""
