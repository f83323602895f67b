"""Where a tree begins. A record; knows nothing else."""

from dataclasses import dataclass

from core.text import Prompt


@dataclass(frozen=True)
class Start:
    """Where a tree begins: a prompt, the first tokens of a response, and the rest of it."""

    prompt: Prompt
    prefix: tuple[int, ...] = ()
    pieces: tuple[bytes, ...] = ()
    given: tuple[int, ...] | None = None
    """The tokens that the response goes on with; None: there is no response."""
    name: str = "the prompt"
    context: tuple[int, ...] = ()
    """The ids before the prefix, where they are not just the prompt's."""
