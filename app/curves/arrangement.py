"""How the training view is laid out: runs and numbers on the left, charts on the right.

Makes the widgets and puts them in place; the view gives them their meaning. Importing this module
imports pyqtgraph.
"""

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSlider,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.curves.charts import CHARTS
from app.curves.grid import ChartGrid
from app.curves.readout import Readout
from app.curves.run_list import RunList

SMOOTHEST = 0.99
TICKS = 100
EMPTY = (
    "<h3>No run is open</h3><p>Open a DPO run to see its rewards, margin, accuracy, loss and KL "
    "over steps, and what they mean: the folder of a TRL run (<code>trainer_state.json</code>, "
    "<code>checkpoint-…</code>), TensorBoard event files, a CSV or JSON Lines log, a table "
    "exported from Weights &amp; Biases.</p><p>Or drop folders and files here. Several runs lie "
    "over each other; a run that is being written is followed.</p>"
)
NOTHING = "Nothing to draw: tick a run that has logged something, or choose more charts."
EXPORTS = (
    ("Save the charts as &PNG…", "png", "At twice the screen's resolution"),
    ("Save the &numbers as CSV…", "csv", "All logged values of what is shown"),
    ("", "", ""),
    ("&Copy the picture", "copy picture", "The charts, as they are"),
    ("Copy the n&umbers at this step", "copy numbers", "The table on the left"),
)


class TrainingArrangement(QWidget):
    """The widgets of the training view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.open_button = QToolButton()
        self.open_menu = QMenu(self)
        self.start_button = QPushButton("Start a run…")
        self.demo_button = QPushButton("Open the demo's runs")
        self.runs = RunList()
        self.reading = QLabel()
        self.readout = Readout()
        self.charts_button = QToolButton()
        self.toggles: dict[str, QAction] = {}
        self.smoothing = QSlider(Qt.Orientation.Horizontal)
        self.smoothing_label = QLabel()
        self.log_x = QToolButton()
        self.fit_button = QToolButton()
        self.export_button = QToolButton()
        self.grid = ChartGrid()
        self.nothing = QLabel(NOTHING)
        self.empty_text = QLabel(EMPTY)
        self.empty_open = QPushButton("Open a run's folder…")
        self.empty_file = QPushButton("Open a log file…")
        self.empty_demo = QPushButton("Open the demo's runs")
        self.below = QWidget()
        """Under the charts, over the whole width: a place for what shows one step."""
        self._dress_widgets()
        self._lay_out()

    def _dress_widgets(self) -> None:
        self.open_button.setText("Open run ")
        self.open_button.setToolTip("Open a run's folder or a log file (Ctrl+Shift+R)")
        self.open_button.setMenu(self.open_menu)
        self.open_menu.setToolTipsVisible(True)
        self.start_button.setToolTip("Train a policy with DPO and watch it here")
        self.start_button.hide()
        for button in (self.demo_button, self.empty_demo):
            button.setToolTip("DPO with and without SFT first, the same data and seed (Fig. 3)")
        self.reading.setObjectName("muted")
        self.charts_button.setText("Charts ")
        self.charts_button.setToolTip("Which charts are shown")
        charts = QMenu(self)
        charts.setToolTipsVisible(True)
        for kind in CHARTS:
            action = charts.addAction(kind.title)
            action.setCheckable(True)
            action.setChecked(True)
            action.setToolTip(kind.tip)
            self.toggles[kind.key] = action
        self.charts_button.setMenu(charts)
        self.smoothing.setRange(0, TICKS)
        self.smoothing.setPageStep(TICKS // 10)
        self.smoothing.setMinimumWidth(70)
        self.smoothing.setMaximumWidth(160)
        self.smoothing.setAccessibleName("Smoothing")
        self.smoothing.setToolTip(
            "A debiased exponential moving average; what was logged stays visible behind it"
        )
        self.smoothing_label.setMinimumWidth(34)
        self.log_x.setText("log steps")
        self.log_x.setCheckable(True)
        self.log_x.setToolTip("A logarithmic axis of steps, to look at the beginning")
        self.fit_button.setText("Fit")
        self.fit_button.setToolTip("Show all steps and values (0); the wheel zooms, dragging moves")
        self.export_button.setText("Export ")
        self.export_button.setToolTip("Save or copy the charts and their numbers")
        exports = QMenu(self)
        exports.setToolTipsVisible(True)
        for text, name, tip in EXPORTS:
            action = exports.addAction(text) if text else exports.addSeparator()
            action.setData(name)
            action.setToolTip(tip)
        self.export_button.setMenu(exports)
        for menu_button in (self.open_button, self.charts_button, self.export_button):
            menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        for tool in (
            self.open_button,
            self.charts_button,
            self.log_x,
            self.fit_button,
            self.export_button,
        ):
            tool.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            tool.setAccessibleName(tool.text().strip())
        self.nothing.setObjectName("muted")
        self.nothing.setContentsMargins(8, 8, 8, 8)
        self.empty_text.setWordWrap(True)
        self.empty_text.setTextFormat(Qt.TextFormat.RichText)
        self.empty_text.setMaximumWidth(560)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setContentsMargins(6, 5, 6, 0)
        buttons.addWidget(self.open_button)
        buttons.addStretch(1)
        buttons.addWidget(self.start_button)
        list_card = QFrame()
        list_card.setObjectName("card")
        column = QVBoxLayout(list_card)
        column.setContentsMargins(1, 1, 1, 4)
        column.setSpacing(3)
        column.addLayout(buttons)
        column.addWidget(self.runs, 1)
        column.addWidget(self.reading)
        demo = QHBoxLayout()
        demo.setContentsMargins(6, 0, 6, 2)
        demo.addWidget(self.demo_button)
        column.addLayout(demo)
        values_card = QFrame()
        values_card.setObjectName("card")
        inside = QVBoxLayout(values_card)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.addWidget(self.readout)
        self.left = QSplitter(Qt.Orientation.Vertical)
        self.left.addWidget(list_card)
        self.left.addWidget(values_card)
        self.left.setSizes([260, 460])
        self.left.setMinimumWidth(200)
        bar = QHBoxLayout()
        bar.setSpacing(5)
        label = QLabel("&Smoothing")
        label.setBuddy(self.smoothing)
        bar.addWidget(self.charts_button)
        bar.addSpacing(6)
        bar.addWidget(label)
        bar.addWidget(self.smoothing, 1)
        bar.addWidget(self.smoothing_label)
        bar.addStretch(1)
        for widget in (self.log_x, self.fit_button, self.export_button):
            bar.addWidget(widget)
        charts = QWidget()
        stack = QVBoxLayout(charts)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(5)
        stack.addLayout(bar)
        stack.addWidget(self.nothing)
        stack.addWidget(self.grid, 1)
        self.chart_pages = QStackedWidget()
        self.chart_pages.addWidget(self._empty_page())
        self.chart_pages.addWidget(charts)
        below = QVBoxLayout(self.below)
        below.setContentsMargins(0, 0, 0, 0)
        self.right = QSplitter(Qt.Orientation.Vertical)
        self.right.addWidget(self.chart_pages)
        self.right.addWidget(self.below)
        self.right.setStretchFactor(0, 1)
        self.right.setCollapsible(0, False)
        self.columns = QSplitter(Qt.Orientation.Horizontal)
        self.columns.addWidget(self.left)
        self.columns.addWidget(self.right)
        self.columns.setSizes([300, 1100])
        self.columns.setStretchFactor(1, 1)
        self.columns.setChildrenCollapsible(False)
        for splitter in (self.left, self.right, self.columns):
            splitter.setHandleWidth(7)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.columns)

    def _empty_page(self) -> QWidget:
        page = QWidget()
        buttons = QHBoxLayout()
        for button in (self.empty_open, self.empty_file, self.empty_demo):
            buttons.addWidget(button)
        buttons.addStretch(1)
        column = QVBoxLayout()
        column.addStretch(1)
        column.addWidget(self.empty_text)
        column.addSpacing(6)
        column.addLayout(buttons)
        column.addStretch(2)
        row = QHBoxLayout(page)
        row.addStretch(1)
        row.addLayout(column, 8)
        row.addStretch(1)
        return page

    def add_below(self, widget: QWidget) -> None:
        """Put a widget under the charts, over the whole width."""
        layout = self.below.layout()
        if layout is not None:
            layout.addWidget(widget)

    def offer_start(self) -> None:
        """Show the button that starts a run; hidden until something answers it."""
        self.start_button.show()

    def show_empty(self, empty: bool) -> None:
        """Charts, or what can be opened."""
        self.chart_pages.setCurrentIndex(0 if empty else 1)

    def minimumSizeHint(self) -> QSize:
        return QSize(560, 300)

    # --- smoothing --------------------------------------------------------------------------

    def weight(self) -> float:
        """Of the moving average; 0 for none. Finer where it smooths more."""
        share = self.smoothing.value() / TICKS
        return SMOOTHEST * (1 - (1 - share) ** 2)

    @Slot()
    def show_weight(self) -> None:
        weight = self.weight()
        self.smoothing_label.setText(f"{weight:.2f}" if weight else "off")
