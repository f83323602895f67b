"""Makes a session's record of what a window holds, and the other way round.

Knows records, states and points; knows nothing of widgets or files.
"""

from collections.abc import Mapping

import msgspec

from core.engine.protocol import PairSpec, Side
from core.history import LONGEST_NAME, History, Point, Reached, State
from core.scoring import Scoring
from core.session_record import PairNamed, Past, PromptSaid, SessionRecord
from core.text import Prompt

LONGEST_WORDS = 200
"""Characters of what changed that are read."""


def full_record(
    texts: SessionRecord,
    pair: PairSpec | None,
    scorings: Mapping[Side, Scoring],
    history: History,
    view: Mapping[str, str],
) -> SessionRecord:
    """Return the record of texts with the pair that is to be loaded for them, their tokens, as far
    as they are known, the history and how the window shows it all."""
    prompts: dict[Prompt, int] = {}
    past = tuple(_past(point, prompts) for point in history)
    return msgspec.structs.replace(
        texts,
        pair=PairNamed.of(pair),
        ids={side: it.tokens.ids for side, it in scorings.items()},
        view=dict(view),
        prompts=tuple(map(PromptSaid.of, prompts)),
        history=past,
        history_now=history.now,
    )


def without_ids(record: SessionRecord) -> SessionRecord:
    """Return the same without tokens, for a pair that they are not of."""
    past = (msgspec.structs.replace(it, ids_a=None, ids_b=None) for it in record.history)
    return msgspec.structs.replace(record, ids={}, history=tuple(past))


def _past(point: Point, prompts: dict[Prompt, int]) -> Past:
    state = point.state
    place = prompts.setdefault(state.prompt, len(prompts))
    a, b = state.a, state.b
    return Past(
        number=point.number, prompt=place, a=a.text, b=b.text, ids_a=a.ids, ids_b=b.ids,
        changed=point.changed, side=point.side, name=point.name,
    )  # fmt: skip


def points_of(record: SessionRecord) -> tuple[list[Point], int]:
    """Return the points of a record's history, without what models say, numbered anew from 1, and
    the number of the one on the screen, 0 for none."""
    prompts = [said.prompt() for said in record.prompts]
    points: list[Point] = []
    now = 0
    for it in record.history:
        if 0 <= it.prompt < len(prompts):
            state = State(prompts[it.prompt], Reached(it.a, it.ids_a), Reached(it.b, it.ids_b))
            side = it.side if it.side in ("A", "B") else ""
            number = len(points) + 1
            changed, name = it.changed[:LONGEST_WORDS], it.name[:LONGEST_NAME]
            points.append(Point(number, state, changed, side, name))
            now = number if it.number == record.history_now else now
    return points, now


def state_of(record: SessionRecord) -> State:
    """Return the texts of a record, and their tokens as far as it has them."""
    a, b = record.a.text, record.b.text
    ids = record.ids
    return State(record.turns(), Reached(a, ids.get("A")), Reached(b, ids.get("B")))


def with_part(spec: PairSpec, role: str, path: str) -> PairSpec:
    """Return the same pair with one of its parts at another place, by PairNamed's name of it."""
    return PairSpec(**{**msgspec.structs.asdict(PairNamed.of(spec)), role: path})


def spec_of(pair: PairNamed) -> PairSpec | None:
    """Return the pair that is named, to be loaded without any risk; None where none is."""
    spec = PairSpec(**msgspec.structs.asdict(pair))
    return None if spec == PairSpec() else spec
