"""Sessions in the window: saving, opening, and what of a recording the pair says again."""
