"""What a search is: its strategy, objective and limits, as frozen records.

The window and the command line name them before torch is loaded. Log-probs are in nats. Knows
nothing of models or widgets; what a search does is its strategy's business.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Objective:
    """What a search adds up, as weights of the models' log-probs:

    score(y) = Σ_t policy·log π(a_t|s_t) + reference·log π_ref(a_t|s_t) + base·log π_base(a_t|s_t)
    """

    policy: float = 1.0
    reference: float = 0.0
    base: float = 0.0

    @classmethod
    def dial(cls, weight: float) -> "Objective":
        """score(y) = Σ_t [log π_ref + (λ/β) r_t] with λ = ``weight``.

        0: reference likelihood; 1: policy likelihood, which is reward less KL cost (Eqs. 12, 13);
        above 1: extrapolated (decoding-time realignment).
        """
        return cls(policy=weight, reference=1.0 - weight)

    @classmethod
    def reward(cls) -> "Objective":
        """Σ_t r_t / β alone: λ without bound, unregularised, so it over-optimises."""
        return cls(policy=1.0, reference=-1.0)

    @classmethod
    def emulated(cls, weight: float) -> "Objective":
        """Emulated fine-tuning (Eqs. 14, 15): Σ_t [log π_base + weight · r_t / β]."""
        return cls(policy=weight, reference=-weight, base=1.0)

    @property
    def policy_alone(self) -> bool:
        """Whether neither the reference nor a base is needed to search."""
        return not self.reference and not self.base


@dataclass(frozen=True, slots=True)
class Beam:
    """Beam search: of all continuations, the ``width`` best go on at each step."""

    width: int = 5


@dataclass(frozen=True, slots=True)
class DiverseBeam:
    """Diverse beam search (arXiv 1610.02424): groups of beams, each kept from the tokens that the
    groups before it chose at that step by ``diversity`` nats for each time."""

    width: int = 6
    groups: int = 3
    diversity: float = 1.0


@dataclass(frozen=True, slots=True)
class StochasticBeam:
    """Stochastic beam search (arXiv 1903.06059): ``width`` samples without replacement."""

    width: int = 5
    temperature: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class BestFirst:
    """Best-first search: the open state of the highest score is expanded next.

    ``expansions`` bounds the states expanded (``batch`` of them in one forward), ``children`` the
    continuations that each of them opens. ``optimism``: nats a token by which an open state may
    hope to do better than its score says, times the tokens it has left (A* with a constant bound;
    0: uniform-cost search, whose first finished hypothesis is the best where log-probs are summed).
    """

    expansions: int = 200
    children: int = 8
    batch: int = 4
    optimism: float = 0.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """``count`` responses sampled from softmax(score / temperature), the best of them first."""

    count: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TreeSearch:
    """Monte Carlo tree search: PUCT over the ``children`` likeliest tokens of each state.

    ``value``: how a leaf is judged: its "gain" (the prefix value gain, Eq. 10), or a "rollout" of
    up to ``rollout`` sampled tokens.
    """

    simulations: int = 200
    children: int = 8
    exploration: float = 1.5
    value: str = "gain"
    rollout: int = 16
    temperature: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ChunkBeam:
    """Chunk-level beam search (weak-to-strong search, arXiv 2405.19262): from each of ``width``
    beams, ``samples`` chunks of ``chunk`` tokens are sampled; the best ``width`` go on."""

    width: int = 3
    samples: int = 4
    chunk: int = 5
    temperature: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """A path of tokens put there by hand: a response to compare with, a forced token."""

    tokens: tuple[int, ...] = ()
    closed: bool = False
    """Whether the response ends there: the closing token follows."""


Strategy = (
    Beam | DiverseBeam | StochasticBeam | BestFirst | Sampling | TreeSearch | ChunkBeam | Given
)


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """One search. ``max_tokens`` counts from its start, the closing token included.

    ``length_penalty``: finished hypotheses are ranked by score / length ** length_penalty (0: the
    sum; 1: the mean), the convention of Hugging Face's ``generate``.
    """

    strategy: Strategy
    objective: Objective = field(default_factory=Objective)
    max_tokens: int = 64
    length_penalty: float = 0.0
    policy_only: bool = False
    """Leave the reference out, where the objective is the policy's likelihood: faster, but no
    rewards are known."""
