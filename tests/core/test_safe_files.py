"""Small files of our own: what a failed writing leaves, and what becomes of bad ones."""

import os

import pytest

from core.safe_files import set_aside, write_synced

posix = pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")


def test_a_file_is_read_and_written(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_synced(path, b"one")
    write_synced(path, b"two")
    assert path.read_bytes() == b"two" and os.listdir(path.parent) == ["a.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_failed_writing_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_synced(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_synced(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


@posix
def test_what_is_written_is_the_users_alone(tmp_path):
    write_synced(tmp_path / "a", b"private")
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


def test_what_is_set_aside_overwrites_nothing(tmp_path):
    for number in range(3):
        (tmp_path / "a").write_text(str(number))
        assert "is kept as a.bad" in set_aside(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a.bad", "a.bad1", "a.bad2"]
    assert (tmp_path / "a.bad").read_text() == "0"
    assert "cannot be renamed" in set_aside(tmp_path / "none")
