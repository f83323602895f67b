"""Gives the icons of resources/icons in the colours of the theme, sharp at any device pixel ratio.

Knows SVG files with one colour, ``currentColor``; knows nothing of what the icons stand for.
"""

from functools import cache

from PySide6.QtCore import QBuffer, QEvent, QIODevice, QSize
from PySide6.QtGui import QIcon, QImage, QImageReader, QPixmap
from PySide6.QtWidgets import QApplication, QToolButton, QWidget

from app import theme
from app.widgets.layouts import as_tip

ANEW = (
    QEvent.Type.Polish,  # a widget that was not shown yet hears of no theme before
    QEvent.Type.PaletteChange,
    QEvent.Type.DevicePixelRatioChange,
)
"""After what an icon may have to look otherwise."""


@cache
def drawn(name: str, colour: str, pixels: int) -> QImage:
    """Return an icon in one colour, #rrggbb, as a picture of ``pixels`` by ``pixels``.

    Raises:
        FileNotFoundError: there is no such icon.
    """
    svg = (theme.RESOURCES / "icons" / f"{name}.svg").read_bytes()
    memory = QBuffer()
    memory.setData(svg.replace(b"currentColor", colour.encode()))
    memory.open(QIODevice.OpenModeFlag.ReadOnly)
    reader = QImageReader(memory, b"svg")
    reader.setScaledSize(QSize(pixels, pixels))
    return reader.read()


def icon_for(widget: QWidget, name: str) -> QIcon:
    """Return an icon for a widget: in the colour of its theme's text, and fainter for disabled."""
    colours = theme.colours(theme.is_dark_palette(QApplication.palette()))
    ratio = widget.devicePixelRatioF()
    made = QIcon()
    for mode, colour in (
        (QIcon.Mode.Normal, colours.text),
        (QIcon.Mode.Disabled, colours.outline),
    ):
        picture = QPixmap.fromImage(drawn(name, colour, round(theme.ICON * ratio)))
        picture.setDevicePixelRatio(ratio)
        made.addPixmap(picture, mode)
    return made


class IconButton(QToolButton):
    """A flat button with an icon, drawn anew in another theme."""

    def __init__(self, name: str, says: str, tip: str = "", parent: QWidget | None = None) -> None:
        """``name``: of the icon; ``says``: what it is called; ``tip``: if that says more."""
        super().__init__(parent)
        self._icon = name
        self.setAutoRaise(True)
        self.setAccessibleName(says)
        self.setToolTip(as_tip(tip or says))
        self.setIconSize(QSize(theme.ICON, theme.ICON))
        self.setIcon(icon_for(self, name))

    def show_icon(self, name: str) -> None:
        """Show another icon."""
        if name != self._icon:
            self._icon = name
            self.setIcon(icon_for(self, name))

    def event(self, event: QEvent) -> bool:
        """Draw anew in another theme, and for a screen of another pixel ratio."""
        done = super().event(event)
        if event.type() in ANEW and hasattr(self, "_icon"):
            self.setIcon(icon_for(self, self._icon))
        return done
