"""Shows a colour scale's legend: what the colours mean, in numbers, and the choices about them.

A bar with the scale's ends and 0, the quantity and its unit, the limit as a number that can be set,
a lock for the range and a swap of the two colours. Knows the colour scale; knows nothing of what
the values are or of what they colour.
"""

from PySide6.QtCore import QPoint, QPointF, QRectF, QSignalBlocker, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from app.widgets.boxes import DoubleSpinBox
from app.widgets.colour_scale import ColourScale
from app.widgets.drawing import pack, painting, picture_of, smaller, translucent
from app.widgets.icons import IconButton
from app.widgets.layouts import as_tip, fill
from core.present.numerals import real_minus

_STEPS = (1.0, 2.0, 5.0)
NARROWEST = 100
"""Pixels of the bar and its numbers where there is little room."""


def shown_number(value: float) -> str:
    """Return a number as the legend writes it: at most four digits, with a real minus."""
    return real_minus(f"{value:.4g}")


class LimitBox(DoubleSpinBox):
    """A field for the scale's limit; its arrows go 0.1, 0.2, 0.5, 1, 2, 5 and so on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(4)
        self.setRange(0.0001, 100_000.0)
        self.setPrefix("± ")
        self.setKeyboardTracking(False)
        self.setAccessibleName("Colour scale limit")

    def textFromValue(self, value: float) -> str:
        return self.locale().toString(value, "g", 4)

    def stepBy(self, steps: int) -> None:
        for _ in range(abs(steps)):
            self.setValue(_next_nice(self.value(), up=steps > 0))


def _next_nice(value: float, *, up: bool) -> float:
    """Return the next number of the form 1, 2, 5 x 10^k above or below a value."""
    nice = [step * 10.0**power for power in range(-4, 6) for step in _STEPS]
    if up:
        return next((n for n in nice if n > value * 1.0001), value)
    return next((n for n in reversed(nice) if n < value * 0.9999), value)


class ScaleBar(QWidget):
    """The painted half of the legend: gradient, ends, 0 and the quantity's name."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale = ColourScale()
        self._quantity, self._unit = "", ""
        self._negative = False
        self.known = True
        self.note = ""
        """One more sentence for the tooltip."""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(NARROWEST)

    def show_scale(self, scale: ColourScale, quantity: str, unit: str, negative: bool) -> None:
        """Show a scale of a quantity in a unit.

        ``negative``: the scale is sequential and its values are never above 0.
        """
        self._scale, self._negative = scale, negative
        self._quantity, self._unit = quantity, unit
        self.setAccessibleName(f"Colours: {quantity}, {', '.join(self.ends())} {unit}")
        beyond = shown_number(scale.limit)
        sides = ""
        if scale.kind == "diverging":
            sides = "Blue" if not scale.swap else "Red"
            sides = f"{sides} is positive, {'blue' if scale.swap else 'red'} is negative. "
        self.setToolTip(
            as_tip(
                f"{quantity} in {unit}. {sides}Neutral at 0: a value of 0 has the editor's own "
                f"background. Values beyond {beyond} have the full colour; pale colours are stale, "
                f"dots under the text mean not scored. {self._noise()}{self.note}".rstrip()
            )
        )
        self.updateGeometry()
        self.update()

    def ends(self) -> tuple[str, str, str]:
        """Return the labels at the left end, in the middle ("" for none) and at the right end."""
        limit = self._scale.limit
        if self._scale.kind == "diverging":
            floor = self._scale.floor
            middle = f"0 ± {floor:.2g} noise" if floor else "0"
            return shown_number(-limit), middle, f"+{shown_number(limit)}"
        return "0", "", shown_number(-limit if self._negative else limit)

    def sizeHint(self) -> QSize:
        metrics = self._metrics()
        return QSize(max(240, metrics.horizontalAdvance(self._heading()) + 8), self._height())

    def minimumSizeHint(self) -> QSize:
        return QSize(NARROWEST, self._height())

    def _height(self) -> int:
        return 2 * self._metrics().height() + 2

    def _metrics(self) -> QFontMetrics:
        return QFontMetrics(smaller(self.font(), 1))

    def bar_rect(self) -> QRectF:
        """Return where the colours are: between the numbers at its ends, under the quantity."""
        metrics, (left, _, right) = self._metrics(), self.ends()
        room = max(metrics.horizontalAdvance(left), metrics.horizontalAdvance(right)) + 6
        middle = 1.5 * metrics.height() + 1
        return QRectF(room, middle - 4, max(self.width() - 2 * room, 20), 9)

    def _heading(self) -> str:
        return f"{self._quantity}  ({self._unit})" if self._unit else self._quantity

    def _noise(self) -> str:
        """Return what the tooltip says of the noise floor; "" without one."""
        if not self._scale.floor:
            return ""
        return (
            f"Values below ±{self._scale.floor:.2g}, the noise floor of the number format, have no "
            f"colour; the floor of a sum over several tokens is higher. "
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            text = self.palette().color(QPalette.ColorRole.WindowText)
            painter.setFont(smaller(self.font(), 1))
            metrics, wide, bar = self._metrics(), self.width(), self.bar_rect()
            painter.setPen(text)
            heading = metrics.elidedText(self._heading(), Qt.TextElideMode.ElideRight, wide)
            middle = (wide - metrics.horizontalAdvance(heading)) / 2
            painter.drawText(QPointF(middle, metrics.ascent()), heading)
            path = QPainterPath()
            path.addRoundedRect(bar, 3, 3)
            painter.setClipPath(path)
            painter.drawImage(bar, picture_of(pack(self._scale.palette)[None]))
            half = min(self._scale.floor / self._scale.limit, 1.0) * bar.width() / 2
            blank = QRectF(bar.center().x() - half, bar.top(), 2 * half, bar.height())
            painter.fillRect(blank, QColor(*self._scale.surface))
            painter.setClipping(False)
            outline = translucent(text, 110)
            painter.setPen(QPen(outline, 1))
            painter.drawPath(path)
            if self._scale.kind == "diverging":
                x = bar.center().x()
                painter.drawLine(QPointF(x, bar.top()), QPointF(x, bar.bottom()))
            if not self.known:
                return
            base = bar.center().y() + (metrics.ascent() - metrics.descent()) / 2
            left, _, right = self.ends()
            painter.setPen(text)
            painter.drawText(QPointF(bar.left() - 5 - metrics.horizontalAdvance(left), base), left)
            painter.drawText(QPointF(bar.right() + 5, base), right)


class Legend(QWidget):
    """The bar, and behind a button the limit, the fit, the lock and the swap.

    The signals say what the user chose; the owner answers with ``set_scale`` or ``set_locked``,
    which emit nothing. Typing a limit also locks the range, since it is then chosen.
    """

    locked_changed = Signal(bool)
    swap_changed = Signal(bool)
    limit_changed = Signal(float)
    fit_wanted = Signal()
    """Fit the limit to what is shown now."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale = ColourScale()
        self._quantity, self._unit, self._negative = "implicit reward", "nats × β", False
        self.bar = ScaleBar(self)
        self.more = IconButton(
            "more", "The colour range", "Set, fit or lock the colour range, or swap its colours"
        )
        self.choices = QFrame(self, Qt.WindowType.Popup)
        self.choices.setObjectName("popup")
        self.limit = LimitBox(self.choices)
        self.fit = QToolButton(self.choices)
        self.fit.setText("Fit")
        self.fit.setToolTip("Fit the range to the responses that are shown, once")
        self.lock = IconButton("unlock", "Lock the colour range")
        self.swap = IconButton("swap", "Swap colours")
        self.lock.setCheckable(True)
        self.swap.setCheckable(True)
        for button in (self.more, self.fit, self.lock, self.swap):
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.swap.setToolTip("Swap colours: red for positive, blue for negative values")
        parts = QLabel("Full colour at"), self.limit, self.fit, self.lock, self.swap
        fill(QHBoxLayout(self.choices), *parts, margins=(10, 8, 10, 8), spacing=6)
        row = fill(QHBoxLayout(self), (self.bar, 1), margins=(0, 0, 0, 0), spacing=4)
        row.addWidget(self.more, 0, Qt.AlignmentFlag.AlignVCenter)
        self.more.clicked.connect(self._show_choices)
        self.fit.clicked.connect(self.fit_wanted)
        self.limit.valueChanged.connect(self._limit_chosen)
        self.lock.toggled.connect(self._lock_toggled)
        self.swap.toggled.connect(self.swap_changed)
        self._show_lock()
        self._show()

    def scale(self) -> ColourScale:
        """Return the scale that is shown."""
        return self._scale

    def locked(self) -> bool:
        """Return whether the range stays as it is when values change."""
        return self.lock.isChecked()

    def set_scale(self, scale: ColourScale, *, negative: bool = False) -> None:
        """Show a scale; ``negative`` labels a sequential one of values at or below 0."""
        if (scale, negative) != (self._scale, self._negative):
            self._scale, self._negative = scale, negative
            self._show()

    def set_known(self, known: bool) -> None:
        """Say whether the limit is known yet; until then no numbers stand at the bar."""
        if known != self.bar.known:
            self.bar.known = known
            self.bar.update()

    def set_quantity(self, quantity: str, unit: str) -> None:
        """Say what the colours stand for, and in what unit."""
        self._quantity, self._unit = quantity, unit
        self._show()

    def set_note(self, note: str) -> None:
        """Put a sentence on how the range was found into the bar's tooltip; "" for none."""
        if note != self.bar.note:
            self.bar.note = note
            self._show()

    def set_locked(self, locked: bool) -> None:
        """Show the lock open or closed, without a signal."""
        if locked == self.lock.isChecked():
            return
        with QSignalBlocker(self.lock):
            self.lock.setChecked(locked)
        self._show_lock()

    def _show(self) -> None:
        self.bar.show_scale(self._scale, self._quantity, self._unit, self._negative)
        diverging = self._scale.kind == "diverging"
        with QSignalBlocker(self.limit), QSignalBlocker(self.swap):
            self.limit.setValue(self._scale.limit)
            self.limit.setPrefix("± " if diverging else "")
            self.swap.setChecked(self._scale.swap)
            self.swap.setEnabled(diverging)
        unit = f" {self._unit}" if self._unit else ""
        self.limit.setToolTip(
            as_tip(
                f"Values beyond {shown_number(self._scale.limit)}{unit} have the full colour. "
                "Setting the limit locks it."
            )
        )

    @Slot()
    def _show_choices(self) -> None:
        corner = self.more.mapToGlobal(QPoint(self.more.width(), self.more.height() + 2))
        self.choices.adjustSize()
        self.choices.move(corner - QPoint(self.choices.width(), 0))
        self.choices.show()
        self.limit.setFocus()

    def _limit_chosen(self, value: float) -> None:
        if not self.lock.isChecked():
            self.lock.setChecked(True)
        self.limit_changed.emit(value)

    def _lock_toggled(self, on: bool) -> None:
        self._show_lock()
        self.locked_changed.emit(on)

    def _show_lock(self) -> None:
        locked = self.lock.isChecked()
        self.lock.show_icon("lock" if locked else "unlock")
        self.more.show_icon("lock" if locked else "more")
        self.lock.setToolTip(
            as_tip(
                "The range is locked: it stays for new values, so that views compare. "
                "Click to unlock."
                if locked
                else "Lock the range, so that it stays for new values and views compare"
            )
        )
