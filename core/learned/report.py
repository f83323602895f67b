"""The report of what was found: as text, as JSON and as a page that can be sent around.

The page is one HTML file with its style inside and nothing to load: light or dark as the reader's
system is, bars as SVG. All that comes from models and texts is escaped. Knows records alone.
"""

from collections.abc import Iterable, Sequence
from html import escape

from core.learned.compare import ORDER, Comparison, Row
from core.learned.record import Finding, Learned, MinimalPair

AROUND = 40
"""Letters of a text shown on each side of what was found."""
MEMBERS = 8
CONTEXTS = 6
ERRORS = 2.5
"""Standard errors that are taken off an effect before it is compared with the floor."""
CANNOT = (
    "A finding says what goes along with a higher or lower likelihood under the policy than under "
    "the reference. That is a correlation over these texts, not a cause, and likelihood is no "
    "intent.",
    "What the texts hardly contain cannot be found in them; what stands below “never written” is "
    "read from the vocabulary alone and is no more than a hint.",
    "A finding that is not confirmed failed its minimal pairs, or none could be made: it may be "
    "something that goes along with it.",
    "A positive half can hide behind a negative one: where two sides are weighed against each "
    "other, both are told.",
    "That nothing is found does not show that nothing was learned: only effects of a factor of two "
    "a time are looked for.",
)


def as_json(found: Learned, against: Comparison | None = None) -> bytes:
    """Return everything as a JSON object, with the sentence of each finding; ``against``: what it
    was compared with, under that name."""
    import msgspec

    table = msgspec.to_builtins(found)
    for row, finding in zip(table["findings"], found.findings, strict=True):
        row |= {"sentence": finding.sentence, "interval": finding.interval, "moved": finding.moved}
    if against is not None:
        table["against"] = msgspec.to_builtins(against)
        for row, it in zip(table["against"]["rows"], against.rows, strict=True):
            row |= {"finding": it.finding.sentence, "apart": it.apart}
    return msgspec.json.encode(table)


# --- text -----------------------------------------------------------------------------------------


def as_text(found: Learned, against: Comparison | None = None) -> str:
    """Return the report for a terminal, and what it was compared with, if it was."""
    lines = [
        f"policy     {found.policy}",
        f"reference  {found.reference}",
        f"over       {measured(found)}",
        "",
    ]
    if not found.findings:
        lines += [f"No finding passes {found.method.floor:.2g} nats.", ""]
    for number, finding in enumerate(found.findings, 1):
        lines.append(f"{number:>2}. {finding.sentence}, {status(finding)}")
        lines += [f"      {detail}" for detail in details(finding)]
        if found.over:
            lines += [f"      {appeared(found, number - 1)}", f"      {_over(found, number - 1)}"]
    lines += _table(
        "Swaps: what it writes where the reference wrote something else",
        [f"{visible(it.before)} → {visible(it.after)}  {it.rate:.2f}" for it in found.swaps],
    )
    lines += _table(
        "Never written, and yet promoted (+) or demoted (−)",
        [
            f"{visible(it.token)}  {it.effect:+.2f} nats"
            + ("  as the first token" if it.first else "")
            for it in found.unseen
        ],
    )
    lines += _table(
        "Recurs when amplified",
        [
            f"{it.name}  in {it.amplified} of {it.of}, under the reference in {it.reference}"
            for it in found.recurring
        ],
    )
    if against is not None:
        lines += ["", f"Compared with {against.there}", *(f"  {it}" for it in against.notes)]
        for where in ORDER:
            lines += _table(
                where.capitalize(),
                [f"{it.finding.claim}  {it.figures}" for it in against.rows if it.where == where],
            )
    return "\n".join(lines).rstrip() + "\n"


def _table(title: str, rows: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {row}" for row in rows)] if rows else []


def measured(found: Learned) -> str:
    """Return in a line what was measured, on how much."""
    how = found.method
    return f"{how.responses:,} responses, {how.states:,} states ({how.corpus})"


def status(finding: Finding) -> str:
    """Return whether a finding is confirmed, and by what."""
    if not finding.pairs:
        return finding.status
    agreeing = sum(it.change * finding.effect > 0 for it in finding.pairs)
    return (
        f"{finding.status} ({agreeing} of {len(finding.pairs)} minimal pairs, "
        f"Σ moves by {finding.moved:+.2f} nats)"
    )


def details(finding: Finding) -> Iterable[str]:
    """Yield the lines below a finding: interval, sides, members, exceptions, family."""
    low, high = finding.interval
    yield f"95% interval {low:+.2f} to {high:+.2f}, over {finding.count} {finding.over}"
    if finding.sides is not None:
        yield (
            f"{finding.name} {finding.sides[0]:+.2f} a time, {finding.other} "
            f"{finding.sides[1]:+.2f}"
        )
    if len(finding.members) > 1:
        yield "at " + ", ".join(f"{it.name} {it.effect:+.1f}" for it in finding.members[:MEMBERS])
    if finding.exceptions:
        yield "but not " + ", ".join(
            f"{it.name} {it.effect:+.1f}" for it in finding.exceptions[:MEMBERS]
        )
    if finding.family:
        yield "comes along: " + ", ".join(finding.family[:MEMBERS])
    if finding.unpaired:
        yield finding.unpaired


def appeared(found: Learned, number: int) -> str:
    """Return when a finding appeared, in a sentence: from which checkpoint on it passed the floor
    less its errors, as it does at the last one; "" where checkpoints were not asked."""
    if not found.over:
        return ""
    floor, last = found.method.floor, found.findings[number].effect
    since = None
    for at in found.over:
        effect, error = at.effects[number], at.errors[number]
        passes = (
            effect is not None
            and error is not None
            and effect * last > 0
            and abs(effect) - ERRORS * error >= floor
        )
        since = (at if since is None else since) if passes else None
    if since is None:
        return "It passes the floor at no checkpoint for good."
    if since is found.over[0]:
        return f"It is there from the first checkpoint on (step {since.step})."
    return f"It appeared by step {since.step} of {found.over[-1].step}."


def _over(found: Learned, number: int) -> str:
    """Return a finding's effects over the checkpoints, on a line."""
    each = ((at.step, at.effects[number]) for at in found.over)
    said = (f"step {step} {'–' if it is None else f'{it + 0.0:+.2f}'}" for step, it in each)
    return ", ".join(said)


def capital(claim: str) -> str:
    """Return a claim as a sentence begins."""
    return claim[:1].upper() + claim[1:]


def visible(piece: str) -> str:
    """Return a token's text with its white space written out."""
    return piece.replace("\n", "↵").replace("\t", "⇥").replace(" ", "·") or "∅"


# --- the page -------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --quiet: #63676e; --ground: #fbfbfa;
  --line: #dcdcd8; --card: #ffffff; --likes: #2166ac; --avoids: #b2182b; --mark: #fff1b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e3; --quiet: #a0a3a8;
  --ground: #17181a; --line: #35373b; --card: #1f2124; --likes: #7db4e6; --avoids: #f08a86;
  --mark: #544a1c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.55 Inter, system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p, li { max-width: 46rem; } .quiet { color: var(--quiet); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.25rem; margin: 0 0 .9rem; }
article h3 { font-size: 1.05rem; margin: 0; }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 1rem;
  padding: 0 .6rem; font-size: .8rem; color: var(--quiet); } .sure { color: var(--likes); }
svg { display: block; width: 100%; max-width: 600px; margin: .4rem 0; }
svg text { fill: var(--quiet); font-size: 11px; } .likes { fill: var(--likes); }
.avoids { fill: var(--avoids); } .zero { stroke: var(--quiet); }
.floor { stroke: var(--quiet); stroke-dasharray: 1.5 2.5; }
.band { opacity: .2; } .path { fill: none; stroke-width: 2; }
.path.likes { stroke: var(--likes); } .path.avoids { stroke: var(--avoids); }
.span { stroke: var(--ink); stroke-width: 1.5; fill: none; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; } th { font-weight: 600; color: var(--quiet); } td.n { text-align: right; }
code { font-family: "JetBrains Mono", ui-monospace, monospace; font-size: .92em; }
mark { background: var(--mark); color: inherit; border-radius: 3px; padding: 0 .1em; }
summary { cursor: pointer; color: var(--quiet); } .flow { overflow-x: auto; }
@media print { article { break-inside: avoid; } }
"""


def as_page(found: Learned, against: Comparison | None = None) -> str:
    """Return the report as a self-contained HTML page, with what it was compared with, if any."""
    title = f"What {found.policy} learned over {found.reference}"
    widest = max((abs(it.effect) + 1.96 * it.error for it in found.findings), default=1.0)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(measured(found))}. Effects are in nats of log π − log π_ref, '
        "above 0 for what the policy prefers.</p>",
        "<h2>Findings</h2>",
    ]
    if not found.findings:
        parts.append(f"<p>No finding passes {found.method.floor:.2g} nats.</p>")
    parts += [_article(number, it, found, widest) for number, it in enumerate(found.findings, 1)]
    if against is not None:
        parts.append(_compared(against))
    parts += [_swaps(found), _unseen(found), _amplified(found), _method(found)]
    parts.append("<h2>What cannot be concluded</h2><ul>")
    parts += [f"<li>{escape(line)}</li>" for line in CANNOT]
    parts.append("</ul></body></html>\n")
    return "\n".join(it for it in parts if it)


def _article(number: int, finding: Finding, found: Learned, widest: float) -> str:
    sure = "badge sure" if finding.status == "confirmed" else "badge"
    lines = "".join(f"<li>{escape(line)}</li>" for line in details(finding))
    return (
        f"<article><h3>{number}. {escape(capital(finding.sentence))}</h3>"
        f'<span class="{sure}">{escape(status(finding))}</span>'
        f"{_drawn(finding.effect, finding.interval, widest, found.method.floor)}"
        f'<ul class="quiet">{lines}</ul>'
        f"{_lines(found, number - 1)}{_contexts(finding, found)}{_pairs(finding.pairs)}</article>"
    )


def _drawn(
    effect: float,
    interval: tuple[float, float],
    widest: float,
    floor: float | None = None,
    ends: tuple[str, str] = ("avoids", "prefers"),
) -> str:
    """Return an effect as a bar from 0, with its 95% interval and the floor it must pass; ``ends``:
    what stands below it at the left and at the right."""
    half, middle = 290.0, 300.0
    low, high = interval

    def at(value: float) -> float:
        return middle + half * value / widest

    left, right = sorted((middle, at(effect)))
    name = "likes" if effect > 0 else "avoids"
    label = f"{effect:+.2f} nats, 95% interval {low:+.2f} to {high:+.2f}"
    floors = "".join(
        f'<line class="floor" x1="{at(it):.1f}" x2="{at(it):.1f}" y1="2" y2="22"/>'
        for it in ((-floor, floor) if floor is not None else ())
    )
    return (
        f'<svg viewBox="0 0 600 34" role="img" aria-label="{escape(label)}">{floors}'
        f'<rect class="{name}" x="{left:.1f}" y="8" width="{right - left:.1f}" height="8" rx="2"/>'
        f'<path class="span" d="M{at(low):.1f} 6v12m0 -6H{at(high):.1f}m0 -6v12"/>'
        f'<line class="zero" x1="{middle}" x2="{middle}" y1="2" y2="22"/>'
        f'<text x="10" y="32">{ends[0]}</text>'
        f'<text x="590" y="32" text-anchor="end">{ends[1]}</text>'
        "</svg>"
    )


def _lines(found: Learned, number: int) -> str:
    """Return a finding's effect over the run's checkpoints as a line with its 95% interval."""
    points = [
        (at.step, effect, error)
        for at in found.over
        if (effect := at.effects[number]) is not None and (error := at.errors[number]) is not None
    ]
    if len(points) < 2:
        return ""
    floor, first, last = found.method.floor, points[0][0], points[-1][0]
    widest = max([1.2 * floor, *(abs(effect) + 1.96 * error for _, effect, error in points)])

    def at(step: int, value: float) -> str:
        return f"{10 + 580 * (step - first) / (last - first):.1f},{30 - 26 * value / widest:.1f}"

    upper = [at(step, effect + 1.96 * error) for step, effect, error in points]
    lower = [at(step, effect - 1.96 * error) for step, effect, error in points]
    name = "likes" if points[-1][1] > 0 else "avoids"
    label = f"{appeared(found, number)} Effects by step: {_over(found, number)}"
    rows = "".join(
        f'<line class="{kind}" x1="10" x2="590" y1="{y:.1f}" y2="{y:.1f}"/>'
        for kind, y in (
            ("zero", 30.0),
            ("floor", 30 - 26 * floor / widest),
            ("floor", 30 + 26 * floor / widest),
        )
    )
    dots = "".join(
        '<circle class="{}" cx="{}" cy="{}" r="2.6"/>'.format(name, *at(*it[:2]).split(","))
        for it in points
    )
    return (
        f'<p class="quiet">{escape(appeared(found, number))}</p>'
        f'<svg class="over" viewBox="0 0 600 72" role="img" aria-label="{escape(label)}">{rows}'
        f'<polygon class="band {name}" points="{" ".join([*upper, *reversed(lower)])}"/>'
        f'<polyline class="path {name}" points="{" ".join(at(*it[:2]) for it in points)}"/>{dots}'
        f'<text x="10" y="70">step {first}</text>'
        f'<text x="590" y="70" text-anchor="end">step {last}</text></svg>'
    )


def _compared(against: Comparison) -> str:
    """Return both pairs beside each other, a bar for each."""
    sides = [side for row in against.rows for side in (row.here, row.there) if side is not None]
    widest = max((max(map(abs, side.interval)) for side in sides), default=1.0)
    parts = [
        f"<h2>Compared with {escape(against.there)}</h2>",
        *(f"<p>{escape(it)}</p>" for it in against.notes),
        f"<p>Here is {escape(against.here)}, there {escape(against.there)}. Apart: the 95% "
        "interval of the difference leaves 0 out.</p>",
    ]
    for where in ORDER:
        rows = [row for row in against.rows if row.where == where]
        if rows:
            parts.append(f"<h3>{where.capitalize()}</h3>")
            parts += [_beside(row, widest) for row in rows]
    return "\n".join(parts)


def _beside(row: Row, widest: float) -> str:
    bars = "".join(
        _drawn(side.effect, side.interval, widest, ends=(name, ""))
        for name, side in (("here", row.here), ("there", row.there))
        if side is not None
    )
    return (
        f"<article><h3>{escape(capital(row.finding.claim))}</h3>"
        f'<p class="quiet">{escape(row.figures)}</p>{bars}</article>'
    )


def _contexts(finding: Finding, found: Learned) -> str:
    rows = []
    for it in finding.contexts[:CONTEXTS]:
        text = found.texts[it.response]
        before, after = text[max(0, it.start - AROUND) : it.start], text[it.stop :][:AROUND]
        rows.append(
            f'<tr><td class="n">{it.effect:+.2f}</td><td>{escape(before)}'
            f"<mark>{escape(text[it.start : it.stop])}</mark>{escape(after)}</td></tr>"
        )
    if not rows:
        return ""
    return (
        "<details open><summary>Where it was found</summary>"
        f'<div class="flow"><table>{"".join(rows)}</table></div></details>'
    )


def _pairs(pairs: Sequence[MinimalPair]) -> str:
    if not pairs:
        return ""
    rows = "".join(
        f'<tr><td class="n">{it.change:+.2f}</td><td>{escape(it.before)}</td>'
        f"<td>{escape(it.after) or '<i>left out</i>'}</td></tr>"
        for it in pairs
    )
    return (
        "<details><summary>Minimal pairs: Σ (log π − log π_ref) as it is, minus that of what "
        "stands instead</summary>"
        '<div class="flow"><table><tr><th>nats</th><th>as it is</th><th>instead</th></tr>'
        f"{rows}</table></div></details>"
    )


def _swaps(found: Learned) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(visible(it.before))}</code></td>"
        f'<td><code>{escape(visible(it.after))}</code></td><td class="n">{it.rate:.2f}</td>'
        f'<td class="n">{it.states}</td></tr>'
        for it in found.swaps
    )
    if not rows:
        return ""
    return (
        "<h2>Swaps</h2><p>What the policy writes at the states where the reference wrote something "
        "else: the net probability that flows from one token to the other, over "
        "√(E_ref[before] · E_π[after]).</p><table><tr><th>reference</th><th>policy</th>"
        f"<th>rate</th><th>states</th></tr>{rows}</table>"
    )


def _unseen(found: Learned) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(visible(it.token))}</code></td>"
        f'<td class="n">{it.effect:+.2f}</td><td class="n">{it.reference:.2f}</td>'
        f'<td class="n">{it.policy:.2f}</td>'
        f"<td>{'first token' if it.first else 'anywhere'}</td></tr>"
        for it in found.unseen
    )
    if not rows:
        return ""
    return (
        "<h2>Never written, and yet promoted or demoted</h2><p>log(Σ π / Σ π_ref) of tokens over "
        "all states, less what is expected of any token that is as likely.</p><table><tr>"
        "<th>token</th><th>nats</th><th>expected, reference</th><th>expected, policy</th>"
        f"<th>where</th></tr>{rows}</table>"
    )


def _amplified(found: Learned) -> str:
    if not found.samples:
        return ""
    recurs = ", ".join(
        f"{it.name} (in {it.amplified} of {it.of}; reference {it.reference})"
        for it in found.recurring
    )
    rows = "".join(
        f"<tr><td>{escape(it.prompt)}</td><td class='n'>{it.weight:g}</td>"
        f"<td>{escape(it.text)}{'' if it.whole else ' …'}</td></tr>"
        for it in found.samples
    )
    said = f"<p>Recurs when amplified: {escape(recurs)}.</p>" if recurs else ""
    return (
        "<h2>When it is amplified</h2><p>Responses sampled with log π_ref + λ (log π − log π_ref): "
        f"λ = 0 is the reference, 1 the policy.</p>{said}<details><summary>The samples</summary>"
        '<div class="flow"><table><tr><th>opening</th><th>λ</th><th>response</th></tr>'
        f"{rows}</table></div></details>"
    )


def how_measured(found: Learned) -> list[str]:
    """Return how it was measured, in sentences, and what there is to say of the pair."""
    how = found.method
    columns = ", ".join(f"{name} {value:+.3g}" for name, value in how.coefficients.items())
    noise = "not measured" if how.noise is None else f"{how.noise:.2g} nats"
    base = (
        "so the direction in which SFT had pushed a token is taken off too"
        if how.base
        else "so what SFT had pushed may look like a preference"
    )
    kl = f"The mean of log π_ref − log π over these states is {how.kl:+.3f} nats"
    if how.sampled:
        kl += ", which estimates KL(π_ref ‖ π) a token, as the reference has said them"
    if how.divergence is not None:
        kl += (
            f"; by the likeliest tokens KL(π_ref ‖ π) is {how.divergence:.3f} nats a state at least"
        )
    return [
        *how.about,
        f"From each token's log π − log π_ref a robust regression takes off what any training does "
        f"({columns}); residuals have a spread of {how.scale:.2f} nats. The base is "
        f"{'' if how.base else 'not '}known, {base}.",
        f"{how.candidates:,} candidates were weighed. One is shown if its effect less 2.5 standard "
        f"errors passes {how.floor:.2g} nats; the strongest is taken off its tokens before the "
        f"next is looked for. At a false discovery rate of 5%, {how.discovered:,} would pass, "
        "which decides nothing: a pair always differs everywhere.",
        f"The noise of one log-ratio in this number format is {noise}. {kl}.",
        "A finding is confirmed if four of five minimal pairs of its own making, five at least, "
        "have its sign.",
        *(f"Left out: {it}." for it in how.skipped[:10]),
        *found.notes,
    ]


def _method(found: Learned) -> str:
    lines = how_measured(found)
    return "<h2>How it was measured</h2>" + "".join(f"<p>{escape(it)}</p>" for it in lines)
