"""Benchmarks: each prints ratios measured within one run, and none is a timed test."""

from core.registrations import register

register()  # also where a benchmark starts itself in a process of its own
