"""Shows the drafts that are kept: when they were saved, for which pair, and how they begin.

One can be put in place, or removed and brought back while the dialog is open. The drafts are read
beside the window, so the dialog is there at once. Knows drafts; knows nothing of editors.
"""

from pathlib import Path, PurePath

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QPlainTextEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.drafts import Draft, Drafts
from app.widgets.layouts import fill, label
from core.session_record import PairNamed, SessionRecord

READING = "Reading what is kept…"
NONE = (
    "No texts of other windows or earlier sessions are kept. What you type is saved as you type, "
    "and stays here for 30 days."
)
SOME = "What was typed in the last 30 days. Putting texts in place can be undone."
WORDS = 120
"""Characters of a draft that its row shows."""
PREVIEW = 4000
"""Characters of each text that are shown below."""


class RecoverDialog(QDialog):
    """A list of drafts."""

    chosen = Signal(object)
    """The ``Draft`` to put in place."""

    def __init__(self, drafts: Drafts, own: frozenset[Path], parent: QWidget | None = None) -> None:
        """``own``: drafts not to be shown, since they are on the screen."""
        super().__init__(parent)
        self.setWindowTitle("Recover texts")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(820, 520)
        self._drafts, self._own = drafts, own
        self._removed: list[tuple[int, Draft]] = []
        self.about = label(READING, "muted")
        self.about.setWordWrap(True)
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Saved", "Pair", "First words"])
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setAllColumnsShowFocus(True)
        self.list.setAccessibleName("Kept texts")
        self.list.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.list.header().setStretchLastSection(True)
        self.preview = QPlainTextEdit()
        self.preview.setReadOnly(True)
        self.preview.setAccessibleName("The chosen texts")
        self.preview.setPlaceholderText("Choose a row to see its texts.")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        role = QDialogButtonBox.ButtonRole
        self.put = buttons.addButton("Put in place", role.ActionRole)
        self.put.setDefault(True)
        self.delete = buttons.addButton("Delete", role.ActionRole)
        self.back = buttons.addButton("Undo delete", role.ActionRole)
        fill(
            QVBoxLayout(self), self.about, (self.list, 3), (self.preview, 2), buttons,
            margins=(12, 12, 12, 12), spacing=8,
        )  # fmt: skip
        buttons.rejected.connect(self.reject)
        self.put.clicked.connect(self._put)
        self.delete.clicked.connect(self._delete)
        self.back.clicked.connect(self._bring_back)
        self.list.itemActivated.connect(self._put)
        self.list.currentItemChanged.connect(self._show_chosen)
        drafts.listed.connect(self._show_all)
        self._show_chosen()
        drafts.ask_list()

    @Slot(object)
    def _show_all(self, found: list[Draft]) -> None:
        self.list.clear()
        self._removed.clear()
        self.list.addTopLevelItems([_row(one) for one in found if one.path not in self._own])
        first = self.list.topLevelItem(0)
        if first is not None:
            self.list.setCurrentItem(first)
        self._say_how_many()
        self._show_chosen()
        self.list.setFocus()

    def _chosen(self) -> Draft | None:
        item = self.list.currentItem()
        return item.data(0, Qt.ItemDataRole.UserRole) if item is not None else None

    @Slot()
    def _show_chosen(self) -> None:
        draft = self._chosen()
        self.preview.setPlainText(_texts(draft.record) if draft is not None else "")
        for button in (self.put, self.delete):
            button.setEnabled(draft is not None)
        self.back.setEnabled(bool(self._removed))

    @Slot()
    def _put(self) -> None:
        draft = self._chosen()
        if draft is not None:
            self.chosen.emit(draft)
            self.accept()

    @Slot()
    def _delete(self) -> None:
        draft, row = self._chosen(), self.list.currentItem()
        if draft is None or row is None:
            return
        place = self.list.indexOfTopLevelItem(row)
        self.list.takeTopLevelItem(place)
        self._removed.append((place, draft))
        self._drafts.remove(draft.path)
        self._say_how_many()
        self._show_chosen()

    @Slot()
    def _bring_back(self) -> None:
        if not self._removed:
            return
        place, draft = self._removed.pop()
        self._drafts.save(draft.path, draft.record)
        self.list.insertTopLevelItem(place, row := _row(draft))
        self.list.setCurrentItem(row)
        self._say_how_many()
        self._show_chosen()

    def _say_how_many(self) -> None:
        self.about.setText(SOME if self.list.topLevelItemCount() else NONE)


def _row(draft: Draft) -> QTreeWidgetItem:
    record = draft.record
    words = " ".join((record.a.text[:500] or record.b.text[:500]).split())
    row = QTreeWidgetItem([_when(record), pair_words(record.pair), words[:WORDS]])
    row.setData(0, Qt.ItemDataRole.UserRole, draft)
    row.setToolTip(1, _named(record.pair))
    return row


def _when(record: SessionRecord) -> str:
    if record.saved is None:
        return "unknown"
    try:
        return record.saved.astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return "unknown"  # of a year that no local clock knows


def pair_words(pair: PairNamed) -> str:
    """Return how a pair is called in a list."""
    if pair.demo:
        return "demo"
    names = [PurePath(name).name or name for name in (pair.run or pair.policy, pair.reference)]
    return " / ".join(name[:40] for name in names if name) or "no pair"


def _named(pair: PairNamed) -> str:
    return "\n".join(name for name in (pair.run or pair.policy, pair.reference, pair.base) if name)


def _texts(record: SessionRecord) -> str:
    parts = [(turn.role, turn.content) for turn in record.prompt[:20]]
    parts += [("A", record.a.text), ("B", record.b.text)]
    return "\n\n".join(f"{name}:\n{text[:PREVIEW]}" for name, text in parts)
