"""The self-check: it finds the fastest way of running tokens that is exact for a model.

Some ways are silently wrong for some models (windows kept outside of masks, position biases by
cell, recurrent states that cannot be truncated), so nothing is assumed: a small tree is run and
compared with plain forwards, past a chunk's border, after an edit and over branches. A model with
windows or recurrent states is first tried on a tiny copy of its class (core.models.miniature): a
short text passes the copy's windows, a longer one costs nothing, and float32 shows errors that a
low format hides.

The verdict is cached for the form of a configuration; it is then confirmed by one plain forward
whenever such a model is loaded. Knows nothing of checkpoints or text.
"""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from core.errors import Cancelled, UserFacingError
from core.failures import is_out_of_memory
from core.models.lane import MANNERS, Lane, Way
from core.models.miniature import WINDOW, form, miniature, windows
from core.models.pair import Pair
from core.models.remembered import recall, remember

log = logging.getLogger(__name__)

SHORT = 14
"""Length of the text that a model itself is tried on."""
LONG = 6 * WINDOW
"""Length of the text that a tiny copy is tried on: several windows and chunks."""
LONGEST = 160
"""Its length for ways that take snapshots: some models always compute 64 tokens at a time."""
PARTS = {Way.STATES: (Way.CHUNKS, Way.SINGLES)}
"""The ways that a way mixes. A model itself is tried on each of them; its tiny copy is also tried
on the mixture, which takes a longer text."""
IMPLIED = {
    Way.TREE: (Way.TREE, Way.PATH),
    Way.PATH: (Way.PATH,),
    Way.STATES: (Way.STATES, Way.CHUNKS, Way.SINGLES),
    Way.CHUNKS: (Way.CHUNKS,),
    Way.SINGLES: (Way.SINGLES,),
}
"""By the way that is exact on a copy: the ways to try on the model itself, the fastest first."""
STEADY_LENGTH = 512
"""Longest text that a model itself is run on to see whether it is steady."""
LEAST_MARGIN, MOST_MARGIN = 1e-4, 1e-3
LEAST_LOW_MARGIN, MOST_LOW_MARGIN = 5e-2, 0.25
"""Bounds of the most that rounding moves the logits of a right way, in standard deviations, in
float32 and in a lower format. Wrong ways differ by far more, or are found out on a tiny copy, which
runs in float32."""
ROUNDINGS = 4
"""The margin is this many times what moving the embeddings by one rounding changes."""
SUBJECT = "attention"


def choose_way(lane: Lane) -> Way:
    """Return the fastest way that is exact for a lane's model, and set the lane to it.

    Raises:
        UserFacingError: the model's logits cannot be made from its last hidden states, or those of
            a token depend on how long the text is that follows.
    """
    key = _key(lane)
    known = recall(SUBJECT, key)
    if known is not None:
        name, lane.head_alone, margin = known
        _use(lane, Way[name])
        if _is_confirmed(lane, margin):
            return lane.way
    margin = _margin(lane)
    if margin is None:  # said when something is scored
        lane.use(Way.WHOLE)
        return lane.way
    if not _reads_the_head(lane, margin):
        raise UserFacingError(
            f"Qscope cannot read the output of a {lane.config.model_type} model: its logits do "
            f"not follow from its last hidden states alone."
        )
    way = next((way for way in _candidates(lane) if _are_exact(lane, way, margin)), Way.WHOLE)
    _use(lane, way)
    remember(SUBJECT, key, [way.name, lane.head_alone, margin])
    return way


def _key(lane: Lane) -> list[Any]:
    """Return what a verdict holds for: a form of model, and how it is run."""
    how = [lane.rows, lane.device.type, str(lane.dtype), lane.is_entered]
    return [*form(lane.model), *how]


def record_steps(lane: Lane) -> None:
    """Have a lane on a GPU replay recorded forwards of few tokens, if they are exact there."""
    if lane.device.type != "cuda" or lane.way is not Way.TREE:
        return
    lane.use_steps(record=True)
    margin = _margin(lane)
    if margin is None or not _is_exact(lane, Way.TREE, SHORT, margin):
        lane.use_steps(record=None)


def _candidates(lane: Lane) -> Iterator[Way]:
    """Yield the ways to try on the model itself, the fastest first, without WHOLE.

    Raises:
        UserFacingError: the logits of a text's beginning depend on how much follows.
    """
    sparse = getattr(lane.config, "attention_type", None) == "block_sparse"
    if sparse and any(hasattr(module, "attention_type") for module in lane.model.modules()):
        raise _unsteady(lane)  # whether blocks are left out, and which, goes by length
    ways = tuple(IMPLIED)
    longest = max(windows(lane.config), default=0)
    if not longest and lane.dtype == torch.float32:
        yield from IMPLIED[Way.TREE]
        ways = tuple(MANNERS)
    made = miniature(lane.model)
    steady = not longest or _is_steady(lane, longest)
    if not steady or (made is not None and not _is_steady(Lane(made), WINDOW)):
        raise _unsteady(lane)
    if made is None:
        if not longest:
            yield from IMPLIED[Way.TREE]
        return
    small = Lane(made)
    margin = _margin(small)
    if margin is None or not _reads_the_head(small, margin):
        return
    best = next((way for way in ways if _is_exact_in_small(small, way, margin)), None)
    if best is not None:
        yield from IMPLIED[best]


def _unsteady(lane: Lane) -> UserFacingError:
    return UserFacingError(
        f"What a {lane.config.model_type} model says of a text's first tokens changes with the "
        f"length of what follows, so no reward of a token would hold: choose a model that reads "
        f"from left to right."
    )


@torch.inference_mode()
def _is_steady(lane: Lane, window: int) -> bool:
    """Return whether plain forwards of a text longer than a window and of its beginning agree.

    True unasked for models whose rotary factors depend on the length of a text, and where the
    window is too wide for a short test.
    """
    length = 3 * window + 5
    if lane.depends_on_length or length > STEADY_LENGTH:
        return True
    ids = _random(lane, length, 8)
    whole = lane.plain_logits(ids)
    margin = MOST_MARGIN if lane.dtype == torch.float32 else LEAST_LOW_MARGIN
    for cut in (window + 3, 2 * window + 2, length - 1):
        begun = lane.plain_logits(ids[:cut])
        if float((begun - whole[:, :cut]).std()) > margin * _scale(whole):
            return False
    return True


def _are_exact(lane: Lane, way: Way, margin: float) -> bool:
    """Return whether all ways that a way mixes are exact for a model itself."""
    return all(_is_exact(lane, part, SHORT, margin) for part in PARTS.get(way, (way,)))


def _is_exact_in_small(lane: Lane, way: Way, margin: float) -> bool:
    """Return whether a way is exact for a tiny copy, on texts too long for a large model."""
    length = LONGEST if way in MANNERS else LONG
    return all(_is_exact(lane, it, length, margin) for it in (*PARTS.get(way, ()), way))


def _use(lane: Lane, way: Way) -> None:
    lane.use(way)
    if way in MANNERS:
        lane.measure()


def _reads_the_head(lane: Lane, margin: float) -> bool:
    """Return whether the lane makes the model's logits from its last hidden states."""
    lane.use(Way.WHOLE)
    ids = _random(lane, SHORT, 0)
    expected = lane.plain_logits(ids)
    return lane.choose_head(ids, expected, margin * _scale(expected))


@torch.inference_mode()
def _margin(lane: Lane) -> float | None:
    """Return how far a right way may differ from a plain forward; None if nothing can be compared.

    The unit is the standard deviation of the logits; None where they are not finite. Rounding moves
    the logits of a deep model further than those of a shallow one: how far is seen by moving the
    model's embeddings by one rounding.
    """
    ids = _random(lane, SHORT, 0)
    expected = lane.plain_logits(ids)
    if not expected.isfinite().all():
        return None
    whole = lane.dtype == torch.float32
    generator = torch.Generator().manual_seed(0)
    unit = torch.finfo(lane.dtype).eps

    def moved(module: Any, inputs: Any, out: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(out.shape, generator=generator).to(out)
        return out * (1 + unit * noise)

    hook = lane.model.get_input_embeddings().register_forward_hook(moved)
    try:
        found = lane.plain_logits(ids)
    finally:
        hook.remove()
    rounding = ROUNDINGS * float((found - expected).std()) / _scale(expected)
    least, most = (LEAST_MARGIN, MOST_MARGIN) if whole else (LEAST_LOW_MARGIN, MOST_LOW_MARGIN)
    return min(most, max(least, rounding))  # the least where it is not a number


def _scale(logits: torch.Tensor) -> float:
    return float((logits - logits.mean()).std())


def _is_confirmed(lane: Lane, margin: float) -> bool:
    """Return whether the lane, as it is, equals one plain forward after a short cached prefix."""
    pair = _scratch(lane)
    path = _path(pair, ids := _random(lane, SHORT, 1))

    def run() -> bool:
        pair.reach_path(path[:-2])
        pair.reach_path(path)
        return _agree(pair, ids, path, margin)

    return _succeeds(lane, run)


@torch.inference_mode()
def _is_exact(lane: Lane, way: Way, length: int, margin: float) -> bool:
    """Return whether a way equals plain forwards: in chunks, after edits, branched, typed on."""
    lane.use(way)
    if way is Way.TREE and not lane.has_tree_attention:
        return False
    pair = _scratch(lane)
    ids = _random(lane, length, 1)
    edited = torch.cat([ids[: length // 2], _random(lane, length - length // 2, 2)])
    left, right, beside = (
        torch.cat([edited[:-4], _random(lane, n, seed)]) for n, seed in ((3, 6), (2, 5), (3, 7))
    )
    longer = torch.cat([left, _random(lane, 2, 9)])

    def run() -> bool:
        path = _path(pair, ids)
        pair.reach_path(path[: length // 2 + 1])
        pair.reach_path(path)
        if not _agree(pair, ids, path[2:], margin):
            return False
        path = _path(pair, edited)
        pair.reach_path(path)
        if not _agree(pair, edited, path[length // 2 - 1 :], margin):
            return False
        for texts in ((left, right, beside), (longer, right)):
            tips = [_path(pair, text) for text in texts]
            pair.reach(np.array([tip[-1] for tip in tips]), line="branches")
            ends = zip(texts, tips, strict=True)
            if not all(_agree(pair, text, tip[-1:], margin) for text, tip in ends):
                return False
        if way not in MANNERS:
            return True
        for count in range(1, 4):
            text = torch.cat([edited, _random(lane, count, 4)])
            path = _path(pair, text)
            pair.reach_path(path)
            if not _agree(pair, text, path[-count - 1 :], margin):
                return False
        return True

    return _succeeds(lane, run)


def _succeeds(lane: Lane, run: Any) -> bool:
    """Return what ``run`` returns; False if the model cannot be run that way."""
    try:
        return bool(run())
    except Cancelled:
        raise
    except Exception as error:  # whatever an unknown class raises
        if is_out_of_memory(error):
            raise
        log.info("%s cannot be run as %s: %s", lane.config.model_type, lane.way.name, error)
        return False


def _scratch(lane: Lane) -> Pair:
    """Return a pair of one lane, with a tree of its own."""
    return Pair([lane], None, context_length=2**30)  # type: ignore[arg-type]


def _path(pair: Pair, ids: torch.Tensor) -> Any:
    return pair.tree.extend(pair.root(len(ids)), ids.tolist())


def _agree(pair: Pair, ids: torch.Tensor, nodes: Any, margin: float) -> bool:
    """Return whether the logits at the last nodes of a path are those of a plain forward."""
    lane = pair.lanes[0]
    expected = lane.plain_logits(ids)[:, -len(nodes) :]
    found = pair.logits(nodes)
    return float((found - expected).std()) <= margin * _scale(expected)


@torch.inference_mode()  # an adapted embedding may compute its weight
def _random(lane: Lane, count: int, seed: int) -> torch.Tensor:
    """Return random token ids, int64 [count], that the model's embedding has."""
    known = min(lane.vocab_size, len(lane.model.get_input_embeddings().weight))
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, known, (count,), generator=generator)
