"""The SFT and DPO recipe, and what it reached."""
