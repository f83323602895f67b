"""The figures of the rows that are shown: accuracy, length bias, calibration, flips, alike pairs.

Each is a line with its interval and a tool tip that says what it is; a click on a group filters by
it. Knows figures; knows nothing of rows.
"""

import math
from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.widgets.boxes import ComboBox
from app.widgets.layouts import as_tip, fill, label, scrolled
from core.dataset.figures import ALIKE, Share
from core.dataset.look import FLIPS, Group, Look
from core.dataset.table import Column, ScoredTable
from core.present.numerals import signed

WILSON = "95%: Wilson's interval."
BY_MARGIN = (
    "These rows were chosen by their margins, so their accuracy and calibration would say nothing "
    "about the policy: they are left out."
)


class SummaryPanel(QWidget):
    """Figures, one below the other, and a table of groups."""

    group_wanted = Signal(str)
    """A group was chosen: how a filter asks for it."""
    grouping_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.count = label("", "heading")
        self.note = QLabel()
        self.note.setObjectName("muted")
        self.note.setWordWrap(True)
        self.lines: dict[str, QLabel] = {}
        """The figures by their names."""
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(1, 1)
        self.by = ComboBox()
        self.by.setAccessibleName("Accuracy by")
        self.groups = GroupTable()
        self._names: tuple[str, ...] = ()
        self._filters: tuple[str, ...] = ()
        self.by_row = QWidget()
        fill(QHBoxLayout(self.by_row), label("Accuracy by", "muted"), (self.by, 1),
             margins=(0, 4, 0, 0))  # fmt: skip
        inside = QWidget()
        fill(
            QVBoxLayout(inside), self.count, self.note, self._grid, self.by_row, self.groups, 1,
            margins=(10, 8, 10, 8), spacing=6,
        )  # fmt: skip
        fill(QVBoxLayout(self), scrolled(inside), margins=(0, 0, 0, 0))
        self.by.activated.connect(self.grouping_changed)
        self.groups.cellClicked.connect(self._want)
        self.groups.cellActivated.connect(self._want)

    def offer(self, columns: Sequence[Column]) -> None:
        """Offer accuracy by the values of these columns."""
        self._names = ("", *(it.name for it in columns))
        with QSignalBlocker(self.by):
            self.by.clear()
            self.by.addItems(["…", *(it.title for it in columns)])
            self.by.setCurrentIndex(1 if columns else 0)
        self.by_row.setVisible(bool(columns))

    def grouping(self) -> str:
        """Return the column by whose values accuracy is wanted; "" for none."""
        place = self.by.currentIndex()
        return self._names[place] if 0 <= place < len(self._names) else ""

    def show_look(self, table: ScoredTable, look: Look) -> None:
        """Show the figures of a look."""
        found, single = look.summary, table.is_single
        what = "responses" if single else "pairs"
        total = f" of {table.count:,}" if found.rows != table.count else ""
        self.count.setText(f"{found.rows:,}{total} {what}")
        unit = table.credit.unit(look.question.beta)
        notes = [BY_MARGIN if look.by_margin and not single else "", table.note]
        self.note.setText(" ".join(filter(None, notes)))
        self.note.setVisible(any(notes))
        rows: list[tuple[str, str, str]] = []
        symbol = table.credit.of_pairs
        if single:
            rows.append((f"Mean {symbol}", _number(found.mean_score, unit), symbol))
        else:
            rows += self._of_pairs(look, table, unit)
        self._show(rows)
        self._show_groups(found.groups, look.by_margin)

    def _of_pairs(self, look: Look, table: ScoredTable, unit: str) -> list[tuple[str, str, str]]:
        found, symbol = look.summary, table.credit.of_pairs
        lengths = found.lengths
        rows = [
            ("Mean margin", _number(found.mean_margin, unit), f"{symbol} chosen − {symbol} "
             f"rejected"),
        ]  # fmt: skip
        noise = table.about.noise
        if noise is not None and noise.matters:
            rows.append(
                ("Within noise", _part(found.within_noise, found.pairs),
                 f"Pairs whose margin is no larger than what rounding in {noise.dtype} may do")
            )  # fmt: skip
        rows += [
            ("“Longer wins”", _share(lengths.rule),
             f"What the rule that the longer side is preferred would score; of equal lengths half. "
             f"{WILSON}"),
            ("Alike", _part(found.alike, found.pairs),
             f"Pairs whose sides have at least {ALIKE:.0%} of their tokens in common"),
        ]  # fmt: skip
        if found.calibration is not None:
            rows.append(("Likely flips", _part(found.flips, found.pairs), FLIPS))
        if look.by_margin:
            return rows
        rows = [
            ("Accuracy", _share(found.accuracy),
             f"Share of pairs whose chosen side scores higher; a tie is half a pair. {WILSON}"),
            *rows,
            ("Chosen longer", _share(lengths.longer, counted=True),
             f"Accuracy where the chosen side has more tokens. {WILSON}"),
            ("Chosen shorter", _share(lengths.shorter, counted=True),
             f"Accuracy where the chosen side has fewer tokens. {WILSON}"),
            ("Margin ~ length", _correlation(lengths.correlation, lengths.low, lengths.high),
             "Pearson's correlation of the margin and n chosen − n rejected, with Fisher's 95% "
             "interval"),
        ]  # fmt: skip
        if found.calibration is not None:
            error = found.calibration.error
            rows.append(
                ("Calibration error", "–" if math.isnan(error) else f"{error:.3f}",
                 "Expected calibration error: how far σ(|m|) is from the share of pairs in which "
                 "the policy is right, averaged over bins")
            )  # fmt: skip
        if found.displaced is not None:
            tip = (
                "Pairs whose chosen side is less likely under the policy than under the reference "
                f"(likelihood displacement, arXiv 2410.08847). {WILSON}"
            )
            rows += [
                ("Displaced, alike", _share(found.displaced.alike, counted=True), tip),
                ("Displaced, others", _share(found.displaced.others, counted=True), tip),
            ]
        return rows

    def _show(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Show lines of a name, a value and a tip; labels that are there are used again."""
        if [name for name, _, _ in rows] != list(self.lines):
            while (item := self._grid.takeAt(0)) is not None:
                if (widget := item.widget()) is not None:
                    widget.hide()
                    widget.deleteLater()
            self.lines = {}
            for place, (name, _, tip) in enumerate(rows):
                value = QLabel()
                value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
                title = label(name, "muted", tip)
                value.setToolTip(as_tip(tip))
                self._grid.addWidget(title, place, 0)
                self._grid.addWidget(value, place, 1)
                self.lines[name] = value
        for name, said, _ in rows:
            self.lines[name].setText(said)
            self.lines[name].setAccessibleName(f"{name}: {said}")

    def _show_groups(self, groups: Sequence[Group], by_margin: bool) -> None:
        if by_margin:
            groups = sorted(groups, key=lambda it: -it.accuracy.count)
        self._filters = tuple(it.filter for it in groups)
        self.groups.show_groups(groups, known=not by_margin)

    @Slot(int, int)
    def _want(self, row: int, column: int) -> None:
        if 0 <= row < len(self._filters):
            self.group_wanted.emit(self._filters[row])


class GroupTable(QTableWidget):
    """Groups with their accuracy, as high as it needs to be."""

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["", "accuracy (95%)", "pairs"])
        self.setAccessibleName("Accuracy by group")
        self.setToolTip("A click filters by the group")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_groups(self, groups: Sequence[Group], known: bool) -> None:
        """Show these groups; ``known``: their accuracy says something."""
        self.setVisible(bool(groups))
        self.setRowCount(len(groups))
        for row, group in enumerate(groups):
            cells = (
                group.label.replace("\n", "↵"),
                _share(group.accuracy) if known else "–",
                f"{group.accuracy.count:,}",
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.setItem(row, column, item)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + 22 * len(groups) + 4)


def _share(found: Share, counted: bool = False) -> str:
    if math.isnan(found.value):
        return "–"
    of = f", n {found.count:,}" if counted else ""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}{of})"


def _part(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if total else "–"


def _number(value: float, unit: str) -> str:
    return "–" if math.isnan(value) else f"{signed(value)} {unit}"


def _correlation(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{signed(value)} ({signed(low)} to {signed(high)})"
