"""What a stress run did, and what it found. Each stress is a module of this folder with

    def stress(room: Path, seed: int, more: Callable[[int], bool]) -> Report

``room`` is an empty folder of its own; ``more(done)`` says whether to go on after ``done`` steps;
the same seed takes the same steps. A fault is one line that names the step and how to do it again.
"""

from dataclasses import dataclass, field


@dataclass
class Report:
    """``done`` steps were taken; ``faults`` in words; ``figures`` by name, for the table."""

    done: int = 0
    faults: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
