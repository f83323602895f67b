"""Random work for hours, and random input, against what must hold: ``python -m tests.stress``."""
