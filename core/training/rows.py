"""Rows: a prompt with several responses to it, laid out as one tree of tokens.

All responses to one prompt share its tokens, and a rejected response shares with the chosen one the
tokens before the first that differs. A row holds each shared token once; a 4D mask lets every token
see its own ancestors only, and positions are depths, so the log-probs are those of separate
sequences at a fraction of the work. Knows nothing of trainers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.text import Prompt

if TYPE_CHECKING:
    import torch

    from core.codec import Codec


@dataclass(frozen=True, slots=True)
class Row:
    """One tree of tokens: the prompt's, then the branches'.

    ``parent[i] < i`` (−1 for the first); ``paths[k]``: the nodes of response k, its closing token
    last; ``pairs``: (chosen, rejected) as indices into ``paths``.
    """

    ids: tuple[int, ...]
    parent: tuple[int, ...]
    prompt: int
    paths: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int], ...]

    def as_example(self) -> dict[str, Any]:
        """Return the row as an example of a dataset."""
        return {
            "input_ids": list(self.ids),
            "parent": list(self.parent),
            "prompt": self.prompt,
            "paths": [list(path) for path in self.paths],
            "pairs": [list(pair) for pair in self.pairs],
        }


def make_row(
    codec: "Codec",
    prompt: str,
    texts: Sequence[str],
    pairs: Sequence[tuple[int, int]] = (),
) -> Row:
    """Lay out the responses ``texts`` to one user turn as one tree, as the codec reads them."""
    asked = Prompt.of(prompt)
    ids = list(codec.prompt_ids(asked))
    parent = list(range(-1, len(ids) - 1))
    start = len(ids)
    known: dict[tuple[int, int], int] = {}
    paths = []
    for text in texts:
        node, path = start - 1, []
        for token in (*codec.encode(asked, text).ids, codec.end_of_turn):
            child = known.get((node, token))
            if child is None:
                child = known[node, token] = len(ids)
                ids.append(token)
                parent.append(node)
            path.append(child)
            node = child
        paths.append(tuple(path))
    return Row(tuple(ids), tuple(parent), start, tuple(paths), tuple(pairs))


def row_of_pairs(
    codec: "Codec", prompt: str, pairs: Sequence[tuple[str, str]], across: int = 0
) -> Row:
    """Lay out pairs of a chosen and a rejected response to one prompt as one tree.

    Each rejected response is paired with its own chosen one and with ``across`` of the others, so
    that wording that is merely different earns neither credit nor blame.
    """
    chosen = list(dict.fromkeys(ours for ours, _ in pairs))
    texts = list(dict.fromkeys(chosen + [theirs for _, theirs in pairs]))
    place = {text: index for index, text in enumerate(texts)}
    couples: dict[tuple[int, int], None] = {}
    for number, (ours, theirs) in enumerate(pairs):
        couples[place[ours], place[theirs]] = None
        others = [text for text in chosen if text != ours]
        for step in range(min(across, len(others))):
            other = others[(number + step) % len(others)]
            couples[place[other], place[theirs]] = None
    return make_row(codec, prompt, texts, tuple(couples))


def collate(examples: Sequence[dict[str, Any]], pad: int) -> dict[str, "torch.Tensor"]:
    """Pad rows into one batch.

    Returns:
        ``input_ids``, ``position_ids`` [B, L] int64; ``attention_mask`` [B, 1, L, L] bool;
        ``target`` [N, 2] (row, node) of every response token of the batch; ``source`` [N, 2]
        (row, node) of its parent; ``response`` [M, 2] (response, index into target) for every
        token of every response; ``pairs`` [P, 2] response numbers, chosen first.
    """
    import torch

    length = max(len(example["input_ids"]) for example in examples)
    ids = torch.full((len(examples), length), pad)
    depth = torch.zeros((len(examples), length), dtype=torch.long)
    mask = torch.eye(length, dtype=torch.bool).repeat(len(examples), 1, 1)
    target: list[tuple[int, int]] = []
    source: list[tuple[int, int]] = []
    response: list[tuple[int, int]] = []
    pairs: list[tuple[int, int]] = []
    first = 0
    for number, example in enumerate(examples):
        parent, prompt = example["parent"], example["prompt"]
        ids[number, : len(parent)] = torch.tensor(example["input_ids"])
        mask[number, :prompt, :prompt] = torch.ones(prompt, prompt).tril().bool()
        depth[number, :prompt] = torch.arange(prompt)
        offset = len(target) - prompt
        for node in range(prompt, len(parent)):
            mask[number, node] |= mask[number, parent[node]]
            depth[number, node] = depth[number, parent[node]] + 1
            target.append((number, node))
            source.append((number, parent[node]))
        for index, path in enumerate(example["paths"]):
            response += [(first + index, offset + node) for node in path]
        pairs += [(first + a, first + b) for a, b in example["pairs"]]
        first += len(example["paths"])
    return {
        "input_ids": ids,
        "position_ids": depth,
        "attention_mask": mask[:, None],
        "target": torch.tensor(target),
        "source": torch.tensor(source),
        "response": torch.tensor(response),
        "pairs": torch.tensor(pairs).reshape(-1, 2),
    }


def vocabulary_logits(model: Any, batch: dict[str, Any]) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the logits at the parents of response tokens, where the vocabulary is scored.

    Returns:
        [U, V] float32 logits, one row for each distinct parent; [N] int64, for each response
        token (in the order of ``target``) the row of its parent.
    """
    import torch

    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    source, inverse = torch.unique(batch["source"], dim=0, return_inverse=True)
    first = int(source[:, 1].min())
    hidden_from = torch.where(batch["attention_mask"], 0.0, torch.finfo(causal.dtype).min)
    logits = causal(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        attention_mask=hidden_from.to(causal.dtype),  # eager attention would add a boolean one
        use_cache=False,
        logits_to_keep=batch["input_ids"].shape[1] - first,
    ).logits
    return logits[source[:, 0], source[:, 1] - first].float(), inverse


def token_logps(
    logits: "torch.Tensor", inverse: "torch.Tensor", batch: dict[str, Any]
) -> "torch.Tensor":
    """Return log π of every response token of a batch, [N] float32, in the order of ``target``."""
    import torch

    total = torch.logsumexp(logits, dim=-1)
    token = batch["input_ids"][batch["target"][:, 0], batch["target"][:, 1]]
    logps: torch.Tensor = logits[inverse, token] - total[inverse]
    return logps


def response_sums(values: "torch.Tensor", batch: dict[str, Any]) -> "torch.Tensor":
    """Sum what tokens have into one number for each response (Eq. 8 sums; it never averages)."""
    count = int(batch["response"][:, 0].max()) + 1
    which, index = batch["response"].unbind(1)
    return values.new_zeros(count).index_add(0, which, values[index])
