"""The engine of Qscope: usable from a notebook, knows nothing of Qt."""
