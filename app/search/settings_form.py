"""What can be chosen of a search: the strategies' settings, what they mean, and what is refused.

One table of fields per strategy, from which the form is made; one function that says in a sentence
why a search makes no sense. Knows the records of core.search.spec; knows nothing of widgets.
"""

from dataclasses import dataclass

from core.search.spec import (
    Beam,
    BestFirst,
    ChunkBeam,
    DiverseBeam,
    Given,
    Objective,
    Sampling,
    SearchSpec,
    StochasticBeam,
    Strategy,
    TreeSearch,
)

MOST = 1_000_000
MOST_TOKENS = 100_000
WIDEST = 512
FARTHEST_DIAL = 3.0
MOST_DIAL = 20.0


@dataclass(frozen=True, slots=True)
class Field:
    """One number, or one word of ``words``, of a strategy; ``name`` is the record's."""

    name: str
    title: str
    tip: str
    decimals: int = 0
    words: tuple[str, ...] = ()


_TEMPERATURE = Field(
    "temperature", "Temperature", "Samples come from softmax(score / temperature)", 2
)
_SEED = Field("seed", "Seed", "The same seed and settings give the same samples again")
_CHILDREN = Field("children", "Children", "Continuations that each expanded state opens")


@dataclass(frozen=True, slots=True)
class Kind:
    """A strategy as it can be chosen."""

    kind: type[Strategy]
    title: str
    meaning: str
    fields: tuple[Field, ...]


KINDS: tuple[Kind, ...] = (
    Kind(
        Beam,
        "Beam search",
        "Of all continuations, the best few go on at each step",
        (Field("width", "Width", "Hypotheses that go on at each step"),),
    ),
    Kind(
        DiverseBeam,
        "Diverse beam search",
        "Groups of beams, each kept from what the groups before it chose",
        (
            Field("width", "Width", "Hypotheses that go on at each step, of all groups together"),
            Field("groups", "Groups", "The width is divided among so many groups"),
            Field("diversity", "Diversity", "Nats by which a token chosen before is made worse", 2),
        ),
    ),
    Kind(
        StochasticBeam,
        "Stochastic beam search",
        "Samples without replacement: every hypothesis is another one",
        (Field("width", "Width", "Samples that go on at each step"), _TEMPERATURE, _SEED),
    ),
    Kind(
        BestFirst,
        "Best-first search",
        "The open state of the highest score is expanded next",
        (
            Field("expansions", "Expansions", "States that are expanded at most"),
            _CHILDREN,
            Field("batch", "At once", "States expanded in one go: more is faster, fewer is exact"),
            Field(
                "optimism",
                "Optimism",
                "Nats that an open state may hope for with each token it has left (A*); 0: "
                "uniform-cost search",
                2,
            ),
        ),
    ),
    Kind(
        Sampling,
        "Sampling",
        "Responses drawn at random, the best of them first",
        (
            Field("count", "Samples", "How many responses to draw"),
            _TEMPERATURE,
            Field("top_p", "Top p", "Draw from the likeliest tokens that make up this much", 2),
            Field("min_p", "Min p", "Leave out tokens less likely than this share of the best", 2),
            _SEED,
        ),
    ),
    Kind(
        TreeSearch,
        "Monte Carlo tree search",
        "Walks that balance what has paid off against what was hardly tried (PUCT)",
        (
            Field("simulations", "Simulations", "Walks from the start, one leaf each"),
            _CHILDREN,
            Field("exploration", "Exploration", "How much the untried counts against the good", 2),
            Field(
                "value",
                "Leaf value",
                "gain: the prefix value gain (Eq. 10); rollout: a sampled continuation's score",
                words=("gain", "rollout"),
            ),
            Field("rollout", "Rollout", "Tokens sampled from a leaf to judge it"),
            _TEMPERATURE,
            _SEED,
        ),
    ),
    Kind(
        ChunkBeam,
        "Chunk-level beam search",
        "Chunks of tokens are sampled, and the best go on (weak-to-strong search)",
        (
            Field("width", "Width", "Hypotheses that go on after each chunk"),
            Field("samples", "Samples", "Chunks sampled from each hypothesis"),
            Field("chunk", "Chunk", "Tokens of a chunk"),
            _TEMPERATURE,
            _SEED,
        ),
    ),
)
BY_NAME = {kind.kind.__name__: kind for kind in KINDS}


def objection(spec: SearchSpec) -> str:
    """Why a search makes no sense, in a sentence that says what to do; "" where it does."""
    if spec.max_tokens < 1:
        return "A response needs room: set the most tokens to at least 1."
    if spec.max_tokens > MOST_TOKENS:
        return f"No model reads {spec.max_tokens:,} tokens: set the most tokens lower."
    if spec.objective != Objective.reward() and not 0 <= spec.objective.policy <= MOST_DIAL:
        return f"λ must lie between 0 and {MOST_DIAL:g}; beyond that, tick “Reward alone”."
    if not 0 <= spec.length_penalty <= 5:
        return "The length penalty must lie between 0 (the sum) and 5; 1 is the mean."
    return _strategy_objection(spec.strategy)


def _strategy_objection(strategy: Strategy) -> str:
    """The same of the strategy's own settings."""
    kind = BY_NAME.get(type(strategy).__name__)
    for field in kind.fields if kind else ():
        value = getattr(strategy, field.name)
        counted = not field.decimals and not field.words and field.name != "seed"
        if counted and value < 1:
            return f"{field.title} must be at least 1: with {value} there is nothing to search."
        if field.name in ("width", "children", "count", "samples", "batch") and value > WIDEST:
            return f"{field.title} may be at most {WIDEST}: {value:,} would not fit any memory."
        if counted and value > MOST:
            return f"{field.title} may be at most {MOST:,}."
        if field.name == "temperature" and value <= 0:
            return "The temperature must be above 0; beam search of width 1 is the greedy choice."
        if field.decimals and value < 0:
            return f"{field.title} must not be below 0."
    match strategy:
        case DiverseBeam(width, groups, _) if width % groups:
            return (
                f"{groups} groups cannot share a width of {width} evenly: make the width a "
                f"multiple of the groups."
            )
        case Sampling(top_p=top_p) if not 0 < top_p <= 1:
            return "Top p must lie above 0 and be at most 1 (1 leaves nothing out)."
        case Sampling(min_p=min_p) if min_p >= 1:
            return "Min p must be below 1, or nothing is left to draw from."
        case Given(tokens=()) if not strategy.closed:
            return "There is no token to put in place."
    return ""


def named(spec: SearchSpec) -> str:
    """A search in a few words: strategy, first setting, objective."""
    kind = BY_NAME.get(type(spec.strategy).__name__)
    if kind is None:
        return "Given tokens"
    first = kind.fields[0]
    value = getattr(spec.strategy, first.name)
    return f"{kind.title}, {first.title.lower()} {value} · {dial_name(spec.objective)}"


def dial_name(objective: Objective) -> str:
    """The objective as its place on the dial."""
    if objective.base:
        return f"emulated, λ = {objective.policy:.3g}"
    if objective == Objective.reward():
        return "reward alone"
    return f"λ = {objective.policy:.3g}"


EMULATED = (
    "Emulated fine-tuning: the larger model's likelihood, plus λ times what the pair was taught. λ "
    "is a weight of decoding, not the β of the training."
)


def dial_words(weight: float | None) -> str:
    """What a place on the dial means; None: the reward alone."""
    if weight is None:
        return (
            "Σ r alone, with nothing that holds it to the reference: it over-optimises, and finds "
            "text that no reader would like."
        )
    if weight == 0:
        return "The reference's own likeliest text: the reward counts for nothing."
    if weight < 1:
        return "Between reference and policy: less reward, nearer to π_ref than DPO went."
    if weight == 1:
        return "The policy's likelihood, which is reward less its KL cost: what DPO trained for."
    warning = " So far out it may over-optimise." if weight > 2 else ""
    return (
        "Extrapolated: more reward than the training asked for, at a smaller β in effect "
        "(decoding-time realignment)." + warning
    )
