"""Preference data: the generated pairs of the demo."""
