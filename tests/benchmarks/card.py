"""What a GPU does during a piece of work: how long it is busy, what is launched, how much it holds.

Where there is no GPU the same questions are answered for the CPU as far as they can be, so that all
of it can be rehearsed.
"""

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from tests.benchmarks.memory import peak_mb

MARK = "the work that is observed"


def synchronise() -> None:
    """Wait until the GPU has done all that was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def milliseconds(work: Callable[[], Any], times: int, warm: int = 1) -> float:
    """Median wall time of some work, the GPU's end of it included, after ``warm`` runs."""
    taken = [once(work) for _ in range(warm + times)]
    return statistics.median(taken[warm:])


def once(work: Callable[[], Any]) -> float:
    """Wall time of one run in milliseconds, the GPU's end of it included."""
    synchronise()
    began = time.perf_counter()
    work()
    synchronise()
    return 1e3 * (time.perf_counter() - began)


def held() -> int:
    """Bytes that tensors hold on the GPU, after what nobody needs was let go."""
    gc.collect()
    if not torch.cuda.is_available():
        return 0
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()


def peak(work: Callable[[], Any], base: int) -> float:
    """The most bytes that tensors held on the GPU during some work, over ``base``.

    On a CPU: what the process took more than before, 0 where that is not known.
    """
    if not torch.cuda.is_available():
        return (peak_mb(work) or 0.0) * 2**20
    torch.cuda.reset_peak_memory_stats()
    work()
    synchronise()
    return torch.cuda.max_memory_allocated() - base


def observe(work: Callable[[], Any], times: int = 3) -> dict[str, float]:
    """What one run of some work has the GPU do, by torch's profiler.

    Returns:
        Milliseconds in which the GPU was busy; launches of single kernels and of captured graphs,
        waits for the GPU, copies; and operators that torch was asked for, those that an operator
        calls itself left out. All for one run, the mean of ``times``.
    """
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    work()
    synchronise()
    with profile(activities=activities, acc_events=True) as seen:
        for _ in range(times):
            with record_function(MARK):
                work()
        synchronise()
    found = tally(list(seen.events() or ()))
    return {what: value / times for what, value in found.items()}


def tally(events: list[Any]) -> dict[str, float]:
    """What a profiler's events say of the runs that are marked by MARK, all together."""
    on_host = [event for event in events if event.device_type == DeviceType.CPU]
    runs = [event.time_range for event in on_host if event.name == MARK]
    within = [
        event
        for event in on_host
        if any(run.start <= event.time_range.start <= run.end for run in runs)
    ]
    busy = [
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type != DeviceType.CPU and not _is_span(event)
    ]
    counts = {what: sum(map(is_one, within)) for what, is_one in HOST_EVENTS.items()}
    return {"busy, ms": covered(busy) / 1e3, **counts}


def _is_span(event: Any) -> bool:
    """Whether an event on the GPU is a span that the program named, idle time included."""
    return event.name == MARK or getattr(event, "is_user_annotation", False)


def covered(spans: list[tuple[float, float]]) -> float:
    """The length of the union of some spans of time: streams run beside each other."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _is_operator(event: Any) -> bool:
    parent = event.cpu_parent
    return event.name.startswith("aten::") and not (parent and parent.name.startswith("aten::"))


HOST_EVENTS: dict[str, Callable[[Any], bool]] = {
    "launches": lambda event: "LaunchKernel" in event.name,
    "graph launches": lambda event: "GraphLaunch" in event.name,
    "waits": lambda event: event.name.endswith("Synchronize"),
    "copies": lambda event: "emcpy" in event.name,
    "operators": _is_operator,
}
"""By the names of the calls of CUDA's (and HIP's) runtime and driver."""
