"""A short turn of the mutated logs, pairs, jobs and recipes: none ends but in a sentence."""

import os
import random
import threading

import pytest

from core.errors import UserFacingError
from tests.stress.mutations_logs import MUTATIONS

TURNS = 12


@pytest.mark.parametrize("kind", MUTATIONS)
def test_each_ends_in_a_sentence_at_most(tmp_path, monkeypatch, kind):
    if "Arrow" in kind:
        pytest.importorskip("pyarrow")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    guard = threading.Timer(60, os._exit, (1,))
    guard.start()
    try:
        make, open_it = MUTATIONS[kind]
        for seed in range(TURNS):
            folder = tmp_path / str(seed)
            folder.mkdir()
            path = make(folder, random.Random(f"{kind}{seed}"))
            try:
                open_it(path)
            except UserFacingError as error:
                assert "\n" not in str(error), seed
            except Exception as error:
                pytest.fail(f"seed {seed}: {error!r}")
    finally:
        guard.cancel()
        guard.join()


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_seed_writes_the_same_again(tmp_path, kind):
    if "Arrow" in kind:
        pytest.importorskip("pyarrow")
    make, _ = MUTATIONS[kind]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, random.Random("7"))
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in files}
        for name in ("a", "b")
        if (files := [it for it in sorted((tmp_path / name).rglob("*")) if it.is_file()])
    )
    assert first == second
