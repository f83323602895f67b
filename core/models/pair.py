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
from core.models.lane import Lane
from core.tree import EDGE_COLUMNS, STATE_COLUMNS, TokenTree

if TYPE_CHECKING:
    from core.codec import Codec

CHUNK_TOKENS = 512
"""Tokens of one forward: bounds the mask, and the wait for a cancel on a model without layers."""
CHUNK_LOGITS = 2**24
"""Numbers in one piece of logits (64 MB as float32)."""
SLACK_CELLS = 1024
"""Dead cells that are cheaper to attend over than to move away."""

Nodes = NDArray[np.int64]


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
    tree: TokenTree = field(default_factory=TokenTree)

    def __post_init__(self) -> None:
        self._cells: Nodes = np.full(1024, -1, dtype=np.int64)
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
        new = [int(node) for node in path if self._cell(node) < 0]
        if new:
            self._make_room(len(new), path)
        new = [int(node) for node in path if self._cell(node) < 0]
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

    def _cell(self, node: int) -> int:
        return int(self._cells[node]) if node < len(self._cells) else -1

    def _run(self, nodes: list[int], cancelled: Callable[[], bool]) -> None:
        """One forward of every lane over new nodes whose ancestors have cells or come before."""
        start = min(lane.used for lane in self.lanes)
        visible = np.zeros((len(nodes), start + len(nodes)), dtype=bool)
        row_of = {node: row for row, node in enumerate(nodes)}
        for row, node in enumerate(nodes):
            parent = int(self.tree.parent[node])
            if parent in row_of:
                visible[row] = visible[row_of[parent]]
            else:
                visible[row, self._cells[self.tree.path(parent)]] = True
            visible[row, start + row] = True
        depths = np.zeros(visible.shape[1], dtype=np.int64)
        placed = self._placed()
        depths[self._cells[placed]] = self.tree.depth[placed]
        depths[start:] = self.tree.depth[nodes]
        ids = torch.from_numpy(self.tree.token[nodes])
        for lane in self.lanes:
            lane.cancelled = cancelled
            if lane.used > start:
                lane.keep(torch.arange(start))  # an earlier run was cancelled between two lanes
            lane.advance(ids, torch.from_numpy(visible), torch.from_numpy(depths))
        if len(self.tree) > len(self._cells):
            more = max(len(self.tree), 2 * len(self._cells)) - len(self._cells)
            self._cells = np.concatenate([self._cells, np.full(more, -1, dtype=np.int64)])
        self._cells[nodes] = np.arange(start, start + len(nodes))

    def _placed(self) -> Nodes:
        """Nodes that have a cell."""
        return np.flatnonzero(self._cells >= 0)

    def _make_room(self, tokens: int, path: Nodes) -> None:
        """Drop the cells of paths that nobody holds once they are more than the live ones."""
        leaves = [leaf for leaf in self._held.values() if leaf < len(self.tree)]
        live = set(map(int, path)).union(*(map(int, self.tree.path(leaf)) for leaf in leaves))
        kept = np.array(sorted(node for node in live if self._cell(node) >= 0), dtype=np.int64)
        dead = self.lanes[0].used - len(kept)
        if dead <= max(SLACK_CELLS, len(kept) + tokens):
            return
        cells = torch.from_numpy(self._cells[kept])
        for lane in self.lanes:
            lane.keep(cells)
        self._cells[:] = -1
        self._cells[kept] = np.arange(len(kept))

    def _logits(self, states: Nodes) -> torch.Tensor:
        """Logits at states that have cells, [m] -> float32 [2, m, V] on the first device."""
        cells = torch.from_numpy(self._cells[states])
        parts = [lane.logits(cells) for lane in self.lanes]
        logits = torch.cat([part.to(parts[0].device) for part in parts])
        return logits if len(logits) == 2 else logits.expand(2, -1, -1)

    def _fill(self, nodes: Nodes, states: Nodes) -> None:
        """Write the columns of edges into ``nodes`` and of the ``states`` they leave."""
        edge, state = observations(self._logits(states), torch.from_numpy(self.tree.token[nodes]))
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
    logsumexp = torch.logsumexp(logits, dim=-1, keepdim=True)
    taken = logits.gather(-1, tokens)
    ranks = (logits > taken).sum(-1) + 1
    logp = logits - logsumexp
    ratio = logp[0] - logp[1]
    probs = logp.exp()
    entropy = -torch.linalg.vecdot(probs, logp)
    kl = torch.linalg.vecdot(probs[0], ratio).clamp_min(0)
    kl_reverse = -torch.linalg.vecdot(probs[1], ratio)
    chosen = (taken - logsumexp)[..., 0]
    edge = torch.stack([chosen[0], chosen[1], ranks[0], ranks[1], taken[0, :, 0]])
    state = torch.stack([kl, kl_reverse.clamp_min(0), entropy[0], entropy[1], logsumexp[0, :, 0]])
    return edge.double().cpu().numpy(), state.double().cpu().numpy()
