"""Files that a user names are written whole or not at all."""

import os
import stat
import threading

import pytest

from core.safe_files import write_whole


def test_a_file_is_made_and_written_over(tmp_path):
    path = tmp_path / "table.csv"
    write_whole(path, b"one")
    write_whole(path, b"two\n")
    assert path.read_bytes() == b"two\n" and os.listdir(tmp_path) == ["table.csv"]


def test_what_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_whole(path, b"one")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["table.csv"]


def test_a_link_stays_a_link_and_permissions_stay(tmp_path):
    path, link = tmp_path / "table.csv", tmp_path / "link.csv"
    path.write_bytes(b"one")
    path.chmod(0o640)
    link.symlink_to(path)
    write_whole(link, b"two")
    assert link.is_symlink() and path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_is_written_into(tmp_path):
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"one")
    reader.join(60)
    assert heard == [b"one"] and stat.S_ISFIFO(pipe.stat().st_mode)
