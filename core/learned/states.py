"""What a pair says of all states of a corpus: one record of flat arrays.

Of each state it keeps what the two models say of the token that was written, of the closing token
and of the likeliest tokens; of the whole vocabulary only sums over the states, so that memory does
not grow with states times vocabulary. As many texts as fit are run in one forward, a prompt once.
Where both models are adapters' rows over one base, what that base alone says of the token is kept
too. Everything is in nats.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import Cancelled, UserFacingError
from core.learned.corpus import Sample
from core.progress import Report, Stop, never
from core.text import Prompt

if TYPE_CHECKING:
    import torch

    from core.models.line import Nodes
    from core.models.pair import Pair

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Floats32 = NDArray[np.float32]
Ints32 = NDArray[np.int32]

TOP = 12
"""Likeliest tokens of each model that are kept of a state."""
LINE = "learned"
"""The pair's line that holds the KV of the texts under way."""
ANYWHERE, FIRST = 0, 1
"""Places over whose states the vocabulary is summed: all, and those before a response's first
token."""


@dataclass(frozen=True, eq=False, slots=True)
class Vocabulary:
    """Sums over states of the probability of every token: [2, V], ANYWHERE and FIRST.

    ``weight`` and ``square`` are the sums of the larger of both models' probabilities and of its
    square: weight² / square is over how many states a token's sum is spread.
    """

    policy: Floats
    reference: Floats
    base: Floats | None
    weight: Floats
    square: Floats


@dataclass(frozen=True, eq=False, slots=True)
class States:
    """All states of a corpus: n of them, a response's in its order, the responses' one by one.

    The last of a response are those at which its closing tokens stand.
    """

    prompts: tuple[Prompt, ...]
    texts: tuple[str, ...]
    """Of the responses."""
    response: Ints
    """Which response each state is of, [n]."""
    place: Ints
    """Tokens of the response before it, [n]."""
    token: Ints
    start: Ints
    stop: Ints
    """What the token says is ``text[start:stop]`` of its response; nothing for a closing one."""
    closing: NDArray[np.bool_]
    logp_policy: Floats
    logp_reference: Floats
    logp_base: Floats | None
    """Of the base below both adapters; None where it is not known."""
    entropy: Floats
    """Of the reference at the state."""
    end_policy: Floats
    end_reference: Floats
    """Log-probs of the closing token at the state."""
    likely: Ints32
    """The likeliest tokens of the reference, then of the policy, [n, 2k]; one may come twice."""
    likely_policy: Floats32
    likely_reference: Floats32
    """Their log-probs under each model."""
    vocabulary: Vocabulary
    pieces: tuple[str, ...]
    """What each token of the vocabulary says, [V]."""
    vector_of: Ints
    """The distinct tokens of the responses, ascending, [m]."""
    vectors: Floats32
    """What the reference's input embedding makes of these, [m, d]; d = 0 where it is not known."""
    skipped: tuple[str, ...] = ()
    """Texts that could not be scored, and why."""

    def __len__(self) -> int:
        return len(self.token)

    @property
    def ratio(self) -> Floats:
        """Return log π − log π_ref of each token that was written, [n]."""
        return self.logp_policy - self.logp_reference

    def first_rows(self) -> Ints:
        """Return the first state of each response, and n at the end, [responses + 1]."""
        counts = np.bincount(self.response, minlength=len(self.texts))
        return np.concatenate([[0], np.cumsum(counts)])


def divergence(states: States) -> float:
    """Return the mean of KL(π_ref ‖ π) over the states, in nats, from the likeliest tokens and all
    others as one: no more than that over all tokens (the data processing inequality)."""
    half = states.likely.shape[1] // 2
    twice = (states.likely[:, half:, None] == states.likely[:, None, :half]).any(axis=2)
    counted = np.concatenate([np.ones_like(twice), ~twice], axis=1)
    policy, reference = (
        np.where(counted, np.exp(it.astype(np.float64)), 0.0)
        for it in (states.likely_policy, states.likely_reference)
    )
    terms = reference * (states.likely_reference.astype(np.float64) - states.likely_policy)
    of_others = [np.clip(1.0 - it.sum(axis=1), 1e-12, 1.0) for it in (policy, reference)]
    others = of_others[1] * np.log(of_others[1] / of_others[0])
    return float((terms.sum(axis=1) + others).mean())


class NothingScored(UserFacingError):
    """None of the responses can be scored; ``skipped`` says why."""

    def __init__(self, skipped: tuple[str, ...]) -> None:
        super().__init__(
            f"None of the {len(skipped)} responses can be scored ({', '.join(skipped[:1])})."
        )
        self.skipped = skipped


@dataclass
class _Gathered:
    """Columns under way, one list of arrays for each, and the sums over the vocabulary."""

    columns: dict[str, list[NDArray[np.generic]]] = field(default_factory=dict)
    sums: NDArray[np.float64] | None = None

    def add(self, **arrays: NDArray[np.generic]) -> None:
        for name, array in arrays.items():
            self.columns.setdefault(name, []).append(array)

    def joined(self, name: str) -> NDArray[np.generic]:
        return np.concatenate(self.columns[name])


def require_reference(pair: "Pair") -> None:
    """Find out whether a pair has a reference.

    Raises:
        UserFacingError: it has none.
    """
    if pair.alone:
        raise UserFacingError(
            "What a training taught is what sets the policy apart from its reference, and there is "
            "none: name it with --reference DIR."
        )


def score_states(
    pair: "Pair",
    samples: Sequence[Sample],
    report: Report,
    cancelled: Stop = never,
    with_base: bool = True,
) -> States:
    """Return the states of all texts under both models; responses to one prompt stand together.

    Raises:
        NothingScored: no text can be scored.
        UserFacingError: the policy is alone, or a model gives NaN.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    require_reference(pair)
    base = with_base and pair.lanes[-1].has_base
    found, done = _Gathered(), 0
    skipped: list[str] = []
    kept: list[Sample] = []
    by_prompt: dict[Prompt, list[Sample]] = {}
    for sample in samples:
        by_prompt.setdefault(sample.prompt, []).append(sample)
    alike = [sample for some in by_prompt.values() for sample in some]
    for part in _parts(pair, alike, skipped):
        report("Scoring the responses", done / len(samples))
        for sample, rows in zip(part, _score(pair, part, base, found, cancelled), strict=True):
            kept.append(sample)
            found.add(response=np.full(rows, len(kept) - 1))
        done += len(part)
        pair.trim()
    pair.release(LINE)
    if not kept:
        raise NothingScored(tuple(skipped))
    return _states(pair, kept, found, base, tuple(skipped))


def _parts(pair: "Pair", samples: list[Sample], skipped: list[str]) -> Iterator[list[Sample]]:
    """Yield responses that are run together, in their order; what is too long is left out."""
    from core.models.packed import CPU_TOKENS, TOKENS

    part: list[Sample] = []
    size = 0
    most = TOKENS.get(pair.lanes[0].device.type, CPU_TOKENS)
    together = 1 if pair.depends_on_length else most
    prompt: Prompt | None = None
    for sample in samples:
        tokens = pair.codec.encode(sample.prompt, sample.text)
        length = len(tokens) + len(tokens.closing)
        if len(tokens.context) + length > pair.context_length:
            skipped.append(f"{sample.place} is longer than the models' context")
            continue
        if not length or not tokens.context:
            skipped.append(f"{sample.place} is empty")
            continue
        fresh = length + len(tokens.context)
        more = length if sample.prompt == prompt else fresh
        if part and size + more > together:
            yield part
            part, size, more = [], 0, fresh
        part.append(sample)
        prompt = sample.prompt
        size += more
    if part:
        yield part


def _score(
    pair: "Pair", part: list[Sample], base: bool, found: _Gathered, cancelled: Stop
) -> list[int]:
    """Score some responses in one forward; return how many states each has."""
    from core.models.pair import positions
    from core.models.score import path_of

    paths: list[tuple[Nodes, int]] = []
    for sample in part:
        tokens = pair.codec.encode(sample.prompt, sample.text)
        path, first = path_of(pair, sample.prompt, tokens)
        paths.append((path, first))
        rows = len(path) - first
        ends = [len(tokens.text)] * (rows - len(tokens))
        found.add(
            place=np.arange(rows),
            token=pair.tree.token[path[first:]],
            start=np.array([*tokens.starts, *ends]),
            stop=np.array([*tokens.ends, *ends]),
            closing=np.arange(rows) >= len(tokens),
        )
    pair.reach(np.unique([path[-2] for path, _ in paths]), cancelled=cancelled, line=LINE)
    step = positions(pair.lanes[0].device.type, pair.vocab_size)
    alone = _alone(pair, paths) if base else [None] * len(paths)
    for (path, first), bare in zip(paths, alone, strict=True):
        states, taken = path[first - 1 : -1], pair.tree.token[path[first:]]
        for begin in range(0, len(states), step):
            if cancelled():
                raise Cancelled
            part_of = slice(begin, begin + step)
            logits = pair.logits(states[part_of])[..., : pair.shared]
            own = None if bare is None else bare[part_of, : pair.shared].to(logits.device)
            _take(pair, logits, own, taken[part_of], begin, found)
    return [len(path) - first for path, first in paths]


def _alone(pair: "Pair", paths: "list[tuple[Nodes, int]]") -> "Iterator[torch.Tensor]":
    """Yield what the base says alone at the states of some responses, [n, V] each."""
    import torch

    from core.models.attention import Branches
    from core.models.packed import can_pack, lay_out

    lane = pair.lanes[-1]
    texts = [pair.tree.token[path] for path, _ in paths]
    if not can_pack(pair):
        for ids, (_, first) in zip(texts, paths, strict=True):
            hidden = lane.base_hidden(torch.from_numpy(ids), None)
            yield lane.base_logits(hidden[first - 1 : -1])
        return
    pack = lay_out([tuple(ids.tolist()) for ids in texts])
    depths = torch.from_numpy(pack.depths)
    seen = Branches(depths, depths, torch.from_numpy(pack.visible))
    lane.set_regime(lane.regime(int(pack.depths.max()) + 1))
    hidden = lane.base_hidden(torch.from_numpy(pack.ids), seen)
    for states, (_, first) in zip(pack.paths, paths, strict=True):
        yield lane.base_logits(hidden[torch.from_numpy(states[first - 1 : -1]).to(hidden.device)])


def _take(
    pair: "Pair",
    logits: "torch.Tensor",
    bare: "torch.Tensor | None",
    taken: Ints,
    begin: int,
    found: _Gathered,
) -> None:
    """Add what logits [2, m, V] (and the base's [m, V]) say of m states, the first at ``begin``."""
    import torch

    with torch.inference_mode():
        logp = torch.log_softmax(logits.float(), dim=-1)
        token = torch.from_numpy(taken).to(logp.device)[:, None]
        end = pair.codec.end_of_turn
        of_token = logp.gather(-1, token.expand(2, -1, -1))[..., 0]
        if not bool(torch.isfinite(of_token).all()):
            raise UserFacingError(
                "A model gives NaN or infinite log-probs: the checkpoint is damaged, or overflows "
                "in this number format; load it again with --dtype float32, or choose another one."
            )
        probs = logp.exp()
        entropy = -torch.linalg.vecdot(probs[1], logp[1].clamp_min(-1e4))
        k = min(TOP, logp.shape[-1])
        top = torch.cat([torch.topk(logp[row], k).indices for row in (1, 0)], dim=1)
        larger = torch.maximum(probs[0], probs[1])
        parts = [probs[0], probs[1], larger, larger.square()]
        if bare is not None:
            of_base = torch.log_softmax(bare.float(), dim=-1)
            found.add(logp_base=of_base.gather(-1, token)[:, 0].double().cpu().numpy())
            parts.append(of_base.exp_())
        sums = torch.stack(
            [torch.stack([it.sum(0), it[0] if begin == 0 else it[0] * 0]) for it in parts]
        )
        values = sums.double().cpu().numpy()
        found.sums = values if found.sums is None else found.sums + values
        policy, reference = of_token.double().cpu().numpy()
        found.add(
            logp_policy=policy,
            logp_reference=reference,
            entropy=entropy.double().cpu().numpy(),
            end_policy=logp[0, :, end].double().cpu().numpy(),
            end_reference=logp[1, :, end].double().cpu().numpy(),
            likely=top.to(torch.int32).cpu().numpy(),
            likely_policy=logp[0].gather(1, top).cpu().numpy(),
            likely_reference=logp[1].gather(1, top).cpu().numpy(),
        )


def _states(
    pair: "Pair", kept: list[Sample], found: _Gathered, base: bool, skipped: tuple[str, ...]
) -> States:
    """Return what was gathered as a record."""
    sums = found.sums
    assert sums is not None
    pieces = tuple(
        pair.codec.piece(id).decode("utf-8", "replace") if id < pair.codec.vocab_size else ""
        for id in range(pair.shared)
    )
    tokens = found.joined("token")
    distinct = np.unique(tokens)
    columns = {name: found.joined(name) for name in found.columns if name not in ("logp_base",)}
    return States(
        prompts=tuple(sample.prompt for sample in kept),
        texts=tuple(sample.text for sample in kept),
        **columns,  # type: ignore[arg-type]
        logp_base=np.asarray(found.joined("logp_base"), np.float64) if base else None,
        vocabulary=Vocabulary(
            policy=sums[0],
            reference=sums[1],
            base=sums[4] if base else None,
            weight=sums[2],
            square=sums[3],
        ),
        pieces=pieces,
        vector_of=distinct,
        vectors=_vectors(pair, distinct),
        skipped=skipped,
    )


def _vectors(pair: "Pair", tokens: Ints) -> Floats32:
    """Return the reference's input embedding of some tokens, [m, d]; [m, 0] if it is packed."""
    import torch

    table = pair.lanes[-1].model.get_input_embeddings()
    weight = getattr(table, "weight", None)
    if weight is None or not weight.is_floating_point() or int(tokens.max()) >= len(weight):
        return np.zeros((len(tokens), 0), np.float32)
    with torch.inference_mode():
        return np.asarray(weight[torch.from_numpy(tokens).to(weight.device)].float().cpu().numpy())


def joined(parts: Sequence[States], skipped: tuple[str, ...] = ()) -> States:
    """Return the states of parts of a corpus as those of one, the parts in their order.

    Args:
        skipped: what was skipped besides.
    """
    first = parts[0]

    def column(name: str) -> Any:
        return np.concatenate([getattr(it, name) for it in parts])

    def total(name: str) -> Any:
        each = [getattr(it.vocabulary, name) for it in parts]
        return None if each[0] is None else np.sum(each, axis=0)

    offsets = np.cumsum([0, *(len(it.texts) for it in parts[:-1])])
    vector_of, where = np.unique(column("vector_of"), return_index=True)
    taken = ("prompts", "texts", "response", "logp_base", "vocabulary", "pieces", "vector_of")
    columns = [it.name for it in fields(States) if it.name not in (*taken, "vectors", "skipped")]
    return States(
        prompts=tuple(prompt for it in parts for prompt in it.prompts),
        texts=tuple(text for it in parts for text in it.texts),
        response=np.concatenate([it.response + n for it, n in zip(parts, offsets, strict=True)]),
        logp_base=None if first.logp_base is None else column("logp_base"),
        vocabulary=Vocabulary(*(total(it.name) for it in fields(Vocabulary))),
        pieces=first.pieces,
        vector_of=vector_of,
        vectors=column("vectors")[where],
        skipped=(*(text for it in parts for text in it.skipped), *skipped),
        **{name: column(name) for name in columns},
    )
