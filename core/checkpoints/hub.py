"""Models by their names on huggingface.co: found in the local cache, or downloaded when asked.

Only what loading reads is downloaded, and files that came whole are kept. Asks the network only
where the caller says so. Knows nothing of pairs.
"""

import contextlib
import errno
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.checkpoints.describe import describe
from core.checkpoints.limited import path_of
from core.errors import Cancelled, UserFacingError
from core.failures import reason
from core.progress import Report, Stop

NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
SAFETENSORS = re.compile(
    r"(ref/|reference/)?(adapter_)?model(-\d+-of-\d+)?\.safetensors(\.index\.json)?"
)
PICKLES = re.compile(r"(adapter_|pytorch_)model(-\d+-of-\d+)?\.bin(\.index\.json)?")
GGUF = re.compile(r"(?!mmproj).*\.gguf", re.IGNORECASE)
BESIDE = re.compile(
    r"(ref/|reference/)?(?!.*\.index\.json$)[^/]*\.(json|jinja|model|txt|tiktoken|py|ya?ml)|"
    r"training_args\.bin"
)
"""Configurations, tokenizers, templates, what is said of a training, and its reference's."""
POLL_SECONDS = 0.1
PATIENCE = 2.0
"""Seconds that a download which was cancelled has to end; then it is left to end by itself."""


class NotDownloaded(UserFacingError):
    """A model that is on huggingface.co and not on this machine; the sentence says its size."""


@dataclass(frozen=True, slots=True)
class Hub:
    """What may be done about models that are named and not on this machine."""

    download: Literal["", "ask", "yes"]
    """Nothing, raise NotDownloaded, or download them."""
    allow_pickle: bool
    report: Report
    cancelled: Stop

    def place(self, text: str) -> Path:
        """Return the path that a text names: on this machine, in the cache, or downloaded.

        A text that is neither a file nor a name comes back as a path: describing it says so.

        Raises:
            NotDownloaded: it can be downloaded, and ``download`` is "ask".
            UserFacingError: it is not here, and cannot be downloaded or may not.
            Cancelled: soon after ``cancelled()`` turns true; files that came whole are kept.
        """
        path = path_of(text)
        named = NAME.fullmatch(text.replace("\\", "/"))
        if named is None or path.exists():
            return path
        repo, revision = named[1], named[2] or ""
        there = in_hugging_face_cache(repo, revision)
        if there is not None and (not self.download or _is_whole(there)):
            return there
        if path.parent.is_dir():
            return path  # a slip in a path
        if not self.download:
            raise UserFacingError(
                f"There is no folder {text}, and no model of that name in the Hugging Face cache: "
                f"check the name, or download it from huggingface.co (with --download, or in Open "
                f"a pair)."
            )
        with _told(text, repo):
            files = self._needed(repo, revision)
            size = f"{sum(files.values()) / 1e9:.2f} GB in {len(files)} files"
            if self.download == "ask":
                raise NotDownloaded(
                    f"{text} is not on this machine: it can be downloaded from huggingface.co "
                    f"({size})."
                )
            _check_room(text, sum(files.values()))
            return self._fetch(f"Downloading {text} ({size})", repo, revision, files)

    def _needed(self, repo: str, revision: str) -> dict[str, int]:
        """Return the sizes in bytes of the files that loading reads and that are not here yet."""
        from huggingface_hub import HfApi, try_to_load_from_cache

        info = HfApi().model_info(repo, revision=revision or None, files_metadata=True)
        sizes = {it.rfilename: it.size or 0 for it in info.siblings or ()}
        kinds = SAFETENSORS, PICKLES, GGUF
        found = [[name for name in sizes if kind.fullmatch(name)] for kind in kinds]
        weights = next(filter(None, found), [])
        if not weights:
            raise UserFacingError(f"{repo} has no weights that Qscope reads: check the name.")
        if weights is found[1] and not self.allow_pickle:
            raise UserFacingError(
                f"The weights of {repo} are pickle files ({weights[0]}), which can run any code "
                f"when they are loaded: allow that (--allow-pickle) if you trust whoever made them."
            )
        if weights is found[2] and len(weights) > 1:
            raise UserFacingError(
                f"{repo} has {len(weights)} GGUF files: download one of them with 'hf download "
                f"{repo} {weights[0]}', and choose that file."
            )
        beside = [name for name in sizes if BESIDE.fullmatch(name)]
        return {
            name: sizes[name]
            for name in (*weights, *beside)
            if not isinstance(try_to_load_from_cache(repo, name, revision=info.sha), str)
        }

    def _fetch(self, what: str, repo: str, revision: str, files: dict[str, int]) -> Path:
        """Download files in a thread of their own and return the folder that they are in."""
        from huggingface_hub import snapshot_download
        from tqdm.auto import tqdm

        stopped, total = threading.Event(), max(1, sum(files.values()))
        bytes_of: dict[int, float] = {}
        outcome: list[Path | BaseException] = []

        class Bar(tqdm):
            """A bar that is not drawn but counted."""

            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **{**options, "disable": True})
                self.counts = options.get("unit") == "B"

            def update(self, n: float | None = 1) -> None:
                if stopped.is_set():
                    raise Cancelled
                if self.counts:
                    bytes_of[id(self)] = bytes_of.get(id(self), 0) + (n or 0)

        def work() -> None:
            try:
                folder = snapshot_download(
                    repo,
                    revision=revision or None,
                    allow_patterns=list(files),
                    tqdm_class=Bar,
                )
                outcome.append(Path(folder))
            except BaseException as error:  # raised again where it is waited for
                outcome.append(error)

        thread = threading.Thread(target=work, name="download", daemon=True)
        thread.start()
        while thread.is_alive():
            self.report(what, min(1.0, max(list(bytes_of.values()), default=0) / total))
            if self.cancelled():
                stopped.set()
                thread.join(PATIENCE)
                raise Cancelled
            thread.join(POLL_SECONDS)
        (found,) = outcome
        if isinstance(found, BaseException):
            raise found
        return found


def in_hugging_face_cache(repo: str, revision: str = "") -> Path | None:
    """Return a model's folder in the local cache; the network is never asked."""
    from huggingface_hub import snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with contextlib.suppress(HFValidationError, OSError):
        for file in ("config.json", "adapter_config.json"):
            found = try_to_load_from_cache(repo, file, revision=revision or None)
            if isinstance(found, str):
                return Path(found).parent
        folder = Path(
            snapshot_download(
                repo,
                revision=revision or None,
                local_files_only=True,
                allow_patterns=["*.gguf"],
            )
        )
        return folder if any(folder.glob("*.gguf")) else None
    return None


def _is_whole(folder: Path) -> bool:
    try:
        describe(folder, allow_pickle=True, allow_remote_code=True)
    except UserFacingError:
        return False
    return True


def _check_room(text: str, needed: int) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    place = next(it for it in (cache, *cache.parents) if it.exists())
    if shutil.disk_usage(place).free < needed:
        raise _no_room(text, needed, cache)


def _no_room(text: str, needed: int, cache: Path) -> UserFacingError:
    return UserFacingError(
        f"The disk of {cache} has too little space for {text} ({needed / 1e9:.1f} GB): free some, "
        f"or set HF_HOME to a folder on another disk."
    )


@contextlib.contextmanager
def _told(text: str, repo: str) -> Iterator[None]:
    """Turn what the hub and the network refuse into a sentence."""
    from huggingface_hub import errors

    try:
        yield
    except (UserFacingError, Cancelled):
        raise
    except errors.GatedRepoError as error:
        raise UserFacingError(
            f"{text} is gated: ask for access on https://huggingface.co/{repo}, then log in with "
            f"'hf auth login'."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserFacingError(
            f"{text}: {repo} has no such revision, so check what follows the @."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserFacingError(
            f"There is no model {repo} on huggingface.co, or it is private: check the name, or log "
            f"in with 'hf auth login'."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise UserFacingError(
            f"{text} is not on this machine, and HF_HUB_OFFLINE forbids to download it: unset "
            f"that, or name a folder."
        ) from error
    except Exception as error:  # the network's own kinds change with the hub's library
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UserFacingError(
                f"The disk became full while {text} was downloaded: free some space and go on."
            ) from error
        raise UserFacingError(
            f"{text} could not be downloaded from huggingface.co ({reason(error)}): check the "
            f"network and try again; files that came whole are kept."
        ) from error
