"""Describes one node of a grown tree in words and numbers: for hovering and the side panel.

Knows grown trees, beta and the paper's quantities; knows nothing of widgets.
"""

from html import escape

import numpy as np

from core import quantities
from core.noise import NOISELESS, NoiseFloor
from core.present.numerals import emphasised, percent, plain, signed
from core.present.token_facts import Fact, reward_fact
from core.search.grown import GrownTree, Reason, Status

STATUS_WORDS = {
    Status.OPEN: "open: it may still be expanded",
    Status.KEPT: "kept",
    Status.PRUNED: "pruned",
    Status.FINISHED: "finished",
}
ALONE = "token, id", "log π", "Σ log π"
"""What is said of a token where there is no reference."""


def fate(tree: GrownTree, entry: int) -> str:
    """Return what has become of a node, when and why."""
    words = STATUS_WORDS[Status(int(tree.status[entry]))]
    if tree.status[entry] == Status.FINISHED and not tree.is_closed(entry):
        words = "cut"
    reason = Reason(int(tree.reason[entry])).words
    return f"{words} at step {int(tree.step[entry])}" + (f", {reason}" if reason else "")


def _number(value: float, digits: int = 3) -> str:
    return plain(value, digits) if np.isfinite(value) else "not known"


def node_facts(
    tree: GrownTree, entry: int, beta: float, noise: NoiseFloor = NOISELESS
) -> tuple[Fact, ...]:
    """Return everything known of a node; the start has no token and so no numbers of one."""
    facts = [Fact("what became of it", fate(tree, entry))]
    if entry:
        facts += _edge_facts(tree, entry, beta, noise)
    kl = float(tree.column("kl")[entry])
    if np.isfinite(kl):
        facts.append(Fact(quantities.KL_FORWARD, plain(kl, 4), "at this state, in nats"))
    visits = int(tree.visits[entry])
    facts.append(Fact("visits", f"{visits:,}", "how often searches have come through"))
    return tuple(facts)


def _reward(
    name: str, value: float, beta: float, noise: NoiseFloor, meaning: str, count: int, digits: int
) -> Fact:
    """Return a reward, or a sum of some, if it is known."""
    if not np.isfinite(value):
        return Fact(name, "not known", meaning)
    return reward_fact(name, value, beta, noise, meaning, count, digits)


def _edge_facts(tree: GrownTree, entry: int, beta: float, noise: NoiseFloor) -> list[Fact]:
    """Return what is known of the token that leads to a node, and of the path to it."""
    values = {
        name: float(tree.column(name)[entry])
        for name in ("logp_policy", "logp_reference", "logit", "sum_policy", "sum_reference")
    }
    lp, lr = values["logp_policy"], values["logp_reference"]
    r = float(quantities.reward(lp, lr, beta))
    total = float(quantities.reward(values["sum_policy"], values["sum_reference"], beta))
    v = float(tree.column("logsumexp")[int(tree.parent[entry])])
    chance = f"  ·  {percent(lp)}" if np.isfinite(lp) else ""
    chance_ref = f"  ·  {percent(lr)}" if np.isfinite(lr) else ""
    q_known, v_known = np.isfinite(values["logit"]), np.isfinite(v)
    q = signed(float(quantities.q_raw(values["logit"], beta))) if q_known else "not known"
    v_text = signed(float(quantities.v_raw(v, beta))) if v_known else "not known"
    advantage = float(quantities.advantage(lp, beta))
    facts = [
        Fact("token, id", f"{tree.labels[entry]}  ·  {int(tree.token[entry])}"),
        _reward("reward r", r, beta, noise, "β (log π − log π_ref)", 1, 4),
        Fact("log π", _number(lp) + chance, "of this token under the policy"),
        Fact("log π_ref", _number(lr) + chance_ref, "of this token under the reference"),
        Fact("Σ log π", _number(values["sum_policy"]), "from the start of the tree to here"),
        Fact("Σ log π_ref", _number(values["sum_reference"]), "from the start to here"),
        _reward("Σ r", total, beta, noise, "prefix value gain", int(tree.depth[entry]), 3),
        Fact(
            "Q, V (raw-logit gauge)",
            f"{q},  {v_text}",
            "Q = β·logit of the token, V = β·logsumexp of the state before it: each is fixed only "
            "up to a constant per state",
        ),
        Fact(
            "advantage Q − V",
            signed(advantage) if np.isfinite(advantage) else "not known",
            "β log π: the constant cancels",
        ),
    ]
    if not np.isfinite(tree.column("logp_reference")).any():
        return [fact for fact in facts if fact.name in ALONE]
    return facts


def popup_html(
    tree: GrownTree, entry: int, beta: float, start: str, noise: NoiseFloor = NOISELESS
) -> str:
    """Return the card beside the mouse, as rich text."""
    title = tree.labels[entry] if entry else start
    rows = "".join(
        f"<tr><td>{escape(fact.name)}&nbsp;&nbsp;</td>"
        f"<td>{emphasised(escape(fact.value), fact.faint)}</td></tr>"
        for fact in node_facts(tree, entry, beta, noise)
        if fact.name != "token, id"
    )
    return f"<b style='font-size:115%'>{escape(title)}</b><table>{rows}</table>"
