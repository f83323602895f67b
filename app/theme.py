"""The visual system in one place: sizes, spacing, colours, fonts, and the style sheet of them.

Four themes: light, dark, and either in high contrast. Made for the Fusion style, which app.start
asks for. Text on its background has a contrast of at least 4.5:1, outlines of controls 3:1
(tests/app/test_window_theme.py). The accent means one thing: here is where you act or are. It is
neither blue nor red, which are the signs of rewards. Knows Qt; knows no widgets of Qscope.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QStyle, QWidget

from app.tall_font import tall_font

Theme = Literal["auto", "light", "dark", "contrast"]


@dataclass(frozen=True)
class Colours:
    """One theme's colours, as #rrggbb."""

    window: str
    surface: str
    """Of what is read and edited; the colour of a reward of 0 (app.widgets.colour_scale)."""
    card: str
    raised: str
    """Of buttons under the mouse, strips and tool tips."""
    text: str
    muted: str
    line: str
    """Between parts; says nothing by itself."""
    outline: str
    """Around what can be clicked or typed in."""
    accent: str
    on_accent: str
    chosen: str
    """The ground of what is chosen, under ``text``."""
    error: str
    warning: str
    info: str
    good: str
    evidence: str
    """Of what bears on a word: neither of the two hues of rewards."""


LIGHT = Colours(
    window="#f5f6f8",
    surface="#ffffff",
    card="#ffffff",
    raised="#e9ebf0",
    text="#111318",
    muted="#555b68",
    line="#dcdfe6",
    outline="#858c9a",
    accent="#4f42c4",
    on_accent="#ffffff",
    chosen="#e6e4fa",
    error="#fbe3e0",
    warning="#fdf0d3",
    info="#e9e8fb",
    good="#1e6b3a",
    evidence="#b07400",
)
DARK = Colours(
    window="#191b21",
    surface="#0f1014",
    card="#0f1014",
    raised="#272a33",
    text="#f4f5f8",
    muted="#a9b0be",
    line="#2e323c",
    outline="#6d7482",
    accent="#b0a8ff",
    on_accent="#14121f",
    chosen="#35305e",
    error="#4a2220",
    warning="#44361a",
    info="#292650",
    good="#7fd69b",
    evidence="#ffb83d",
)
CONTRAST_LIGHT = replace(
    LIGHT,
    window="#ffffff",
    raised="#e4e6ec",
    text="#000000",
    muted="#33373f",
    line="#5a606c",
    outline="#000000",
    accent="#2f2396",
    evidence="#7a4f00",
)
CONTRAST_DARK = replace(
    DARK,
    window="#000000",
    raised="#1d1f26",
    text="#ffffff",
    muted="#d6dae3",
    line="#9aa1ae",
    outline="#ffffff",
    accent="#cfc9ff",
    on_accent="#000000",
    evidence="#ffd27a",
)

# The hues of A and B in the chart, dark enough for text on white.
SIDE_COLOURS = {
    False: {"A": "#a86500", "B": "#00805d"},
    True: {"A": "#f0a830", "B": "#2fc79b"},
}

# Marks of findings, in shapes filled with these.
MARKS = {
    False: {"ok": "#1e6b3a", "note": "#4f42c4", "warning": "#a86500", "stop": "#b3261e"},
    True: {"ok": "#7fd69b", "note": "#b0a8ff", "warning": "#f0a830", "stop": "#ff8f85"},
}

# --- sizes, in pixels -----------------------------------------------------------------------------

NOTE, DETAIL, HEADLINE = 11, 15, 28
"""The type scale beside the desktop's own size of text."""
DETAIL_NARROW, HEADLINE_NARROW = 13, 20
"""The same where a window is narrow."""
ROW = 28
"""The height of a field, a button or a row of a list."""
TIGHT, GAP, MARGIN = 4, 8, 12
"""Between parts of one thing; between things; around what stands in a card."""
RADIUS, CARD_RADIUS = 5, 8
CONTROL = ROW - 6
"""Within the frame of a field."""
ICON = 16
HAIR, PEN, THICK = 1, 2, 4
"""Widths of lines in plots: of what helps to read, of what is shown, of what is under the mouse."""

UI_FAMILY, MONO_FAMILY = "Inter", "JetBrains Mono"
ROOMY_FAMILY = "Roomy"
"""The letters of Inter, on higher lines: made when fonts are loaded."""
LINES = 1.5
"""How high its lines are, in sizes of the text."""
OTHER_FAMILIES = (
    *("Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Micro Hei"),
    *("Noto Color Emoji", "Apple Color Emoji", "Segoe UI Emoji", "Noto Emoji"),
)
"""Asked for, where the desktop has them, for letters that the fonts above lack; the last one of
either row is brought, so that Chinese, Japanese, Korean and emoji can be read everywhere."""
RESOURCES = Path(__file__).resolve().parents[1] / "resources"
RESPONSE = 1.2
"""How much larger responses are than prompts."""

_contrast = _still = False
"""Whether high contrast is worn, and whether nothing moves: one for all windows, as the palette."""


def is_dark(theme: Theme) -> bool:
    """Return whether a choice means dark; "auto" asks the desktop, light where it says nothing."""
    if theme != "auto":
        return theme in ("dark", "contrast")
    application = QApplication.instance()
    if not isinstance(application, QApplication):
        return False
    return application.styleHints().colorScheme() == Qt.ColorScheme.Dark


def is_high_contrast(theme: Theme) -> bool:
    """Return whether a choice means high contrast; "auto" asks the desktop."""
    if theme != "auto":
        return theme == "contrast"
    application = QApplication.instance()
    if not isinstance(application, QApplication):
        return False
    hints = application.styleHints()  # held: its parts go with it
    wanted = hints.accessibility().contrastPreference()
    return wanted == Qt.ContrastPreference.HighContrast


def colours(dark: bool) -> Colours:
    """Return the dark or the light theme's colours, in high contrast while that is worn."""
    if _contrast:
        return CONTRAST_DARK if dark else CONTRAST_LIGHT
    return DARK if dark else LIGHT


def is_dark_palette(palette: QPalette) -> bool:
    """Return whether a widget's palette is the dark theme's."""
    return palette.color(QPalette.ColorRole.Base).lightness() < 128


def motion(wanted: int) -> int:
    """Return how many milliseconds of ``wanted`` something may move: 0 where the user or the
    desktop asks for less motion."""
    style = QApplication.style()
    allowed = style.styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration)
    return 0 if _still else min(wanted, allowed)


def keep_still(on: bool) -> None:
    """Let nothing move for looks' sake from now on, or let it again."""
    global _still
    _still = on


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
    """Return the style of controls by their kind, and of cards, notices and headings by name.

    It also has Qt show what looks like HTML as it is, in every label, tooltip and message box that
    does not ask for rich text: what they say may be a model's, or the name of a file.
    """
    c = colours(dark)
    look = (RESOURCES / "look").as_posix()
    tick = f"{look}/tick-{'dark' if dark else 'light'}.svg"
    return f"""
    QFrame#card {{ background: {c.card}; border: 1px solid {c.line};
        border-radius: {CARD_RADIUS}px; }}
    QFrame#card[active="true"] {{ border: 1px solid {c.accent}; }}
    QFrame#page {{ background: {c.card}; border: none; }}
    QFrame#drawer {{ background: {c.card}; border: 1px solid {c.outline};
        border-radius: {CARD_RADIUS}px; }}
    QLabel#refusal {{ color: {c.text}; background: {c.error}; border-radius: {RADIUS}px;
        padding: 5px; }}
    QLabel#remark {{ background: {c.warning}; border-radius: {RADIUS}px; padding: 5px; }}
    QFrame#strip {{ background: {c.raised}; border-radius: {CARD_RADIUS}px; }}
    QFrame#strip[kind="error"] {{ background: {c.error}; }}
    QFrame#banner {{ background: {c.info}; border: 1px solid {c.accent};
        border-radius: {CARD_RADIUS}px; }}
    QFrame#notice {{ border-radius: {CARD_RADIUS}px; }}
    QFrame#notice[kind="error"] {{ background: {c.error}; }}
    QFrame#notice[kind="warning"] {{ background: {c.warning}; }}
    QFrame#notice[kind="info"] {{ background: {c.info}; }}
    QFrame#popup {{ background: {c.raised}; border: 1px solid {c.outline};
        border-radius: {RADIUS}px; }}
    QLabel#muted {{ color: {c.muted}; }}
    QLabel#verdict {{ font-size: {HEADLINE}px; font-weight: 600; }}
    QLabel#detail, QToolButton#link {{ font-size: {DETAIL}px; }}
    QLabel#verdict[narrow="true"] {{ font-size: {HEADLINE_NARROW}px; }}
    QLabel#detail[narrow="true"], QToolButton#link[narrow="true"] {{
        font-size: {DETAIL_NARROW}px; }}
    QLabel#verdict:disabled, QLabel#detail:disabled {{ color: {c.muted}; }}
    QToolButton#link {{ color: {c.accent}; border: none; padding: 2px {TIGHT}px; }}
    QToolButton#link:hover {{ text-decoration: underline; background: transparent; }}
    QToolButton#link:disabled {{ color: {c.muted}; }}
    QLabel#role {{ color: {c.muted}; font-size: {NOTE}px; margin-left: 6px; }}
    QLabel#heading, QLabel#figure {{ font-weight: 600; }}
    QLabel[textFormat="AutoText"] {{ qproperty-textFormat: PlainText; }}

    QComboBox, QAbstractSpinBox, QLineEdit {{ min-height: {CONTROL}px; background: {c.surface};
        border: 1px solid {c.outline}; border-radius: {RADIUS}px; padding: 2px 6px;
        selection-background-color: {c.accent}; selection-color: {c.on_accent}; }}
    QAbstractSpinBox {{ padding: 0px; min-height: {ROW - 2}px; max-height: {ROW - 2}px; }}
    QComboBox {{ padding-right: 2px; }}
    QComboBox QLineEdit, QAbstractSpinBox QLineEdit {{ border: none; padding: 0px;
        background: transparent; min-height: 0px; }}
    QAbstractSpinBox QLineEdit {{ padding-left: 5px; }}
    QComboBox:hover, QAbstractSpinBox:hover, QLineEdit:hover {{ border-color: {c.text}; }}
    QComboBox:focus, QAbstractSpinBox:focus, QLineEdit:focus {{ border-color: {c.accent}; }}
    QComboBox:disabled, QAbstractSpinBox:disabled, QLineEdit:disabled {{ border-color: {c.line};
        background: transparent; }}
    QComboBox::drop-down {{ border: none; width: 20px; }}
    QComboBox::down-arrow {{ image: url({look}/down.svg); width: 10px; height: 10px; }}
    QComboBox QAbstractItemView {{ background: {c.card}; border: 1px solid {c.outline};
        selection-background-color: {c.chosen}; selection-color: {c.text}; outline: none; }}
    QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ border: none; width: 18px;
        background: transparent; }}
    QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover {{
        background: {c.raised}; }}
    QAbstractSpinBox::up-arrow {{ image: url({look}/up.svg); width: 9px; height: 9px; }}
    QAbstractSpinBox::down-arrow {{ image: url({look}/down.svg); width: 9px; height: 9px; }}

    QCheckBox, QRadioButton {{ spacing: 6px; }}
    QCheckBox::indicator, QGroupBox::indicator {{ width: 14px; height: 14px;
        border: 1px solid {c.outline}; border-radius: 3px; background: {c.surface}; }}
    QRadioButton::indicator {{ width: 14px; height: 14px; border: 1px solid {c.outline};
        border-radius: 8px; background: {c.surface}; }}
    QCheckBox::indicator:checked, QGroupBox::indicator:checked {{ background: {c.accent};
        border-color: {c.accent}; image: url({tick}); }}
    QCheckBox::indicator:checked:focus, QGroupBox::indicator:checked:focus {{
        border: 2px solid {c.text}; width: 12px; height: 12px; }}
    QRadioButton::indicator:checked {{ width: 6px; height: 6px; border: 5px solid {c.accent}; }}
    QCheckBox::indicator:focus, QRadioButton::indicator:focus,
    QCheckBox::indicator:hover, QRadioButton::indicator:hover {{ border-color: {c.accent}; }}
    QCheckBox::indicator:disabled, QRadioButton::indicator:disabled {{ border-color: {c.line}; }}

    QPushButton {{ background: {c.surface}; border: 1px solid {c.outline}; min-height: {CONTROL}px;
        border-radius: {RADIUS}px; padding: 2px {MARGIN}px; }}
    QPushButton:hover {{ background: {c.raised}; }}
    QPushButton:focus {{ border-color: {c.accent}; }}
    QPushButton:pressed, QPushButton:checked {{ background: {c.chosen}; }}
    QPushButton:disabled {{ border-color: {c.line}; background: transparent; }}
    QPushButton:default:enabled {{ background: {c.accent}; color: {c.on_accent}; font-weight: 600;
        border-color: {c.accent}; }}
    QPushButton:default:focus {{ border: 2px solid {c.text}; padding: 1px 11px; }}
    QPushButton:default:pressed {{ background: {c.text}; color: {c.surface}; }}
    QToolButton {{ background: {c.surface}; border: 1px solid {c.outline};
        border-radius: {RADIUS}px; padding: 3px {GAP}px; }}
    QToolButton[autoRaise="true"] {{ background: transparent; border-color: transparent;
        padding: 3px 5px; }}
    QToolButton:hover, QToolButton[autoRaise="true"]:hover {{ background: {c.raised}; }}
    QToolButton:focus, QToolButton[autoRaise="true"]:focus {{ border-color: {c.accent}; }}
    QToolButton:pressed, QToolButton:checked, QToolButton[autoRaise="true"]:checked {{
        background: {c.chosen}; border-color: {c.accent}; }}
    QToolButton:disabled {{ border-color: {c.line}; background: transparent; }}
    QToolButton[autoRaise="true"]:disabled {{ border-color: transparent; }}
    QToolButton[popupMode="2"] {{ padding-right: 20px; }}
    QToolButton::menu-indicator {{ image: url({look}/down.svg); width: 9px; height: 9px;
        subcontrol-origin: padding; subcontrol-position: right center; right: 6px; }}
    QToolButton#chip {{ background: {c.raised}; border-color: {c.raised}; padding: 3px 10px;
        border-radius: 11px; }}
    QToolButton#chip:hover, QToolButton#chip:focus {{ border-color: {c.accent}; }}
    QToolButton#chip::menu-indicator {{ image: none; }}

    QTabBar::tab {{ background: transparent; color: {c.muted}; padding: 5px 10px 4px 10px;
        border: none; border-bottom: 2px solid transparent; }}
    QTabBar::tab:hover {{ color: {c.text}; border-bottom-color: {c.line}; }}
    QTabBar::tab:selected {{ color: {c.text}; border-bottom-color: {c.accent}; }}
    QTabBar::tab:disabled {{ color: {c.line}; }}
    QTabBar::tab:selected:focus {{ border: 2px solid {c.accent}; border-radius: {RADIUS}px;
        padding: 3px 8px 4px 8px; }}
    QTabBar#views::tab {{ font-weight: 600; padding: 6px {MARGIN}px 5px {MARGIN}px; }}
    QTabBar#views::tab:selected:focus {{ padding: 4px {MARGIN - 2}px 5px {MARGIN - 2}px; }}
    QTabWidget::pane {{ border: none; border-top: 1px solid {c.line}; }}
    QTabWidget::tab-bar {{ left: 0px; }}
    QTabBar {{ qproperty-drawBase: 0; }}

    QToolBar {{ background: {c.window}; border: none; border-bottom: 1px solid {c.line};
        padding: {TIGHT}px {GAP}px; spacing: {GAP}px; }}
    QMenuBar {{ background: {c.window}; padding: 2px 4px; }}
    QMenuBar::item {{ padding: 3px 8px; border-radius: {RADIUS}px; background: transparent; }}
    QMenuBar::item:selected {{ background: {c.raised}; }}
    QMenu {{ background: {c.card}; border: 1px solid {c.outline}; padding: {TIGHT}px 0px; }}
    QMenu::separator {{ height: 1px; background: {c.line}; margin: {TIGHT}px {GAP}px; }}
    QStatusBar {{ border-top: 1px solid {c.line}; min-height: 22px; }}
    QStatusBar::item {{ border: none; }}

    QToolTip {{ color: {c.text}; background: {c.raised}; border: 1px solid {c.outline};
        padding: 3px 5px; qproperty-textFormat: PlainText; }}
    QSplitter::handle {{ background: transparent; }}
    QSplitter::handle:hover {{ background: {c.line}; }}
    QHeaderView::section {{ background: {c.card}; color: {c.muted}; border: none;
        border-bottom: 1px solid {c.line}; padding: 4px 4px 1px 4px; }}
    QHeaderView::up-arrow {{ image: url({look}/up.svg); }}
    QHeaderView::down-arrow {{ image: url({look}/down.svg); }}
    QHeaderView::up-arrow, QHeaderView::down-arrow {{ width: 8px; height: 7px;
        subcontrol-origin: border; subcontrol-position: top center; }}
    QTableView, QTreeView, QListView {{ border: 1px solid transparent;
        selection-background-color: {c.chosen}; selection-color: {c.text};
        gridline-color: {c.line}; }}
    QScrollArea:focus, QTableView:focus, QTreeView:focus, QListView:focus, QTextBrowser:focus {{
        border: 1px solid {c.accent}; border-radius: {RADIUS}px; }}
    QScrollBar {{ background: transparent; border: none; }}
    QScrollBar:vertical {{ width: 12px; }}
    QScrollBar:horizontal {{ height: 12px; }}
    QScrollBar::handle {{ background: {c.outline}; border: 3px solid {c.card};
        border-radius: 6px; min-width: 28px; min-height: 28px; }}
    QScrollBar::handle:hover {{ background: {c.text}; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0px; height: 0px; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
    QSlider::groove:horizontal {{ height: 4px; border-radius: 2px; background: {c.outline}; }}
    QSlider::handle:horizontal {{ width: 14px; margin: -5px 0px; border-radius: 7px;
        background: {c.accent}; }}
    QSlider::handle:horizontal:focus {{ border: 2px solid {c.text}; width: 10px; }}
    QSlider::handle:horizontal:disabled {{ background: {c.outline}; }}
    QProgressBar {{ background: {c.surface}; border: 1px solid {c.outline}; color: {c.text};
        border-radius: {RADIUS}px; text-align: center; min-height: 16px; }}
    QProgressBar::chunk {{ background: {c.chosen}; border-radius: 4px; }}
    QGroupBox {{ border: 1px solid {c.line}; border-radius: {CARD_RADIUS}px; margin-top: 18px;
        padding: 6px 4px 4px 4px; }}
    QGroupBox::title {{ subcontrol-origin: margin; subcontrol-position: top left;
        color: {c.muted}; left: 2px; }}
    """


def apply(application: QApplication, dark: bool, contrast: bool = False) -> None:
    """Dress the whole application; call again to change."""
    global _contrast
    _contrast = contrast
    application.setPalette(palette(dark))
    # Taken off first: putting a sheet in another's place takes Qt about seven times as long.
    application.setStyleSheet("")
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
    folder = RESOURCES / "fonts"
    for path in sorted(folder.glob("*.[ot]t[fc]")):
        QFontDatabase.addApplicationFont(str(path))
    with suppress(OSError, ValueError):  # without it lines are lower, and all is there
        letters = (folder / f"{UI_FAMILY}-Regular.otf").read_bytes()
        QFontDatabase.addApplicationFontFromData(tall_font(letters, ROOMY_FAMILY, LINES))
    if QFontDatabase.hasFamily(UI_FAMILY):
        font = application.font()
        font.setFamilies([UI_FAMILY, *font.families(), *OTHER_FAMILIES])
        font.setFeature(QFont.Tag("tnum"), 1)  # digits of one width
        application.setFont(font)


def reading_font(points: float, roomy: bool = False) -> QFont:
    """Return the font for prompts and responses: that of the window, at this size.

    ``roomy``: on lines of LINES sizes, where there is room for them.
    """
    font = QFont(QApplication.font())
    if roomy and QFontDatabase.hasFamily(ROOMY_FAMILY):
        font.setFamilies([ROOMY_FAMILY, *font.families()])
    font.setPointSizeF(points)
    font.setFeature(QFont.Tag("calt"), 0)  # letters are shown as they are, without ligatures
    return font


def fixed_font(points: float) -> QFont:
    """Return the font for bytes, ids and raw prompts."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    if QFontDatabase.hasFamily(MONO_FAMILY):
        font.setFamilies([MONO_FAMILY, *font.families()])
        font.setFeature(QFont.Tag("calt"), 0)
    font.setPointSizeF(points)
    return font
