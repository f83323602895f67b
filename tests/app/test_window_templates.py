"""A pair whose chat template runs forever: the window says so, ticks on, and opens the next."""

import re
import shutil

import psutil
import pytest
from PySide6.QtCore import QTimer

from app.engine_client import real_engine
from core import rendering
from core.engine.protocol import Load, PairSpec
from tests.app.conftest import settled
from tests.tiny import TEMPLATE, save_pair

WAIT = 60_000
FOREVER = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
HOSTILE = {
    "loops": (FOREVER, "did not finish within 3 seconds"),
    "a number": ("{% set a = 9**9 %}{% if 9**a %}{% endif %}", "did not finish within 3 seconds"),
    "much text": ("{{ 'word ' * 400000 }}", "writes far more than it is told"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_pair(tmp_path_factory.mktemp("pair"))


def spec_of(policy, reference):
    return PairSpec(policy=str(policy), reference=str(reference), beta=0.1)


def hostile(folder, folders, source):
    """A copy of a pair with another chat template."""
    for made in folders:
        shutil.copytree(made, folder / made.name)
        (folder / made.name / "chat_template.jinja").write_text(source + TEMPLATE, "utf-8")
    return spec_of(folder / "policy", folder / "reference")


@pytest.fixture
def ticks():
    """The ticks of the window's own thread."""
    seen, timer = [], QTimer()
    timer.timeout.connect(lambda: seen.append(1))
    timer.start(20)
    yield seen
    timer.stop()


def rendering_for(seconds):
    """Whether the process that renders has worked so long on something."""
    used = [
        child.cpu_times().user
        for child in psutil.Process().children()
        if any(rendering.PROGRAM.name in word for word in child.cmdline())
    ]
    return any(it > seconds for it in used)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_template_that_cannot_end_is_a_sentence(open_window, qtbot, tmp_path, folders, name):
    source, said = HOSTILE[name]
    window = open_window(spec=hostile(tmp_path, folders, source), engine=real_engine)
    qtbot.waitUntil(window.notice.isVisible, timeout=WAIT)
    sentence = window.notice.message.text()
    assert re.search(said, sentence) and str(tmp_path / "policy") in sentence
    assert "“Plain text” in Open a pair" in sentence
    assert not window.client.busy()
    window.pair.load(spec_of(*folders))
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert "chat template" not in window.notice.message.text()


def test_the_window_lives_while_a_template_runs_and_cancel_ends_it(
    open_window, qtbot, tmp_path, folders, ticks, monkeypatch
):
    monkeypatch.setattr(rendering, "SECONDS", 10 * WAIT)
    window = open_window(spec=hostile(tmp_path, folders, FOREVER), engine=real_engine)
    qtbot.waitUntil(lambda: rendering_for(0.5), timeout=WAIT)
    before = len(ticks)
    qtbot.waitUntil(lambda: len(ticks) > before + 20, timeout=WAIT)
    assert window.client.busy(Load) and rendering_for(0.5)
    window.banner.cancel_button.click()
    qtbot.waitUntil(lambda: not window.client.busy(Load), timeout=WAIT)
    window.pair.load(spec_of(*folders))
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert window.pair.spec == spec_of(*folders)
