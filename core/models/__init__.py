"""Models that run: a policy and its reference, which advance the nodes of a token tree."""
