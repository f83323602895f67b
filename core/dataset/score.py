"""Scores a data set under a pair: windows of rows, each packed into few forwards and then kept.

A window is WINDOW rows of the source in its order; of these the longest are run first, as many
together as one forward takes (core.models.packed). What a window gives is written as one part
(core.dataset.parts), so a kill loses at most that much, and the next run of the same job goes on.
Texts are made into tokens as a training on the pair did (core.codec), so the log-ratios are those
that its trainer logs. Knows nothing of the command line or windows on a screen.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np

from core.as_read import remarks
from core.dataset.parts import Parts
from core.dataset.rows import Row, Skipped, Source, has_changed
from core.dataset.scored import About, Counts, Job, ScoredRow, counted, read_about, table_of
from core.engine.protocol import PairInfo
from core.errors import Cancelled, UserFacingError
from core.evaluation.localisation import located
from core.models.packed import Logps, log_probs
from core.models.pair import BOTH, POLICY, Pair, Rows
from core.noise import NOISELESS, NoiseFloor
from core.progress import Stop, never
from core.runs.records import START
from core.text import Tokens

WINDOW = 256
"""Rows that become one part."""
SAMPLE = 16
"""Rows by which the reference's log-probs that a source brings along are checked."""
TOLERANCE = 1e-2
"""Nats a token by which those may differ, or the noise of the number format where that is more."""
NOT_FINITE = "gives NaN or infinite log-probs"
FOR_ALL = ("date", "BOS")
"""Topics of what holds for every text, and is said of the file and not of each row."""


@dataclass(frozen=True, slots=True)
class Share:
    """What part of the work is one process's: of a shard, from 1, what is its rank's, from 0."""

    shard: int = 1
    shards: int = 1
    rank: int = 0
    ranks: int = 1

    def windows(self, count: int) -> tuple[range, range]:
        """Return the windows of the shard, and those of them that are this process's."""
        all_of_them = range(self.shard - 1, count, self.shards)
        return all_of_them, all_of_them[self.rank :: self.ranks]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a process is."""

    rows: int
    """All that are its own."""
    done: int
    skipped: int
    rate: float | None = None
    """Rows a second in this run; None while it is not known."""
    waiting: int = 0
    """Parts of other processes that are waited for."""

    @property
    def left(self) -> float | None:
        """Return the seconds that the rest will take, None while that is not known."""
        return (self.rows - self.done) / self.rate if self.rate else None


Told = Callable[[Progress], None]


Steps = Generator[Progress | None, None, About | None]


def score_data(
    pair: Pair,
    info: PairInfo,
    source: Source,
    out: Path,
    *,
    limit: int | None = None,
    share: Share = Share(),
    anew: bool = False,
    floor: NoiseFloor | None = None,
    told: Told = lambda progress: None,
    cancelled: Stop = never,
) -> About | None:
    """Score a source and write ``out``; return what that says of itself.

    Where it has been begun, it goes on; where it is finished, nothing is done. Of several processes
    that share the work only the first writes ``out``, when all are done; the others return None.

    Raises:
        UserFacingError: another run is in the way, the source has changed meanwhile, all rows of a
            window give no numbers, or the output cannot be written; what was scored stays.
        Cancelled: soon after ``cancelled()`` turns true; what was scored stays.
    """
    steps = scoring(
        pair, info, source, out, limit=limit, share=share, anew=anew, floor=floor,
        cancelled=cancelled,
    )  # fmt: skip
    with closing(steps):
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                found: About | None = end.value
                return found
            if progress is None:
                raise Cancelled
            told(progress)


def scoring(
    pair: Pair,
    info: PairInfo,
    source: Source,
    out: Path,
    *,
    limit: int | None = None,
    share: Share = Share(),
    anew: bool = False,
    floor: NoiseFloor | None = None,
    cancelled: Stop = never,
) -> Steps:
    """Do what ``score_data`` does, a step at a time; yield how far it is and return what that does.

    Soon after ``cancelled()`` turns true it yields None, and goes on when it is asked for more.

    Raises:
        UserFacingError: as ``score_data`` does.
        Cancelled: before the first step, while other processes are waited for.
    """
    work = _Work(pair, info, source, limit, share, floor, cancelled)
    parts = Parts(out, work.job, share.rank)
    with parts.begun(anew, cancelled) as finished:
        if finished:
            return read_about(out)
        of_shard, own = share.windows(work.windows)
        yield from work.fill(parts, own)
        if has_changed(source):
            raise UserFacingError(
                f"{source.path} was written to while it was scored: begin anew with --anew once it "
                f"rests."
            )
        if share.rank:
            return None
        for missing in parts.wait(of_shard, cancelled):
            yield work.waits(missing)
        about = parts.put_together(work.about(), of_shard)
        parts.remove()
        return about


class _Work:
    """What one process does of a job."""

    def __init__(
        self,
        pair: Pair,
        info: PairInfo,
        source: Source,
        limit: int | None,
        share: Share,
        floor: NoiseFloor | None,
        cancelled: Stop,
    ) -> None:
        self._pair, self._info, self._source, self._limit = pair, info, source, limit
        self._floor, self._cancelled = floor, cancelled
        self._rows = source.rows if limit is None else min(limit, source.rows)
        self.windows = -(-self._rows // WINDOW)
        self._findings: dict[str, None] = dict.fromkeys(info.notes)
        self._precomputed: tuple[bool, str] | None = None
        self._sign: Callable[[], None] = lambda: None
        weights = dict(sorted(info.weights.items()))
        reference = [it for role, it in weights.items() if role.startswith("reference")]
        policy = [it for role, it in weights.items() if role.startswith("policy")]
        if not isinstance(pair.version, str):  # of a run, the checkpoint that is shown
            policy.append(pair.version.digest)
        rule = "chat template" if pair.codec.has_chat_template else "plain text"
        self.job = Job(
            policy="+".join(policy) + (START if pair.version == START else ""),
            reference="" if pair.alone else "+".join(reference or ["the policy's"]),
            dtype=info.dtype,
            reading=f"{rule}, {pair.codec.rule}",
            source=source.digest,
            bytes=source.bytes,
            columns=dict(source.layout.named),
            limit=limit,
            shard=(share.shard, share.shards),
            window=WINDOW,
        )

    def about(self) -> About:
        """Return what the output says of itself, but for the counts of its rows."""
        info, source = self._info, self._source
        _, said = self._precomputed or (False, "")
        return About(
            job=self.job,
            counts=Counts(),
            policy=info.policy,
            reference=info.reference,
            weights=dict(info.weights),
            beta=info.beta,
            objective=info.objective,
            source=str(source.path),
            format=source.layout.format,
            columns={role: tuple(names) for role, names in source.layout.roles.items()},
            source_rows=source.rows,
            findings=tuple(self._findings),
            noise=self._floor,
            precomputed=said,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def fill(self, parts: Parts, windows: range) -> Iterator[Progress | None]:
        """Score the windows whose parts are missing, and write these; yield how far it is."""
        there = parts.done()
        known = Counts()
        for window in windows:
            if window in there:
                known = known.plus(there[window])
        self._total = sum(min(WINDOW, self._rows - WINDOW * window) for window in windows)
        self._skipped = known.skipped
        self._done = known.rows + known.skipped
        self._began, self._first = time.monotonic(), self._done
        self._sign = parts.alive
        yield self._progress()
        rows = self._source.items(self._limit)
        for window in range(self.windows):
            items = list(islice(rows, WINDOW))
            if self._precomputed is None:
                read = [self._source.read(it) for it in items]
                self._precomputed = yield from self._checked(read)
            if window in there or window not in windows:
                continue
            read = [self._source.read(item) for item in items]
            found, skipped = yield from self._score(read)
            found.sort(key=lambda it: it.row.number)
            skipped.sort(key=lambda it: it.number)
            parts.put(window, table_of(found), counted(len(found), skipped))

    def waits(self, missing: int) -> Progress:
        """Return how far it is while other processes are waited for."""
        self._sign()
        return Progress(self._total, self._done, self._skipped, None, missing)

    def _progress(self) -> Progress:
        self._sign()
        seconds, more = time.monotonic() - self._began, self._done - self._first
        rate = more / seconds if more and seconds > 1 else None
        return Progress(self._total, self._done, self._skipped, rate)

    def _score(
        self, read: Sequence[Row | Skipped]
    ) -> Generator[Progress | None, None, tuple[list[ScoredRow], list[Skipped]]]:
        """Return the rows of a window that have numbers, in no order, and those that have none."""
        skipped = [it for it in read if isinstance(it, Skipped)]
        yield self._count(len(skipped), len(skipped))
        use = self._precomputed is not None and self._precomputed[0]
        found: list[ScoredRow] = []
        for models, chosen in ((BOTH, False), ((POLICY,), True)):
            rows = [
                it for it in read
                if isinstance(it, Row) and (use and it.reference is not None) == chosen
            ]  # fmt: skip
            for scored in self._numbers(rows, models):
                if scored is None:
                    yield None
                    continue
                if isinstance(scored, Skipped):
                    skipped.append(scored)
                else:
                    found.append(scored)
                yield self._count(1, isinstance(scored, Skipped))
        odd = [it for it in skipped if NOT_FINITE in it.why]
        if odd and not found:
            first = min(odd, key=lambda it: it.number)
            raise UserFacingError(
                f"Every row of {self._source.path} from {first.place} on {first.why}: the "
                f"checkpoint is damaged, or overflows in this number format; use --dtype float32, "
                f"or choose another one."
            )
        return found, skipped

    def _count(self, done: int, skipped: int) -> Progress:
        self._done += done
        self._skipped += skipped
        return self._progress()

    def _numbers(self, rows: Sequence[Row], models: Rows) -> Iterator[ScoredRow | Skipped | None]:
        """Yield what the models say of rows, in no order; None whenever it was cancelled."""
        kept: list[tuple[Row, tuple[Tokens, ...]]] = []
        for row in rows:
            if self._cancelled():
                yield None
            tokens = self._tokens(row)
            if isinstance(tokens, Skipped):
                yield tokens
            else:
                kept.append((row, tokens))
        groups = [tuple(map(_text, tokens)) for _, tokens in kept]
        for one in log_probs(self._pair, groups, models, self._cancelled):
            if one is None:
                yield None
                continue
            number, found = one
            row, tokens = kept[number]
            if isinstance(found, str):
                yield Skipped(row.number, row.place, found)
            else:
                yield self._row(row, tokens, found)

    def _row(
        self, row: Row, tokens: Sequence[Tokens], found: Sequence[Logps]
    ) -> ScoredRow | Skipped:
        """Return a row with its numbers, if these are finite."""
        for sides in found:
            if not np.isfinite(sides).all():
                role = "reference" if np.isfinite(sides[0]).all() else "policy"
                return Skipped(row.number, row.place, f"{NOT_FINITE} under the {role}")
        policy = tuple(sides[0] for sides in found)
        reference = tuple(sides[1] for sides in found) if len(found[0]) > 1 else None
        totals = [float(side.sum(dtype=np.float64)) for side in policy]
        ratios = None
        if reference is not None:
            sums = [float(side.sum(dtype=np.float64)) for side in reference]
            ratios = tuple(a - b for a, b in zip(totals, sums, strict=True))
        elif row.reference is not None and not self._pair.alone:
            ratios = tuple(a - b for a, b in zip(totals, row.reference, strict=True))
        ids = tuple((*it.ids, *it.closing) for it in tokens)
        places = None
        if row.wrong and not row.single:
            first, spans = located(tokens[1], row.pair.replies[1][-1].content)
            after = len(ids[1]) - first - len(spans)
            places = ((-1, -1),) * first + spans + ((-1, -1),) * after
        return ScoredRow(row, ids, policy, reference, ratios, self._note(tokens), places)

    def _note(self, tokens: Sequence[Tokens]) -> str:
        """Return what is to be said of a row's responses."""
        said: dict[str, None] = {}
        for side in tokens:
            for finding in remarks(self._pair.codec, side):
                if finding.topic in FOR_ALL:
                    self._findings[finding.sentence] = None
                else:
                    said[finding.sentence] = None
        return " ".join(said)

    def _tokens(self, row: Row) -> tuple[Tokens, ...] | Skipped:
        """Return the tokens of a row's responses, or why they cannot be scored."""
        pair = self._pair
        try:
            prompt, codec = row.pair.turns, pair.codec
            replies = row.pair.replies[: 1 if row.single else 2]
            texts = [codec.reply(prompt, turns) for turns in replies]
            beside = [None] if row.single else texts[::-1]
            found = tuple(
                codec.encode(prompt, text, other) for text, other in zip(texts, beside, strict=True)
            )
            for tokens in found:
                ids, first = _text(tokens)
                if len(ids) == first:
                    raise UserFacingError("has an empty response that nothing ends")
                if len(ids) > pair.context_length:
                    raise UserFacingError(
                        f"is longer than the models' context of {pair.context_length:,} tokens"
                    )
                pair.check_tokens(np.array(ids))
        except UserFacingError as error:
            return Skipped(row.number, row.place, str(error))
        return found

    def _checked(self, read: Sequence[Row | Skipped]) -> Generator[None, None, tuple[bool, str]]:
        """Return whether the reference's log-probs that the source brings along are this
        reference's, by a sample of the first rows, and a sentence on it; "" without any."""
        rows = [it for it in read if isinstance(it, Row) and it.reference is not None][:SAMPLE]
        if not rows:
            return False, ""
        if self._pair.alone:
            return False, (
                "The reference's log-probs in the data are not used: without a reference they "
                "cannot be checked."
            )
        floor = self._floor or NOISELESS
        agreed = count = 0
        most = 0.0
        for scored in self._numbers(rows, BOTH):
            if scored is None:
                yield None
                continue
            if isinstance(scored, Skipped) or scored.reference is None or not scored.row.reference:
                continue
            for own, given in zip(scored.reference, scored.row.reference, strict=True):
                gap = abs(float(own.sum(dtype=np.float64)) - given)
                agreed += gap <= max(TOLERANCE * len(own), float(floor.total(len(own))))
                count += 1
                most = max(most, gap / len(own))
        if count and agreed == count:
            return True, (
                f"The reference's log-probs in the data are used: {agreed} of {count} that were "
                f"checked are this reference's (within {most:.2g} nat a token)."
            )
        return False, (
            f"The reference's log-probs in the data are not used: only {agreed} of {count} that "
            f"were checked are this reference's (up to {most:.2g} nat a token beside it)."
        )


def _text(tokens: Tokens) -> tuple[tuple[int, ...], int]:
    """Return all ids of a response in its place, and the first that is scored."""
    return (*tokens.context, *tokens.ids, *tokens.closing), len(tokens.context)
