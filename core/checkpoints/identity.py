"""The identity of a checkpoint on disk, which goes by its files and not by its path.

A trainer that saves again, or a copy over a folder, puts other weights under the same path. An
identity tells them apart in about a millisecond, however large they are; ``written_since`` asks the
file system alone. Knows nothing of models.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import Cancelled, UserFacingError
from core.files import open_file

CONFIGS = ("config.json", "adapter_config.json")
PICKLES = ("pytorch_model", "adapter_model")
"""Prefixes of the names of pickle weights; a trainer saves other .bin files beside them."""
HEADER_BYTES = 2**20
"""Bytes of a header that are hashed at most."""
SAMPLES, SAMPLE_BYTES = 32, 4096
"""Pieces of the rest that are hashed, and their bytes; enough, since training moves all weights."""

Stamp = tuple[str, int, int, int]
"""A file's name, inode, size in bytes and time of its last change in ns."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of a checkpoint at one moment; equal only if nothing was written in between."""

    folder: str
    """Or the one file that is the checkpoint, whose name below is "" then."""
    files: tuple[Stamp, ...]
    """The stamps of the weights and of the configuration, by name."""
    digest: str
    """A hash of the configuration and of the headers and samples of the weights."""


def identify(folder: Path) -> Identity | None:
    """Return the identity of the checkpoint in a folder; None if there are no weights (any more).

    Raises:
        UserFacingError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        stamps = _stamps(folder)
        for name, _, size, _ in stamps:
            digest.update(f"{name}\0{size}\0".encode())
            for piece in _pieces(folder / name, size):
                digest.update(piece)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserFacingError(
            f"{folder} cannot be read ({error.strerror or error}): check its permissions."
        ) from error
    if not any(not name or holds_weights(name) for name, *_ in stamps):
        return None
    return Identity(str(folder), stamps, digest.hexdigest())


def written_since(identity: Identity) -> tuple[str, ...]:
    """Return the names of the files that were written since a checkpoint was identified, as the
    file system tells. Files that were only deleted are not among them."""
    try:
        now = _stamps(Path(identity.folder))
    except OSError:
        return ()
    return tuple(stamp[0] for stamp in now if stamp not in identity.files)


@contextmanager
def read_whole(folders: Iterable[Path]) -> Iterator[tuple[Identity, ...]]:
    """Yield the identities of checkpoints that are read inside; check that they hold at the end.

    Raises:
        UserFacingError: one of them is not there, or was written or deleted meanwhile, whatever
            error that led to.
    """
    before = tuple(_present(folder) for folder in dict.fromkeys(folders))
    try:
        yield before
    except BaseException as error:
        if isinstance(error, Cancelled | KeyboardInterrupt | GeneratorExit):
            raise
        _check_unchanged(before, error)
        raise
    _check_unchanged(before, None)


def _present(folder: Path) -> Identity:
    found = identify(folder)
    if found is None:
        raise UserFacingError(f"There are no weights in {folder}: choose another checkpoint.")
    return found


def _check_unchanged(before: tuple[Identity, ...], error: BaseException | None) -> None:
    for identity in before:
        if identify(Path(identity.folder)) != identity:
            raise UserFacingError(
                f"{identity.folder} was written to or deleted while it was read: wait until it "
                f"has been saved whole, then load it again."
            ) from error


def holds_weights(name: str) -> bool:
    """Return whether a file of this name holds weights of a model or an adapter."""
    return name.endswith(".safetensors") or (name.endswith(".bin") and name.startswith(PICKLES))


def _stamps(folder: Path) -> tuple[Stamp, ...]:
    found = []
    for path in (folder,) if folder.is_file() else folder.iterdir():
        name = "" if path is folder else path.name
        if not name or name in CONFIGS or holds_weights(name) or name.endswith(".index.json"):
            stat = path.stat()
            found.append((name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(sorted(found))


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    """Yield the header of a file, as safetensors measures it, and samples of the rest, its end
    among them. Any other file is taken to begin with a header of HEADER_BYTES."""
    with open_file(path) as file:
        length = file.read(8)
        yield length
        first = 8 + min(int.from_bytes(length, "little"), HEADER_BYTES)
        yield file.read(first - 8)
        last = max(first, size - SAMPLE_BYTES)
        for i in range(SAMPLES if size > first else 0):
            file.seek(first + (last - first) * i // (SAMPLES - 1))
            yield file.read(SAMPLE_BYTES)
