"""A policy and its reference that advance the nodes of one token tree together.

The pair grows the tree, runs what is new through both models, and writes what they said of each
edge and state into the tree's columns. Everything that the views show comes from those columns.
A path whose numbers are known costs nothing to come back to; a path that shares a prefix with an
earlier one costs its new suffix.

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
from core.tree import EDGE_COLUMNS, STATE_COLUMNS, TokenTree

if TYPE_CHECKING:
    from core.codec import Codec

CHUNK_TOKENS = 512
"""Tokens of one forward: bounds the mask, and the wait for a cancel on a model without layers."""
CHUNK_LOGITS = 7_900_000
"""Numbers in one piece of logits (just under 32 MiB as float32): the most that glibc's allocator
hands out again without returning it to the system. At twice this, the passes over it take several
times as long (measured)."""
CACHED_LOGITS = 2**20
"""Numbers over which a CPU takes statistics at once: what stays in its caches between passes."""
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
    models), or one lane of one row (policy and reference are the same checkpoint).
    """

    lanes: list[Lane]
    codec: "Codec"
    context_length: int
    kv_budget: int = 2**31
    """Bytes of KV and hidden states after which paths that nobody holds are dropped."""
    tree: TokenTree = field(default_factory=TokenTree)

    def __post_init__(self) -> None:
        self._cells = Cells()
        self._held: dict[str, int] = {}

    @property
    def vocab_size(self) -> int:
        """Width of a distribution, padding of the embedding included."""
        return self.lanes[0].vocab_size

    def hold(self, name: str, leaf: int) -> None:
        """Keep the KV of the path to ``leaf`` when room is made, until another is held so."""
        self._held[name] = leaf

    @torch.inference_mode()
    def advance(self, path: Nodes, cancelled: Callable[[], bool] = never) -> int:
        """Run the nodes of a path (in order, from depth 1) that have no KV; returns how many.

        Raises:
            UserFacingError: the path is longer than the models' context.
            Cancelled: in mid-run; the cells of finished chunks stay.
        """
        if len(path) > self.context_length:
            raise UserFacingError(
                f"Prompt and response are {len(path)} tokens together, but the models' context "
                f"is {self.context_length}: shorten one of them."
            )
        if (self._cells.of(path) < 0).any():
            self._make_room(path)
        new = path[self._cells.of(path) < 0]
        for first in range(0, len(new), CHUNK_TOKENS):
            self._run(new[first : first + CHUNK_TOKENS], cancelled)
        return len(new)

    @torch.inference_mode()
    def observe(self, path: Nodes, rows: Iterable[int], cancelled: Callable[[], bool]) -> int:
        """Make edge and state numbers known for ``rows`` of a path; returns tokens run.

        ``rows`` are indices (from 1) into ``path``. What is known already is not run again.

        Raises:
            UserFacingError: a model returned NaN or infinite log-probs.
            Cancelled: as for ``advance``.
        """
        known = self.tree.column("logp_policy")
        unknown = [row for row in rows if np.isnan(known[path[row]])]
        if not unknown:
            return 0
        computed = self.advance(path[: max(unknown)], cancelled)
        step = max(1, CHUNK_LOGITS // (2 * self.vocab_size))
        for first in range(0, len(unknown), step):
            chunk = np.array(unknown[first : first + step])
            self._fill(path[chunk], path[chunk - 1])
        return computed

    @torch.inference_mode()
    def logprobs(self, node: int, cancelled: Callable[[], bool] = never) -> torch.Tensor:
        """Log-probs of every token at the state ``node``, float32 [2, V]: policy, reference."""
        self.advance(self.tree.path(node), cancelled)
        return torch.log_softmax(self._logits(np.array([node])), dim=-1)[:, 0]

    def kv_bytes(self) -> int:
        """Memory of KV and hidden states, in bytes."""
        return sum(lane.kv_bytes() for lane in self.lanes)

    def _run(self, nodes: Nodes, cancelled: Callable[[], bool]) -> None:
        """One forward of every lane over new nodes whose ancestors have cells or come before."""
        for lane in self.lanes:
            lane.cancelled = cancelled
            if lane.used > len(self._cells):  # an earlier run was cancelled between two lanes
                lane.keep(torch.arange(len(self._cells)))
        starts = np.setdiff1d(self.tree.parent[nodes], nodes)
        ancestors = np.unique(np.concatenate([self.tree.path(int(node)) for node in starts]))
        dead = len(self._cells) - len(ancestors)
        gathered = dead * len(nodes) > GATHER * len(ancestors)
        seen = np.sort(self._cells.of(ancestors)) if gathered else np.arange(len(self._cells))
        earlier = self._cells.nodes[seen]
        visible = self._visible(earlier, nodes)
        depths = self.tree.depth[np.concatenate([earlier, nodes])]
        for lane in self.lanes:
            lane.advance(
                torch.from_numpy(self.tree.token[nodes]),
                torch.from_numpy(visible),
                torch.from_numpy(depths),
                torch.from_numpy(seen) if gathered else None,
            )
        self._cells.append(nodes)

    def _visible(self, earlier: Nodes, nodes: Nodes) -> NDArray[np.bool_]:
        """Which of the ``earlier`` and new ``nodes`` are each new node's path, [T, S + T]."""
        column = np.full(len(self.tree), -1, dtype=np.int64)
        column[earlier] = np.arange(len(earlier))
        column[nodes] = len(earlier) + np.arange(len(nodes))
        visible = np.zeros((len(nodes), len(earlier) + len(nodes)), dtype=bool)
        for row, node in enumerate(nodes):
            parent = int(self.tree.parent[node])
            if column[parent] >= len(earlier):
                visible[row] = visible[column[parent] - len(earlier)]
            else:
                visible[row, column[self.tree.path(parent)]] = True
            visible[row, column[node]] = True
        return visible

    def _make_room(self, path: Nodes) -> None:
        """Over the budget, drop the cells of all paths but this one and those that are held."""
        if self._cells and len(self._cells) * self._cell_bytes() < self.kv_budget:
            return
        held = [self.tree.path(leaf) for leaf in self._held.values()]
        cells = self._cells.of(np.unique(np.concatenate([path, *held])))
        cells = np.sort(cells[cells >= 0])
        self._cells.keep(cells)
        for lane in self.lanes:
            lane.keep(torch.from_numpy(cells))

    def _cell_bytes(self) -> int:
        return sum(lane.cell_bytes() for lane in self.lanes)

    def _logits(self, states: Nodes) -> torch.Tensor:
        """Logits at states that have cells, [m] -> float32 [2, m, V] on the first device."""
        cells = torch.from_numpy(self._cells.of(states))
        parts = [lane.logits(cells) for lane in self.lanes]
        if len(parts) == 1:
            return parts[0].expand(2, -1, -1)
        return torch.cat([part.to(parts[0].device) for part in parts])

    def _fill(self, nodes: Nodes, states: Nodes) -> None:
        """Write the columns of edges into ``nodes`` and of the ``states`` they leave."""
        logits, tokens = self._logits(states), torch.from_numpy(self.tree.token[nodes])
        step = len(nodes)
        if logits.device.type == "cpu":
            step = max(1, CACHED_LOGITS // (2 * self.vocab_size))
        pieces = [
            observations(logits[:, first : first + step], tokens[first : first + step])
            for first in range(0, len(nodes), step)
        ]
        edge, state = (np.concatenate(part, axis=1) for part in zip(*pieces, strict=True))
        if not (np.isfinite(edge).all() and np.isfinite(state).all()):
            raise UserFacingError(
                f"The models returned NaN or infinite log-probs near token "
                f"{int(self.tree.depth[nodes[0]])}: the checkpoint is damaged, or overflows in "
                f"this number format; load it again with --dtype float32."
            )
        for name, values in zip(EDGE_COLUMNS, edge, strict=True):
            self.tree.column(name)[nodes] = values
        for name, values in zip(STATE_COLUMNS, state, strict=True):
            self.tree.column(name)[states] = values


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
    # One exponential a logit: the partition follows from the likeliest token, whose probability
    # is the one that rounding hurts least.
    probs = torch.softmax(logits, dim=-1)
    logsumexp = logits.amax(-1) - probs.amax(-1).log()
    chosen = taken - logsumexp
    ratio = logits[0] - logits[1]
    shift = logsumexp[0] - logsumexp[1]
    entropy = logsumexp - torch.linalg.vecdot(probs, logits)
    kl = (torch.linalg.vecdot(probs[0], ratio) - shift).clamp_min(0)
    kl_reverse = (shift - torch.linalg.vecdot(probs[1], ratio)).clamp_min(0)
    edge = torch.stack([*chosen, *ranks, taken[0]])
    state = torch.stack([kl, kl_reverse, *entropy, logsumexp[0]])
    return edge.double().cpu().numpy(), state.double().cpu().numpy()
