"""The short form of the stress of changed files, and what that stress takes for a fault."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUARD = 600
"""Seconds after which a test of minutes is taken to hang, on a machine with other work."""
FAULTY = """
import os, random, sys, tempfile, types
from pathlib import Path
from core.errors import UserFacingError
from tests.stress import inputs

def open_it(path):
    match int(path.read_text()):
        case 1: os.kill(os.getpid(), 11)
        case 2:
            while True: pass
        case 3: raise SystemExit(3)
        case 4: raise KeyError("x")
        case 5: raise UserFacingError("The file is odd: choose another one.")
        case 6: raise UserFacingError("'NoneType' object has no attribute 'x'.")
        case 7: assert False, "1 nat off"
        case 8: bytearray(1 << 40)
    return "opened"

def make(folder, rng):
    (folder / "x").write_text(folder.name.partition("-")[0])
    return folder / "x"

room = Path(tempfile.mkdtemp())
kinds = {"odd": types.SimpleNamespace(make=make, open_it=open_it)}
found, first = [], 0
while len(found) < 10:
    found += inputs.batch(kinds, 0, range(len(found), 10), room)
print(" ".join(it.how for it in found))
"""


def test_each_kind_of_fault_is_told_apart_and_the_rest_goes_on():
    done = subprocess.run(
        [sys.executable, "-c", FAULTY], cwd=ROOT, capture_output=True, text=True, timeout=GUARD
    )
    assert done.stdout.split() == (
        "opened crash hang other other refused other wrong other opened".split()
    ), done.stderr


@pytest.mark.parametrize("kind", ["checkpoints", "settings"])
def test_a_seed_gives_the_same_file_again(kind, tmp_path):
    from tests.stress import inputs

    module = inputs.modules()[kind]
    for number in range(4):
        made = []
        for again in "ab":
            folder = tmp_path / f"{number}{again}" / "x"
            folder.mkdir(parents=True)
            module.make(folder, random.Random(f"5 {number}"))
            made.append(
                {
                    it.relative_to(folder): it.read_bytes()
                    for it in folder.rglob("*")
                    if it.is_file() and it.name != "adapter_config.json"  # names its folder
                }
            )
        assert made[0].keys() == made[1].keys()
        assert sum(made[0][it] != made[1][it] for it in made[0]) == 0


def test_changed_files_are_refused_in_a_sentence_or_opened_with_right_numbers():
    done = subprocess.run(
        [sys.executable, "-m", "tests.stress.inputs", "--seed", "7", "--inputs", "60"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=GUARD,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    faults = [it for it in found if it["how"] not in ("opened", "refused")]
    assert len(found) == 60, done.stderr[-2000:]
    assert not faults
    assert sum(it["parsed"] for it in found) >= 30
