"""Starting training runs from the window: the dialog, and a row for each run."""
