"""A window per test, with settings and texts in a folder of its own."""

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication

from app import theme
from app.credit import evidence, view
from app.main_window import MainWindow
from app.settings import Settings
from core.engine.protocol import PairSpec
from tests.app.fake_engine import FakeEngine, example

PAIR = PairSpec(policy="p", reference="r")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    QSettings.setPath(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings")
    )
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def _undressed(qapp, monkeypatch):
    """Whatever was shown before; a window is made in half the time where no sheet is on yet."""
    monkeypatch.setattr(theme, "_contrast", False)
    qapp.setStyleSheet("")
    qapp.setPalette(QPalette())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Nothing rests or moves for looks' sake."""
    monkeypatch.setattr(evidence, "REST_MS", 1)
    monkeypatch.setattr(view, "FADE_MS", 0)


@pytest.fixture
def fonts(qapp):
    """The fonts that Qscope brings, for one test: where letters end depends on them."""
    before = qapp.font()
    theme.load_fonts(qapp)
    yield
    QFontDatabase.removeAllApplicationFonts()
    qapp.setFont(before)


@pytest.fixture
def open_window(qtbot, tmp_path):
    """Makes windows that are shown; all are closed at the end."""
    made = []

    def make(spec=PAIR, engine=FakeEngine, **more):
        settings = more.pop("settings", None) or Settings.of_user()
        if not settings.get("units", ""):
            settings.put("units", "token")  # tests look at single tokens
        more.setdefault("examples", (example(),))
        more.setdefault("theme_name", "light")
        window = MainWindow(spec, settings, engine, data_folder=tmp_path, **more)
        if settings.rectangle("place") is None:
            window.resize(1440, 900)  # more than the screen of a test has
        made.append(window)
        qtbot.addWidget(window)
        window.show()
        qtbot.waitExposed(window)
        return window

    yield make
    for window in made:
        window.close()


@pytest.fixture
def window(open_window, qtbot):
    """A window with the scripted pair loaded and both responses scored."""
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    return window


def settled(window):
    """Both sides scored and shown, and nothing asked for any more."""
    view = window.view
    return len(view.scorings()) == 2 and not window.client.busy() and not view.is_to_tell()


def do(window, name):
    """What choosing an action in the menu does, or its key."""
    window.menus.actions[name].trigger()


def drop(widget, paths):
    """Drag files over a widget and let them go there."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(widget, QDragEnterEvent(QPoint(5, 5), *how))
    QApplication.sendEvent(widget, QDropEvent(QPointF(5, 5), *how))
