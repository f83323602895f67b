"""What a sweep may be: the limits of its record, and whether its judge can judge its prompts.

Looks at no file. Knows the judges and sources of prompts that are registered.
"""

from core.errors import UserFacingError
from core.setting import problems_of
from core.sweeps.judges import judge_kinds
from core.sweeps.questions import source_of, sources
from core.sweeps.record import JudgeSpec, SweepSpec

TAKEN = {"DIR": "folder", "FILE": "file"}


def problems(spec: SweepSpec) -> dict[str, str]:
    """Return a sentence for each field of a sweep that cannot be used, by its name."""
    found = problems_of(spec)
    if not spec.widths:
        found["widths"] = "There are no widths to sweep: give some, such as 1,2,3,5,8,16."
    if spec.judge is not None and (sentence := _of_judge(spec.judge, source_of(spec))):
        found["judge"] = sentence
    return found


def check(spec: SweepSpec) -> None:
    """Refuse a sweep that makes no sense.

    Raises:
        UserFacingError: one sentence that names the field and what it may be.
    """
    for sentence in problems(spec).values():
        raise UserFacingError(sentence)


def _of_judge(judge: JudgeSpec, source: str) -> str:
    kinds = judge_kinds()
    kind = kinds.get(judge.kind)
    if kind is None:
        offered = ", ".join(f"{name} {found.takes}".strip() for name, found in kinds.items())
        return f"There is no judge {judge.kind!r}: choose {offered}."
    if kind.takes and not judge.path:
        return f"{kind.title} is needed to judge: choose the {TAKEN[kind.takes]}."
    if judge.path and not kind.takes:
        return f"{kind.title} takes no path: leave it out."
    if kind.source not in ("", source):
        known = sources()
        posts = known[kind.source].title if kind.source in known else "its own prompts"
        return f"{kind.title} knows only {posts}: choose another judge."
    return ""
