"""How far a command is, as it is told where nobody watches a terminal."""

import io

from core.commands import console


def test_a_file_has_a_line_a_stage_and_a_share_now_and_then(monkeypatch):
    now = 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    out = io.StringIO()
    with console.Reporter(out) as reporter:
        for tenth in range(10):
            now = 3.0 * tenth
            reporter.progress("Scoring", tenth / 10)
        reporter.progress("Writing", None)
    assert out.getvalue().splitlines() == ["Scoring", "Scoring 40%", "Scoring 80%", "Writing"]
