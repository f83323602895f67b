"""The data view: a table of scored pairs, their charts and figures."""
