"""The engine: what can be asked of it, the thread that answers, and a handler per subject."""
