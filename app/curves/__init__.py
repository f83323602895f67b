"""The curves view: training runs over steps, as charts that explain themselves."""
