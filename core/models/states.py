"""Snapshots of a model's cache, for models whose cache cannot be cut at any token.

A recurrent model's cache holds a state that sums up the text so far, not what each token added, so
an edit cannot truncate it; but it can be copied. A *snapshot* is the cache that the model made
itself (transformers' own, with the KV of a hybrid's attention layers), after some number of tokens.
A path is run from the last snapshot before an edit; the tips of branches from where they were a
step ago, or else from the trunk's end.

What is exact for a model (chunks of tokens, single tokens, or both) is its *manner*: the self-check
finds it out and measures what it costs (core.models.check). Where running a text from its beginning
is cheaper than continuing a snapshot, that is done.

Snapshots of a path are few: at multiples of a spacing that grows with the text, and, near its end,
where most edits are, at distances from the end that grow by a factor.

Knows nothing of trees or cells, nor how a forward is run: it is given a function that runs one.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

CachedForward = Callable[[torch.Tensor, Any], tuple[torch.Tensor, Any]]
"""Runs tokens [B, t] after a cache (None for an empty one), which it may change. Returns their last
hidden states, [B, t, d], and the cache then; for a lane of two rows B is 1, and they are
[rows, t, d]."""

SPACING = 128
"""Tokens between the snapshots along a path, at least."""
SPACED = 8
"""Snapshots along a path, at most, beside those near its end."""
TAIL = 16
"""Tokens before the end of a path at which a snapshot is taken unless it costs too much."""
DEAREST = 0.25
"""The most that snapshots along a text, or near its end, may cost, as a part of running it."""
TOGETHER = 16
"""Branches of one forward at most: each has a copy of the cache."""
KEPT_TIPS = 32
"""Branches of one step that have snapshots at most."""


@dataclass(frozen=True)
class Manner:
    """The way a model's snapshots are continued, and its cost in forwards of a single token.

    A chunk of n tokens costs ``start + n * token``; the beginning of a text is always run as one
    chunk. The defaults serve while a model is tried, before its costs are measured.
    """

    chunks: bool
    """True where two tokens or more at once are exact."""
    singles: bool
    """True where single tokens are exact; many models have code of their own for them."""
    start: float = 4.0
    token: float = 0.5

    def chunk(self, count: int) -> float:
        """Return the cost of one forward of ``count`` tokens."""
        return self.start + self.token * count

    def one_by_one(self, count: int) -> bool:
        """Return whether a snapshot is best continued by ``count`` single tokens."""
        return self.singles and (not self.chunks or count < 2 or count <= self.chunk(count))

    def can_continue(self, count: int) -> bool:
        """Return whether a snapshot can be continued by ``count`` tokens."""
        return self.singles or count > 1

    def cost(self, count: int) -> float:
        """Return the cost of continuing a snapshot by ``count`` tokens."""
        return count if self.one_by_one(count) else self.chunk(count)

    def tail(self, length: int) -> int:
        """Return how many last tokens to run after a snapshot; 0 where that costs too much."""
        most = DEAREST * self.chunk(length)
        counts = range(min(TAIL, length - 1), 0, -1)
        return next((n for n in counts if self.can_continue(n) and self.cost(n) <= most), 0)

    def spacing(self, length: int) -> int:
        """Return the spacing of a text's snapshots, a power of two; 0 for none."""
        if not self.chunks:
            return 0
        most = min(SPACED, int(DEAREST * self.chunk(length) / self.start))
        if not most:
            return 0
        spacing = SPACING
        while spacing * (most + 1) < length:
            spacing *= 2
        return spacing


def thinned(counts: set[int], length: int, spacing: int) -> set[int]:
    """Return the snapshots of a text that stay, all given by their number of tokens.

    Args:
        counts: the snapshots that there are.
        length: of the text, in tokens.
        spacing: as by ``Manner.spacing``.

    These stay: the multiples of the spacing, the nearest to the text's end, and so few of the
    others that of any three in a row the farthest is more than four times as far from the end as
    the nearest. Where the three are closer the middle one is dropped; as the text grows they only
    come closer in proportion. So wherever a snapshot once was, there is always one less than four
    times as far from the end.
    """
    found: list[int] = []
    for count in sorted(counts, reverse=True):
        while len(found) > 1 and length - count <= 4 * (length - found[-2]):
            if spacing and found[-1] % spacing == 0:
                break
            found.pop()
        found.append(count)
    return set(found)


def forward_ends(manner: Manner, start: int, stop: int, marks: Iterable[int]) -> list[int]:
    """Return where the forwards that run the tokens ``start`` to ``stop`` end, at ``marks`` too."""
    found: list[int] = []
    at = start
    for mark in (*marks, stop):
        if at and manner.one_by_one(mark - at):
            found += range(at + 1, mark + 1)
        else:
            found.append(mark)
        at = mark
    return found


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model's cache after some tokens. It is never run itself: copies of it are."""

    ids: torch.Tensor
    """int64 [B, n], all tokens of each branch from the root; a path has B = 1."""
    rows: slice
    """The rows of the lane that were run: the cache's batch is B x rows."""
    cache: Any

    @property
    def count(self) -> int:
        """The number of tokens that the cache holds."""
        return self.ids.shape[1]

    @cached_property
    def bytes(self) -> int:
        """The memory of the cache, in bytes."""
        return sum(tensor.nbytes for tensor in _tensors(self.cache, set()))

    def covers(self, rows: slice) -> bool:
        """Return whether it covers these rows (and perhaps others)."""
        return bool(self.rows.start <= rows.start and rows.stop <= self.rows.stop)

    def overlaps(self, rows: slice) -> bool:
        """Return whether it covers one of these rows."""
        return bool(self.rows.start < rows.stop and rows.start < self.rows.stop)

    def branch_of(self, ids: torch.Tensor) -> int | None:
        """Return the branch of which a path [m] is a continuation; None if of none of them."""
        same = (self.ids == ids[: self.count]).all(dim=1).nonzero()
        return int(same[0, 0]) if len(same) else None

    def copied(self, places: list[int], rows: slice) -> Any:
        """Return a copy of the cache for some of the branches, in that order, and for some rows."""
        cache, wide = copy.deepcopy(self.cache), self.rows.stop - self.rows.start
        wanted = range(rows.start - self.rows.start, rows.stop - self.rows.start)
        index = [place * wide + row for place in places for row in wanted]
        if index != list(range(len(self.ids) * wide)):
            device = next(_tensors(cache, set())).device
            cache.reorder_cache(torch.tensor(index, device=device))
        return cache


Source = tuple[Snapshot, int]
"""A snapshot and the one of its branches that is continued."""


class Snapshots:
    """The snapshots of one line, for one model or two rows of it."""

    def __init__(self) -> None:
        self._path: list[Snapshot] = []
        self._tips: list[list[Snapshot]] = []
        """The snapshots of the last two steps of branches: where single tokens are not exact, the
        next step continues those of the last but one."""

    def run_path(
        self, run: CachedForward, manner: Manner, ids: torch.Tensor, first: int, rows: slice
    ) -> torch.Tensor:
        """Run a path [n] from the last snapshot before ``first``, and take others on the way.

        Snapshots after ``first`` are dropped: what they hold is stale.

        Returns:
            The last hidden states of the tokens from ``first`` on, [rows, n - first, d].
        """
        self._drop(first, rows)
        source = self._source(self._path, manner, ids, first, rows)
        hidden = self._advance(run, manner, ids, source, rows)
        return hidden[:, first - len(ids) :]

    def run_tips(
        self,
        run: CachedForward,
        manner: Manner,
        ids: torch.Tensor,
        trunk: int,
        first: int,
        rows: slice,
        together: bool,
    ) -> torch.Tensor:
        """Run branches of one length, each from its nearest snapshot.

        Args:
            ids: int64 [B, n], all tokens of each branch from the root.
            trunk: how many of the first tokens all share; they were run as a path.
            first: the first token whose hidden state is wanted.
            together: whether one forward may run several branches.

        Returns:
            The last hidden states of the tokens from ``first`` on, [rows, B, n - first, d].
        """
        stem = trunk if manner.can_continue(1) else trunk - 1  # what is left is two tokens or more
        if stem > 0:
            self._reach(run, manner, ids[0, :stem], rows)
        if not trunk:  # no path was run that would have dropped what other weights left
            self._drop(0, rows)
        near = [*(it for tips in reversed(self._tips) for it in tips), *self._path]
        sources = [self._source(near, manner, tip, first, rows) for tip in ids]
        wide, out = rows.stop - rows.start, None
        taken: list[Snapshot] = []
        for source, tips in _batches(sources, TOGETHER if together else 1):
            cache, at = None, 0
            if source is not None:
                at = source.count
                places = [it[1] for it in (sources[tip] for tip in tips) if it is not None]
                cache = source.copied(places, rows)
            parts = []
            for stop in forward_ends(manner, at, ids.shape[1], ()):
                part, cache = run(ids[tips, at:stop], cache)
                parts.append(part)
                at = stop
            hidden = torch.cat(parts, dim=1)[:, first - at :]
            hidden = hidden.view(wide, len(tips), *hidden.shape[1:])
            if out is None:
                out = hidden.new_empty(wide, len(ids), *hidden.shape[2:])
            out[:, tips] = hidden
            if trunk and sum(len(it.ids) for it in taken) + len(tips) <= KEPT_TIPS:
                taken.append(Snapshot(ids[tips], rows, cache))
        self._tips = [*self._tips[-1:], taken]
        assert out is not None
        return out

    def copy(self, other: "Snapshots", first: int, stop: int) -> None:
        """Take over another line's snapshots after its tokens ``first`` to ``stop``."""
        self._path = [it for it in self._path if it.count <= first]
        self._path += [it for it in other._path if first < it.count <= stop]
        self._tips = []

    def bytes(self) -> int:
        """Return the memory held, in bytes."""
        return sum(it.bytes for group in (self._path, *self._tips) for it in group)

    def cell_bytes(self) -> int:
        """Return the memory of the path's snapshots for each of its tokens, in bytes."""
        longest = max((it.count for it in self._path), default=1)
        return sum(it.bytes for it in self._path) // longest

    def _drop(self, first: int, rows: slice) -> None:
        """Drop the snapshots after more than ``first`` tokens that cover any of these rows."""

        def stays(it: Snapshot) -> bool:
            return it.count <= first or not it.overlaps(rows)

        self._path = list(filter(stays, self._path))
        self._tips = [list(filter(stays, tips)) for tips in self._tips]

    def _source(
        self, among: list[Snapshot], manner: Manner, ids: torch.Tensor, first: int, rows: slice
    ) -> Source | None:
        """Return the snapshot to run a path [n] from if hidden states from ``first`` on are wanted;
        None for its beginning."""
        length = len(ids)
        for it in sorted(among, key=lambda it: -it.count):
            count = length - it.count
            if it.count > first or not it.covers(rows) or not manner.can_continue(count):
                continue
            place = it.branch_of(ids)
            if place is not None:
                return (it, place) if manner.cost(count) <= manner.chunk(length) else None
        return None

    def _reach(self, run: CachedForward, manner: Manner, ids: torch.Tensor, rows: slice) -> None:
        """Make sure that there is a snapshot at the end of a path [n]."""
        if not any(it.count == len(ids) and it.covers(rows) for it in self._path):
            source = self._source(self._path, manner, ids, len(ids) - 1, rows)
            self._advance(run, manner, ids, source, rows)

    def _advance(
        self,
        run: CachedForward,
        manner: Manner,
        ids: torch.Tensor,
        source: Source | None,
        rows: slice,
    ) -> torch.Tensor:
        """Run a path [n] from a snapshot to its end, take a snapshot there and some on the way.

        Returns the last hidden states of what was run, [rows, t, d].
        """
        cache, at = (None, 0) if source is None else (source[0].copied([0], rows), source[0].count)
        ends = forward_ends(manner, at, len(ids), _marks(manner, at, len(ids)))
        mine = [it for it in self._path if it.rows == rows]
        counts = {it.count for it in mine}.union(ends)
        keep = thinned(counts, max(counts), manner.spacing(max(counts))) | {len(ids)}
        parts = []
        for end in ends:
            part, cache = run(ids[None, at:end], cache)
            parts.append(part)
            at = end
            if end in keep:
                taken = Snapshot(ids[None, :end], rows, cache)
                self._path.append(taken)
                if end < len(ids):
                    cache = taken.copied([0], rows)
        self._path = [it for it in self._path if it.rows != rows or it.count in keep]
        return torch.cat(parts, dim=1)


def _marks(manner: Manner, start: int, length: int) -> list[int]:
    """Return where snapshots of a text of that length are wanted between ``start`` and its end."""
    spacing, tail = manner.spacing(length), manner.tail(length)
    wanted = set(range(spacing, length, spacing)) if spacing else set()
    if tail and length - start > 2 * tail:
        wanted.add(length - tail)
    found, at = [], start
    for mark in sorted(it for it in wanted if it > start):
        fits = at == 0 or manner.can_continue(mark - at)
        if fits and manner.can_continue(length - mark):
            found.append(mark)
            at = mark
    return found


def _batches(
    sources: list[Source | None], most: int
) -> Iterator[tuple[Snapshot | None, list[int]]]:
    """Yield the branches that continue one snapshot, at most ``most`` at a time."""
    groups: dict[Snapshot | None, list[int]] = {}
    for tip, source in enumerate(sources):
        groups.setdefault(source and source[0], []).append(tip)
    for snapshot, tips in groups.items():
        for first in range(0, len(tips), most):
            yield snapshot, tips[first : first + most]


def _tensors(value: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """Yield the tensors that an object holds, each once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item, seen)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item, seen)
    elif hasattr(value, "__dict__"):
        yield from _tensors(vars(value), seen)
