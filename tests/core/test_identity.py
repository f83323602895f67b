"""A checkpoint's identity: what of its files makes it another one."""

import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoints import watch
from core.checkpoints.identity import identify, read_whole, written_since
from core.checkpoints.resolve import resolve_pair
from core.checkpoints.watch import Watch, parts_of
from core.errors import Cancelled, UserFacingError
from tests.tiny import save_adapters, save_pair

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of 4 MB, large enough to be sampled."""
    made = tmp_path / "m"
    made.mkdir()
    save_file({"w": torch.arange(2**20, dtype=torch.float32)}, made / WEIGHTS)
    (made / "config.json").write_text('{"model_type": "llama"}')
    (made / "tokenizer.json").write_text("{}")
    return made


def test_nothing_written_is_the_same(folder):
    first = identify(folder)
    assert first == identify(folder) and hash(first) == hash(identify(folder))
    assert first.folder == str(folder) and written_since(first) == ()
    (folder / "tokenizer.json").write_text("{ }")
    (folder / "training_args.bin").write_bytes(b"what a trainer saves beside")
    assert first == identify(folder) and written_since(first) == ()


def overwrite(folder):
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(5000)
        file.write(b"\0" * 2_000_000)


def write_again(folder):
    content = (folder / WEIGHTS).read_bytes()
    os.utime(folder / WEIGHTS, ns=(0, 10**18))
    (folder / WEIGHTS).write_bytes(content)


def replace(folder):
    shutil.copy2(folder / WEIGHTS, folder / "other")
    os.replace(folder / "other", folder / WEIGHTS)


def shorten(folder):
    os.truncate(folder / WEIGHTS, 1_000_000)


def configure(folder):
    (folder / "config.json").write_text('{"model_type": "qwen2"}')


@pytest.mark.parametrize("how", [overwrite, write_again, replace, shorten, configure])
def test_what_is_written_is_another(folder, how):
    first = identify(folder)
    how(folder)
    assert identify(folder) not in (None, first)
    assert written_since(first) == ("config.json" if how is configure else WEIGHTS,)


def test_other_numbers_with_the_old_times_are_another(folder):
    """As where two saves fall into one tick of the file system's clock."""
    first, times = identify(folder), os.stat(folder / WEIGHTS)
    overwrite(folder)
    os.utime(folder / WEIGHTS, ns=(times.st_atime_ns, times.st_mtime_ns))
    now = identify(folder)
    assert now.files == first.files and now != first


def test_a_checkpoint_that_is_gone_has_none_and_is_not_written(folder):
    first = identify(folder)
    (folder / WEIGHTS).unlink()
    assert identify(folder) is None and written_since(first) == ()
    shutil.rmtree(folder)
    assert identify(folder) is None and written_since(first) == ()


def test_pickles_and_shards_count(tmp_path):
    torch.save({"w": torch.ones(3)}, tmp_path / "pytorch_model.bin")
    first = identify(tmp_path)
    assert first is not None
    save_file({"w": torch.ones(3)}, tmp_path / "model-00001-of-00001.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    added = ("model-00001-of-00001.safetensors", "model.safetensors.index.json")
    assert written_since(first) == added


def test_reading_is_whole_or_a_sentence(folder):
    with read_whole([folder, folder]) as found:
        assert found == (identify(folder),)
    written = "written to or deleted while it was read"
    with pytest.raises(UserFacingError, match=written), read_whole([folder]):
        overwrite(folder)
    with pytest.raises(UserFacingError, match=written), read_whole([folder]):
        (folder / WEIGHTS).unlink()
        raise OSError("no such file")  # what comes of it is not what went wrong
    with pytest.raises(UserFacingError, match="no weights"), read_whole([folder]):
        pass


def test_other_errors_and_cancels_pass(folder):
    for error in (ValueError("mine"), Cancelled()):
        with pytest.raises(type(error)) as caught, read_whole([folder]):
            raise error
        assert caught.value is error


@pytest.fixture
def at_once(monkeypatch):
    """Every look is one at the disk."""
    monkeypatch.setattr(watch, "EVERY", 0.0)


def test_the_parts_of_a_pair_are_its_folders_once(tmp_path):
    policy, reference = save_pair(tmp_path / "pair")
    assert parts_of(resolve_pair(policy, reference)) == {"policy": policy, "reference": reference}
    assert parts_of(resolve_pair(policy, policy)) == {"policy": policy}
    base, adapter, other = save_adapters(tmp_path / "adapters")
    assert parts_of(resolve_pair(adapter)) == {"policy": adapter, "reference": base}
    roles = {"policy": adapter, "reference": other, "policy's base": base}
    assert parts_of(resolve_pair(adapter, other)) == roles


def test_a_change_is_said_once_for_each_checkpoint(folder, tmp_path, at_once):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    look = Watch({"policy": identify(folder), "reference": identify(other)}).look
    assert look() is None
    write_again(other)
    change = look()
    assert change.sentence == (
        f"The reference's files on disk have changed since they were loaded ({other / WEIGHTS}): "
        f"the numbers are of the weights as loaded."
    )
    assert not change.policy_only and look() is None
    overwrite(folder)
    configure(folder)
    change = look()
    assert change.policy_only and f"({folder / 'config.json'} and 1 more)" in change.sentence
    shorten(other)
    assert look() is None
    now = identify(folder)  # of a run: another checkpoint is the policy by now
    assert look(now) is None
    overwrite(folder)
    assert look(now).policy_only


def test_the_disk_is_asked_once_a_second(folder):
    look = Watch({"policy": identify(folder)}).look
    assert look() is None
    overwrite(folder)
    assert look() is None
