"""The self-check: which way of running tree attention is right for an architecture.

Some ways are silently wrong for some models (a plain mask for mixed layers, position biases,
boolean masks in eager attention), so nothing is assumed: a small tree is run and compared with
plain forwards. Knows nothing of checkpoints or text.
"""

import torch

from core.errors import UserFacingError
from core.models.attention import GROUPED
from core.models.lane import TREE_PATHS, Lane


@torch.inference_mode()
def choose_tree_path(lane: Lane) -> tuple[str, bool] | None:
    """The first way in TREE_PATHS that equals plain forwards on two branches, None if none does.

    Runs a prefix and two branches of random tokens as one tree, and each branch on its own.
    Wrong ways differ by far more than rounding, so half-precision models are judged by the same
    comparison with a wider margin.
    """
    generator = torch.Generator().manual_seed(0)
    prefix, left, right = (
        torch.randint(3, lane.vocab_size, (n,), generator=generator) for n in (7, 3, 2)
    )
    expected = torch.cat(
        [
            lane.plain_logits(torch.cat([prefix, left]))[:, -3:],
            lane.plain_logits(torch.cat([prefix, right]))[:, -2:],
        ],
        dim=1,
    )
    margin = 1e-4 if lane.dtype == torch.float32 else 5e-2
    scale = float((expected - expected.mean()).std())
    for tree_path in TREE_PATHS:
        try:
            found = _branches(lane, tree_path, prefix, left, right)
        except (ValueError, TypeError, KeyError, RuntimeError, AttributeError, IndexError):
            continue
        if float((found - expected).std()) <= margin * scale:
            return tree_path
    lane.use(None)
    lane.advance(prefix, torch.arange(7), torch.ones(7, 7).tril().bool(), torch.arange(1, 8))
    alone = lane.logits(torch.arange(7))
    if float((alone - lane.plain_logits(prefix)).std()) > margin * scale:
        raise UserFacingError(
            f"Qscope cannot read the output of a {lane.config.model_type} model: its logits are "
            f"not its last hidden states times its output embedding."
        )
    return None


def describe_path(tree_path: tuple[str, bool] | None) -> str:
    """A way of running attention, in words for the status line."""
    if tree_path is None:
        return "no cache (recomputes each response)"
    return "tree cache" if tree_path[0] == GROUPED else "tree cache, stock attention"


def _branches(
    lane: Lane, way: tuple[str, bool], prefix: torch.Tensor, left: torch.Tensor, right: torch.Tensor
) -> torch.Tensor:
    lane.use(way)
    n, m, k = len(prefix), len(left), len(right)
    lane.advance(prefix, torch.arange(n), torch.ones(n, n).tril().bool(), torch.arange(1, n + 1))
    visible = torch.zeros(m + k, n + m + k, dtype=torch.bool)
    visible[:, :n] = True
    visible[:m, n : n + m] = torch.ones(m, m).tril().bool()
    visible[m:, n + m :] = torch.ones(k, k).tril().bool()
    depths = torch.cat([torch.arange(n + m), n + torch.arange(k)]) + 1
    lane.advance(torch.cat([left, right]), torch.arange(n, n + m + k), visible, depths)
    return lane.logits(torch.arange(n, n + m + k))
