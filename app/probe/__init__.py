"""Probing of one response: what else could stand somewhere, and what its credit depends on."""
