"""What a training has taught: findings over many responses, from both models' log-probs alone."""
