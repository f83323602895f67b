"""The card of the open runs: how to open or start one, the list, and what is being read.

Knows records of runs and where they lie; follows nothing itself.
"""

from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.curves.run_list import RunList
from app.curves.run_opener import RunOpener
from app.widgets.tool_button import make_reachable

DEMO_TIP = "DPO with and without SFT first, the same data and seed (Fig. 3)"


class RunsPanel(QFrame):
    """Says what the user wants to open; the list says what becomes of the runs in it."""

    folder_wanted = Signal()
    file_wanted = Signal()
    start_wanted = Signal()
    demo_wanted = Signal()

    def __init__(self, opener: RunOpener, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self._opener = opener
        self.open_button = QToolButton()
        self.open_menu = QMenu(self)
        self.start_button = QPushButton("Start a run…")
        self.demo_button = QPushButton("Open the demo's runs")
        self.list = RunList()
        self.reading = QLabel()
        self._lay_out()
        self.open_menu.aboutToShow.connect(self._fill_open_menu)
        self.open_menu.triggered.connect(self._open_chosen)
        self.demo_button.clicked.connect(self.demo_wanted)
        self.start_button.clicked.connect(self.start_wanted)
        self.list.shown.connect(opener.set_visible)
        self.list.removed.connect(opener.remove)
        self.list.beta_chosen.connect(opener.set_beta)

    def _lay_out(self) -> None:
        self.open_button.setText("Open run ")
        self.open_button.setToolTip("Open a run's folder or a log file (Ctrl+Shift+R)")
        self.open_button.setMenu(self.open_menu)
        self.open_menu.setToolTipsVisible(True)
        make_reachable(self.open_button)
        self.start_button.setDefault(True)
        self.start_button.setToolTip("Train a policy with DPO and watch it here")
        self.start_button.hide()
        self.demo_button.setToolTip(DEMO_TIP)
        self.reading.setObjectName("muted")
        buttons = QHBoxLayout()
        buttons.setContentsMargins(6, 5, 6, 0)
        buttons.addWidget(self.open_button)
        buttons.addStretch(1)
        buttons.addWidget(self.start_button)
        demo = QHBoxLayout()
        demo.setContentsMargins(6, 0, 6, 2)
        demo.addWidget(self.demo_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 4)
        column.setSpacing(3)
        column.addLayout(buttons)
        column.addWidget(self.list, 1)
        column.addWidget(self.reading)
        column.addLayout(demo)

    def show_reading(self, path: Path | None) -> None:
        """Name the run that is being read; None for none."""
        self.reading.setText(f"  Reading {path.name} …" if path is not None else "")
        self.reading.setVisible(path is not None)

    @Slot()
    def _fill_open_menu(self) -> None:
        menu = self.open_menu
        menu.clear()
        menu.addAction("A run's &folder…", self.folder_wanted.emit)
        menu.addAction("A &log file…", self.file_wanted.emit)
        menu.addSeparator()
        for path in self._opener.recent:
            action = menu.addAction((Path(path).name or path).replace("&", "&&"))
            action.setData(path)
            action.setToolTip(path)

    @Slot(QAction)
    def _open_chosen(self, action: QAction) -> None:
        if path := action.data():
            self._opener.open([Path(str(path))])
