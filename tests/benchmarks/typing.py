"""Key press to painted: the token editor against a plain QPlainTextEdit, in one run.

Both hold the same paragraph of about 9,000 characters in 2,000 tokens, 900 x 600 pixels, and get
the same letters at the same places by turns, so that the machine's load falls on both alike.
Prints a ratio of medians; milliseconds alone would say more of the machine than of the editor.
"""

import os
import random
import statistics
import time

TOKENS = 2_000
PRESSES = 120
TARGET = 2.0


def _paragraph(tokens: int) -> tuple[str, list[int], list[int]]:
    """One paragraph of word-like tokens, nine in ten with their leading space."""
    draw = random.Random(0)
    text, starts, ends = "", [], []
    for number in range(tokens):
        piece = "".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 6)))
        piece = " " + piece if number and draw.random() < 0.9 else piece
        starts.append(len(text))
        text += piece
        ends.append(len(text))
    return text, starts, ends


def measure(presses: int = PRESSES, tokens: int = TOKENS) -> dict[str, float | int | str | bool]:
    """Medians in milliseconds, their ratio, and what a new scoring takes to be shown."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import numpy as np
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QTextCursor
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication, QPlainTextEdit

    from app.widgets.colour_scale import ColourScale
    from app.widgets.spans import TokenSpans
    from app.widgets.token_editor import TokenEditor

    app = QApplication.instance() or QApplication([])
    text, starts, ends = _paragraph(tokens)
    scale = ColourScale()
    values = np.random.default_rng(0).normal(0, 0.5, tokens)
    spans = TokenSpans(text, np.array(starts), np.array(ends), scale.classes(values))
    plain, coloured = QPlainTextEdit(), TokenEditor()
    # Wrapped alike: the token editor keeps a margin, and room for a mark, at the line's end.
    plain.document().setDocumentMargin(coloured.document().documentMargin())
    plain.document().setDefaultTextOption(coloured.document().defaultTextOption())
    for editor in (plain, coloured):
        editor.resize(900, 600)
        editor.setPlainText(text)
        editor.show()
    coloured.set_tokens(spans)
    coloured.set_closing("end", 40)
    app.processEvents()

    times: dict[QPlainTextEdit, list[float]] = {plain: [], coloured: []}
    draw = random.Random(1)
    for number in range(presses):
        # A person types several letters in one place, then goes somewhere else on the page.
        jump = draw.randrange(2_500) if number % 6 == 0 else None
        for editor in (plain, coloured) if number % 2 else (coloured, plain):
            if jump is not None:
                cursor = editor.textCursor()
                cursor.setPosition(jump, QTextCursor.MoveMode.MoveAnchor)
                editor.setTextCursor(cursor)
                app.processEvents()
            begin = time.perf_counter()
            QTest.keyClick(editor, Qt.Key.Key_A)
            app.processEvents()
            times[editor].append(time.perf_counter() - begin)

    scored = []
    for step in range(15):
        coloured.set_text(text)
        app.processEvents()
        classes = scale.classes(np.roll(values, step))
        fresh = TokenSpans(text, spans.starts, spans.ends, classes)
        begin = time.perf_counter()
        coloured.set_tokens(fresh)
        app.processEvents()
        scored.append(time.perf_counter() - begin)
    for editor in (plain, coloured):
        editor.close()
        editor.deleteLater()
    app.processEvents()
    base, ours = (statistics.median(times[editor]) * 1000 for editor in (plain, coloured))
    return {
        "tokens": tokens,
        "characters": len(text),
        "presses": presses,
        "plain_ms": round(base, 3),
        "token_editor_ms": round(ours, 3),
        "ratio": round(ours / base, 3),
        "target": TARGET,
        "reached": ours / base <= TARGET,
        "recolour_ms": round(statistics.median(scored) * 1000, 3),
    }
