"""The window opens whatever lies in its settings and beside them, and says what was set aside."""

import json
import logging
import os
import struct
from pathlib import Path

import pytest
from PySide6.QtCore import QRect, QSettings
from PySide6.QtGui import QGuiApplication

from app.files import read_text
from app.launch.dialog import StartDialog
from app.notices import LogFile, Notices
from app.settings import Settings
from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from tests.app.conftest import do, settled

KEYS = (
    *("theme", "text points", "set_side_by_side", "set_boundaries", "set_marks", "place"),
    *("maximised", "rows sizes", "columns sizes", "colour by", "units", "swap", "recent", "betas"),
    *("search form", "search trees", "search rows sizes", "search columns sizes"),
    *("training columns sizes", "training left sizes", "training smoothing", "training hidden"),
    *("training others", "training log x", "training log y", "training runs", "training recent"),
    *("play speed", "play loop", "heat map of", "training form", "followed runs"),
)
VALUES = {
    "a word": "solarized",
    "deep": "[" * 20_000,
    "deep maps": '{"a":' * 5_000,
    "not finite": "nan",
    "infinite": "1e999",
    "negative": "-7",
    "many digits": "9" * 5_000,
    "numbers": "[1, -2, 3.5, 1e300]",
    "huge numbers": json.dumps([2**62] * 4),
    "lists": json.dumps([[[]], {}, None]),
    "a table": json.dumps({"p\nr\n": [0.1], "strategy": [], "settings": {"width": "x"}}),
    "tables": json.dumps([{"policy": 5}, {"source": "\0", "name": "x", "visible": 1, "beta": -1}]),
    "paths": json.dumps(["\0", "x" * 5_000, "/" + "y" * 300]),
    "long": "x" * 20_000,
}


def ini():
    folder = QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "Qscope", "Qscope")
    return Path(folder.fileName())


def write_ini(data):
    ini().parent.mkdir(parents=True, exist_ok=True)
    ini().write_bytes(data)


def view_everything(window, qtbot):
    """Make all that reads a setting."""
    qtbot.waitUntil(lambda: settled(window) and window.view.chart is not None, timeout=30_000)
    for page, owner in (("show_search", "searches"), ("show_training", "runs")):
        do(window, page)
        qtbot.waitUntil(lambda it=owner: getattr(window, it).view is not None, timeout=30_000)
    typed = window.settings.get("training form", "")
    dialog = StartDialog(lambda job: None, Path("/nowhere"), typed)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitUntil(lambda: not dialog.busy(), timeout=30_000)
    dialog.typed()
    dialog.close()


@pytest.mark.parametrize("name", VALUES)
def test_any_value_of_any_setting_opens_the_window(open_window, qtbot, name):
    store = QSettings(str(ini()), QSettings.Format.IniFormat)
    for key in KEYS:
        store.setValue(key, VALUES[name])
    store.sync()
    window = open_window(spec=PairSpec(policy="p", reference="r"))
    assert window.isVisible()
    said = window.notice.message.text()
    assert "“theme” could not be read" in said or "“text points” could not be read" in said
    view_everything(window, qtbot)
    assert window.width() <= 1440 and 7 <= window.look.points <= 40
    assert window.pair.beta() == 0.1, "of the pair, as none was chosen"
    window.close()


@pytest.mark.parametrize("word", ["solarized", "", "Dark", "dark\n", "[]", "x" * 5_000])
def test_an_unknown_theme_is_said_and_forgotten(open_window, qtbot, word):
    Settings.of_user().put("theme", word)
    window = open_window(theme_name=None)
    assert "“theme” could not be read" in window.notice.message.text()
    assert window.menus.actions["theme auto"].isChecked()
    window.close()
    assert not Settings.of_user().store.contains("theme")


def nested(depth):
    """An @Variant of lists in lists: Qt reads it by recursion until the stack ends."""
    data = struct.pack(">II", 9, 1) * depth + struct.pack(">II", 9, 0)
    return "".join(f"\\x{byte:x}" for byte in data).encode()


FILES = {
    "garbage": bytes(range(256)) * 40,
    "no UTF-8": b"[General]\ntheme=\xff\xfe\xc0\n\xf0\n",
    "NUL bytes": b"[General]\0\0\ntheme=\0light\0\n" + b"\0" * 1000,
    "objects": b'[General]\nx="@Variant(' + nested(40_000) + b')"\n',
    "objects in disguise": b'[General]\nx="\\x40V\\x61riant(' + nested(40_000) + b')"\n',
    "objects in octal": b'[General]\nx="\\100V" "ariant(' + nested(40_000) + b')"\n',
    "an object in a list": b"[General]\nx=a, @Variant(" + nested(40_000) + b"), b\n",
    "a date": b"[General]\nx=@DateTime(\\0\\0\\0\\xff)\n",
    "bytes as a word": b"[General]\ntheme=@ByteArray(\\xff\\0\\x1)\nrecent=@Invalid()\n",
    "a list as a word": b"[General]\ntheme=light, dark, pink\nrecent=1, 2\n",
    "one long line": b"[General]\ntheme=" + b"x" * 1_900_000,
    "many keys": b"[General]\n" + b"".join(b"k%d=1\n" % i for i in range(100_000)),
    "empty": b"",
}


@pytest.mark.parametrize("name", FILES)
def test_any_settings_file_opens_the_window(open_window, qtbot, name):
    write_ini(FILES[name])
    window = open_window()
    assert window.isVisible()
    if "object" in name or name == "a date":
        assert "it holds objects" in window.notice.message.text()
        assert ini().with_name("Qscope.ini.bad").read_bytes() == FILES[name]
    window.look.choose_theme("dark")
    window.close()
    assert Settings.of_user().get("theme", "") == "dark", "settings are kept again"


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
@pytest.mark.parametrize("kind", ["pipe", "folder", "huge", "device"])
def test_what_is_no_settings_file_is_set_aside(open_window, qtbot, kind):
    path = ini()
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "huge":
            with path.open("wb") as file:
                file.truncate(1 << 30)
    window = open_window()
    assert window.isVisible() and "is kept as Qscope.ini.bad" in window.notice.message.text()
    window.close()


def test_a_part_that_is_bad_costs_no_other(open_window, qtbot):
    good, bad = {"policy": "/good", "reference": "/r"}, {"policy": ["/bad"]}
    store = Settings.of_user()
    store.put("recent", json.dumps([bad, good, "x", {"policy": "nul\0"}]))
    store.put("betas", json.dumps({"p\nr\n": [0.2], "q\nr\n": 0.4}))
    store.store.sync()
    window = open_window(spec=PairSpec(policy="p", reference="r"))
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert "A part of the setting “betas” could not be read" in window.notice.message.text()
    again = Settings.of_user()
    assert [spec.policy for spec in again.recent()] == ["p", "/good"]
    assert again.beta(PairSpec(policy="q", reference="r")) == 0.4
    window.close()


@pytest.mark.parametrize(
    "place",
    [[10**5, 10**5, 800, 600], [-9999, -9999, 1, 1], [0, 0, 99_999, 99_999], [5, 5, 900, 600]],
)
def test_the_window_is_on_a_screen(open_window, qtbot, place):
    Settings.of_user().put_rectangle("place", QRect(*place))
    window = open_window()
    seen = QGuiApplication.primaryScreen().availableGeometry()
    assert seen.contains(window.geometry().topLeft())
    assert window.width() <= max(seen.width(), window.minimumWidth())
    assert window.height() <= max(seen.height(), window.minimumHeight())
    window.close()


def test_the_place_and_the_rooms_are_kept(open_window, qtbot):
    first = open_window()
    first.setGeometry(20, 30, 760, 560)
    first.close()
    again = open_window()
    assert (again.width(), again.height()) == (760, 560)
    again.resize(1440, 900)
    qtbot.waitUntil(lambda: not again.view.show_prompt.isVisible())
    again.view.columns.setSizes([400, 1000])
    left = again.view.columns.sizes()[0]
    again.resize(760, 560)  # the post is a drawer there, and its column is kept
    qtbot.waitUntil(again.view.show_prompt.isVisible)
    again.close()
    third = open_window()
    third.resize(1440, 900)  # what was hidden comes back with a width
    qtbot.waitUntil(lambda: third.view.columns.sizes()[0] >= 300)
    assert left >= 300
    third.close()


def test_settings_that_cannot_be_saved_are_said_once(open_window, qtbot):
    ini().parent.parent.mkdir(parents=True, exist_ok=True)
    ini().parent.write_text("in the way of the folder")
    window = open_window()
    qtbot.waitUntil(lambda: "cannot be saved" in window.notice.message.text(), timeout=10_000)
    window.notice.dismiss_any()
    window.look.choose_theme("dark")
    window.look.choose_theme("light")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert "cannot be saved" not in window.notice.message.text() or window.notice.isHidden()
    window.close()


# --- the log --------------------------------------------------------------------------------------


def test_choices_that_first_cannot_be_saved_at_closing_are_in_the_log(
    open_window, qtbot, tmp_path, caplog
):
    folder = tmp_path / "settings"
    folder.mkdir()
    store = QSettings(str(folder / "Qscope.conf"), QSettings.Format.IniFormat)
    window = open_window(settings=Settings(store))
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    (folder / "Qscope.conf").unlink(missing_ok=True)
    (folder / "Qscope.conf").mkdir()
    (folder / "Qscope.conf" / "in the way").write_text("x")
    window.close()
    assert not window.isVisible() and caplog.text.count("choices cannot be saved") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.log_errors_expected
def test_a_full_log_disk_is_said_once(open_window, qtbot, tmp_path, capsys):
    folder = tmp_path / "log"
    notices = Notices(folder)
    notices.install()
    handler = next(it for it in logging.getLogger().handlers if isinstance(it, LogFile))
    handler.stream.close()
    handler.stream = open("/dev/full", "w")  # noqa: SIM115
    try:
        window = open_window(notices=notices)
        for number in range(5):
            logging.getLogger("app").error("fault %d", number)
        qtbot.waitUntil(lambda: "The log in" in window.notice.message.text(), timeout=10_000)
        assert window.notice.message.text().count("No space left") == 1
        window.close()
    finally:
        notices.uninstall()
    said = capsys.readouterr()
    assert "Traceback" not in said.err and "Logging error" not in said.err


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
@pytest.mark.parametrize("kind", ["pipe", "folder", "file in the way"])
def test_what_lies_where_the_log_goes_keeps_no_window(open_window, qtbot, tmp_path, kind):
    folder = tmp_path / "log"
    if kind == "file in the way":
        folder.write_text("x")
    else:
        folder.mkdir()
        for name in ("qscope.log", "crash.log"):
            os.mkfifo(folder / name) if kind == "pipe" else (folder / name).mkdir()
    notices = Notices(folder)
    notices.install()
    try:
        window = open_window(notices=notices)
        assert window.isVisible()
        if kind == "file in the way":
            assert "cannot be written" in window.notice.message.text()
        else:
            assert (folder / "qscope.log").is_file()
        window.close()
    finally:
        notices.uninstall()


def test_what_files_say_moves_no_cursor_of_who_reads_the_log(tmp_path):
    notices = Notices(tmp_path)
    notices.install()
    try:
        logging.getLogger("read").warning("a model says \x1b[2J\x9b1A\u202e, and more")
    finally:
        notices.uninstall()
    log = (tmp_path / "qscope.log").read_text(encoding="utf-8")
    assert log.endswith("a model says \\u001b[2J\\u009b1A\\u202e, and more\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
@pytest.mark.parametrize("kind", ["pipe", "folder", "large", "device"])
def test_what_is_no_text_is_not_waited_for(tmp_path, kind):
    path = Path("/dev/zero") if kind == "device" else tmp_path / "text.txt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.write_text("x" * 1_000_001)
    why = "is larger than 1 MB: choose" if kind == "large" else r"cannot be read \(.*\): choose"
    with pytest.raises(UserFacingError, match=why):
        read_text(path)
