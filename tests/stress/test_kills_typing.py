"""A few windows that are killed while one types: the short form of tests/stress/kills_typing.py."""

import os

import pytest

from tests.stress.kills_typing import stress


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
def test_typing_survives_kills(tmp_path):
    report = stress(tmp_path, 1, lambda done: done < 2)
    assert report.done == 2 and report.faults == []
