"""A policy and its reference that advance the nodes of one token tree together.

The pair grows the tree, runs what is new through both models, and writes what they said of each
edge and state into the tree's columns. Everything that the views show comes from those columns.
A path whose numbers are known costs nothing to come back to; a path that shares a prefix with an
earlier one costs its new suffix.

The policy of a run's pair may be any of the run's checkpoints. Each has a layer of the tree for its
numbers, and so has what is written anew at its path; the reference's serve all. A checkpoint's
weights are put in place when something must be run through them, so showing numbers that are known
moves no weight and keeps the KV. At the start of a run the policy *is* the reference: what is asked
of the one is asked of the other.

Knows no text beyond its codec, no beta beyond the one it was loaded with, no files, no windows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import UserFacingError
from core.models.cells import Cells, Nodes
from core.models.lane import Lane
from core.runs import START
from core.tree import EDGE_COLUMNS, ROOT, STATE_COLUMNS, TokenTree

if TYPE_CHECKING:
    from core.checkpoints.identity import Identity
    from core.checkpoints.watch import Change, Watch
    from core.codec import Codec
    from core.models.swap import Swap

Rows = tuple[int, ...]
POLICY, REFERENCE, BASE = 0, 1, 2
BOTH: Rows = (POLICY, REFERENCE)

CHUNK_TOKENS = 512
"""Tokens of one forward: bounds the mask, and the wait for a cancel on a model without layers."""
CHUNK_LOGITS = 7_900_000
"""Numbers in one piece of logits (just under 32 MiB as float32): the most that glibc's allocator
hands out again without returning it to the system. At twice this, the passes over it take several
times as long (measured)."""
CACHED_LOGITS = 2**20
"""Numbers over which a CPU takes statistics at once: what stays in its caches between passes."""
SHED_TO = 0.75
"""Of the KV budget: how much is left in use when room is made, so that it is not made each step."""
GATHER = 4
"""Cells are gathered when (dead cells x new tokens) passes this many times the live cells: a
dead cell costs every new token attention, a live one a copy."""


def never() -> bool:
    """The default of ``cancelled``."""
    return False


@dataclass(eq=False)
class Pair:
    """Two models over one tree. Only the engine thread may touch it.

    ``lanes`` holds one lane of two rows (adapters on one base), two lanes of one row (two
    models), or one lane of one row (policy and reference are the same checkpoint). ``base``: a
    third model that only searches use (emulated fine-tuning).
    """

    lanes: list[Lane]
    codec: "Codec"
    context_length: int
    kv_budget: int = 2**31
    """Bytes of KV and hidden states after which paths that nobody holds are dropped."""
    tree: TokenTree = field(default_factory=TokenTree)
    base: Lane | None = None
    attention: str = ""
    """The way attention is run, in words."""
    swap: "Swap | None" = None
    """Puts another checkpoint's weights into the policy; None for a pair that is not of a run."""
    shown: str = ""
    """The checkpoint that the policy is: a path, or START; "" for a pair that is not of a run."""
    version: "Identity | str" = ""
    """Which checkpoint that is, whatever lies at its path by now; START and "" as above."""
    watch: "Watch | None" = None
    """Says whether what was loaded has been written anew on disk."""

    def __post_init__(self) -> None:
        self._placed = self.version
        self.tree.show(self.version)
        covers = [BOTH] if len(self.lanes) == 1 else [(POLICY,), (REFERENCE,)]
        self._covering = list(zip(self.lanes, covers, strict=True))
        if self.base is not None:
            self._covering.append((self.base, (BASE,)))
        self._cells = Cells(rows=3)
        self._held: dict[str, int] = {}

    @property
    def vocab_size(self) -> int:
        """Width of a distribution, padding of the embedding included."""
        return self.lanes[0].vocab_size

    def use(self, checkpoint: str, version: "Identity | str" = "") -> None:
        """Let the policy be another checkpoint: one of its folder, or START.

        ``version``: as it was when it was shown; else as it lies on disk now, which is another
        checkpoint with numbers of its own once it has been written anew.

        Raises:
            UserFacingError: it cannot be; the checkpoint that was shown stays.
        """
        if self.swap is None:
            if checkpoint == self.shown:
                return
            raise UserFacingError(
                "This pair is not of a training run: open one to see its checkpoints."
            )
        if not version:
            version = START if checkpoint == START else self.swap.check(checkpoint)
        self.shown, self.version = checkpoint, version
        self.tree.show(version, same=checkpoint == START)

    def changed(self) -> "Change | None":
        """What has been written anew on disk since it was loaded, said once; None if nothing."""
        if self.watch is None:
            return None
        return self.watch.look(None if isinstance(self.version, str) else self.version)

    def _place(self, cancelled: Callable[[], bool]) -> None:
        """Put the weights of the checkpoint that is shown in place; its KV is yet to be computed.

        Raises:
            UserFacingError, Cancelled: they are not in place, and will be asked for again.
        """
        version = self.version
        if self.swap is None or isinstance(version, str) or version == self._placed:
            return
        self._placed = ""
        self._cells.ready[POLICY] = False
        self.swap.place(version, cancelled)
        self._placed = version

    def _meant(self, rows: Rows) -> Rows:
        """The models that are asked: at the start of a run the policy is the reference."""
        if self.shown != START:
            return rows
        return tuple(sorted({REFERENCE if row == POLICY else row for row in rows}))

    def hold(self, name: str, leaf: int) -> None:
        """Keep the KV of the path to ``leaf`` when room is made, until another is held so."""
        self._held[name] = leaf

    def release(self, name: str) -> None:
        """Hold nothing under this name any more."""
        self._held.pop(name, None)

    @torch.inference_mode()
    def reach(self, states: Nodes, rows: Rows = BOTH, cancelled: Callable[[], bool] = never) -> int:
        """Run what lies on the paths to ``states`` and has no KV yet; returns how many tokens.

        All that is new advances together, a branch beside a branch.

        Raises:
            UserFacingError: a path is longer than the models' context, or the checkpoint that is
                shown cannot be put in place.
            Cancelled: in mid-run; the cells of finished chunks stay.
        """
        rows = self._meant(rows)
        if POLICY in rows:
            self._place(cancelled)
        longest = int(self.tree.depth[states].max(initial=0))
        if longest > self.context_length:
            raise UserFacingError(
                f"Prompt and response are {longest} tokens together, but the models' context "
                f"is {self.context_length}: shorten one of them."
            )
        missing = self._missing(states, rows)
        if len(missing):
            self._make_room(missing, states)
            for first in range(0, len(missing), CHUNK_TOKENS):
                self._run(missing[first : first + CHUNK_TOKENS], rows, cancelled)
        return len(missing)

    @torch.inference_mode()
    def observe(self, path: Nodes, rows: Iterable[int], cancelled: Callable[[], bool]) -> int:
        """Make edge and state numbers known for ``rows`` of a path; returns tokens run.

        ``rows`` are indices (from 1) into ``path``. What is known already is not run again.

        Raises:
            UserFacingError: a model returned NaN or infinite log-probs.
            Cancelled: as for ``reach``.
        """
        wanted = np.fromiter(rows, dtype=np.int64)
        unknown = wanted[~self.tree.is_observed(path[wanted])]
        if not len(unknown):
            return 0
        computed = self.reach(path[unknown.max() - 1 : unknown.max()], BOTH, cancelled)
        step = max(1, CHUNK_LOGITS // (2 * self.vocab_size))
        for first in range(0, len(unknown), step):
            chunk = unknown[first : first + step]
            self._fill(path[chunk], path[chunk - 1])
        return computed

    @torch.inference_mode()
    def logprobs(self, node: int, cancelled: Callable[[], bool] = never) -> torch.Tensor:
        """Log-probs of every token at the state ``node``, float32 [2, V]: policy, reference."""
        state = np.array([node])
        self.reach(state, BOTH, cancelled)
        return torch.log_softmax(self.logits(state), dim=-1)[:, 0]

    @torch.inference_mode()
    def logits(self, states: Nodes, rows: Rows = BOTH) -> torch.Tensor:
        """Logits at states that were reached, [m] -> float32 [len(rows), m, V].

        On the first lane's device; finite, or UserFacingError.
        """
        cells = self._cells.of(states)
        meant = self._meant(rows)
        parts = []
        for lane, covers in self._covering:
            wanted = [row for row in meant if row in covers]
            if wanted:
                part = lane.logits(torch.from_numpy(cells), _physical(lane, covers, wanted))
                parts.append(part.expand(len(wanted), -1, -1))
        found = parts[0]
        if len(parts) > 1:
            found = torch.cat([part.to(parts[0].device) for part in parts])
        if len(meant) < len(rows):  # the reference, for the policy too
            found = torch.cat([found[:1], found]) if len(found) > 1 else found.expand(2, -1, -1)
        return found

    def has_kv(self, node: int) -> bool:
        """Whether both models' KV of a node is kept."""
        placed = self.version in (START, self._placed)
        return placed and self._cells.is_ready(node, self._meant(BOTH))

    def kv_bytes(self) -> int:
        """Memory of KV and hidden states, in bytes."""
        return sum(lane.kv_bytes() for lane, _ in self._covering)

    def write(self, columns: Iterable[str], nodes: Nodes, values: NDArray[np.float64]) -> None:
        """Write numbers [columns, n] into the tree; what is known of the reference stays.

        Raises:
            UserFacingError: one of them is NaN or infinite; nothing is written then.
        """
        if not np.isfinite(values).all():
            raise UserFacingError(
                f"The models returned NaN or infinite log-probs near token "
                f"{int(self.tree.depth[nodes[0]])}: the checkpoint is damaged, or overflows in "
                f"this number format; load it again with --dtype float32."
            )
        for name, row in zip(columns, values, strict=True):
            self.tree.write(name, nodes, row)

    def _missing(self, states: Nodes, rows: Rows) -> Nodes:
        """The nodes on the paths to ``states`` that are not ready, ancestors first."""
        found: set[int] = set()
        for node in states.tolist():
            while node != ROOT and node not in found and not self._cells.is_ready(node, rows):
                found.add(node)
                node = int(self.tree.parent[node])
        return np.array(sorted(found), dtype=np.int64)

    def _run(self, nodes: Nodes, rows: Rows, cancelled: Callable[[], bool]) -> None:
        """Make nodes ready whose ancestors are, or come before them."""
        has_cell = self._cells.of(nodes) >= 0
        old, new = nodes[has_cell], nodes[~has_cell]
        for row in rows:  # filled in where another model, or a cancelled run, has left a cell
            unready = old[~self._cells.ready[row, self._cells.of(old)]]
            if len(unready):
                self._forward(unready, (row,), cancelled, fill=True)
        if len(new):
            self._forward(new, rows, cancelled, fill=False)

    def _forward(self, nodes: Nodes, rows: Rows, cancelled: Callable[[], bool], fill: bool) -> None:
        """One forward of every lane that has some of ``rows``."""
        starts = np.setdiff1d(self.tree.parent[nodes], nodes)
        ancestors = np.unique(np.concatenate([self.tree.path(int(node)) for node in starts]))
        there = len(self._cells)
        dead = there - len(ancestors)
        gathered = fill or dead * len(nodes) > GATHER * len(ancestors)
        seen = np.sort(self._cells.of(ancestors)) if gathered else np.arange(there)
        cells = self._cells.of(nodes) if fill else self._cells.append(nodes)
        earlier = self._cells.nodes[seen]
        visible = self._visible(earlier, nodes)
        depths = self.tree.depth[np.concatenate([earlier, nodes])]
        for lane, covers in self._covering:
            wanted = [row for row in rows if row in covers]
            if not wanted:
                continue
            lane.cancelled = cancelled
            lane.advance(
                torch.from_numpy(self.tree.token[nodes]),
                torch.from_numpy(cells),
                torch.from_numpy(visible),
                torch.from_numpy(depths),
                torch.from_numpy(seen) if gathered else None,
                _physical(lane, covers, wanted),
            )
            # One row that stands for both models is ready for both.
            for row in wanted if lane.rows > 1 else covers:
                self._cells.ready[row, cells] = True
        self._cells.touch(np.concatenate([self._cells.of(ancestors), cells]))

    def _visible(self, earlier: Nodes, nodes: Nodes) -> NDArray[np.bool_]:
        """Which of the ``earlier`` and new ``nodes`` are each new node's path, [T, S + T]."""
        column = np.full(len(self.tree), -1, dtype=np.int64)
        column[earlier] = np.arange(len(earlier))
        column[nodes] = len(earlier) + np.arange(len(nodes))
        visible = np.zeros((len(nodes), len(earlier) + len(nodes)), dtype=bool)
        for row, node in enumerate(nodes.tolist()):
            parent = int(self.tree.parent[node])
            if column[parent] >= len(earlier):
                visible[row] = visible[column[parent] - len(earlier)]
            else:
                visible[row, column[self.tree.path(parent)]] = True
            visible[row, column[node]] = True
        return visible

    def _make_room(self, missing: Nodes, states: Nodes) -> None:
        """Keep within the budget: shed the cells least recently used, leaves before their parents.

        The paths to ``states`` and those that are held stay, whatever they take. An ancestor is
        used whenever a node below it is, so the order of last use never sheds it first.
        """
        size = sum(lane.cell_bytes() for lane, _ in self._covering)
        more = int((self._cells.of(missing) < 0).sum())
        if not size or (len(self._cells) + more) * size <= self.kv_budget:
            return
        room = max(0, int(SHED_TO * self.kv_budget) // size - more)
        leaves = [*states.tolist(), *self._held.values()]
        own = self._cells.of(np.unique(np.concatenate([self.tree.path(leaf) for leaf in leaves])))
        free = np.ones(len(self._cells), dtype=bool)
        free[own[own >= 0]] = False
        loose = np.flatnonzero(free)
        depth = self.tree.depth[self._cells.nodes[loose]]
        coldest = loose[np.lexsort((-depth, self._cells.used[loose]))]
        shed = coldest[: max(0, len(self._cells) - room)]
        cells = np.setdiff1d(np.arange(len(self._cells)), shed)
        self._cells.keep(cells)
        for lane, _ in self._covering:
            lane.keep(torch.from_numpy(cells))

    def _fill(self, nodes: Nodes, states: Nodes) -> None:
        """Write the columns of edges into ``nodes`` and of the ``states`` they leave."""
        logits, tokens = self.logits(states), torch.from_numpy(self.tree.token[nodes])
        step = len(nodes)
        if logits.device.type == "cpu":
            step = max(1, CACHED_LOGITS // (2 * self.vocab_size))
        pieces = [
            observations(logits[:, first : first + step], tokens[first : first + step])
            for first in range(0, len(nodes), step)
        ]
        edge, state = (np.concatenate(part, axis=1) for part in zip(*pieces, strict=True))
        if np.isfinite(state).all():
            self.write(EDGE_COLUMNS, nodes, edge)
        self.write(STATE_COLUMNS, states, state)


def _physical(lane: Lane, covers: Rows, wanted: list[int]) -> slice:
    """The rows of a lane that stand for the wanted models."""
    if lane.rows == 1:
        return slice(0, 1)
    return slice(covers.index(wanted[0]), covers.index(wanted[-1]) + 1)


def observations(
    logits: torch.Tensor, tokens: torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the two models say of m tokens at m states.

    Args:
        logits: float32 [2, m, V], policy and reference.
        tokens: int64 [m], the token taken at each state.

    Returns:
        Edge numbers [5, m] in the order of EDGE_COLUMNS and state numbers [5, m] in that of
        STATE_COLUMNS. Divergences over the whole vocabulary.
    """
    tokens = tokens.to(logits.device)[None, :, None].expand(2, -1, 1)
    taken = logits.gather(-1, tokens)[..., 0]
    # Counted in floats (exact up to 2^24): summing booleans takes several times as long on a CPU.
    ranks = torch.gt(logits, taken[..., None], out=torch.empty_like(logits)).sum(-1) + 1
    logsumexp, state = state_numbers(logits)
    edge = torch.stack([*(taken - logsumexp), *ranks, taken[0]])
    return edge.double().cpu().numpy(), state.double().cpu().numpy()


def state_numbers(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [2, m, V] -> log-partitions [2, m], and numbers [5, m] in the order of STATE_COLUMNS.

    One exponential a logit: the partition follows from the likeliest token, whose probability is
    the one that rounding hurts least.
    """
    probs = torch.softmax(logits, dim=-1)
    logsumexp = logits.amax(-1) - probs.amax(-1).log()
    ratio = logits[0] - logits[1]
    shift = logsumexp[0] - logsumexp[1]
    entropy = logsumexp - torch.linalg.vecdot(probs, logits)
    kl = (torch.linalg.vecdot(probs[0], ratio) - shift).clamp_min(0)
    kl_reverse = (shift - torch.linalg.vecdot(probs[1], ratio)).clamp_min(0)
    return logsumexp, torch.stack([kl, kl_reverse, *entropy, logsumexp[0]])
