"""The search view's widgets and how they share the window.

Knows the panels as widgets; knows nothing of searches or of the engine.
"""

from typing import Literal

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QShortcut
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSplitter,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.engine_client import Bridge
from app.search.canvas import TreeCanvas
from app.search.compare import Overlay
from app.search.controls import SearchForm
from app.search.hypotheses import Hypotheses
from app.search.minimap import Minimap
from app.search.node_panel import NodePanel
from app.search.pane import SearchPane
from app.widgets.legend import Legend

Mode = Literal["one", "beside", "over"]
ONE, BESIDE, OVER = "one", "beside", "over"
MODES = (
    ("One tree", ONE, "One tree in the whole room"),
    ("Two, side by side", BESIDE, "Two strategies or two λ on one prompt"),
    ("Two, overlaid", OVER, "Both trees drawn as one, differences marked"),
)
FIND_MS = 150
TABLE_MS = 250
KEY = (
    "thick: likely · pale: pruned · outlined: the best · dashed: a given response · dot: pinned · "
    "bar at the end: finished"
)


class SearchArrangement(QWidget):
    """The base of SearchView."""

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.panes = {name: SearchPane(name, bridge) for name in ("left", "right")}
        self.over = TreeCanvas("Both search trees, overlaid")
        self.over_map = Minimap(self.over)
        self.overlay = Overlay(self.over.picture)
        self.form = SearchForm()
        self.node = NodePanel()
        self.hypotheses = Hypotheses()
        self.legend = Legend()
        self.grow_button = QPushButton("&Grow")
        self.both_button = QPushButton("Grow &both")
        self.stop_button = QPushButton("&Stop")
        self.resume_button = QPushButton("&Resume")
        self.fit_button = QToolButton()
        self.follow_button = QToolButton()
        self.mode = QComboBox()
        self.find_box = QLineEdit()
        self.found_label = QLabel()
        self.previous_button, self.next_button = QToolButton(), QToolButton()
        self.start_label = QLabel()
        self.start_clear = QToolButton()
        self.key = QLabel()
        self.find_timer, self.hypotheses_timer = QTimer(self), QTimer(self)
        self.differences_timer = QTimer(self)
        for timer, rest in (
            (self.find_timer, FIND_MS),
            (self.hypotheses_timer, TABLE_MS),
            (self.differences_timer, TABLE_MS),
        ):
            timer.setSingleShot(True)
            timer.setInterval(rest)
        self._dress_buttons()
        self._lay_out()
        self.arrange(ONE)

    def _dress_buttons(self) -> None:
        self.grow_button.setDefault(True)
        self.both_button.setToolTip("Grow both trees anew from the same start")
        self.stop_button.setToolTip("Stop at the next step; the tree stays (Ctrl+.)")
        self.resume_button.setToolTip("Go on with the search that was stopped")
        self.fit_button.setText("Fit")
        self.fit_button.setToolTip("Show the whole tree (0); + and − and the wheel zoom")
        self.follow_button.setText("Follow")
        self.follow_button.setCheckable(True)
        self.follow_button.setToolTip("Follow the best hypothesis while it grows (F)")
        self.mode.setAccessibleName("One tree or two")
        for place, (title, name, tip) in enumerate(MODES):
            self.mode.addItem(title, name)
            self.mode.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
        self.mode.setToolTip("Compare two strategies, or two λ, on one prompt")
        self.find_box.setPlaceholderText("Find in the tree…")
        self.find_box.setClearButtonEnabled(True)
        self.find_box.setAccessibleName("Find in the tree")
        self.find_box.setToolTip("Text on the way to a node (Ctrl+F); Enter goes to the next")
        self.find_box.setMinimumWidth(110)
        self.find_box.setMaximumWidth(240)
        self.found_label.setObjectName("muted")
        for button, text, tip in (
            (self.previous_button, "◂", "The one before (Shift+F3)"),
            (self.next_button, "▸", "The next one (F3)"),
            (self.start_clear, "✕", "Begin at the prompt again"),
        ):
            button.setText(text)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.setAutoRaise(True)
        self.start_label.setObjectName("muted")
        self.key.setObjectName("muted")
        self.key.setWordWrap(True)

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(5)
        for button in (self.grow_button, self.both_button, self.stop_button, self.resume_button):
            bar.addWidget(button)
        bar.addSpacing(6)
        bar.addWidget(self.mode)
        bar.addStretch(1)
        for widget in (
            self.find_box,
            self.found_label,
            self.previous_button,
            self.next_button,
            self.fit_button,
            self.follow_button,
        ):
            bar.addWidget(widget)
        self.over_card = QFrame()
        self.over_card.setObjectName("card")
        inside = QVBoxLayout(self.over_card)
        inside.setContentsMargins(2, 4, 2, 2)
        inside.addWidget(self.over)
        self.trees = QSplitter(Qt.Orientation.Horizontal)
        self.trees.setChildrenCollapsible(False)
        for shown in (*self.panes.values(), self.over_card):
            self.trees.addWidget(shown)
        colours = QHBoxLayout()
        colours.addWidget(self.legend, 3)
        colours.addSpacing(8)
        colours.addWidget(self.key, 4)
        upper = QWidget()
        stack = QVBoxLayout(upper)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(5)
        stack.addWidget(self.trees, 1)
        stack.addLayout(colours)
        self.rows = QSplitter(Qt.Orientation.Vertical)
        self.rows.addWidget(upper)
        self.rows.addWidget(self.hypotheses)
        self.hypotheses.setMinimumHeight(96)
        self.rows.setSizes([560, 190])
        self.rows.setStretchFactor(0, 1)
        self.rows.setCollapsible(0, False)
        self.node_page = QFrame()
        self.node_page.setObjectName("page")
        page = QVBoxLayout(self.node_page)
        page.setContentsMargins(0, 0, 0, 0)
        page.addWidget(self.node)
        form_page = QFrame()
        form_page.setObjectName("page")
        column = QVBoxLayout(form_page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        begin = QHBoxLayout()
        begin.setContentsMargins(10, 6, 6, 0)
        begin.addWidget(self.start_label, 1)
        begin.addWidget(self.start_clear)
        self.start_label.setWordWrap(True)
        column.addLayout(begin)
        column.addWidget(self.form, 1)
        self.form_page = form_page
        self.side = QTabWidget()
        self.side.addTab(form_page, "Search")
        self.side.addTab(self.node_page, "Node")
        self.side.setTabToolTip(0, "What to search for, and how")
        self.side.setTabToolTip(1, "The node that was chosen, and what can be done there")
        self.side.setMinimumWidth(250)
        self.columns = QSplitter(Qt.Orientation.Horizontal)
        self.columns.addWidget(self.rows)
        self.columns.addWidget(self.side)
        self.columns.setSizes([1080, 300])
        self.columns.setStretchFactor(0, 1)
        self.columns.setCollapsible(0, False)
        for splitter in (self.rows, self.columns, self.trees):
            splitter.setHandleWidth(7)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(5)
        outer.addLayout(bar)
        outer.addWidget(self.columns, 1)
        self.find_again = QShortcut("F3", self)
        self.find_back = QShortcut("Shift+F3", self)

    def canvases(self) -> tuple[TreeCanvas, ...]:
        """All trees, whether they show or not."""
        return (*(pane.canvas for pane in self.panes.values()), self.over)

    def arrange(self, mode: str) -> None:
        """One tree, two beside each other, or two as one."""
        self.panes["left"].setVisible(mode != OVER)
        self.panes["right"].setVisible(mode == BESIDE)
        self.over_card.setVisible(mode == OVER)
        self.both_button.setVisible(mode != ONE)
        for name, pane in self.panes.items():
            pane.set_title(name.capitalize() if mode != ONE else "")
        if mode == BESIDE:
            self.trees.setSizes([1000, 1000, 0])

    def mark_active(self, active: str) -> None:
        """Frame the pane that the form speaks of, where there are two."""
        for name, pane in self.panes.items():
            on = name == active and self.mode.currentData() == BESIDE
            pane.setProperty("active", "true" if on else "false")
            pane.style().unpolish(pane)
            pane.style().polish(pane)

    def show_key(self, dark: bool) -> None:
        """What the marks mean."""
        colours = theme.SIDE_COLOURS[dark]
        extra = ""
        if self.mode.currentData() != ONE:
            extra = (
                f' · <b style="color:{colours["A"]}">▂</b> only left kept it'
                f' · <b style="color:{colours["B"]}">▂</b> only right'
            )
        self.key.setText(f"<small>{KEY}{extra}</small>")

    def set_text_size(self, points: float) -> None:
        """The size of the texts to read, in points."""
        self.node.set_text_size(points)
        for canvas in self.canvases():
            canvas.set_usual(points / 13.0)
