"""Figures of how well a pair localises errors, over held-out preference pairs."""
