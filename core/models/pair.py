"""A policy and its reference that advance the nodes of one token tree together.

The pair grows the tree, runs what is new through both models, and writes what they say of each edge
and state into the tree's columns. Everything that the views show comes from those columns. Coming
back to a path whose numbers are known costs nothing; a path that shares a prefix with an earlier
one costs its new suffix.

KV is cached in *lines* (core.models.line), each with a name: "A" and "B" for the responses, one for
each search. A line's trunk is one path, run as the model itself runs it; a search's branches follow
its trunk. A line that lacks the beginning of a path copies it from one that has it.

The policy of a run's pair may be any of the run's checkpoints. The numbers of each are in a layer
of the tree of its own; a checkpoint that is written anew at the same path is another one. The
reference's numbers serve all. A checkpoint's weights are loaded only when something must be run
through them, so showing numbers that are known moves no weight and evicts no KV. At the start of a
run the policy *is* the reference: what is asked of the one is asked of the other.

Where rotary factors depend on the length of a text (core.models.rope), texts of another regime
start from another root of the tree, so their numbers and KV are never mixed.

One model may have more tokens than the other (rows of padding, or tokens that were added). Each
one's log-probs, ranks and entropy are over its own; the divergences are between what both make of
the tokens that both have; a text with a token that one lacks is refused.

Knows no text beyond its codec; knows nothing of beta, files or windows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import Cancelled, UserFacingError
from core.models.attention import Branches
from core.models.kv import Store
from core.models.lane import Lane, Way
from core.models.line import Line, Nodes
from core.models.rope import Regime
from core.progress import Report, never, nothing, silent
from core.runs.records import START
from core.tree import TokenTree

if TYPE_CHECKING:
    from core.checkpoints.identity import Identity
    from core.checkpoints.watch import Change, Watch
    from core.codec import Codec
    from core.models.swap import Swap

Rows = tuple[int, ...]
POLICY, REFERENCE, BASE = 0, 1, 2
BOTH: Rows = (POLICY, REFERENCE)

PATH_TOKENS = {"cuda": 4096}
BRANCH_TOKENS = 512
"""Tokens of one forward along a path, by device, and over branches: they bound activations and
masks. Fixed, so that numbers do not depend on how much memory happens to be free."""
LOGITS = {"cuda": 2**25}
"""Numbers in one piece of logits of both models, by device."""
CPU_PATH_TOKENS, CPU_LOGITS = 1024, 7_900_000
LEAST_POSITIONS = 64
"""Positions in one piece of logits at least: fewer would read a large embedding too often."""
CACHED_LOGITS = 2**20
"""Numbers over which a CPU takes statistics at once: what stays in its caches between passes."""
STATISTICS = 4
"""Arrays as large as the logits that are held at most while their statistics are taken."""
EVICTED_TO = 0.75
"""The part of the KV budget that stays in use after an eviction, so that few steps need one."""
DEAD = 8
"""Branches are evicted when those that a forward does not need pass this many times the others:
each costs every new token attention."""
READING = 0.8
"""The part of scoring a text that its forwards take, about."""
LINES = 8
"""Lines cached beside those of the responses."""
RESPONSES = ("A", "B")
"""The lines of the responses."""


@dataclass(eq=False)
class Held:
    """A line and what its cells hold: a store for each lane."""

    line: Line
    stores: list[Store]
    version: "Identity | str" = ""
    """The checkpoint that the policy's cells are of."""

    def bytes(self) -> int:
        """Return the memory held, in bytes."""
        return sum(store.bytes() for store in self.stores)

    def cell_bytes(self) -> int:
        """Return the memory of one cell, in bytes; 0 before the first forward."""
        return sum(store.cell_bytes() for store in self.stores)


@dataclass(eq=False)
class Pair:
    """Two models over one tree. Only the engine thread may touch it.

    ``lanes``: one that runs both (two adapters on one base, or one model that is both), or one for
    each. ``base``: a third model whose log-probs a search may add to theirs.
    """

    lanes: list[Lane]
    codec: "Codec"
    context_length: int
    alone: bool = False
    """Whether there is no reference: the one lane is the policy, and only its numbers are known."""
    kv_budget: int = 2**31
    """Bytes of KV and hidden states after which lines that are not in use are dropped."""
    tree: TokenTree = field(init=False)
    base: Lane | None = None
    attention: str = ""
    """The way attention is run, in words."""
    swap: "Swap | None" = None
    """Puts another checkpoint's weights into the policy; None for a pair that is not of a run."""
    shown: str = ""
    """The checkpoint that the policy is: a path, or START; "" for a pair that is not of a run."""
    version: "Identity | str" = ""
    """The identity of that checkpoint, whatever is at its path by now; START and "" as above."""
    watch: "Watch | None" = None
    """Tells whether files of what was loaded have been written anew."""
    report: Report = silent
    """Told how far the numbers of a text are, 0..1."""
    got_on: Callable[[], object] = nothing
    """Told when a piece of that is done, which stays if the rest is cancelled."""
    wanted: Callable[[], Iterable[Nodes]] = tuple
    """Says which nodes are wanted by whoever else uses the pair: they are never evicted."""

    def __post_init__(self) -> None:
        self._placed = self.version
        self.tree = self._new_tree()
        self.sides: Rows = (POLICY,) if self.alone else BOTH
        """The models whose numbers are known."""
        covers = [self.sides] if len(self.lanes) == 1 else [(POLICY,), (REFERENCE,)]
        self._covering = list(zip(self.lanes, covers, strict=True))
        if self.base is not None:
            self._covering.append((self.base, (BASE,)))
        widths = [lane.vocab_size for lane, _ in self._covering]
        self.vocab_size = max(widths)
        """Width of a distribution, padding of the embedding included."""
        self.shared = min(widths)
        """Tokens that all models have: those below this number."""
        self._widths = widths[0], widths[len(self.lanes) - 1]
        self.outside = 0.0
        """The most that either has given, so far, to tokens that the other lacks: a probability."""
        self._lines: dict[str, Held] = {}
        """By name, the least recently used first."""
        self._roots: dict[tuple[Regime, ...], int] = {}
        self._regimes: dict[int, tuple[Regime, ...]] = {}

    def use(self, checkpoint: str, version: "Identity | str" = "") -> None:
        """Make another checkpoint the policy: the one in a folder, or START.

        ``version``: the checkpoint as it was when it was shown; "" for what is in the folder now,
        which is another checkpoint with numbers of its own once it has been written anew.

        Raises:
            UserFacingError: it does not exist or does not belong to the run; the checkpoint that
                was shown stays.
        """
        if self.swap is None:
            if checkpoint == self.shown:
                return
            raise UserFacingError(
                "This pair is not of a training run: open one to see its checkpoints."
            )
        if not version:
            version = START if checkpoint == START else self.swap.check(checkpoint)
        self.tree.show(version, same=checkpoint == START)
        self.shown, self.version = checkpoint, version

    @property
    def widths(self) -> tuple[int, int]:
        """Tokens of the policy, which is the reference at the start of a run, and of that."""
        return self._widths[self.shown == START], self._widths[1]

    def changed(self) -> "Change | None":
        """Return what has been written anew on disk since loading, each change once; else None."""
        if self.watch is None:
            return None
        return self.watch.look(None if isinstance(self.version, str) else self.version)

    def _place(self, cancelled: Callable[[], bool]) -> None:
        """Load the weights of the checkpoint that is shown; KV of another is of no use meanwhile.

        Raises:
            UserFacingError, Cancelled: they are not loaded, and will be asked for again.
        """
        version = self.version
        if self.swap is None or isinstance(version, str) or version == self._placed:
            return
        self._placed = ""
        self.swap.place(version, cancelled)
        for lane in self.lanes:
            lane.weights_changed()
        self._placed = version

    def _models_for(self, rows: Rows) -> Rows:
        """Return the models to ask: at the start of a run the reference for the policy."""
        if self.alone:
            return tuple(row for row in rows if row != REFERENCE)
        if self.shown != START:
            return rows
        return tuple(sorted({REFERENCE if row == POLICY else row for row in rows}))

    def root(self, length: int) -> int:
        """Return the root of the tree that texts of up to ``length`` tokens start from.

        There are several only for models whose rotary factors depend on the length of a text.
        """
        regimes = tuple(lane.regime(length) for lane, _ in self._covering)
        if regimes not in self._roots:
            root = self.tree.root(f"{regimes}" if self._roots else "")
            self._roots[regimes], self._regimes[root] = root, regimes
        return self._roots[regimes]

    @property
    def depends_on_length(self) -> bool:
        """True where a model's rotary factors depend on the length of a text."""
        return any(lane.depends_on_length for lane, _ in self._covering)

    def forget(self) -> None:
        """Drop all that was computed: KV and the tree."""
        self._lines.clear()
        self._roots.clear()
        self._regimes.clear()
        self.tree = self._new_tree()

    def _new_tree(self) -> TokenTree:
        tree = TokenTree(reference=not self.alone)
        tree.show(self.version, same=self.shown == START)
        return tree

    def release(self, line: str) -> None:
        """Drop the KV of a line."""
        self._lines.pop(line, None)

    @torch.inference_mode()
    def reach_path(
        self,
        path: Nodes,
        rows: Rows = BOTH,
        cancelled: Callable[[], bool] = never,
        line: str = "",
    ) -> int:
        """Make the KV of a path from its root ready in a line and return how many tokens were run.

        Raises:
            UserFacingError: the path is longer than the models' context, or the checkpoint that is
                shown cannot be loaded.
            Cancelled: between two layers; the cells of finished chunks stay.
        """
        rows = self._prepare(rows, path[-1:], cancelled)
        if len(path) == 0 or self._ready_line(path[-1:], rows) is not None:
            return 0
        with self._released_on_failure(line):
            return self._run_path(line, path, rows, cancelled)

    @torch.inference_mode()
    def reach(
        self,
        states: Nodes,
        rows: Rows = BOTH,
        cancelled: Callable[[], bool] = never,
        line: str = "",
    ) -> int:
        """Make the KV of several states ready in a line and return how many tokens were run.

        New tokens of all branches advance together in one forward.

        Raises:
            UserFacingError, Cancelled: as for ``reach_path``.
        """
        rows = self._prepare(rows, states, cancelled)
        if self._ready_line(states, rows) is not None:
            return 0
        with self._released_on_failure(line):
            return self._run_branches(line, states, rows, cancelled)

    @torch.inference_mode()
    def observe(
        self,
        path: Nodes,
        rows: Iterable[int],
        cancelled: Callable[[], bool] = never,
        line: str = "",
    ) -> int:
        """Make the numbers of ``rows`` of a path known; return how many tokens were run.

        ``rows`` are indices (from 1) into ``path``. What is known already is not run again.

        Raises:
            UserFacingError: a model returned NaN or infinite log-probs; or as for ``reach_path``.
            Cancelled: as for ``reach_path``.
        """
        wanted = np.fromiter(rows, dtype=np.int64)
        unknown = wanted[~self.tree.is_observed(path[wanted])]
        if not len(unknown):
            return 0
        computed = self.reach_path(path[: unknown.max()], BOTH, cancelled, line)
        self._fill_all(path[unknown], cancelled)
        return computed

    @torch.inference_mode()
    def observe_all(
        self,
        paths: Sequence[tuple[Nodes, int]],
        cancelled: Callable[[], bool] = never,
        line: str = "",
    ) -> int:
        """Make the numbers of several paths known, each from an index on; return tokens run.

        What they share is run once, and all that lies behind it in one forward.

        Raises:
            UserFacingError, Cancelled: as for ``observe``.
        """
        ends = np.unique([path[-2] for path, _ in paths])
        nodes = np.unique(np.concatenate([path[first:] for path, first in paths]))
        unknown = nodes[~self.tree.is_observed(nodes)]
        if not len(unknown):
            return 0
        computed = self.reach(ends, BOTH, cancelled, line)
        self._fill_all(unknown, cancelled)
        return computed

    @torch.inference_mode()
    def logprobs(self, node: int, cancelled: Callable[[], bool] = never) -> torch.Tensor:
        """Return log-probs at the state ``node`` of every token that both models have, float32
        [2, V], policy first; of the policy alone [1, V]."""
        state = np.array([node])
        self.reach_path(self.tree.path(node), BOTH, cancelled, "inspect")
        return torch.log_softmax(self.logits(state, self.sides), dim=-1)[:, 0, : self.shared]

    @torch.inference_mode()
    def logits(
        self, states: Nodes, rows: Rows = BOTH, room: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return logits at states that were reached together, [m] -> float32 [len(rows), m, V].

        They are on the first lane's device, and -inf for tokens that a model lacks. ``room``:
        float32 memory of at least that many numbers, which is used for them.
        """
        meant = self._models_for(rows)
        held = self._ready_line(states, meant)
        assert held is not None, "these states were not reached"
        cells = torch.from_numpy(held.line.cells(states, self.tree.depth[states]))
        shape = len(meant), len(states), self.vocab_size
        if room is None:
            out = torch.empty(shape, device=self.lanes[0].device)
        else:
            out = room[: shape[0] * shape[1] * shape[2]].view(shape)
        for (lane, covers), store in zip(self._covering, held.stores, strict=True):
            wanted = [row for row in meant if row in covers]
            if not wanted:
                continue
            physical = _physical(lane, covers, wanted)
            first = meant.index(wanted[0])
            part = out[first : first + physical.stop - physical.start]
            hidden = store.hidden(physical, cells.to(lane.device))
            if lane.vocab_size == self.vocab_size:
                lane.logits(hidden, physical, part)
            else:
                own = part.new_empty(*part.shape[:2], lane.vocab_size)
                lane.logits(hidden, physical, own)
                part[..., : lane.vocab_size] = own
                part[..., lane.vocab_size :] = -torch.inf
            if len(part) < len(wanted):  # one model that is both
                out[first + 1] = out[first]
        if len(meant) == len(rows):
            return out
        # At the start of a run the reference's logits are the policy's too.
        return out.expand(2, -1, -1) if len(out) == 1 else out[[0, *range(len(out))]]

    def forwards(
        self, rows: Rows = BOTH, cancelled: Callable[[], bool] = never
    ) -> list[tuple[Lane, slice, list[Rows]]]:
        """Return the forwards that ask some models: a lane, its rows, and the models that each of
        these rows stands for. The policy's weights are in place.

        Raises:
            UserFacingError: the checkpoint that is shown cannot be loaded.
            Cancelled: soon after ``cancelled()`` turns true.
        """
        meant = self._models_for(rows)
        if POLICY in meant:
            self._place(cancelled)
        found: list[tuple[Lane, slice, list[Rows]]] = []
        for lane, covers in self._covering:
            lane.cancelled = cancelled
            if not (wanted := [row for row in meant if row in covers]):
                continue
            stand: list[Rows] = [(row,) for row in wanted] if lane.rows > 1 else [tuple(wanted)]
            if self.shown == START and not self.alone:  # the reference is the policy too
                asked = tuple(row for row in rows if row in BOTH)
                stand = [asked if REFERENCE in it else it for it in stand]
            found.append((lane, _physical(lane, covers, wanted), stand))
        return found

    def has_kv(self, node: int) -> bool:
        """Return whether both models' KV of a node is cached."""
        if self.version not in (START, self._placed):
            return False
        return self._ready_line(np.array([node]), self._models_for(BOTH)) is not None

    def trim(self, shown: Iterable[Nodes] = ()) -> None:
        """Evict nodes if the tree is over its budget; ``shown`` and ``wanted`` ones and the
        responses' stay.

        Call it only between two steps: whoever will use a node's number again must name it here.
        The KV of an evicted node is dropped with it, as is that of all nodes below it.
        """
        if not self.tree.is_full:
            return
        responses = [held.line.nodes for name, held in self._lines.items() if name in RESPONSES]
        stay = [np.empty(0, dtype=np.int64), *responses, *shown, *self.wanted()]
        self.tree.evict(np.concatenate(stay))
        for held in self._lines.values():
            gone = ~self.tree.has(held.line.nodes)
            if gone.any():
                held.line.truncate(min(held.line.trunk, int(gone.argmax())))

    def evict_kv(self) -> None:
        """Drop all KV and recorded forwards, and give memory not in use back to the device."""
        self._lines.clear()
        for lane, _ in self._covering:
            lane.drop_recordings()
        for device in {lane.device.type for lane, _ in self._covering}:
            if device in ("cuda", "mps"):
                getattr(torch, device).empty_cache()

    def kv_bytes(self) -> int:
        """Return the memory of KV and hidden states, in bytes."""
        return sum(held.bytes() for held in self._lines.values())

    def write(self, columns: Iterable[str], nodes: Nodes, values: NDArray[np.float64]) -> None:
        """Write numbers [columns, n] into the tree; what is known of the reference stays.

        Raises:
            UserFacingError: one of them is NaN or infinite; nothing is written then.
        """
        if not np.isfinite(values).all():
            raise UserFacingError(
                f"{self._whose(columns, values)} gives NaN or infinite log-probs near token "
                f"{int(self.tree.depth[nodes[0]])}: the checkpoint is damaged, or overflows in "
                f"this number format; load it again with --dtype float32, or choose another one."
            )
        for name, row in zip(columns, values, strict=True):
            self.tree.write(name, nodes, row)

    def _whose(self, columns: Iterable[str], values: NDArray[np.float64]) -> str:
        """Return which model has given numbers that are not finite, with its folder."""
        finite = {name: np.isfinite(row).all() for name, row in zip(columns, values, strict=True)}
        role = "reference" if finite.get("logp_policy", False) else "policy"
        folder = self.shown if role == "policy" else ""
        if self.watch is not None:
            folder = self.watch.folders.get(role, folder)
        return f"The {role} {folder}".rstrip()

    def _prepare(self, rows: Rows, states: Nodes, cancelled: Callable[[], bool]) -> Rows:
        """Load the policy's weights if they are needed; return the models to ask."""
        rows = self._models_for(rows)
        if POLICY in rows:
            self._place(cancelled)
        longest = int(self.tree.depth[states].max(initial=0))
        if longest > self.context_length:
            raise UserFacingError(
                f"Prompt and response are {longest} tokens together, but the models' context "
                f"is {self.context_length}: shorten one of them."
            )
        for lane, _ in self._covering:
            lane.cancelled = cancelled
        return rows

    def _ready_line(self, states: Nodes, rows: Rows) -> Held | None:
        """Return the line, last used first, in which all states are ready, or None."""
        depths = self.tree.depth[states]
        for name, held in reversed(self._lines.items()):
            if POLICY in rows and held.version != self._placed:
                continue
            cells = held.line.cells(states, depths)
            if (cells >= 0).all() and held.line.ready[list(rows)][:, cells].all():
                self._lines[name] = self._lines.pop(name)
                return held
        return None

    @contextmanager
    def _released_on_failure(self, line: str) -> Iterator[None]:
        """Release a line that an unexpected failure inside may have left inconsistent."""
        try:
            yield
        except (Cancelled, UserFacingError):
            raise
        except BaseException:
            self.release(line)
            raise

    def _line(self, name: str) -> Held:
        """Return a line by name, made if it is new, and note that it is used now: of another
        checkpoint the policy's cells are to be run anew."""
        held = self._lines.pop(name, None)
        if held is None:
            held = Held(Line(rows=3), [lane.store() for lane, _ in self._covering])
        if held.version != self._placed:
            held.line.ready[POLICY], held.version = False, self._placed
        self._lines[name] = held
        return held

    def _run_path(self, name: str, path: Nodes, rows: Rows, cancelled: Callable[[], bool]) -> int:
        """Make a path the trunk of a line, run what is not ready, and return tokens run."""
        held = self._line(name)
        line = held.line
        line.truncate(line.shared(path))
        first = min(line.ready_to(row) for row in rows)
        lender, cells = self._lender(path, held, rows, first)
        self._make_room(len(path) - len(line), (held, lender))
        if lender is not None:
            for (lane, _), mine, theirs in zip(
                self._covering, held.stores, lender.stores, strict=True
            ):
                mine.copy(theirs, torch.from_numpy(cells[first:]).to(lane.device), first)
            line.extend(path[len(line) : len(cells)])
            line.ready[:, first : len(cells)] = lender.line.ready[:, cells[first:]]
        if len(path) > len(line):
            line.extend(path[len(line) :])
        computed = len(path) - min(line.ready_to(row) for row in rows)
        self._run_trunk(held, rows, cancelled)
        line.touch(np.arange(len(line)))
        return computed

    def _run_trunk(self, held: Held, rows: Rows, cancelled: Callable[[], bool]) -> None:
        """Run the part of the trunk that is not ready in ``rows``; branches stay where they are."""
        line = held.line
        if all(line.ready_to(row) == line.trunk for row in rows):
            return
        trunk = line.nodes[: line.trunk]
        tokens = self.tree.token[trunk]
        self.check_tokens(tokens)
        ids = torch.from_numpy(tokens)
        self._set_regime(trunk)
        for lane, store, physical, ready in self._unready(held, rows, np.arange(line.trunk)):
            step = PATH_TOKENS.get(lane.device.type, CPU_PATH_TOKENS)
            if not lane.in_pieces:
                step = len(ids)
            begun = line.ready_to(ready[0])
            for start in range(begun, len(ids), step):
                if cancelled():
                    raise Cancelled
                stop = min(start + step, len(ids))
                read = (start - begun) / (len(ids) - begun), (stop - begun) / (len(ids) - begun)
                with self._told(lane, read):
                    lane.run_path(store, ids[:stop], start, physical)
                line.ready[ready, start:stop] = True
                self.got_on()

    @contextmanager
    def _told(self, lane: Lane, read: tuple[float, float]) -> Iterator[None]:
        """Have it told, layer by layer, how much of a text a lane has read: from one share to
        another. All lanes' reading is most of the work; then come the statistics."""
        asked, layers = lane.cancelled, 0
        place = self.lanes.index(lane) if lane in self.lanes else 0

        def entered() -> bool:
            nonlocal layers
            layers += 1
            share = read[0] + (read[1] - read[0]) * min(layers / max(lane.depth, 1), 1.0)
            self.report("scoring", READING * (place + share) / len(self.lanes))
            return asked()

        lane.cancelled = entered
        try:
            yield
        finally:
            lane.cancelled = asked

    def _unready(
        self, held: Held, rows: Rows, cells: Nodes
    ) -> Iterator[tuple[Lane, Store, slice, list[int]]]:
        """Yield the forwards that make ``cells`` of a line ready in ``rows``.

        Each is a lane, its store, the rows of the lane to run, and the rows of the line that are
        then ready: one row of a lane that stands for both models makes both ready. Rows that lack
        the same cells are run together; those that lack none are left out.
        """
        for (lane, covers), store in zip(self._covering, held.stores, strict=True):
            groups: dict[bytes, list[int]] = {}
            for row in rows:
                there = held.line.ready[row, cells]
                if row in covers and not there.all():
                    groups.setdefault(there.tobytes(), []).append(row)
            for alike in groups.values():
                ready = alike if lane.rows > 1 else list(covers)
                yield lane, store, _physical(lane, covers, alike), ready

    def _lender(self, path: Nodes, held: Held, rows: Rows, first: int) -> tuple[Held | None, Nodes]:
        """Return the line that has most of a path ready beyond the ``first`` nodes, and the cells.

        None if there is none. What ``held`` lacks of the path's beginning is copied from that line.
        All rows are copied, so it must be ready wherever ``held`` is.
        """
        depths = self.tree.depth[path]
        trunk_only = any(lane.way is not Way.TREE for lane, _ in self._covering)
        lender, most = None, np.arange(first)
        for other in self._lines.values():
            if other.version != held.version:
                continue
            cells = other.line.beginning(path, depths, trunk_only)
            unready = ~other.line.ready[list(rows)][:, cells].all(axis=0)
            cells = cells[: int(unready.argmax())] if unready.any() else cells
            own = held.line.ready[:, first : len(cells)]
            lent = other.line.ready[:, cells[first : first + own.shape[1]]]
            if other is not held and len(cells) > len(most) and not (own & ~lent).any():
                lender, most = other, cells
        return lender, most

    def _run_branches(
        self, name: str, states: Nodes, rows: Rows, cancelled: Callable[[], bool]
    ) -> int:
        """Make states ready as branches after a trunk that they share; return tokens run."""
        held = self._line(name)
        line = held.line
        paths = [self.tree.path(state) for state in states.tolist()]
        fork = _common(paths)
        shared = line.shared(paths[0][:fork])
        if shared < line.trunk:
            line.fork(shared)
        computed = 0
        if len(line) == line.trunk < fork:
            computed = self._run_path(name, paths[0][:fork], rows, cancelled)
        else:
            self._run_trunk(held, rows, cancelled)
        nodes = np.unique(np.concatenate([path[line.trunk :] for path in paths]))
        nodes = nodes[np.argsort(self.tree.depth[nodes], kind="stable")]
        self.check_tokens(self.tree.token[nodes])
        cells = self._branch_cells(held, nodes)
        self._set_regime(paths[0])
        ready = line.ready[list(rows)][:, cells].all(axis=0)
        for lane, store, physical, marked in self._unready(held, rows, cells):
            missing = cells[~line.ready[marked[0], cells]]
            for first in range(0, len(missing), BRANCH_TOKENS):
                if cancelled():
                    raise Cancelled
                part = missing[first : first + BRANCH_TOKENS]
                self._advance(lane, store, line, part, physical)
                line.ready[np.ix_(marked, part)] = True
        line.touch(np.concatenate([np.arange(line.trunk), cells]))
        return computed + int((~ready).sum())

    def _branch_cells(self, held: Held, nodes: Nodes) -> Nodes:
        """Return the cells of branch nodes (ancestors first), new cells for those that had none."""
        line = held.line
        new = int((line.cells(nodes, self.tree.depth[nodes]) < 0).sum())
        self._make_room(new, (held,))
        self._evict(held, nodes, new)
        cells = line.cells(nodes, self.tree.depth[nodes])
        fresh = nodes[cells < 0]
        if len(fresh):
            parents = self.tree.parent[fresh]
            above = line.cells(parents, self.tree.depth[parents])
            coming = dict(zip(fresh.tolist(), range(len(line), len(line) + new), strict=True))
            places = [
                cell if cell >= 0 else coming.get(parent, -1)
                for parent, cell in zip(parents.tolist(), above.tolist(), strict=True)
            ]
            line.grow(fresh, np.array(places, dtype=np.int64))
        return line.cells(nodes, self.tree.depth[nodes])

    def _evict(self, held: Held, nodes: Nodes, new: int) -> None:
        """Evict branches not among ``nodes`` that slow attention down or exceed the budget."""
        line = held.line
        cells = line.cells(nodes, self.tree.depth[nodes])
        spared = np.zeros(len(line), dtype=bool)
        spared[cells[cells >= 0]] = True
        behind = len(line) - line.trunk
        dead = behind - int(spared.sum())
        most = DEAD * max(len(nodes), BRANCH_TOKENS)
        if size := held.cell_bytes():
            others = self.kv_bytes() - held.bytes()
            most = min(most, int(EVICTED_TO * (self.kv_budget - others)) // size - new - line.trunk)
        count = min(dead, behind - max(0, most)) if behind > most else 0
        if count <= 0:
            return
        gone = line.coldest(spared)[:count]
        left = np.setdiff1d(np.arange(line.trunk, len(line)), gone)
        for (lane, _), store in zip(self._covering, held.stores, strict=True):
            store.gather(torch.from_numpy(left).to(lane.device), line.trunk)
        line.keep(left)

    def _advance(self, lane: Lane, store: Store, line: Line, cells: Nodes, rows: slice) -> None:
        """Run branch cells of a line, ancestors before descendants, through one lane."""
        tokens, depths = self.tree.token[line.nodes], self.tree.depth[line.nodes]
        if lane.way is Way.TREE:
            seen = Branches(
                queries=torch.from_numpy(depths[cells] - 1),
                keys=torch.from_numpy(depths - 1),
                visible=torch.from_numpy(line.ancestry(cells)),
            )
            ids = torch.from_numpy(tokens[cells])
            lane.run_branches(store, ids, torch.from_numpy(cells), seen, rows)
            return
        # Each tip is run from where it leaves the trunk (or from the root, without a cache); the
        # hidden states of the cells asked for are written as it passes them.
        inner = set(line.parents[cells].tolist())
        tips = [cell for cell in cells.tolist() if cell not in inner]
        ways = [np.flatnonzero(line.ancestry(np.array([tip]))[0]) for tip in tips]
        ways = [way[np.argsort(depths[way])] for way in ways]
        common = min(int((way < line.trunk).sum()) for way in ways)
        for length in sorted({len(way) for way in ways}):
            alike = [way for way in ways if len(way) == length]
            ids = torch.from_numpy(np.stack([tokens[way] for way in alike]))
            first = min(int(np.isin(way, cells).argmax()) for way in alike)
            hidden = lane.run_tips(store, ids, common, first, rows)
            for i, way in enumerate(alike):
                behind = way[first:]
                asked = np.isin(behind, cells)
                where = torch.from_numpy(behind[asked]).to(lane.device)
                found = hidden[:, i, torch.from_numpy(asked).to(lane.device)]
                store.put_hidden(found, rows, where, len(line))

    def check_tokens(self, tokens: Nodes) -> None:
        """Check that all models have some tokens.

        Raises:
            UserFacingError: one lacks one.
        """
        token = int(tokens.max(initial=0))
        if token < self.shared:
            return
        roles = ("policy", "reference", "search base")
        lacking = {
            roles[row]: lane.vocab_size
            for lane, covers in self._covering
            for row in covers
            if lane.vocab_size <= token
        }
        whose = " and ".join(f"the {role}'s" for role in lacking)
        what = f"{self.codec.label(token)!r} as token {token}, but {whose} embedding has only "
        what = f"The tokenizer writes {what}{min(lacking.values())} rows"
        if len(lacking) > 1 or list(lacking) == ["policy"]:
            raise UserFacingError(
                f"{what}: take the tokenizer that the model was trained with, or save the model "
                f"or adapter again with its resized embeddings (save_embedding_layers=True)."
            )
        raise UserFacingError(
            f"{what}, so it gives nothing to a text that holds it: choose a model whose vocabulary "
            f"was resized as the policy's was."
        )

    def _set_regime(self, path: Nodes) -> None:
        """Set all lanes to the rotary factors of the root that a path starts from."""
        root = int(self.tree.parent[path[0]])
        for (lane, _), regime in zip(
            self._covering, self._regimes.get(root, (0,) * len(self._covering)), strict=True
        ):
            lane.set_regime(regime)

    def _make_room(self, more: int, spared: tuple[Held | None, ...]) -> None:
        """Evict whole lines, the least recently used first, if ``more`` cells exceed the budget.

        The responses' lines go last, and those in ``spared`` stay whatever they take.
        """
        loose = [name for name, held in self._lines.items() if held not in spared]
        loose.sort(key=RESPONSES.__contains__)
        searches = [name for name in loose if name not in RESPONSES]
        for name in searches[: max(0, len(searches) - LINES)]:
            self.release(name)
            loose.remove(name)
        need = more * max((held.cell_bytes() for held in self._lines.values()), default=0)
        if self.kv_bytes() + need <= self.kv_budget:
            return
        for name in loose:
            self.release(name)
            if self.kv_bytes() + need <= EVICTED_TO * self.kv_budget:
                return

    def _fill_all(self, nodes: Nodes, cancelled: Callable[[], bool]) -> None:
        """Write what is known of nodes whose parents were reached together, piece by piece."""
        step = positions(self.lanes[0].device.type, self.vocab_size)
        room = None
        if len(nodes) > 1:
            room = torch.empty(
                len(self.sides) * min(step, len(nodes)) * self.vocab_size,
                device=self.lanes[0].device,
            )
        for first in range(0, len(nodes), step):
            if cancelled():
                raise Cancelled
            self.report("scoring", READING + (1 - READING) * first / len(nodes))
            chunk = nodes[first : first + step]
            self._fill(chunk, self.tree.parent[chunk], room)
            self.got_on()

    def _fill(self, nodes: Nodes, states: Nodes, room: torch.Tensor | None) -> None:
        """Write the columns of edges into ``nodes`` and of the ``states`` that they leave."""
        taken = self.tree.token[nodes]
        self.check_tokens(taken)
        logits, tokens = self.logits(states, self.sides, room), torch.from_numpy(taken)
        step = len(nodes)
        if logits.device.type == "cpu":
            step = max(1, CACHED_LOGITS // (len(BOTH) * self.vocab_size))
        pieces = [
            observations(logits[:, first : first + step], tokens[first : first + step], self.widths)
            for first in range(0, len(nodes), step)
        ]
        if self.widths[0] != self.widths[1]:
            outside = torch.softmax(logits, dim=-1)[..., min(self.widths) :].sum(-1)
            self.outside = max(self.outside, float(outside.max()))
        edge, state = (np.concatenate(part, axis=1) for part in zip(*pieces, strict=True))
        if np.isfinite(state).all():  # else nothing is written: the next write raises
            self.write(self.tree.edge_columns, nodes, edge)
        self.write(self.tree.state_columns, states, state)


def positions(device: str, vocab_size: int) -> int:
    """Return how many positions make one piece of logits of both models on a type of device."""
    most = LOGITS.get(device, CPU_LOGITS)
    return max(LEAST_POSITIONS, most // (len(BOTH) * vocab_size))


def logits_held(device: str, vocab_size: int) -> int:
    """Return how many float32 numbers scoring holds at once: a piece of logits and what its
    statistics are made of. 0 for a vocabulary of unknown size (0)."""
    if not vocab_size:
        return 0
    piece = len(BOTH) * vocab_size * positions(device, vocab_size)
    return piece + STATISTICS * (min(piece, CACHED_LOGITS) if device == "cpu" else piece)


def _common(paths: list[Nodes]) -> int:
    """Return the length of the prefix that all paths share."""
    count = min(map(len, paths))
    first = paths[0][:count]
    for path in paths[1:]:
        other = first[:count] != path[:count]
        count = int(other.argmax()) if other.any() else count
    return count


def _physical(lane: Lane, covers: Rows, wanted: list[int]) -> slice:
    """Return the rows of a lane that stand for the wanted models."""
    if lane.rows == 1:
        return slice(0, 1)
    return slice(covers.index(wanted[0]), covers.index(wanted[-1]) + 1)


def observations(
    logits: torch.Tensor, tokens: torch.Tensor, widths: tuple[int, int] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the two models, or the policy alone, say of m tokens at m states.

    Args:
        logits: float32 [2, m, V], policy and reference; or [1, m, V].
        tokens: int64 [m], the token taken at each state.
        widths: as for ``state_numbers``.

    Returns:
        Edge numbers and state numbers, [5, m] each (of the policy alone [3, m] and [2, m]), in the
        order of the tree's columns.
    """
    tokens = tokens.to(logits.device)[None, :, None].expand(len(logits), -1, 1)
    taken = logits.gather(-1, tokens)[..., 0]
    # Counted in floats (exact up to 2^24): summing booleans takes several times as long on a CPU.
    ranks = torch.gt(logits, taken[..., None], out=torch.empty_like(logits)).sum(-1) + 1
    logsumexp, state = state_numbers(logits, widths)
    edge = torch.stack([*(taken - logsumexp), *ranks, taken[0]])
    return edge.double().cpu().numpy(), state.double().cpu().numpy()


def state_numbers(
    logits: torch.Tensor, widths: tuple[int, int] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-partitions [2, m] and numbers [5, m] as in STATE_COLUMNS of logits [2, m, V]; of
    the policy's alone, [1, m, V], log-partitions [1, m] and the numbers [2, m] that it has.

    One exponential per logit: the partition follows from the likeliest token, whose probability has
    the smallest relative error.

    Args:
        widths: how many of the V tokens each model has; None: all. If one has fewer, partitions and
            entropies are over each one's own tokens, and the divergences are those of the two
            distributions given that the token is one that both have.
    """
    if widths is not None and min(widths) < logits.shape[-1]:
        _, (kl, kl_reverse, *_) = state_numbers(logits[..., : min(widths)])
        (first, (_, _, entropy, *_)), (second, (_, _, other, *_)) = (
            state_numbers(row[:, :width].expand(2, -1, -1))
            for row, width in zip(logits, widths, strict=True)
        )
        logsumexp = torch.stack([first[0], second[0]])
        return logsumexp, torch.stack([kl, kl_reverse, entropy, other, logsumexp[0]])
    probs = torch.softmax(logits, dim=-1)
    logsumexp = logits.amax(-1) - probs.amax(-1).log()
    entropy = logsumexp - torch.linalg.vecdot(probs, logits)
    if len(logits) == 1:
        return logsumexp, torch.stack([entropy[0], logsumexp[0]])
    ratio = logits[0] - logits[1]
    shift = logsumexp[0] - logsumexp[1]
    kl = (torch.linalg.vecdot(probs[0], ratio) - shift).clamp_min(0)
    kl_reverse = (shift - torch.linalg.vecdot(probs[1], ratio)).clamp_min(0)
    return logsumexp, torch.stack([kl, kl_reverse, *entropy, logsumexp[0]])
