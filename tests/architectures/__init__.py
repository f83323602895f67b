"""Every architecture that transformers can build, tiny, judged against its own plain forwards."""
