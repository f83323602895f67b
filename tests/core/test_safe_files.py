"""Small files: what is refused to be read, and what a failed writing leaves."""

import os

import pytest

from core.safe_files import read_small, set_aside, write_synced

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices as POSIX has them")


def test_a_file_is_read_and_written(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_synced(path, b"one")
    write_synced(path, b"two")
    assert read_small(path, 3) == b"two" and os.listdir(path.parent) == ["a.json"]
    with pytest.raises(OSError, match="larger than"):
        read_small(path, 2)


@posix
def test_nothing_waits_for_a_pipe_or_reads_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros", "."):
        with pytest.raises(OSError, match="no plain file"):
            read_small(tmp_path / name, 100)


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than 1 MB"):
        read_small(tmp_path / "huge", 1_000_000)


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
