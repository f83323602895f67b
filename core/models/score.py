"""Scoring a response and inspecting a state: the pair's numbers as the records that views draw.

Joins a prompt, a response's tokens and the closing token into one path of the tree, has the pair
make its numbers known, and reads them back. Knows nothing of beta, editors or windows.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from core.as_read import remarks
from core.errors import UserFacingError
from core.gauge import extremes
from core.models.line import Nodes
from core.models.pair import Pair
from core.progress import never
from core.scoring import Alternative, Floats, Inspection, Scoring, StateActions
from core.text import Prompt, Tokens

TOP = 10
"""Alternatives listed under each model, where no other number is asked for."""
FOUND = 50
"""Alternatives listed for a vocabulary search."""


def score(
    pair: Pair,
    prompt: Prompt,
    tokens: Tokens,
    cancelled: Callable[[], bool] = never,
    hold: str = "",
) -> Scoring:
    """Return a response's numbers under both models, or under the policy alone.

    Args:
        tokens: the response; these ids are scored, its closing ones after them.
        hold: the line ("A", "B") in which to cache the response's KV for the next edit.

    Raises:
        UserFacingError: the prompt is empty, the text is longer than the context, or a model
            returned NaN.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    began = time.perf_counter()
    path, first = path_of(pair, prompt, tokens)
    computed = pair.observe(path, range(first, len(path)), cancelled, hold)
    nodes, states = path[first:], path[first - 1 : -1]

    def edge(name: str) -> Floats:
        return pair.tree.column(name)[nodes]

    def state(name: str) -> Floats:
        return pair.tree.column(name)[states]

    both = not pair.alone
    return Scoring(
        tokens=tokens,
        ids=pair.tree.token[nodes],
        labels=pair.codec.labels_of(pair.tree.token[nodes].tolist()),
        logp_policy=edge("logp_policy"),
        logp_reference=edge("logp_reference") if both else None,
        rank_policy=edge("rank_policy").astype(np.int64),
        rank_reference=edge("rank_reference").astype(np.int64) if both else None,
        kl=state("kl") if both else None,
        kl_reverse=state("kl_reverse") if both else None,
        entropy_policy=state("entropy_policy"),
        entropy_reference=state("entropy_reference") if both else None,
        logit=edge("logit"),
        logsumexp=state("logsumexp"),
        start=int(path[first - 1]),
        nodes=nodes,
        computed=computed,
        reused=len(path) - 1 - computed,
        seconds=time.perf_counter() - began,
        note=_note(pair, tokens, len(path)),
    )


def score_all(
    pair: Pair,
    responses: Sequence[tuple[Prompt, Tokens]],
    cancelled: Callable[[], bool] = never,
    line: str = "",
) -> list[Scoring]:
    """Return the numbers of several responses, as ``score`` gives them of each.

    Prompts and beginnings that they share are run once, and all that differs in one forward.

    Raises:
        UserFacingError, Cancelled: as for ``score``.
    """
    by_root: dict[int, list[tuple[Nodes, int]]] = {}
    for prompt, tokens in responses:
        path, first = path_of(pair, prompt, tokens)
        by_root.setdefault(int(pair.tree.parent[path[0]]), []).append((path, first))
    for paths in by_root.values():  # texts of one length of context, where that matters
        pair.observe_all(paths, cancelled, line)
    return [score(pair, prompt, tokens, cancelled) for prompt, tokens in responses]


def path_of(pair: Pair, prompt: Prompt, tokens: Tokens) -> tuple[Nodes, int]:
    """Return the path of a response in its context, and where the response begins in it.

    Raises:
        UserFacingError: the prompt is empty, or the response, and nothing ends it.
    """
    if not pair.codec.prompt_ids(prompt):
        raise UserFacingError("The prompt is empty: write something for the models to answer.")
    scored = (*tokens.ids, *tokens.closing)
    if not scored:
        raise UserFacingError("The response is empty and nothing ends it: write something.")
    ids = np.fromiter((*tokens.context, *scored), dtype=np.int64)
    return pair.tree.extend(pair.root(len(ids)), ids), len(tokens.context)


def _note(pair: Pair, tokens: Tokens, length: int) -> str:
    """Return what to tell the user of a scored text of ``length`` tokens, prompt included."""
    said = []
    if forced := tokens.forced.count(True):
        many = "1 token is" if forced == 1 else f"{forced} tokens are"
        said.append(
            f"{many} not how the tokenizer would split this text; they are scored as shown."
        )
    if pair.depends_on_length:
        said.append(
            f"This model's rotary factors depend on the length of a text; these numbers are with "
            f"those for {length} tokens."
        )
    if pair.outside:
        said.append(
            f"The policy has {pair.widths[0]:,} tokens and the reference {pair.widths[1]:,}: each "
            f"log-prob is over its model's own, the divergences over those that both have; the "
            f"others had a probability of at most {pair.outside:.2g}."
        )
    return " ".join([*said, *(it.sentence for it in remarks(pair.codec, tokens))])


def inspect(
    pair: Pair,
    state: int,
    query: str = "",
    cancelled: Callable[[], bool] = never,
    most: int = TOP,
) -> Inspection:
    """Return the ``most`` likeliest tokens at a state under each model, and those that match
    ``query``.

    Raises:
        Cancelled: soon after ``cancelled()`` turns true.
    """
    logp = pair.logprobs(state, cancelled)
    likeliest = [
        _alternatives(pair, logp, torch.topk(row, min(most, len(row))).indices.tolist())
        for row in logp
    ]
    found = [id for id in pair.codec.find(query, FOUND) if id < pair.shared] if query else []
    by_reference = () if pair.alone else likeliest[1]
    return Inspection(state, likeliest[0], by_reference, _alternatives(pair, logp, found))


def survey(pair: Pair, state: int, cancelled: Callable[[], bool] = never) -> StateActions:
    """Return all actions at a state, and those that the training promoted and demoted most.

    Raises:
        Cancelled: soon after ``cancelled()`` turns true.
    """
    logp = pair.logprobs(state, cancelled)
    if pair.alone:
        return StateActions(state, logp[0].float().cpu().numpy(), None, (), ())
    policy, reference = logp.float().cpu().numpy()
    promoted, demoted = (_alternatives(pair, logp, ids) for ids in extremes(policy, reference, TOP))
    return StateActions(state, policy, reference, promoted, demoted)


def _alternatives(pair: Pair, logp: torch.Tensor, ids: list[int]) -> tuple[Alternative, ...]:
    """Return the records of some tokens at a state by all tokens' log-probs there, [2, V], or
    [1, V] of the policy alone."""
    if not ids:
        return ()
    chosen = logp[:, ids]
    ranks = ((logp[:, None, :] > chosen[:, :, None]).sum(-1) + 1).tolist()
    values = chosen.tolist()
    return tuple(
        Alternative(
            id=id,
            label=pair.codec.label(id),
            text=pair.codec.piece(id).decode("utf-8", errors="replace"),
            logp_policy=values[0][i],
            logp_reference=None if pair.alone else values[1][i],
            rank_policy=ranks[0][i],
            rank_reference=None if pair.alone else ranks[1][i],
        )
        for i, id in enumerate(ids)
    )
