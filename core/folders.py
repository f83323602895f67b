"""Where Qscope keeps files of its own on this machine.

Knows nothing of what is kept there.
"""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of what can be fetched or found out again.

    It is $QSCOPE_CACHE, or the user's cache folder as the platform names it; it need not exist.
    """
    chosen = os.environ.get("QSCOPE_CACHE")
    if chosen:
        return Path(os.path.realpath(os.path.expanduser(chosen)))
    from platformdirs import user_cache_path

    return user_cache_path("qscope", appauthor=False)
