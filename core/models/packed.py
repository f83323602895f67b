"""Log-probs of many texts, several in one forward, with nothing kept: for whole data sets.

Texts that are scored together are laid out as one tree: what they begin with alike (a prompt, its
two responses' first words) is run once, and every token sees its own ancestors alone
(core.models.attention), so no token is padding. Trees are filled up to a fixed number of tokens; a
forward that does not fit into memory is made anew with fewer texts. Logits are made for the scored
places alone, a few at a time, and only the log-probs of what stands there leave them.

For models that take no such tree, or whose rotary factors depend on the length of a text, and for
texts that are very long, the pair's own tree is used, one group after the other.

Knows nothing of prompts, files or losses.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import Cancelled, UserFacingError
from core.failures import is_out_of_memory
from core.models.attention import Branches
from core.models.lane import Lane, Way
from core.models.pair import BOTH, CACHED_LOGITS, Pair, Rows, positions
from core.progress import never
from core.text import shared_prefix

Text = tuple[tuple[int, ...], int]
"""All ids of a text, and the index of the first that is scored, at least 1."""
Group = tuple[Text, ...]
"""Texts that begin alike, as the sides of a pair do."""
Logps = NDArray[np.float32]
"""Log-probs of a text's scored tokens in nats under each model asked, [models, n]."""
Found = tuple[int, list[Logps] | str]
"""The number of a group, and what was found of each of its texts, or why nothing was."""

TOKENS = {"cuda": 4096}
"""Tokens of one forward, by type of device. Fixed, as those of a path are (core.models.pair)."""
CPU_TOKENS = 1024
LONGEST = 4096
"""Tokens of a group that are run in one forward at most: a mask has the square of them."""
LINE = "data"
"""The line of KV of a group that is run by the pair's own tree."""
OPEN = 8
"""Packs that wait for groups that fit."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Texts as one tree of T tokens, parents before children."""

    ids: NDArray[np.int64]
    depths: NDArray[np.int64]
    """The place of each token in its text, from 0."""
    visible: NDArray[np.bool_]
    """Which tokens each sees, [T, T]: itself and its ancestors."""
    paths: tuple[NDArray[np.int64], ...]
    """The tokens of each text, in its order."""


def lay_out(texts: Sequence[tuple[int, ...]]) -> Pack:
    """Return texts as one tree: what two begin with alike is there once."""
    count, paths = 0, [np.empty(0, np.int64)] * len(texts)
    ids: list[int] = []
    depths: list[NDArray[np.int64]] = []
    ancestors: list[tuple[NDArray[np.int64], int]] = []
    before: tuple[int, ...] = ()
    own = np.empty(0, np.int64)
    for number in sorted(range(len(texts)), key=texts.__getitem__):
        text = texts[number]
        shared = shared_prefix(before, text)
        new = np.arange(count, count + len(text) - shared)
        ancestors.append((own[:shared], len(new)))
        before, own = text, np.concatenate([own[:shared], new])
        paths[number] = own
        ids += text[shared:]
        depths.append(np.arange(shared, len(text)))
        count += len(new)
    visible = np.zeros((count, count), dtype=bool)
    first = 0
    for above, length in ancestors:
        visible[first : first + length, above] = True
        block = slice(first, first + length)
        visible[block, block] = np.tri(length, dtype=bool)
        first += length
    return Pack(np.array(ids, np.int64), np.concatenate(depths), visible, tuple(paths))


def size_of(texts: Sequence[tuple[int, ...]]) -> int:
    """Return how many tokens ``lay_out`` has of some texts."""
    total = 0
    before: tuple[int, ...] = ()
    for text in sorted(texts):
        total += len(text) - shared_prefix(before, text)
        before = text
    return total


def packed(groups: Sequence[Group], most: int) -> Iterator[list[int]]:
    """Yield the groups that are run together, by their numbers, the longest first.

    Groups with the same context go together. No pack has more than ``most`` tokens, unless one
    group alone has.
    """
    waiting: list[tuple[int, list[int]]] = []
    for size, numbers in sorted(_alike(groups, most), key=lambda it: -it[0]):
        place = next((i for i, (room, _) in enumerate(waiting) if size <= room), None)
        if place is None:
            waiting.append((most - size, numbers))
        else:
            room, own = waiting[place]
            waiting[place] = room - size, [*own, *numbers]
        if len(waiting) > OPEN:
            fullest = min(range(len(waiting)), key=lambda it: waiting[it][0])
            yield waiting.pop(fullest)[1]
    yield from (own for _, own in waiting)


def _alike(groups: Sequence[Group], most: int) -> list[tuple[int, list[int]]]:
    """Return groups that have a context in common, as many as fit, with their tokens."""
    found: list[tuple[int, list[int]]] = []
    last: dict[tuple[int, ...], int] = {}
    for number, group in enumerate(groups):
        (ids, first), size = group[0], size_of([text for text, _ in group])
        place = last.get(ids[:first])
        if place is not None and found[place][0] + size - first <= most:
            total, own = found[place]
            found[place] = total + size - first, [*own, number]
        else:
            last[ids[:first]] = len(found)
            found.append((size, [number]))
    return found


def can_pack(pair: Pair) -> bool:
    """Return whether the pair's models take several texts as one tree."""
    lanes = [lane for lane, *_ in pair.forwards()]
    return all(lane.way is Way.TREE for lane in lanes) and not pair.depends_on_length


def log_probs(
    pair: Pair,
    groups: Sequence[Group],
    rows: Rows = BOTH,
    cancelled: Callable[[], bool] = never,
) -> Iterator[Found | None]:
    """Yield the log-probs of the texts of each group, in no particular order.

    Numbers that are not finite are given as they are. Soon after ``cancelled()`` turns true it
    yields None, and does what was under way again when it is asked for more.

    Args:
        rows: the models asked; the policy alone where there is no reference.

    Raises:
        UserFacingError: a text has a token that a model lacks, or the checkpoint that is shown
            cannot be loaded.
    """
    rows = tuple(row for row in rows if row in pair.sides)
    sizes = [size_of([ids for ids, _ in group]) for group in groups]
    together = can_pack(pair)
    short = [i for i, size in enumerate(sizes) if together and size <= LONGEST]
    device = pair.lanes[0].device.type
    for numbers in packed([groups[i] for i in short], TOKENS.get(device, CPU_TOKENS)):
        own = [short[i] for i in numbers]
        yield from _whole(partial(_halved, pair, groups, own, rows, cancelled))
    for number in sorted({*range(len(groups))} - {*short}, key=lambda it: -sizes[it]):
        for found in _whole(partial(_one_by_tree, pair, groups[number], rows, cancelled)):
            yield None if found is None else (number, found)


T = TypeVar("T")


def _whole(work: Callable[[], Iterable[T]]) -> Iterator[T | None]:
    """Yield what some work gives once all of it is done; None whenever it was cancelled."""
    while True:
        try:
            found = [*work()]
        except Cancelled:
            yield None
        else:
            break
    yield from found


def _one_by_tree(
    pair: Pair, group: Group, rows: Rows, cancelled: Callable[[], bool]
) -> list[list[Logps] | str]:
    return [_by_tree(pair, group, rows, cancelled)]


def _halved(
    pair: Pair,
    groups: Sequence[Group],
    numbers: list[int],
    rows: Rows,
    cancelled: Callable[[], bool],
) -> Iterator[Found]:
    """Yield what is found of groups that are run together, or by halves where memory runs out."""
    texts = [text for number in numbers for text in groups[number]]
    try:
        found = iter(_together(pair, texts, rows, cancelled))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        found = None
    if found is not None:
        for number in numbers:
            yield number, [next(found) for _ in groups[number]]
        return
    pair.evict_kv()
    if len(numbers) == 1:
        yield numbers[0], _by_tree(pair, groups[numbers[0]], rows, cancelled)
        return
    middle = len(numbers) // 2
    for half in (numbers[:middle], numbers[middle:]):
        yield from _halved(pair, groups, half, rows, cancelled)


@torch.inference_mode()
def _together(
    pair: Pair, texts: Sequence[Text], rows: Rows, cancelled: Callable[[], bool]
) -> list[Logps]:
    """Return the log-probs of texts that are run in one forward of each lane."""
    pack = lay_out([ids for ids, _ in texts])
    pair.check_tokens(pack.ids)
    ids = torch.from_numpy(pack.ids)
    depths = torch.from_numpy(pack.depths)
    seen = Branches(depths, depths, torch.from_numpy(pack.visible))
    scored = np.unique(np.concatenate([path[first:] for path, (_, first) in _with(pack, texts)]))
    states = np.empty(len(pack.ids), np.int64)
    for path in pack.paths:
        states[path[1:]] = path[:-1]
    taken = torch.from_numpy(pack.ids[scored])
    values = np.empty((len(rows), len(pack.ids)), np.float32)
    for lane, physical, stand in pair.forwards(rows, cancelled):
        lane.set_regime(lane.regime(int(pack.depths.max()) + 1))
        hidden = lane.run_apart(ids, seen, physical)
        at = torch.from_numpy(states[scored]).to(lane.device)
        found = _taken(lane, hidden[:, at], physical, taken.to(lane.device))
        for row, models in zip(found, stand, strict=True):
            for model in models:
                values[rows.index(model), scored] = row
    return [values[:, path[first:]] for path, (_, first) in _with(pack, texts)]


def _with(pack: Pack, texts: Sequence[Text]) -> Iterator[tuple[NDArray[np.int64], Text]]:
    return zip(pack.paths, texts, strict=True)


def _taken(
    lane: Lane, hidden: torch.Tensor, rows: slice, tokens: torch.Tensor
) -> NDArray[np.float32]:
    """Return the log-probs of m tokens by the hidden states before them, [rows, m, d] -> [rows,
    m]."""
    count, device = len(tokens), lane.device.type
    step = min(positions(device, lane.vocab_size), count)
    room = torch.empty(len(hidden) * step * lane.vocab_size, device=lane.device)
    inner = step if device != "cpu" else max(1, CACHED_LOGITS // (len(BOTH) * lane.vocab_size))
    found = []
    for first in range(0, count, step):
        part = hidden[:, first : first + step]
        size = len(part) * part.shape[1] * lane.vocab_size
        logits = room[:size].view(len(part), part.shape[1], lane.vocab_size)
        lane.logits(part, rows, logits)
        for start in range(0, part.shape[1], inner):
            piece = logits[:, start : start + inner]
            own = tokens[first + start : first + start + piece.shape[1]]
            chosen = piece.gather(-1, own[None, :, None].expand(len(piece), -1, 1))[..., 0]
            found.append(chosen - piece.logsumexp(-1))
    return torch.cat(found, dim=1).float().cpu().numpy()


def _by_tree(
    pair: Pair, group: Group, rows: Rows, cancelled: Callable[[], bool]
) -> list[Logps] | str:
    """Return the log-probs of a group's texts by the pair's own tree; why not, if it cannot."""
    columns = ("logp_policy", "logp_reference")
    by_root: dict[int, list[tuple[NDArray[np.int64], int]]] = {}
    paths = []
    for ids, first in group:
        path = pair.tree.extend(pair.root(len(ids)), ids)
        paths.append((path, first))
        by_root.setdefault(int(pair.tree.parent[path[0]]), []).append((path, first))
    try:
        for own in by_root.values():
            pair.observe_all(own, cancelled, LINE)
    except UserFacingError as error:
        return str(error)
    finally:
        pair.release(LINE)
    found = [
        np.stack([pair.tree.column(columns[row])[path[first:]] for row in rows]).astype(np.float32)
        for path, first in paths
    ]
    pair.trim()
    return found
