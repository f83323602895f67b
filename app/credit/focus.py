"""Which token is being looked at: hover and pin, kept the same in editors, charts and inspector.

A pinned token holds the inspector, so that the mouse can go there; without one the inspector
follows the mouse. The alternatives at its state are looked up. Knows the panels, their numbers and
the inspector; knows nothing of layout, and tells charts and pages by signals.
"""

from PySide6.QtCore import QObject, QPoint, QRect, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.credit.inspector import Inspector
from app.credit.numbers import CreditNumbers
from app.credit.response_panel import ResponsePanel
from app.inspect.answers import InspectionLookup, Question
from app.widgets.popup import TokenPopup
from core.engine.protocol import Side
from core.present.token_facts import popup_html
from core.scoring import Inspection
from core.text import Tokens, align

Spot = tuple[Side, int]
POPUP_MS = 150
"""How long the mouse rests on a token before its card shows."""


class Focus(QObject):
    """Hover and pin of one credit view."""

    marked = Signal(str, int)
    """Charts shall mark this token of a side; index -1 for none."""
    looked_at = Signal(str, int, bool)
    """The inspector shows this token of a side, pinned or not."""
    looked_away = Signal()
    """It shows none."""
    replacement_wanted = Signal(str, int, int)
    """Put the token with an id (the last number) in the place of a side's."""

    def __init__(
        self,
        numbers: CreditNumbers,
        inspector: Inspector,
        lookup: InspectionLookup,
        area: QWidget,
    ) -> None:
        """``area``: the widget that the popup may cover."""
        super().__init__(area)
        self._numbers, self._inspector, self._lookup, self._area = numbers, inspector, lookup, area
        self._panels = numbers.panels
        self.popup = TokenPopup(area, POPUP_MS)
        self.shown: Spot | None = None
        """The token that the inspector shows."""
        self.pinned: Spot | None = None
        self._hover: Spot | None = None
        for panel in self._panels.values():
            editor = panel.editor
            hover, click = (
                (self._hovered_a, self._clicked_a)
                if panel.side == "A"
                else (self._hovered_b, self._clicked_b)
            )
            editor.hovered.connect(hover)
            editor.token_clicked.connect(click)
            editor.walked.connect(click)
        inspector.chosen.connect(self.replace)
        inspector.search.searched.connect(self._searched)
        inspector.unpin.connect(self.unpin)
        inspector.pin_wanted.connect(self._pin_shown)
        lookup.asking.connect(inspector.search.stop_resting)
        lookup.found.connect(self._show_found)

    # --- from editors and chart -------------------------------------------------------------

    @Slot(int)
    def _hovered_a(self, index: int) -> None:
        self._hovered("A", index)

    @Slot(int)
    def _hovered_b(self, index: int) -> None:
        self._hovered("B", index)

    @Slot(int)
    def _clicked_a(self, index: int) -> None:
        self.pin("A", index)

    @Slot(int)
    def _clicked_b(self, index: int) -> None:
        self.pin("B", index)

    @Slot(str, int)
    def chart_hovered(self, side: str, index: int) -> None:
        for panel in self._panels.values():
            panel.editor.highlight(index if panel.side == side else None)
        self._hovered("B" if side == "B" else "A", index)

    @Slot(str, int)
    def chart_clicked(self, side: str, index: int) -> None:
        self.pin("B" if side == "B" else "A", index)

    def _hovered(self, side: Side, index: int) -> None:
        panel = self._panels[side]
        scoring = panel.scoring
        if index < 0 or scoring is None or index >= len(scoring):
            self._hover = None
            self.popup.dismiss()
            self._mark_partner(None)
            self._mark(self.pinned)
            if self.pinned is None:
                self._lookup.look(None)
            return
        self._hover = side, index
        self._mark_partner(self._hover)
        self._mark(self._hover)
        self._show_popup(panel, index)
        if self.pinned is None:
            self._show((side, index))

    def _show_popup(self, panel: ResponsePanel, index: int) -> None:
        rects = panel.editor.token_rects(index)
        if not rects or panel.scoring is None or self.pinned == (panel.side, index):
            self.popup.dismiss()
            return
        viewport = panel.editor.viewport()
        corner = viewport.mapTo(self._area, QPoint(0, 0))
        inside = QRect(corner, viewport.size())
        where = rects[0].translated(corner)
        if not inside.intersects(where):
            self.popup.dismiss()
            return
        # Neither the line that is being read is covered, nor the one that is read next.
        spared = QRect(inside.left(), where.top(), inside.width(), 2 * where.height())
        numbers = self._numbers
        group = numbers.group_sum(panel.side, index)
        html = popup_html(panel.scoring, index, numbers.beta(), group, numbers.noise)
        self.popup.show_at(where, html, spared)

    def _mark_partner(self, spot: Spot | None) -> None:
        """Outline the equal token of the other response."""
        for panel in self._panels.values():
            if spot is None:
                panel.editor.highlight(None)
            elif panel.side != spot[0]:
                partner = self._numbers.partner(*spot)
                panel.editor.highlight(partner if partner >= 0 else None)

    def mark_again(self) -> None:
        """Mark what is looked at in charts that were drawn anew."""
        self._mark(self._hover or self.pinned)

    def _mark(self, spot: Spot | None) -> None:
        self.marked.emit(*(spot or ("", -1)))

    # --- pin --------------------------------------------------------------------------------

    def pin(self, side: Side, index: int) -> None:
        """Hold a token until another is pinned."""
        scoring = self._panels[side].scoring
        if index < 0 or scoring is None or index >= len(scoring):
            return
        if self.pinned != (side, index):
            self._inspector.search.end_search()
        self.pinned = side, index
        for panel in self._panels.values():
            panel.editor.pin(index if panel.side == side else None)
        self.popup.dismiss()
        self._mark(self.pinned)
        self._show(self.pinned)

    @Slot()
    def _pin_shown(self) -> None:
        if self.shown is not None:
            self.pin(*self.shown)

    @Slot()
    def unpin(self) -> None:
        """Let the inspector follow the mouse again."""
        self.pinned = None
        self._inspector.search.end_search()
        for panel in self._panels.values():
            panel.editor.pin(None)
        self._mark(None)
        if self.shown is not None:
            self._show(self.shown)

    def pin_at_caret(self) -> None:
        """Pin the token at the caret of the editor that has the focus."""
        for panel in self._panels.values():
            if panel.editor.hasFocus():
                editor = panel.editor
                point = editor.cursorRect().center()
                index = editor.token_at(point + QPoint(2, 0))
                if index < 0:
                    index = editor.token_at(point - QPoint(4, 0))
                self.pin(panel.side, index)
                return

    def spot(self) -> Spot | None:
        """Return the token that is meant: the pinned one, else that at the caret of the editor with
        the focus."""
        if self.pinned is not None:
            return self.pinned
        for panel in self._panels.values():
            if panel.editor.hasFocus() and panel.scoring is not None:
                index = panel.editor.caret_index()
                return (panel.side, index) if index >= 0 else None
        return None

    # --- inspector --------------------------------------------------------------------------

    def _show(self, spot: Spot) -> None:
        side, index = spot
        panel = self._panels[side]
        if panel.scoring is None or index >= len(panel.scoring):
            self.clear()
            return
        self.shown = spot
        pinned = self.pinned == spot
        stale = not panel.is_current() or panel.editor.is_stale(index)
        beta, noise = self._numbers.beta(), self._numbers.noise
        colour = self._numbers.colour_fact(side, index)
        self._inspector.show_token(side, panel.scoring, index, beta, pinned, stale, noise, colour)
        self.looked_at.emit(side, index, pinned)
        self._show_found()

    @Slot()
    def _show_found(self) -> None:
        """Show the alternatives that are known; what is not known is asked for."""
        if self.shown is None:
            return
        inspection: Inspection | None = None
        if (state := self._numbers.state(*self.shown)) is not None:
            query = self._inspector.search.query()
            inspection = self._lookup.look(Question(state, self._numbers.checkpoint(), query))
        scale = self._numbers.reward_scale()
        self._inspector.show_alternatives(inspection, self._numbers.beta(), scale)
        self._inspector.show_why(self._numbers.why(*self.shown, inspection))

    def refresh(self, side: Side | None = None) -> None:
        """Show numbers, beta or theme, which have changed: of one side, or of all."""
        if self.shown is not None and side in (None, self.shown[0]):
            self._show(self.shown)
        if self._hover is None or side in (None, self._hover[0]):
            self.popup.dismiss()

    def follow(self, side: Side, old: Tokens, new: Tokens) -> None:
        """Let pin and inspector stay with the token that they had: a side's tokens have changed."""
        if self.shown is None or self.shown[0] != side:
            return
        index = successor(self.shown[1], old, new)
        if index < 0:
            self.shown = None
            self.unpin()
            self.clear()
            return
        self.shown = side, index
        if self.pinned is not None:
            self.pinned = self.shown
            self._panels[side].editor.pin(index)

    def clear(self) -> None:
        """Look at nothing."""
        self.shown = self.pinned = self._hover = None
        self._lookup.look(None)
        self.looked_away.emit()
        self.popup.dismiss()
        self._inspector.clear()
        for panel in self._panels.values():
            panel.editor.pin(None)

    @Slot(str)
    def _searched(self, query: str) -> None:
        if self.shown is not None:
            self._show(self.shown)
            self._lookup.ask_now()

    @Slot(int)
    def replace(self, id: int) -> None:
        """Put a token in the place of the one that is looked at, which is pinned."""
        if self.pinned is None:
            if self.shown is None:
                return
            self.pin(*self.shown)
        if self.pinned is not None:
            self.replacement_wanted.emit(*self.pinned, id)


def successor(index: int, old: Tokens, new: Tokens) -> int:
    """Return where a token is after an edit, or what stands in its place; -1 if it is gone."""
    if index >= len(old):
        return len(new)  # the closing token
    found = align(old, new)
    for here, there in found.pairs:
        if here == index:
            return there
    for before, after in zip(found.edited_a, found.edited_b, strict=True):
        if index in before and len(before) == len(after):
            return after[index - before.start]
    return -1
