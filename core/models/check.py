"""The self-check: which way of running tokens is exact for a model.

Some ways are silently wrong for some models (windows kept outside of masks, position biases by
cell, states that cannot be cut), so nothing is assumed: a small tree is run and compared with plain
forwards, past a chunk's border, after an edit and over branches. A model with windows, or one that
must keep states, is first tried on a tiny copy of its class (core.models.miniature): a short text
passes the copy's windows, a longer one costs nothing, and float32 shows errors that a low format
hides. That verdict is remembered on disk. Knows nothing of checkpoints or text.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from core.checkpoints.fetch import cache_folder
from core.errors import Cancelled, UserFacingError
from core.models.lane import MANNERS, Lane, Way
from core.models.miniature import WINDOW, miniature, windows
from core.models.pair import Pair

log = logging.getLogger(__name__)

SHORT = 14
"""Tokens of the text that a model itself is tried on."""
LONG = 6 * WINDOW
"""Tokens of the text that a tiny copy is tried on: several windows and chunks."""
PARTS = (Way.CHUNKS, Way.SINGLES)
"""What STATES mixes: both must be exact."""
LONGEST = 160
"""The same where states are kept: some models compute 64 tokens at a time, whatever is set."""
MARGIN = {torch.float32: 1e-4}
HALF_MARGIN = 5e-2
"""How far a right way may differ, in standard deviations of the logits: rounding. Wrong ways differ
by far more."""


IMPLIED = {
    Way.TREE: (Way.TREE, Way.PATH),
    Way.PATH: (Way.PATH,),
    Way.STATES: (Way.STATES, *PARTS),
    Way.CHUNKS: (Way.CHUNKS,),
    Way.SINGLES: (Way.SINGLES,),
}
"""Which ways were tried where one was found to be exact, the fastest first."""


def choose_way(lane: Lane) -> Way:
    """Return the fastest way that is exact for a lane's model, and let the lane use it.

    Raises:
        UserFacingError: the model's logits cannot be made from its last hidden states.
    """
    if not _reads_the_head(lane):
        raise UserFacingError(
            f"Qscope cannot read the output of a {lane.config.model_type} model: its logits do "
            f"not follow from its last hidden states alone."
        )
    for way in _candidates(lane):
        if _is_exact(lane, way, SHORT):
            lane.use(way)
            if way in MANNERS:
                lane.measure()
            return way
    lane.use(Way.WHOLE)
    return Way.WHOLE


def record_steps(lane: Lane) -> None:
    """Let a lane on a GPU replay recorded forwards of few tokens, if they are exact there."""
    if lane.device.type != "cuda" or lane.way is not Way.TREE:
        return
    lane.use_steps(record=True)
    if not _is_exact(lane, Way.TREE, SHORT):
        lane.use_steps(record=None)


def _candidates(lane: Lane) -> Iterator[Way]:
    """Yield the ways to try on the model itself, the fastest first, without WHOLE."""
    ways = tuple(IMPLIED)
    if not windows(lane.config):
        yield from IMPLIED[Way.TREE]
        ways = tuple(MANNERS)
    made = miniature(lane.model)
    if made is None:
        return
    key = _key(made.config, lane.device)
    known = _remembered().get(key)
    if known is None:
        small = Lane(made)
        best = None
        if _reads_the_head(small):
            best = next((way for way in ways if _is_exact(small, way, _long(way))), None)
        known = (best or Way.WHOLE).name
        _remember(key, known)
    if known in {way.name for way in ways}:
        yield from IMPLIED[Way[known]]


def _long(way: Way) -> int:
    return LONGEST if way in MANNERS else LONG


def _reads_the_head(lane: Lane) -> bool:
    """Return whether the lane makes the model's logits from its last hidden states."""
    lane.use(Way.WHOLE)
    ids = _random(lane, SHORT, 0)
    expected = lane.plain_logits(ids)
    if not expected.isfinite().all():  # said when something is scored
        return True
    return lane.choose_head(ids, expected, _margin(lane, expected))


@torch.inference_mode()
def _is_exact(lane: Lane, way: Way, length: int) -> bool:
    """Return whether a way equals plain forwards: in two chunks, after an edit, over branches, and
    typed on token by token."""
    if way is Way.STATES and not all(_is_exact(lane, part, length) for part in PARTS):
        return False
    lane.use(way)
    if way is Way.TREE and not lane.has_tree_attention:
        return False
    pair = Pair([lane], None, context_length=2**30)  # type: ignore[arg-type]
    ids = _random(lane, length, 1)
    edited = torch.cat([ids[: length // 2], _random(lane, length - length // 2, 2)])
    left, right = (torch.cat([edited[:-4], _random(lane, n, 3 + n)]) for n in (3, 2))
    longer = torch.cat([left, _random(lane, 2, 9)])
    try:
        chunk = length // 2 + 1
        path = _path(pair, ids)
        pair.reach_path(path[:chunk])
        pair.reach_path(path)
        if not _agree(pair, ids, path[2:]):
            return False
        path = _path(pair, edited)
        pair.reach_path(path)
        if not _agree(pair, edited, path[length // 2 - 1 :]):
            return False
        for texts in ((left, right), (longer, right)):
            tips = [_path(pair, text) for text in texts]
            pair.reach(np.array([tip[-1] for tip in tips]), line="branches")
            if not all(_agree(pair, t, tip[-1:]) for t, tip in zip(texts, tips, strict=True)):
                return False
        for count in range(1, 4):
            text = torch.cat([edited, _random(lane, count, 4)])
            path = _path(pair, text)
            pair.reach_path(path)
            if not _agree(pair, text, path[-count - 1 :]):
                return False
        return True
    except Cancelled:
        raise
    except Exception as error:  # whatever an unknown class raises: it cannot be run that way
        if type(error).__name__ == "OutOfMemoryError":
            raise
        log.info("%s cannot be run as %s: %s", lane.config.model_type, way.name, error)
        return False


def _path(pair: Pair, ids: torch.Tensor) -> Any:
    return pair.tree.extend(pair.root(len(ids)), ids.tolist())


def _agree(pair: Pair, ids: torch.Tensor, nodes: Any) -> bool:
    """Return whether the logits of the last nodes of a path are those of a plain forward."""
    lane = pair.lanes[0]
    pair.lanes[0].set_regime(lane.regime(len(ids)))
    expected = lane.plain_logits(ids)[:, -len(nodes) :]
    found = pair.logits(nodes)
    return float((found - expected).std()) <= _margin(lane, expected)


def _margin(lane: Lane, expected: torch.Tensor) -> float:
    scale = float((expected - expected.mean()).std())
    return MARGIN.get(lane.dtype, HALF_MARGIN) * scale


def _random(lane: Lane, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, lane.vocab_size, (count,), generator=generator)


def _key(config: Any, device: torch.device) -> str:
    """Return what a verdict holds for: the form of a configuration, the device, the code."""
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    ours = hashlib.sha256(code).hexdigest()
    said = [config.to_dict(), device.type, torch.__version__, transformers.__version__, ours]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _file() -> Path:
    return cache_folder() / "attention.json"


def _remembered() -> dict[str, str]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(key: str, way: str) -> None:
    """Note a verdict; where that cannot be written, it is found again next time."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        _file().write_text(json.dumps({**_remembered(), key: way}), encoding="utf-8")
    except OSError as error:
        log.info("the verdict on an architecture is not remembered: %s", error)
