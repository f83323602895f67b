"""A recording as a session file holds it: what stands in its JSON, and the tables of its numbers.

What is named, spelled or structured stands in ``Recorded``, under "recorded" in session.json. The
numbers stand in four tables of equally long columns, each column a tensor "TABLE.COLUMN" of
numbers.safetensors; a record says which rows are its own, by the first and their count.

======= ========================================================================================
tokens  a row for each scored token of a response, under one checkpoint: ``id`` and ``node`` (of the
        token tree), ``rank_policy``, ``rank_reference`` (from 1), ``logp_policy``,
        ``logp_reference``; of the state before it ``kl`` (π‖π_ref), ``kl_reverse``,
        ``entropy_policy``, ``entropy_reference``, ``logsumexp``; and the policy's raw ``logit``
actions a row for each action at a state: the likeliest under the policy, then those under the
        reference, then what each query found: ``id``, ranks and log-probs as above
nodes   a row for each node that a step of a search changed: ``node``, ``parent``, ``token``,
        ``visits``, ``status``, ``reason`` (core.search.grown); ``logp_policy``,
        ``logp_reference``, ``logp_base``, ``logit`` of the edge into it; ``logsumexp`` and ``kl``
        of the state that it is; NaN where not computed
best    the ``node`` of each hypothesis after a step, the best first
======= ========================================================================================

All log-probs, divergences and entropies are in nats, float64; ids, nodes and ranks are int64;
status and reason int8. Without a reference its columns hold 0 and say nothing.

``pack`` makes both of a recording, ``unpack`` a recording of both. Neither ever fails as a whole:
what is not as it must be, in its types, its ranges or how its parts fit, is left out and said.
Knows recordings and arrays; knows no files, models or windows.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.as_read import AsRead
from core.engine.protocol import Learn, PairInfo, Searched, SteerAction, Variant
from core.errors import UserFacingError
from core.learned.record import Learned, fault
from core.losses import LOSSES
from core.noise import NoiseFloor
from core.recording import (
    Grow,
    RecordedLearning,
    RecordedSweep,
    Recording,
    ScoredResponse,
    SeenState,
    StateKey,
    Tree,
)
from core.scoring import Alternative, Scoring
from core.search.grown import Growth, Reason, Status, Step
from core.search.spec import Objective, SearchSpec, check
from core.search.strategies import records
from core.session_record import MOST_TURNS, PromptSaid, TokenId
from core.sweeps.record import SweepInfo, SweepRow, SweepSpec
from core.text import Prompt, Tokens

Array = NDArray[Any]
Arrays = dict[str, Array]
Made = TypeVar("Made")
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
Node = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]

INTS, FLOATS, SMALL = np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.int8)
TABLES: dict[str, dict[str, "np.dtype[Any]"]] = {
    "tokens": {
        **dict.fromkeys(("id", "node", "rank_policy", "rank_reference"), INTS),
        **dict.fromkeys(
            (
                "logp_policy",
                "logp_reference",
                "kl",
                "kl_reverse",
                "entropy_policy",
                "entropy_reference",
                "logit",
                "logsumexp",
            ),
            FLOATS,
        ),
    },
    "actions": {
        **dict.fromkeys(("id", "rank_policy", "rank_reference"), INTS),
        **dict.fromkeys(("logp_policy", "logp_reference"), FLOATS),
    },
    "nodes": {
        **dict.fromkeys(("node", "parent", "token", "visits"), INTS),
        **dict.fromkeys(("status", "reason"), SMALL),
        **dict.fromkeys(
            ("logp_policy", "logp_reference", "logp_base", "logit", "logsumexp", "kl"), FLOATS
        ),
    },
    "best": {"node": INTS},
}
OF_REFERENCE = ("logp_reference", "rank_reference", "kl", "kl_reverse", "entropy_reference")
"""Fields of a Scoring that are None where there is no reference."""
ROUNDED = 1e-3
"""Nats by which rounding may lead a log-prob above 0, or a divergence below it."""
MOST_WIDTHS = 1000
"""Widths of a sweep at most: each has figures that take a while."""

# --- the JSON -----------------------------------------------------------------------------------


class ScoringSaid(msgspec.Struct, frozen=True):
    """A scoring: ``rows`` rows of the table "tokens" from ``first`` on. ``start``: the node of the
    state before the first token; ``alone``: there is no reference."""

    checkpoint: str
    first: Count
    rows: Count
    start: Node
    alone: bool
    computed: Count
    reused: Count
    seconds: float
    note: str


class ResponseSaid(msgspec.Struct, frozen=True):
    """A response with its scorings. ``prompt``: its place among the prompts; ``labels``: of all
    tokens that are scored; ``pieces``: of the response's own, in base64. Else as in Tokens."""

    prompt: Count
    prompt_text: str
    text: str
    ids: tuple[TokenId, ...]
    starts: tuple[Count, ...]
    ends: tuple[Count, ...]
    pieces: tuple[bytes, ...]
    forced: tuple[bool, ...]
    opening: Count
    context: tuple[TokenId, ...]
    closing: tuple[TokenId, ...]
    labels: tuple[str, ...]
    scorings: tuple[ScoringSaid, ...]
    read: AsRead | None = None


class StateSaid(msgspec.Struct, frozen=True):
    """A state that was looked at: rows of the table "actions" from ``first`` on, ``policy`` of the
    likeliest under the policy, then ``reference`` under the reference, then as many as ``found``
    says for each query; ``labels`` and ``texts`` are of these rows. ``most``: so many of each model
    were asked for."""

    checkpoint: str
    prompt: Count
    context: tuple[TokenId, ...]
    ids: tuple[TokenId, ...]
    node: Node
    alone: bool
    most: Count
    first: Count
    policy: Count
    reference: Count
    found: dict[str, Count]
    labels: tuple[str, ...]
    texts: tuple[str, ...]


class SpecSaid(msgspec.Struct, frozen=True):
    """What a search was; ``strategy`` by its name, with its ``settings``."""

    strategy: str
    settings: dict[str, Any]
    objective: Objective
    max_tokens: int
    length_penalty: float
    policy_only: bool


class StepSaid(msgspec.Struct, frozen=True):
    """A step: the next ``rows`` rows of "nodes" and ``best`` rows of "best" are its own."""

    number: Count
    rows: Count
    best: Count
    fraction: float


class EndSaid(msgspec.Struct, frozen=True):
    """How a search ended by itself, as in Searched."""

    steps: Count
    computed: Count
    seconds: float
    cache: str


class GrowSaid(msgspec.Struct, frozen=True):
    """A search of a tree. ``first``, ``first_best``: the first rows of its steps; ``labels`` and
    ``pieces``: of the nodes of its rows."""

    prompt: Count
    prefix: tuple[TokenId, ...]
    context: tuple[TokenId, ...]
    anew: bool
    spec: SpecSaid
    first: Count
    first_best: Count
    steps: tuple[StepSaid, ...]
    labels: tuple[str, ...]
    pieces: tuple[bytes, ...]
    ended: EndSaid | None = None


class TreeSaid(msgspec.Struct, frozen=True):
    """The tree of a pane. ``steered``: nodes and what was done there by hand."""

    checkpoint: str
    grows: tuple[GrowSaid, ...]
    steered: tuple[tuple[Node, SteerAction], ...] = ()


class SweepSaid(msgspec.Struct, frozen=True):
    """A sweep of beam widths."""

    spec: SweepSpec
    info: SweepInfo
    rows: tuple[SweepRow, ...]
    ended: bool


class LearnedSaid(msgspec.Struct, frozen=True):
    """What the pair has learned (core.learned.record), and what was asked for that: a file, or
    ``responses`` of the window, or neither."""

    data: str
    responses: tuple[Variant, ...]
    most: Count
    amplify: bool
    over_checkpoints: bool
    checkpoint: str
    found: Learned
    sampled: Count = 0


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """All of a recording but its numbers."""

    computed: datetime | None = None
    """When the last number was computed, in UTC."""
    info: PairInfo | None = None
    """The pair that it is of, as it was loaded: names, number format, device, beta, loss, …; what
    its weights are known by, under ``weights``."""
    noise: NoiseFloor | None = None
    prompts: tuple[PromptSaid, ...] = ()
    responses: tuple[ResponseSaid, ...] = ()
    states: tuple[StateSaid, ...] = ()
    trees: dict[str, TreeSaid] = {}
    """By the pane that showed it."""
    sweep: SweepSaid | None = None
    learned: LearnedSaid | None = None


class Unpacked(NamedTuple):
    """A recording, as far as it could be read, and clauses on what could not."""

    recording: Recording
    remarks: tuple[str, ...]


class Packed(NamedTuple):
    """A recording's JSON, its tensors by name, and clauses on what had to be left out."""

    plain: dict[str, Any]
    tensors: Arrays
    remarks: tuple[str, ...]


# --- packing ------------------------------------------------------------------------------------


def pack(recording: Recording) -> Packed:
    """Return a recording as a session file holds it. What could not be read again, as some number
    is none that it may be, is left out."""
    packing = _Packing()
    said = packing.all_of(recording)
    return Packed(said, packing.tensors(), packing.lost.remarks())


class _Lost:
    """Counts what could not be kept, by kind."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def kept(self, what: str, make: Callable[..., Made], *of: Any) -> Made | None:
        """Return what is made of something; None, and count it, where that cannot be."""
        try:
            return make(*of)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError,
                AttributeError, UserFacingError):  # fmt: skip
            self._counts[what] = self._counts.get(what, 0) + 1
            return None

    def remarks(self) -> tuple[str, ...]:
        """Return a clause for each kind."""
        return tuple(
            f"its {what} is left out"
            if what in _SINGLE
            else f"{count} of its {what} {'is' if count == 1 else 'are'} left out"
            for what, count in self._counts.items()
        )


_SINGLE = ("pair", "noise floor", "sweep", "date", "list of findings")


class _Packing:
    """Gathers the rows of all tables and the prompts, while a recording is packed."""

    def __init__(self) -> None:
        self.lost = _Lost()
        self._parts: dict[str, list[Arrays]] = {name: [] for name in TABLES}
        self._rows = dict.fromkeys(TABLES, 0)
        self._prompts: dict[Prompt, int] = {}

    def all_of(self, recording: Recording) -> dict[str, Any]:
        """Return the JSON of a recording."""
        kept = self.lost.kept
        said: dict[str, Any] = {}
        if recording.computed is not None:
            said["computed"] = msgspec.to_builtins(recording.computed)
        if recording.info is not None:
            said["info"] = kept("pair", lambda info: _plain(_checked_info(info)), recording.info)
        if recording.noise is not None:
            said["noise"] = kept("noise floor", _plain, recording.noise)
        if recording.sweep is not None:
            said["sweep"] = kept("sweep", lambda it: _plain(_sweep_said(it)), recording.sweep)
        if recording.learned is not None:
            said["learned"] = kept(
                "list of findings", lambda it: _plain(_learned_said(it)), recording.learned
            )
        responses = [it for it in recording.responses.values() if it.scorings]
        said["responses"] = [kept("responses", self._response, it) for it in responses]
        said["states"] = [kept("states", self._state, *it) for it in recording.states.items()]
        trees = recording.trees.items()
        said["trees"] = {pane: kept("trees", self._tree, tree) for pane, tree in trees}
        for name in ("responses", "states"):
            said[name] = [it for it in said[name] if it is not None]
        said["trees"] = {pane: it for pane, it in said["trees"].items() if it is not None}
        said["prompts"] = [_plain(PromptSaid.of(prompt)) for prompt in self._prompts]
        return {name: it for name, it in said.items() if it is not None}

    def tensors(self) -> Arrays:
        """Return the columns of all tables that have rows."""
        return {
            f"{table}.{column}": np.concatenate([part[column] for part in parts])
            for table, parts in self._parts.items()
            for column in TABLES[table]
            if parts
        }

    def _prompt(self, prompt: Prompt) -> int:
        return self._prompts.setdefault(prompt, len(self._prompts))

    def _add(self, table: str, columns: Mapping[str, Any]) -> int:
        """Add rows to a table; return the first one's place."""
        made = {name: np.asarray(columns[name], kind) for name, kind in TABLES[table].items()}
        first, count = self._rows[table], len(next(iter(made.values())))
        self._parts[table].append(made)
        self._rows[table] += count
        return first

    def _response(self, response: ScoredResponse) -> dict[str, Any]:
        tokens = response.tokens
        for scoring in response.scorings.values():
            _check_scoring(scoring, tokens)
        if response.read is not None:
            _check_read(response.read)
        labels = next(iter(response.scorings.values())).labels
        said = ResponseSaid(
            self._prompt(response.prompt),
            response.prompt_text,
            **{it.name: getattr(tokens, it.name) for it in fields(tokens)},
            labels=labels,
            scorings=(),
            read=response.read,
        )
        plain: dict[str, Any] = _plain(said)
        found = [self._scoring(path, it) for path, it in response.scorings.items()]
        return {**plain, "scorings": [_plain(it) for it in found]}

    def _scoring(self, checkpoint: str, scoring: Scoring) -> ScoringSaid:
        rows, alone = len(scoring), scoring.logp_reference is None
        columns = {
            name: np.zeros(rows) if alone and name in OF_REFERENCE else getattr(scoring, name)
            for name in TABLES["tokens"]
            if name not in ("id", "node")
        }
        first = self._add("tokens", {**columns, "id": scoring.ids, "node": scoring.nodes})
        return ScoringSaid(
            checkpoint,
            first,
            rows,
            scoring.start,
            alone,
            scoring.computed,
            scoring.reused,
            scoring.seconds,
            scoring.note,
        )

    def _state(self, key: StateKey, state: SeenState) -> dict[str, Any]:
        rows = [*state.by_policy, *state.by_reference]
        for found in state.found.values():
            rows += found
        alone = any(it.logp_reference is None for it in rows)
        said = StateSaid(
            checkpoint=key.checkpoint,
            prompt=self._prompt(key.prompt),
            context=key.context,
            ids=key.ids,
            node=state.node,
            alone=alone,
            most=state.most,
            first=self._rows["actions"],
            policy=len(state.by_policy),
            reference=len(state.by_reference),
            found={query: len(found) for query, found in state.found.items()},
            labels=tuple(it.label for it in rows),
            texts=tuple(it.text for it in rows),
        )
        plain: dict[str, Any] = _plain(said)
        columns = {
            name: np.array([0 if (value := getattr(it, name)) is None else value for it in rows],
                           kind)
            for name, kind in TABLES["actions"].items()
        }  # fmt: skip
        _check_actions(columns, alone)
        self._add("actions", columns)
        return plain

    def _tree(self, tree: Tree) -> dict[str, Any]:
        _check_tree(tree)
        grows = [_plain(self._grow(grow)) for grow in tree.grows]
        said = TreeSaid(tree.checkpoint, (), tuple(tree.steered.items()))
        return {**_plain(said), "grows": grows}

    def _grow(self, grow: Grow) -> GrowSaid:
        first, first_best = self._rows["nodes"], self._rows["best"]
        steps: list[StepSaid] = []
        labels: list[str] = []
        pieces: list[bytes] = []
        for growth in grow.growths:
            step = growth.step
            columns = {
                name: getattr(step if hasattr(step, name) else growth, name)
                for name in TABLES["nodes"]
                if name != "node"
            }
            self._add("nodes", {**columns, "node": step.nodes})
            self._add("best", {"node": step.best})
            labels += growth.labels
            pieces += growth.pieces
            steps.append(StepSaid(step.number, len(step.nodes), len(step.best), step.fraction))
        end = grow.ended
        return GrowSaid(
            self._prompt(grow.prompt),
            grow.prefix,
            grow.context,
            grow.anew,
            _spec_said(grow.spec),
            first,
            first_best,
            tuple(steps),
            tuple(labels),
            tuple(pieces),
            EndSaid(end.steps, end.computed, end.seconds, end.cache) if end is not None else None,
        )


def _spec_said(spec: SearchSpec) -> SpecSaid:
    strategy = spec.strategy
    settings = {it.name: getattr(strategy, it.name) for it in fields(strategy)}
    return SpecSaid(
        strategy.name,
        settings,
        spec.objective,
        spec.max_tokens,
        spec.length_penalty,
        spec.policy_only,
    )


def _sweep_said(sweep: RecordedSweep) -> SweepSaid:
    if sweep.info is None:
        raise ValueError("it has not begun")
    return SweepSaid(_without_risks(sweep.spec), sweep.info, tuple(sweep.rows), sweep.ended)


def _learned_said(learned: RecordedLearning) -> LearnedSaid:
    _check_learned(learned.found)
    asked = learned.asked
    return LearnedSaid(
        asked.data,
        asked.responses,
        asked.most,
        asked.amplify,
        asked.over_checkpoints,
        learned.checkpoint,
        learned.found,
        asked.sampled,
    )


def _without_risks(spec: SweepSpec) -> SweepSpec:
    """Return a sweep whose judge is allowed nothing: no file allows a risk."""
    if spec.judge is None:
        return spec
    return replace(spec, judge=replace(spec.judge, allow_pickle=False, allow_remote_code=False))


def _plain(value: Any) -> Any:
    """Return a record as JSON has it.

    Raises:
        ValueError: a number in it is none that JSON has.
    """
    plain = msgspec.to_builtins(value, enc_hook=_numpy)
    _check_finite(plain)
    return plain


def _numpy(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def _check_finite(plain: Any) -> None:
    """Raise ValueError for a number that JSON has not; writing it is the quickest way to know."""
    json.dumps(plain, allow_nan=False)


# --- unpacking ----------------------------------------------------------------------------------


def unpack(plain: object, tensors: Mapping[str, Array]) -> Unpacked:
    """Return the recording that JSON and tensors hold, as far as they do.

    ``tensors``: by name, whatever a file holds.
    """
    if not isinstance(plain, dict):
        return Unpacked(Recording(), ("its recording is damaged",))
    unpacking = _Unpacking(plain, tensors)
    recording = unpacking.recording()
    return Unpacked(recording, (*unpacking.remarks, *unpacking.lost.remarks()))


class _Unpacking:
    """Makes the parts of a recording, each for itself."""

    def __init__(self, plain: dict[str, Any], tensors: Mapping[str, Array]) -> None:
        self.lost = _Lost()
        self.remarks: list[str] = []
        self._plain = plain
        self._tables = {name: self._table(name, tensors) for name in TABLES}
        self._left = {name: len(self._tables[name][first]) for name, (first, *_) in TABLES.items()}
        """How many rows of each table no record has claimed yet."""
        self._prompts = [
            self.lost.kept("prompts", _prompt, it) for it in self._part("prompts", list)
        ]

    def recording(self) -> Recording:
        """Return all that can be made."""
        kept, found = self.lost.kept, Recording()
        if (plain := self._plain.get("computed")) is not None:
            found.computed = kept("date", _converted, plain, datetime)
        if (plain := self._plain.get("info")) is not None:
            found.info = kept("pair", lambda it: _checked_info(_converted(it, PairInfo)), plain)
        if (plain := self._plain.get("noise")) is not None:
            found.noise = kept("noise floor", _noise, plain)
        for plain in self._part("responses", list):
            if (response := kept("responses", self._response, plain)) is not None:
                found.add(response)
        for plain in self._part("states", list):
            if (state := kept("states", self._state, plain)) is not None:
                found.states.update([state])
        for pane, plain in self._part("trees", dict).items():
            if (tree := kept("trees", self._tree, plain)) is not None:
                found.trees[pane] = tree
        if (plain := self._plain.get("sweep")) is not None:
            found.sweep = kept("sweep", _sweep, plain)
        if (plain := self._plain.get("learned")) is not None:
            found.learned = kept("list of findings", _learned, plain)
        return found

    def _part(self, name: str, kind: type[Made]) -> Made:
        """Return a part of the JSON; an empty one, and a remark, where it is of another kind."""
        found = self._plain.get(name, kind())
        if isinstance(found, kind):
            return found
        self.remarks.append(f"its {name} cannot be read")
        return kind()

    def _table(self, name: str, tensors: Mapping[str, Array]) -> Arrays:
        """Return the columns of a table; all of them empty where one is not as it must be."""
        columns = {column: tensors.get(f"{name}.{column}") for column in TABLES[name]}
        made = {column: it for column, it in columns.items() if it is not None}
        right = len(made) == len(columns) and all(
            it.ndim == 1 and it.dtype == TABLES[name][column] for column, it in made.items()
        )
        if right and len({len(it) for it in made.values()}) == 1:
            return made
        if made:
            self.remarks.append(f"its table of {name} is damaged")
        return {column: np.empty(0, kind) for column, kind in TABLES[name].items()}

    def _rows(self, table: str, first: int, count: int) -> Arrays:
        """Return rows of a table. No row is two records' own, so that checking all that a file says
        is no more work than the file is large."""
        columns = self._tables[table]
        if first + count > len(next(iter(columns.values()))) or count > self._left[table]:
            raise ValueError("there are no such rows")
        self._left[table] -= count
        return {name: column[first : first + count] for name, column in columns.items()}

    def _prompt_at(self, place: int) -> Prompt:
        found = self._prompts[place]
        if found is None:
            raise ValueError("its prompt is damaged")
        return found

    def _response(self, plain: Any) -> ScoredResponse:
        said = _converted(plain, ResponseSaid)
        names = [it.name for it in fields(Tokens)]
        tokens = _checked_tokens(Tokens(**{name: getattr(said, name) for name in names}))
        if said.read is not None:
            _check_read(said.read)
        _require(bool(said.scorings))
        scorings = {it.checkpoint: self._scoring(it, tokens, said.labels) for it in said.scorings}
        prompt = self._prompt_at(said.prompt)
        return ScoredResponse(prompt, tokens, said.prompt_text, scorings, said.read)

    def _scoring(self, said: ScoringSaid, tokens: Tokens, labels: tuple[str, ...]) -> Scoring:
        rows = self._rows("tokens", said.first, said.rows)
        known: dict[str, Any] = {
            name: None if said.alone and name in OF_REFERENCE else column
            for name, column in rows.items()
            if name not in ("id", "node")
        }
        scoring = Scoring(
            tokens=tokens,
            ids=rows["id"],
            labels=labels,
            start=said.start,
            nodes=rows["node"],
            computed=said.computed,
            reused=said.reused,
            seconds=said.seconds,
            note=said.note,
            **known,
        )
        _check_scoring(scoring, tokens)
        return scoring

    def _state(self, plain: Any) -> tuple[StateKey, SeenState]:
        said = _converted(plain, StateSaid)
        counts = said.policy, said.reference, *said.found.values()
        rows = self._rows("actions", said.first, sum(counts))
        _check_actions(rows, said.alone)
        columns = {name: column.tolist() for name, column in rows.items()}
        none = [None] * sum(counts)
        made = [
            Alternative(*values)
            for values in zip(
                columns["id"],
                said.labels,
                said.texts,
                columns["logp_policy"],
                none if said.alone else columns["logp_reference"],
                columns["rank_policy"],
                none if said.alone else columns["rank_reference"],
                strict=True,
            )
        ]
        parts: list[tuple[Alternative, ...]] = []
        for count in counts:
            parts.append(tuple(made[:count]))
            del made[:count]
        key = StateKey(said.checkpoint, self._prompt_at(said.prompt), said.context, said.ids)
        found = dict(zip(said.found, parts[2:], strict=True))
        return key, SeenState(said.node, parts[0], parts[1], said.most, found)

    def _tree(self, plain: Any) -> Tree:
        said = _converted(plain, TreeSaid)
        tree = Tree(said.checkpoint, [self._grow(it) for it in said.grows], dict(said.steered))
        _check_tree(tree)
        return tree

    def _grow(self, said: GrowSaid) -> Grow:
        growths, at, at_best = [], 0, 0
        for step in said.steps:
            rows = self._rows("nodes", said.first + at, step.rows)
            best = self._rows("best", said.first_best + at_best, step.best)["node"]
            until = at + step.rows
            if until > min(len(said.labels), len(said.pieces)):
                raise ValueError("there are no such labels")
            made = Step(
                step.number, rows.pop("node"), rows.pop("status"), rows.pop("reason"),
                rows.pop("visits"), best, step.fraction,
            )  # fmt: skip
            labels, pieces = said.labels[at:until], said.pieces[at:until]
            growths.append(Growth(made, labels=labels, pieces=pieces, **rows))
            at, at_best = until, at_best + step.best
        prompt, spec, end = self._prompt_at(said.prompt), _spec(said.spec), said.ended
        ended = None
        if end is not None:
            ended = Searched(0, "", end.steps, end.computed, end.seconds, end.cache)
        return Grow(prompt, said.prefix, spec, said.anew, said.context, growths, ended)


def _converted(plain: Any, kind: type[Made]) -> Made:
    """Return a record as JSON has it.

    Raises:
        ValueError: it is not of that kind, or holds a number that is none.
    """
    _check_finite(plain)
    return msgspec.convert(plain, kind)


def _prompt(plain: Any) -> Prompt:
    said = _converted(plain, PromptSaid)
    if len(said.turns) > MOST_TURNS:
        raise ValueError("too many turns")
    return said.prompt()


def _spec(said: SpecSaid) -> SearchSpec:
    kinds = {kind.name: kind for kind in records()}
    strategy = msgspec.convert(said.settings, kinds[said.strategy])
    spec = SearchSpec(
        strategy, said.objective, said.max_tokens, said.length_penalty, said.policy_only
    )
    check(spec)
    return spec


def _sweep(plain: Any) -> RecordedSweep:
    said = _converted(plain, SweepSaid)
    info, rows = said.info, said.rows
    _require(
        0 < len(info.widths) <= MOST_WIDTHS,
        all(0 < width < 2**31 for width in info.widths),
        len({(row.question, row.width) for row in rows}) == len(rows),
        all(row.width in info.widths and 0 <= row.question < info.prompts for row in rows),
        all(0 <= it.tokens < 2**31 for row in rows for it in (row.answer, row.against)),
    )
    return RecordedSweep(_without_risks(said.spec), said.info, list(said.rows), said.ended)


def _learned(plain: Any) -> RecordedLearning:
    said = _converted(plain, LearnedSaid)
    _check_learned(said.found)
    asked = Learn(
        0, said.data, said.responses, said.most, said.amplify, said.over_checkpoints, said.sampled
    )
    return RecordedLearning(asked, said.found, said.checkpoint)


def _noise(plain: Any) -> NoiseFloor:
    noise = _converted(plain, NoiseFloor)
    _require(noise.token >= 0, noise.spread >= 0, noise.bias >= 0, 0 <= noise.tokens < 2**40)
    return noise


# --- what must be so ----------------------------------------------------------------------------


def _require(*facts: bool) -> None:
    """Raise ValueError unless all of it is so."""
    if not all(facts):
        raise ValueError("a number is none that it may be")


def _checked_info(info: PairInfo) -> PairInfo:
    _require(
        info.beta is None or (math.isfinite(info.beta) and 0 < info.beta <= 1000),
        set(info.objective.losses) <= set(LOSSES),
        0 < info.vocab_size < 2**40,
        0 < info.context_length < 2**40,
        0 <= info.memory_bytes < 2**62,
        all(0 <= it.step < 2**62 and 0 <= it.bytes < 2**62 for it in info.checkpoints),
    )
    return info


def _checked_tokens(tokens: Tokens) -> Tokens:
    """Return tokens whose parts fit each other and whose spans lie in their text."""
    size = len(tokens.ids)
    _require(
        {len(tokens.starts), len(tokens.ends), len(tokens.pieces), len(tokens.forced)} == {size},
        tokens.opening <= size,
        all(a <= b for a, b in zip(tokens.starts, tokens.ends, strict=True)),
        [*tokens.starts] == sorted(tokens.starts),
        max(tokens.ends, default=0) <= len(tokens.text),
    )
    return tokens


def _check_read(read: AsRead) -> None:
    size = len(read.ids)
    _require(
        len(read.labels) == len(read.roles) == size,
        0 <= read.first <= read.stop <= size,
        all(0 <= id < 2**31 for id in read.ids),
    )


def _check_scoring(scoring: Scoring, tokens: Tokens) -> None:
    """Check a scoring of these tokens; a log-prob may be −∞, and a divergence +∞."""
    rows = len(scoring.ids)
    columns = [getattr(scoring, name) for name in TABLES["tokens"] if name not in ("id", "node")]
    both = [getattr(scoring, name) is None for name in OF_REFERENCE]
    _require(rows > 0, len(tokens) <= rows, len(scoring.labels) == len(scoring.nodes) == rows)
    _require(
        all(len(it) == rows for it in columns if it is not None),
        scoring.ids[: len(tokens)].tolist() == [*tokens.ids],
        bool((scoring.ids >= 0).all() and (scoring.ids < 2**31).all()),
        bool((scoring.nodes >= 0).all() and (scoring.nodes < 2**62).all()),
        all(both) or not any(both),
        _is_logp(scoring.logp_policy),
        _is_rank(scoring.rank_policy),
        _is_finite(scoring.entropy_policy),
        _is_finite(scoring.logsumexp),
        bool((scoring.logit < np.inf).all()),
        math.isfinite(scoring.seconds),
    )
    if scoring.kl is not None and scoring.kl_reverse is not None:
        assert scoring.logp_reference is not None and scoring.entropy_reference is not None
        _require(
            _is_logp(scoring.logp_reference),
            scoring.rank_reference is not None and _is_rank(scoring.rank_reference),
            _is_finite(scoring.entropy_reference),
            bool((scoring.kl >= -ROUNDED).all()),
            bool((scoring.kl_reverse >= -ROUNDED).all()),
        )


def _check_actions(columns: Arrays, alone: bool) -> None:
    """Check the actions at a state."""
    _require(
        bool((columns["id"] >= 0).all() and (columns["id"] < 2**31).all()),
        _is_logp(columns["logp_policy"]),
        _is_rank(columns["rank_policy"]),
        alone or _is_logp(columns["logp_reference"]),
        alone or _is_rank(columns["rank_reference"]),
    )


def _check_learned(found: Learned) -> None:
    """Check that what findings name is there."""
    problem = fault(found)
    if problem:
        raise ValueError(problem)


def _check_tree(tree: Tree) -> None:
    """Check that the searches of a tree make one: the first begins it, the others go on, and each
    node's parent was there before it. ``GrownTree.add`` takes what has passed."""
    _require(bool(tree.grows), *(it.anew == (place == 0) for place, it in enumerate(tree.grows)))
    known: set[int] = set()
    for grow in tree.grows:
        _require(bool(grow.growths))
        check(grow.spec)
        for growth in grow.growths:
            step = growth.step
            sizes = {len(getattr(growth, name)) for name in _OF_GROWTH}
            sizes |= {len(it) for it in (step.nodes, step.status, step.reason, step.visits)}
            _require(
                sizes == {len(step.nodes)},
                bool(known) or bool(len(step.nodes)),
                _are(step.status, Status) and _are(step.reason, Reason),
                bool((step.nodes >= 0).all() and (step.visits >= 0).all()),
                bool((growth.token >= -1).all() and (growth.token < 2**31).all()),
                0 <= step.fraction <= 1,
                all(bool((~(getattr(growth, name) > ROUNDED)).all()) for name in _LOGPS),
            )
            for node, parent in zip(step.nodes.tolist(), growth.parent.tolist(), strict=True):
                _require(not known or node in known or parent in known)
                known.add(node)


_LOGPS = ("logp_policy", "logp_reference", "logp_base")
_OF_GROWTH = ("parent", "token", "labels", "pieces", *_LOGPS, "logit", "logsumexp", "kl")


def _are(numbers: Array, kind: type[Status] | type[Reason]) -> bool:
    """Return whether numbers are of an enumeration, which counts from 0."""
    return bool((numbers >= 0).all() and (numbers < len(kind)).all())


def _is_logp(numbers: Array) -> bool:
    return bool((numbers <= ROUNDED).all())


def _is_rank(numbers: Array) -> bool:
    return bool((numbers >= 1).all() and (numbers < 2**31).all())


def _is_finite(numbers: Array) -> bool:
    return bool(np.isfinite(numbers).all())
