"""The room for scoring a data set from the window: what is asked for, and how far it is."""
