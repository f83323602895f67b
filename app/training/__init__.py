"""The training view: runs over steps, as charts that explain themselves."""
