"""Benchmarks: each prints ratios measured within one run, and none is a timed test."""
