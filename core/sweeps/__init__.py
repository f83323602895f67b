"""Sweeps of beam widths over prompts (the paper's Fig. 2): searches, judges and statistics."""
