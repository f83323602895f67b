"""Whether Qscope's numbers of a model are the model's own, or what it says instead is true.

The truth of a text is one forward of the freshly loaded model (with PEFT's adapter over it) on
the whole of it, the closing token included: no cache, the model's own attention. Qscope is asked
through what its window uses: a pair is loaded from folders, responses are scored, a search is
run. Knows nothing of how models are built (zoo) or of processes and tables (__main__).
"""

import random
import re
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.search.grown import GrownTree
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.text import Prompt
from tests.architectures import zoo
from tests.tiny import CORPUS

EXACT = 5e-5
"""Nats by which a log-prob may differ in float32: other orders of the same sums. Or four times as
much as the model's own float32 forward differs from its float64 one, where that is more: both that
forward and Qscope's round, each in its own order."""
APART = 1e-3
"""Nats from which two forwards of a model are said to differ by more than rounding."""
WIDTH, STEPS = 4, 24
WORDS = 90
"""Of a text: some 150 tokens, many windows long. The long text crosses what is run at once."""
PROMPT = Prompt.of("Summarise this post in one sentence.")
LORA_RANK, LORA_SCALE = 4, 0.3

RAW = re.compile(
    r"unexpected|fault|Traceback|\b[A-Z]\w*(Error|Exception)\b|NoneType|object has no attribute",
    re.IGNORECASE,
)
"""What no sentence for people says."""
FALSE = re.compile(
    r"\black|damaged|incomplete|download|does not fit|could not be loaded|not a causal|\bNaN\b",
    re.IGNORECASE,
)
"""What no refusal can rightly say of a whole checkpoint that transformers loads and runs."""


@dataclass
class Verdict:
    """What came of a family.

    ``verdict``: "exact", "refused", "WRONG", "fault", or "no truth" where transformers itself
    cannot build it. ``error``: the largest difference of a log-prob, in nats. ``parts``:
    for "score", "edits", "search", "LoRA" and "LoRA search" the same word, or what stood in the
    way.
    """

    name: str
    verdict: str = ""
    way: str = ""
    error: float = 0.0
    remark: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class _NoTruthError(Exception):
    """Transformers or PEFT give no numbers to compare with."""


class Truth:
    """A freshly loaded model's log-probs of whole texts."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._model = load().eval()
        self._fresh = [
            (module, dict(vars(module)), _clones(module._buffers))
            for module in self._model.modules()
        ]
        self._known: dict[tuple[int, ...], Any] = {}

    def logp(self, ids: tuple[int, ...]) -> Any:
        """Log-probs after each token of a text, float64 [T, V]."""
        import torch

        if ids not in self._known:
            self._forget()
            with torch.no_grad():
                logits = self._model(input_ids=torch.tensor([ids]), use_cache=False).logits
            if logits.shape[:2] != (1, len(ids)):
                raise _NoTruthError(f"its logits have the shape {tuple(logits.shape)}")
            if not logits.isfinite().all():
                raise _NoTruthError("its own forward gives NaN or infinite logits")
            self._known[ids] = logits[0].double().log_softmax(-1)
        return self._known[ids]

    def rounding(self, ids: tuple[int, ...]) -> float:
        """How far float32 is from float64 on a text; 0 where the model cannot be run so."""
        import torch

        model = self._load().double().eval()
        model.set_experts_implementation("eager")  # the fast ones know no float64
        try:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits
        except Exception:
            return 0.0
        return _apart(self.logp(ids), logits[0].log_softmax(-1))

    def _forget(self) -> None:
        """Undo what a forward leaves behind, as rotary embeddings do that follow the length."""
        for module, attributes, buffers in self._fresh:
            vars(module).clear()
            vars(module).update(attributes)
            module._buffers = _clones(buffers)


def _clones(buffers: dict[str, Any]) -> dict[str, Any]:
    return {name: None if it is None else it.clone() for name, it in buffers.items()}


Truths = tuple[Truth, Truth]
"""Of the policy and of the reference."""


def judge(name: str, folder: Path) -> Verdict:
    """Build a family or variant in ``folder`` and judge Qscope on it, with LoRA and without."""
    began = time.perf_counter()
    verdict = Verdict(name)
    try:
        folders = _saved(name, folder)
    except Exception as error:
        verdict.verdict, verdict.remark = "no truth", f"cannot be built: {_said(error)}"
    else:
        _judge_whole(verdict, folders)
        if verdict.verdict in ("exact", "WRONG"):
            _judge_lora(verdict, folders[0], folder)
    verdict.seconds = time.perf_counter() - began
    return verdict


def _judge_whole(verdict: Verdict, folders: tuple[Path, Path]) -> None:
    """Two whole models. Where no number can be true, a refusal must be."""
    try:
        truths = _truths(*(partial(_loaded, path) for path in folders))
        unjudged = "" if _is_causal(truths[0]) else "not causal: numbers know later tokens"
    except Exception as error:
        truths, unjudged = None, f"no plain forward: {_said(error)}"
    _judge_pair(verdict, folders, truths, "", unjudged)


def _judge_lora(verdict: Verdict, base: Path, folder: Path) -> None:
    """Two adapters over one base, if PEFT makes, saves and loads them."""
    try:
        adapters = _adapters(base, folder)
        truths = _truths(*(partial(_loaded, base, path) for path in adapters))
        short = tuple(range(5, 25))
        plain = Truth(partial(_loaded, base)).logp(short)
        if any(float((truth.logp(short) - plain).abs().max()) < APART for truth in truths):
            raise _NoTruthError("an adapter changes nothing once PEFT has loaded it")
    except Exception as error:
        verdict.parts["LoRA"] = f"no truth: {_said(error)}"
        return
    _judge_pair(verdict, adapters, truths, "LoRA ", "")


def _judge_pair(
    verdict: Verdict,
    folders: tuple[Path, Path],
    truths: Truths | None,
    prefix: str,
    unjudged: str,
) -> None:
    """Load a pair and judge each part; writes what came of it into ``verdict``.

    Args:
        truths: None where transformers itself gives no numbers.
        unjudged: why no number of this model is right.
    """
    part = f"{prefix}score"
    try:
        pair, info = _pair(folders)
        if prefix == "":
            verdict.way = info.cache
        elif info.cache != verdict.way:
            verdict.parts["LoRA way"] = info.cache
        if unjudged:
            _text_error(pair, None, " ".join(_words(WORDS, seed=0)))
            _worsen(verdict, "WRONG", f"scored, though {unjudged}")
            return
        margin = EXACT
        if truths is not None:
            margin = max(EXACT, min(APART, *(4 * t.rounding(_numbers(600)) for t in truths)))
        asked = {"score": _score_error, "edits": _edits_error, "search": _search_error}
        for name, ask in asked.items():
            part = f"{prefix}{name}"
            error = ask(pair, truths)
            verdict.error = max(verdict.error, error)
            right = error <= margin
            verdict.parts[part] = "exact" if right else f"WRONG by {error:.2g}"
            if not right:
                _worsen(verdict, "WRONG", f"{part} off by {error:.2g}")
        _worsen(verdict, "exact", "")
    except UserFacingError as error:
        said = str(error).replace(f"{folders[0].parent}/", "")
        true = _is_one_true_sentence(said, can=not unjudged)
        verdict.parts[part] = f"refused: {said}"
        _worsen(verdict, "refused" if true else "fault", ("" if true else "falsely: ") + said)
    except Exception as error:
        verdict.parts[part] = f"fault: {_said(error)}"
        _worsen(verdict, "fault", f"{part}: {_said(error)}")


def _truths(policy: Callable[[], Any], reference: Callable[[], Any]) -> Truths:
    """Both models' truths, tried on a few tokens."""
    truths = Truth(policy), Truth(reference)
    for truth in truths:
        truth.logp((5, 6, 7))
    return truths


ORDER = ("", "exact", "refused", "fault", "WRONG")
"""Of verdicts, the worst last."""


def _worsen(verdict: Verdict, word: str, remark: str) -> None:
    if ORDER.index(word) > ORDER.index(verdict.verdict):
        verdict.verdict, verdict.remark = word, remark


# --- what is asked ------------------------------------------------------------------------------


def _score_error(pair: Any, truths: Truths) -> float:
    """Of a fresh text many windows long."""
    return _text_error(pair, truths, " ".join(_words(WORDS, seed=0)))


def _edits_error(pair: Any, truths: Truths) -> float:
    return max(_text_error(pair, truths, text) for text in _edited())


def _edited() -> Iterator[str]:
    """Texts, each an edit of the one before it: everywhere, to and fro, long and short."""
    chance = random.Random(0)
    words = _words(WORDS, seed=0)
    first = list(words)
    words[len(words) // 2] = "harbour"
    yield " ".join(words)
    words[-1:] = ["flat", "salary"]
    yield " ".join(words)
    words[0] = "poster"
    yield " ".join(words)
    yield " ".join(first)
    for _ in range(3):
        at = chance.randrange(len(words))
        words[at : at + chance.randrange(4)] = _words(chance.randrange(4), chance.random())
        yield " ".join(words)
    yield " ".join(words[:5])
    yield " ".join(first + _words(4 * WORDS, seed=2))
    yield " ".join(words)


def _words(count: int, seed: float) -> list[str]:
    chance = random.Random(seed)
    known = " ".join(CORPUS).split()
    return [chance.choice(known) for _ in range(count)]


def _text_error(pair: Any, truths: Truths | None, text: str) -> float:
    """The largest difference of a text's log-probs, of both models; 0 without a truth."""
    import torch

    from core.models.score import score

    found = score(pair, PROMPT, pair.codec.encode(PROMPT, text), hold="A")
    before = found.tokens.context
    ids = torch.from_numpy(found.ids)
    worst = 0.0
    if truths is None:
        return worst
    for truth, ours in zip(truths, (found.logp_policy, found.logp_reference), strict=True):
        states = truth.logp((*before, *map(int, ids)))[len(before) - 1 : -1]
        taken = states.gather(-1, ids[:, None])[:, 0]
        worst = max(worst, _apart(torch.from_numpy(ours), taken))
    return worst


def _search_error(pair: Any, truths: Truths) -> float:
    """Of every edge that a beam search looked at, and of its best hypothesis scored as a text.

    A search may run on to its longest allowed path, so that is the length whose truth is taken:
    where a model's numbers do not depend on the length, what follows a token changes nothing.
    """
    import torch

    from core.search.run import Run

    spec = SearchSpec(Beam(WIDTH), max_tokens=STEPS)
    run, tree = Run(pair, PROMPT, (), spec), GrownTree()
    while (growth := run.step()) is not None:
        tree.add(growth)
    before = pair.codec.prompt_ids(PROMPT)
    children: dict[int, list[int]] = {}
    for entry in range(1, len(tree)):
        children.setdefault(int(tree.parent[entry]), []).append(entry)
    inner = {int(tree.parent[entry]) for entry in children if entry}
    worst = 0.0
    for leaf in (entry for entry in children if entry not in inner):
        own = (*before, *tree.ids(leaf))
        whole = (own + (3,) * STEPS)[: len(before) + STEPS]
        for truth, name in zip(truths, ("logp_policy", "logp_reference"), strict=True):
            states = truth.logp(whole)
            for state in (0, *tree.path(leaf).tolist()):
                edges = children[state]
                logp = states[len(before) - 1 + int(tree.depth[state])]
                ours = torch.from_numpy(tree.column(name)[edges])
                worst = max(worst, _apart(ours, logp[tree.token[edges]]))
    best = tree.hypotheses(spec)[0]
    return max(worst, _text_error(pair, truths, best.text))


def _apart(ours: Any, theirs: Any) -> float:
    """The largest difference; infinite where ours has no number."""
    worst = float((ours - theirs).abs().max()) if len(ours) else 0.0
    return worst if worst == worst else float("inf")


def _is_causal(truth: Truth) -> bool:
    """Whether what follows a token leaves the numbers before it as they were."""
    first = _numbers(120)
    other = first[:70] + first[69:19:-1]
    return float((truth.logp(first)[:70] - truth.logp(other)[:70]).abs().max()) < APART


def _numbers(count: int) -> tuple[int, ...]:
    """Random ids of ordinary tokens."""
    chance = random.Random(1)
    return tuple(chance.randrange(5, 400) for _ in range(count))


# --- what is loaded -----------------------------------------------------------------------------


def _saved(name: str, folder: Path) -> tuple[Path, Path]:
    policy, reference = (
        zoo.save(name, folder / part, seed) for seed, part in enumerate(("policy", "reference"))
    )
    return policy, reference


def _loaded(model: Path, adapter: Path | None = None) -> Any:
    """What transformers, and PEFT, load from folders."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    return loaded if adapter is None else PeftModel.from_pretrained(loaded, str(adapter))


def _adapters(base: Path, folder: Path) -> tuple[Path, Path]:
    """Two adapters of random factors on every linear layer of a saved model."""
    import torch
    from peft import LoraConfig, get_peft_model

    def wrapped(**more: Any) -> Any:
        config = LoraConfig(
            r=LORA_RANK,
            lora_alpha=LORA_RANK,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            **more,
        )
        return get_peft_model(_loaded(base), config)

    found = []
    for seed, name in enumerate(("policy_adapter", "reference_adapter")):
        try:
            model = wrapped()
        except ValueError:  # layers that PEFT knows to be read past their own forward
            model = wrapped(exclude_modules=["out_proj", "conv1d"])
        chance = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for part, parameter in model.named_parameters():
                if "lora_" in part:
                    scale = LORA_SCALE * max(parameter.shape[-1], 1) ** -0.5
                    parameter.copy_(torch.randn(parameter.shape, generator=chance) * scale)
        model.peft_config["default"].base_model_name_or_path = str(base)
        model.save_pretrained(folder / name)
        found.append(folder / name)
    return found[0], found[1]


def _pair(folders: tuple[Path, Path]) -> tuple[Any, Any]:
    from core.models.load import load_pair

    policy, reference = map(str, folders)
    spec = PairSpec(policy=policy, reference=reference, device="cpu", dtype="float32")
    return load_pair(spec, lambda *_: None)


# --- what is said -------------------------------------------------------------------------------


def _is_one_true_sentence(said: str, can: bool) -> bool:
    """Whether a refusal may stand.

    ``can``: transformers loads the model and it gives causal numbers.
    """
    if RAW.search(said) or (can and FALSE.search(said)):
        return False
    return said.endswith(".") and "\n" not in said and not re.search(r"\.\s+[A-Z]", said)


def _said(error: Exception) -> str:
    """An exception in a line, with the place that raised it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}:{place.lineno})"
