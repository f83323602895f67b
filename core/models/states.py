"""States kept at some places of a line, for models whose cache cannot be cut at any token.

A recurrent model's cache holds what the text so far comes to, not what each token added, so an edit
cannot truncate it; but it can be copied. A *snapshot* is the cache that the model made itself
(transformers' own, with the KV of a hybrid's attention layers), at some count of tokens. A path is
run from the last snapshot before an edit; the tips of branches from where they were a step ago, or
else from the trunk's end.

What is exact for a model (chunks of tokens, single tokens, or either) is its *manner*: the
self-check finds it out and measures what it costs (core.models.check). Where running a text anew is
cheaper than continuing it, that is done.

Snapshots of a path are few: at multiples of a spacing that grows with the text, and one for each
octave of the distance from its end, where most edits are.

Knows nothing of trees or cells, nor how a forward is run: it is handed one.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

CachedForward = Callable[[torch.Tensor, Any], tuple[torch.Tensor, Any]]
"""Runs tokens [B, t] behind a cache, which it may change, or None for none: their last hidden
states, [B, t, d] (of a lane of two rows B is 1 and they are [rows, t, d]), and the cache then."""

SPACING = 128
"""Tokens between the snapshots along a path, at least."""
SPACED = 8
"""Snapshots along a path, at most, beside those near its end."""
TAIL = 16
"""Tokens before the end of a path at which a snapshot is taken where it is not too dear."""
DEAREST = 0.25
"""Of the cost of running a text: what taking snapshots along it may cost, and near its end."""
TOGETHER = 16
"""Branches of one forward, at most: each has a copy of the cache."""
KEPT_TIPS = 32
"""Branches of one step whose states are kept, at most."""


@dataclass(frozen=True)
class Manner:
    """How a model's states are continued, and what that costs, in forwards of a single token.

    A chunk costs ``start`` and ``token`` for each of its tokens; the beginning of a text is always
    run as one. The defaults are those with which a model is tried before its costs are measured.
    """

    chunks: bool
    """Two tokens or more at once are exact."""
    singles: bool
    """Single tokens are exact; they have code of their own in many models."""
    start: float = 4.0
    token: float = 0.5

    def chunk(self, count: int) -> float:
        """Return the cost of one forward of ``count`` tokens."""
        return self.start + self.token * count

    def one_by_one(self, count: int) -> bool:
        """Return whether a state is best continued by ``count`` single tokens."""
        return self.singles and (not self.chunks or count < 2 or count <= self.chunk(count))

    def can_continue(self, count: int) -> bool:
        """Return whether a state can be continued by ``count`` tokens."""
        return self.singles or count > 1

    def cost(self, count: int) -> float:
        """Return the cost of continuing a state by ``count`` tokens."""
        return count if self.one_by_one(count) else self.chunk(count)

    def tail(self, length: int) -> int:
        """Return how many of a text's last tokens are run apart, so that a snapshot lies before
        them; 0 where that is too dear."""
        most = DEAREST * self.chunk(length)
        counts = range(min(TAIL, length - 1), 0, -1)
        return next((n for n in counts if self.can_continue(n) and self.cost(n) <= most), 0)

    def spacing(self, length: int) -> int:
        """Return at which multiples a text's snapshots lie: a power of two; 0 for nowhere."""
        if not self.chunks:
            return 0
        most = min(SPACED, int(DEAREST * self.chunk(length) / self.start))
        if not most:
            return 0
        spacing = SPACING
        while spacing * (most + 1) < length:
            spacing *= 2
        return spacing


def kept(counts: set[int], length: int, spacing: int) -> set[int]:
    """Return at which counts of tokens, up to its length, snapshots of a text are kept.

    These are the multiples of the spacing, the nearest to the end, and of the others so few that
    of any three the farthest is more than four times as far from the end as the nearest. One
    between two that are not so far apart is dropped: as the text grows their ratio only falls, so
    there is always one less than four times as far from the end as any that was.
    """
    found: list[int] = []
    for count in sorted(counts, reverse=True):
        while len(found) > 1 and length - count <= 4 * (length - found[-2]):
            if spacing and found[-1] % spacing == 0:
                break
            found.pop()
        found.append(count)
    return set(found)


def stops(manner: Manner, start: int, stop: int, marks: Iterable[int]) -> list[int]:
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
    """A model's cache after some tokens. It is never run on itself: copies of it are."""

    ids: torch.Tensor
    """int64 [B, n], of each branch all tokens from the root; a path is B = 1."""
    rows: slice
    """Those of the lane that were run: the cache's batch is B x rows."""
    cache: Any

    @property
    def count(self) -> int:
        """How many tokens it is behind."""
        return self.ids.shape[1]

    @cached_property
    def bytes(self) -> int:
        """The memory that it takes."""
        return sum(tensor.nbytes for tensor in _tensors(self.cache, set()))

    def has(self, rows: slice) -> bool:
        """Return whether it is of these rows, and perhaps of others."""
        return _numbers(rows) <= _numbers(self.rows)

    def meets(self, rows: slice) -> bool:
        """Return whether it is of one of these rows."""
        return not _numbers(rows).isdisjoint(_numbers(self.rows))

    def place(self, ids: torch.Tensor) -> int | None:
        """Return which of the branches a path [m] goes on from, None if from none of them."""
        same = (self.ids == ids[: self.count]).all(dim=1).nonzero()
        return int(same[0, 0]) if len(same) else None

    def copied(self, places: list[int], rows: slice) -> Any:
        """Return a copy of the cache for some of the branches, in that order, and of the rows."""
        cache, wide = copy.deepcopy(self.cache), self.rows.stop - self.rows.start
        wanted = range(rows.start - self.rows.start, rows.stop - self.rows.start)
        index = [place * wide + row for place in places for row in wanted]
        if index != list(range(len(self.ids) * wide)):
            device = next(_tensors(cache, set())).device
            cache.reorder_cache(torch.tensor(index, device=device))
        return cache


Source = tuple[Snapshot, int]
"""A snapshot and which of its branches is gone on from."""


class Snapshots:
    """The snapshots of one line, for one model or two rows of it."""

    def __init__(self) -> None:
        self._path: list[Snapshot] = []
        self._tips: list[list[Snapshot]] = []
        """Of the last two steps of branches: where single tokens are not exact, the next step goes
        on from the last but one."""

    def run_path(
        self, run: CachedForward, manner: Manner, ids: torch.Tensor, first: int, rows: slice
    ) -> torch.Tensor:
        """Run a path [n] from the last snapshot before ``first``, and take some on the way.

        Those behind ``first`` are dropped: that is what is run anew.

        Returns:
            The last hidden states of the tokens ``first`` and behind, [rows, n - first, d].
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
        """Run branches of one length, each from the nearest state that is kept.

        Args:
            ids: int64 [B, n], of each branch all tokens from the root.
            trunk: how many of the first tokens all share, which were run as a path.
            first: the first token whose hidden state is wanted.
            together: whether one forward may run several branches.

        Returns:
            The last hidden states of the tokens ``first`` and behind, [rows, B, n - first, d].
        """
        stem = trunk if manner.can_continue(1) else trunk - 1  # what is left is two tokens or more
        if stem > 0:
            self._reach(run, manner, ids[0, :stem], rows)
        if not trunk:  # no path was run that would have dropped what is of other weights
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
            for stop in stops(manner, at, ids.shape[1], ()):
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
        """Take over the snapshots of another line behind its tokens ``first`` to ``stop``, which
        this one has now too; what this one had behind ``first`` is dropped."""
        self._path = [it for it in self._path if it.count <= first]
        self._path += [it for it in other._path if first < it.count <= stop]
        self._tips = []

    def bytes(self) -> int:
        """Return the memory held, in bytes."""
        return sum(it.bytes for group in (self._path, *self._tips) for it in group)

    def cell_bytes(self) -> int:
        """Return the memory of all snapshots of the path, for each of its tokens."""
        longest = max((it.count for it in self._path), default=1)
        return sum(it.bytes for it in self._path) // longest

    def _drop(self, first: int, rows: slice) -> None:
        """Drop what lies behind ``first`` of any of these rows."""

        def stays(it: Snapshot) -> bool:
            return it.count <= first or not it.meets(rows)

        self._path = list(filter(stays, self._path))
        self._tips = [list(filter(stays, tips)) for tips in self._tips]

    def _source(
        self, among: list[Snapshot], manner: Manner, ids: torch.Tensor, first: int, rows: slice
    ) -> Source | None:
        """Return what a path [n] is best run from, with the hidden states from ``first`` on; None
        for its beginning."""
        length = len(ids)
        for it in sorted(among, key=lambda it: -it.count):
            count = length - it.count
            if it.count > first or not it.has(rows) or not manner.can_continue(count):
                continue
            place = it.place(ids)
            if place is not None:
                return (it, place) if manner.cost(count) <= manner.chunk(length) else None
        return None

    def _reach(self, run: CachedForward, manner: Manner, ids: torch.Tensor, rows: slice) -> None:
        """Have a snapshot at the end of a path [n]."""
        if not any(it.count == len(ids) and it.has(rows) for it in self._path):
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
        """Run a path [n] from a snapshot to its end, and keep some on the way; there is one at the
        end. Returns the last hidden states of what was run, [rows, t, d]."""
        cache, at = (None, 0) if source is None else (source[0].copied([0], rows), source[0].count)
        ends = stops(manner, at, len(ids), _marks(manner, at, len(ids)))
        mine = [it for it in self._path if it.rows == rows]
        counts = {it.count for it in mine}.union(ends)
        keep = kept(counts, max(counts), manner.spacing(max(counts))) | {len(ids)}
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
    """Yield the branches that go on from one snapshot, at most so many together."""
    groups: dict[Snapshot | None, list[int]] = {}
    for tip, source in enumerate(sources):
        groups.setdefault(source and source[0], []).append(tip)
    for snapshot, tips in groups.items():
        for first in range(0, len(tips), most):
            yield snapshot, tips[first : first + most]


def _numbers(rows: slice) -> set[int]:
    return set(range(rows.start, rows.stop))


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
