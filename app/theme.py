"""Makes the light and dark theme: palettes, sizes, fonts and the rules that a palette cannot say.

Made for the Fusion style, which app.start asks for. Text on its background has a contrast of at
least 4.5:1 (tests/app/test_window_theme.py). Knows Qt; knows no widgets of Qscope.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QWidget

Theme = Literal["auto", "light", "dark"]


@dataclass(frozen=True)
class Colours:
    """One theme's colours, as #rrggbb."""

    window: str
    surface: str
    card: str
    raised: str
    text: str
    muted: str
    line: str
    accent: str
    on_accent: str
    error: str
    warning: str
    info: str
    good: str
    evidence: str
    """Of what bears on a word: neither of the two hues of rewards."""


LIGHT = Colours(
    window="#f3f4f7",
    surface="#ffffff",
    card="#ffffff",
    raised="#e9ebf0",
    text="#111318",
    muted="#555b68",
    line="#cfd3dc",
    accent="#2456c7",
    on_accent="#ffffff",
    error="#fbe3e0",
    warning="#fdf0d3",
    info="#e2ecfd",
    good="#1e6b3a",
    evidence="#b07400",
)
DARK = Colours(
    window="#1f222a",
    surface="#16181e",
    card="#262a34",
    raised="#2b2f3a",
    text="#f4f5f8",
    muted="#a9b0be",
    line="#3c4250",
    accent="#8ab4ff",
    on_accent="#10131a",
    error="#4a2220",
    warning="#44361a",
    info="#1f3050",
    good="#7fd69b",
    evidence="#ffb83d",
)

# The hues of A and B in the chart, dark enough for text on white.
SIDE_COLOURS = {
    False: {"A": "#a86500", "B": "#00805d"},
    True: {"A": "#f0a830", "B": "#2fc79b"},
}

# Marks of findings, in shapes filled with these.
MARKS = {
    False: {"ok": "#1e6b3a", "note": "#2456c7", "warning": "#a86500", "stop": "#b3261e"},
    True: {"ok": "#7fd69b", "note": "#8ab4ff", "warning": "#f0a830", "stop": "#ff8f85"},
}


NOTE, DETAIL, HEADLINE = 11, 14, 24
"""The type scale beside the desktop's own size of text, in pixels."""
CONTROL = 22
"""Pixels within the frame of a field, so that rows of them are 28 high."""
UI_FAMILY = "Inter"
RESOURCES = Path(__file__).resolve().parents[1] / "resources"
RESPONSE = 1.3
"""How much larger responses are than prompts."""


def is_dark(theme: Theme) -> bool:
    """Return whether a choice means dark; "auto" asks the desktop, light where it says nothing."""
    if theme != "auto":
        return theme == "dark"
    application = QApplication.instance()
    if not isinstance(application, QApplication):
        return False
    return application.styleHints().colorScheme() == Qt.ColorScheme.Dark


def colours(dark: bool) -> Colours:
    """Return the dark or the light theme's colours."""
    return DARK if dark else LIGHT


def is_dark_palette(palette: QPalette) -> bool:
    """Return whether a widget's palette is the dark theme's."""
    return palette.color(QPalette.ColorRole.Base).lightness() < 128


def palette(dark: bool) -> QPalette:
    """Return a palette with every role that Fusion draws with."""
    c = colours(dark)
    made = QPalette()
    role = QPalette.ColorRole
    for where, colour in (
        (role.Window, c.window),
        (role.WindowText, c.text),
        (role.Base, c.surface),
        (role.AlternateBase, c.raised),
        (role.Text, c.text),
        (role.PlaceholderText, c.muted),
        (role.Button, c.raised),
        (role.ButtonText, c.text),
        (role.BrightText, c.text),
        (role.ToolTipBase, c.raised),
        (role.ToolTipText, c.text),
        (role.Highlight, c.accent),
        (role.HighlightedText, c.on_accent),
        (role.Accent, c.accent),
        (role.Link, c.accent),
        (role.LinkVisited, c.accent),
        (role.Mid, c.line),
        (role.Midlight, c.raised),
        (role.Light, c.raised),
        (role.Dark, c.line),
        (role.Shadow, c.line),
    ):
        made.setColor(where, QColor(colour))
    for where in (role.WindowText, role.Text, role.ButtonText):
        faint = QColor(c.muted)
        faint.setAlpha(170)
        made.setColor(QPalette.ColorGroup.Disabled, where, faint)
    return made


def style_sheet(dark: bool) -> str:
    """Return the style of cards, notices and headings, by object name.

    It also has Qt show what looks like HTML as it is, in every label, tooltip and message box that
    does not ask for rich text: what they say may be a model's, or the name of a file.
    """
    c = colours(dark)
    tick = (RESOURCES / "look" / f"tick-{'dark' if dark else 'light'}.png").as_posix()
    return f"""
    QFrame#card {{ background: {c.card}; border: 1px solid {c.line}; border-radius: 7px; }}
    QFrame#card[active="true"] {{ border: 1px solid {c.accent}; }}
    QFrame#page {{ background: {c.card}; border: none; }}
    QLabel#refusal {{ color: {c.text}; background: {c.error}; border-radius: 5px; padding: 5px; }}
    QFrame#strip {{ background: {c.raised}; border-radius: 7px; }}
    QFrame#strip[kind="error"] {{ background: {c.error}; border-radius: 7px; }}
    QFrame#banner {{ background: {c.info}; border-radius: 7px; }}
    QFrame#notice[kind="error"] {{ background: {c.error}; border-radius: 7px; }}
    QFrame#notice[kind="warning"] {{ background: {c.warning}; border-radius: 7px; }}
    QFrame#notice[kind="info"] {{ background: {c.info}; border-radius: 7px; }}
    QFrame#popup {{ background: {c.raised}; border: 1px solid {c.accent}; border-radius: 5px; }}
    QLabel#muted {{ color: {c.muted}; }}
    QLabel#verdict {{ font-size: {HEADLINE}px; font-weight: 600; }}
    QLabel#verdict:disabled, QLabel#detail:disabled {{ color: {c.muted}; }}
    QLabel#detail {{ font-size: {DETAIL}px; }}
    QToolButton#link {{ font-size: {DETAIL}px; color: {c.accent}; border: none; padding: 2px 4px; }}
    QToolButton#link:hover {{ text-decoration: underline; }}
    QToolButton#link:disabled {{ color: {c.muted}; }}
    QLabel#role {{ color: {c.muted}; font-size: {NOTE}px; margin-left: 6px; }}
    QLabel#heading {{ font-weight: 600; }}
    QLabel#figure {{ font-weight: 600; }}
    QLabel[textFormat="AutoText"] {{ qproperty-textFormat: PlainText; }}
    QComboBox, QAbstractSpinBox, QLineEdit {{ min-height: {CONTROL}px; }}
    QCheckBox::indicator {{ width: 14px; height: 14px; border: 1px solid {c.muted};
        border-radius: 3px; background: {c.surface}; }}
    QRadioButton::indicator {{ width: 14px; height: 14px; border: 1px solid {c.muted};
        border-radius: 8px; background: {c.surface}; }}
    QCheckBox::indicator:checked {{ background: {c.accent}; border-color: {c.accent};
        image: url({tick}); }}
    QRadioButton::indicator:checked {{ width: 6px; height: 6px; border: 5px solid {c.accent}; }}
    QCheckBox::indicator:focus, QRadioButton::indicator:focus,
    QCheckBox::indicator:hover, QRadioButton::indicator:hover {{ border-color: {c.accent}; }}
    QCheckBox::indicator:disabled, QRadioButton::indicator:disabled {{ border-color: {c.line}; }}
    QPushButton:default:enabled {{ background: {c.accent}; color: {c.on_accent}; font-weight: 600;
        border: 1px solid {c.accent}; border-radius: 5px; padding: 4px 14px; }}
    QPushButton:default:focus {{ border: 2px solid {c.text}; padding: 3px 13px; }}
    QPushButton:default:pressed {{ background: {c.text}; color: {c.surface}; }}
    QToolTip {{ color: {c.text}; background: {c.raised}; border: 1px solid {c.line};
        qproperty-textFormat: PlainText; }}
    QSplitter::handle {{ background: transparent; }}
    QSplitter::handle:hover {{ background: {c.line}; }}
    QStatusBar::item {{ border: none; }}
    QHeaderView::section {{ background: {c.card}; color: {c.muted}; border: none;
        border-bottom: 1px solid {c.line}; padding: 1px 4px; }}
    """


def apply(application: QApplication, dark: bool) -> None:
    """Dress the whole application; call again to change."""
    application.setPalette(palette(dark))
    application.setStyleSheet(style_sheet(dark))


def restyle(widget: QWidget, name: str, value: str) -> None:
    """Set a property that the style sheet asks for, and style the widget anew."""
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def set_faint(label: QLabel, on: bool) -> None:
    """Show a label in grey, as a number that noise hides."""
    role = QPalette.ColorRole
    label.setForegroundRole(role.PlaceholderText if on else role.WindowText)


def load_fonts(application: QApplication) -> None:
    """Write with the fonts that Qscope brings; what they lack is in the desktop's own."""
    for path in sorted((RESOURCES / "fonts").glob("*.otf")):
        QFontDatabase.addApplicationFont(str(path))
    if QFontDatabase.hasFamily(UI_FAMILY):
        font = application.font()
        font.setFamilies([UI_FAMILY, *font.families()])
        font.setFeature(QFont.Tag("tnum"), 1)  # digits of one width
        application.setFont(font)


def reading_font(points: float) -> QFont:
    """Return the font for prompts and responses: that of the window, at this size."""
    font = QFont(QApplication.font())
    font.setPointSizeF(points)
    font.setFeature(QFont.Tag("calt"), 0)  # letters are shown as they are, without ligatures
    return font


def fixed_font(points: float) -> QFont:
    """Return the font for bytes, ids and raw prompts."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPointSizeF(points)
    return font
