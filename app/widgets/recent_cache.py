"""Caches what was made last, up to a number of entries; knows nothing of what it caches."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Cached = TypeVar("Cached")


class RecentCache(Generic[Cached]):
    """A cache of at most ``room`` entries that evicts the one used longest ago."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._cached: OrderedDict[Hashable, Cached] = OrderedDict()
        self.clear = self._cached.clear

    def __len__(self) -> int:
        return len(self._cached)

    def get(self, key: Hashable) -> Cached | None:
        """Return what is cached for a key, now the one used last; None for nothing."""
        found = self._cached.get(key)
        if found is not None:
            self._cached.move_to_end(key)
        return found

    def put(self, key: Hashable, made: Cached) -> Cached:
        """Cache a value under a key, evict what is too much, and return the value."""
        self._cached[key] = made
        while len(self._cached) > self.room:
            self._cached.popitem(last=False)
        return made
