"""A data set scored with the real engine's pair: table and credit view say the same of a pair."""

import json

import pytest
from PySide6.QtCore import Qt

from app.engine_client import real_engine
from core.dataset.rows import open_source
from core.dataset.score import score_data
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.present.pair import pair_numbers
from core.progress import silent
from tests.app.conftest import settled
from tests.app.test_data_view import is_quiet, rest
from tests.tiny import save_pair

WAIT = 60_000
ROWS = [
    {"prompt": "Say.", "chosen": "They got $53K.", "rejected": "They got $250K now.", "n": 1},
    {"prompt": "Why?", "chosen": "It is so 🙂.", "rejected": "It was so, they say.", "n": 2},
    {
        "prompt": [{"role": "system", "content": "Brief."}, {"role": "user", "content": "So?"}],
        "chosen": [{"role": "assistant", "content": "Yes."}],
        "rejected": [{"role": "assistant", "content": "No, never."}],
        "n": 3,
    },
]


@pytest.mark.parametrize("talks", [False, True])
def test_a_pair_has_the_margin_of_the_table_in_the_credit_view(open_window, qtbot, tmp_path, talks):
    policy, reference = save_pair(tmp_path / "pair")
    spec = PairSpec(policy=str(policy), reference=str(reference), beta=0.3)
    source, out = tmp_path / "d.jsonl", tmp_path / "s.parquet"
    rows = ROWS[2:] if talks else ROWS[:2]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    score_data(*load_pair(spec, silent), open_source(source), out)
    window = open_window(spec=spec, engine=real_engine)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    window.data.open(out)
    qtbot.waitUntil(lambda: is_quiet(window), timeout=WAIT)
    view = window.data.view
    for place in range(len(rows)):
        window.pages.bring(window.data.page)
        view.rows.setCurrentIndex(view.model.index(place, 0))
        rest(qtbot, view)
        shown = view.model.table.values("margin", 0.3)[place]
        qtbot.keyClick(view.rows, Qt.Key.Key_Return)
        last = rows[place]["chosen"]
        last = last if isinstance(last, str) else last[-1]["content"]
        qtbot.waitUntil(lambda last=last: window.view.panels["A"].text() == last, timeout=WAIT)
        qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
        found = pair_numbers(*window.view.scorings().values(), 0.3, window.view.numbers.credit)
        assert found.margin == pytest.approx(shown, abs=1e-4)
    assert "is not the one that scored" not in window.notice.message.text()
