import sys

import pytest
from PySide6.QtCore import QObject, QTimer
from shiboken6 import delete

from app.gentle_import import import_gently, import_then

BROKEN = "raise ImportError('by hand')  # of another size: it may be written in the same second\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A slow package; its last module is broken if told so by a file."""
    folder = tmp_path / "slow_charts"
    folder.mkdir()
    (folder / "__init__.py").write_text("from slow_charts import a, b, c\n")
    for name in "abc":
        (folder / f"{name}.py").write_text("import time\ntime.sleep(0.02)\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("slow_charts")]:
        del sys.modules[name]


def test_the_window_lives_while_modules_are_imported(qtbot, package):
    seen = []
    timer = QTimer()
    timer.timeout.connect(lambda: seen.append("slow_charts.c" in sys.modules))
    timer.start(0)
    finders = list(sys.meta_path)
    import_gently("slow_charts")
    timer.stop()
    assert "slow_charts.c" in sys.modules
    assert False in seen
    assert sys.meta_path == finders


def test_a_broken_library_leaves_nothing_behind(qtbot, package):
    (package / "c.py").write_text(BROKEN)
    finders = list(sys.meta_path)
    with pytest.raises(ImportError, match="by hand"):
        import_gently("slow_charts")
    assert sys.meta_path == finders


def test_who_wants_a_library_meanwhile_gets_all_of_it(qtbot, package):
    (package / "__init__.py").write_text("from slow_charts import a, b, c\nready = True\n")
    got, owner = [], QObject()

    def take():
        got.append(sys.modules["slow_charts"].ready)

    timer = QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: import_then("slow_charts", owner, take))
    timer.start(0)
    import_then("slow_charts", owner, take)
    assert got == [True, True]
    import_then("slow_charts", owner, take)
    assert got == [True, True, True]
    (package / "c.py").write_text(BROKEN)
    for name in [name for name in sys.modules if name.startswith("slow_charts")]:
        del sys.modules[name]
    with pytest.raises(ImportError, match="by hand"):
        import_then("slow_charts", owner, take)
    assert len(got) == 3


def test_who_has_gone_meanwhile_is_not_called(qtbot, package):
    got, owner = [], QObject()
    timer = QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: delete(owner))
    timer.start(0)
    import_then("slow_charts", owner, lambda: got.append(1))
    assert got == [] and "slow_charts.c" in sys.modules
