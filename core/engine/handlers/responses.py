"""Scoring responses, and keeping those that the two sides hold ready for the next edit."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.as_read import as_read
from core.engine.handlers import answers
from core.engine.protocol import Event, ReadTexts, Request, Score, Scored, TextsRead
from core.engine.session import Response, Session
from core.errors import Cancelled, UserFacingError
from core.progress import Report, calm, nothing, silent
from core.text import Tokens


@answers(Score)
def score(session: Session, request: Score) -> Scored:
    """Score a response under the checkpoint that is shown; its side holds it from now on."""
    from core.models.score import score

    pair = session.pair_for(request)
    tokens = _tokens(session, request)
    with told(session, calm(session.reporter(request))):
        scoring = score(pair, request.prompt, tokens, session.cancelled, hold=request.side)
    session.responses[request.side] = Response(request.prompt, tokens, scoring)
    prompt_text = pair.codec.prompt_text(request.prompt)
    return Scored(request.id, request.side, scoring, prompt_text, pair.shown)


@answers(ReadTexts)
def read_texts(session: Session, request: ReadTexts) -> TextsRead:
    """Return how the models read what a side holds."""
    codec, held = session.pair.codec, session.responses.get(request.side)
    if held is None:
        raise Cancelled  # another pair was loaded: it is asked again once that has scored
    other = session.responses.get("B" if request.side == "A" else "A")
    beside = other.tokens.text if other is not None and other.prompt == held.prompt else None
    return TextsRead(request.id, request.side, as_read(codec, held.prompt, held.tokens, beside))


@contextmanager
def told(session: Session, report: Report) -> Iterator[None]:
    """Have it told how far a response's numbers are, and that what is done of them stays."""
    pair = session.pair
    pair.report, pair.got_on = report, session.got_on
    try:
        yield
    finally:
        pair.report, pair.got_on = silent, nothing


def _tokens(session: Session, request: Score) -> Tokens:
    """Return the tokens that a request means; untouched tokens of the side keep their ids."""
    codec, held = session.pair.codec, session.responses.get(request.side)
    if request.ids is not None:
        return codec.decode(request.prompt, request.ids, request.text)
    if request.replace is not None:
        if held is None or not 0 <= request.replace[0] < len(held.tokens.ids):
            raise UserFacingError("That token is no longer there: choose it again.")
        return codec.replace(request.prompt, held.tokens, *request.replace)
    text = request.text or ""
    if held is None or request.fresh:
        return codec.encode(request.prompt, text)
    return codec.edit(request.prompt, held.tokens, text)


def warm(session: Session, request: Request[Event]) -> None:
    """Have the KV of what both sides hold ready under the checkpoint that is shown."""
    pair = session.pair_for(request)
    for side, response in session.responses.items():
        end = pair.tree.parent[response.scoring.nodes[-1:]]
        pair.reach_path(pair.tree.path(int(end[0])), cancelled=session.cancelled, line=side)
