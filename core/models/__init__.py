"""What runs: a policy and its reference that advance the nodes of a token tree."""
