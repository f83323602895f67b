"""Makes the timers that wait until something has rested; knows nothing of what rests."""

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, SignalInstance


def single_shot(
    parent: QObject, slot: Callable[[], object] | SignalInstance, milliseconds: int = 0
) -> QTimer:
    """Return a timer that calls a slot, or emits a signal, once this long after its last start."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer
