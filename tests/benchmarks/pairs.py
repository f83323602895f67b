"""What the benchmarks need to do to a loaded pair beyond asking it, all in one place."""

from typing import Any


def forget(pair: Any) -> None:
    """Let go of what was computed, numbers and KV: the next text is new to the pair."""
    pair.forget()


def weights(pair: Any) -> list[Any]:
    """Every tensor that the pair's models are made of, those that are shared once."""
    found: dict[int, Any] = {}
    for lane in pair.lanes:
        for tensor in (*lane.model.parameters(), *lane.model.buffers()):
            found.setdefault(tensor.data_ptr(), tensor)
    return list(found.values())
