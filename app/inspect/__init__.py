"""Looking at one state of the tree: the parts that inspectors are made of, in every view."""
