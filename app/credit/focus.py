"""Which token is being looked at: hover and pin, kept the same in editors, chart and inspector.

A pinned token holds the inspector, so that the mouse can go there; without one the inspector
follows the mouse. Alternatives are asked for after a moment and kept by the tree's state, so that
looking back is instant. Knows panels, inspector and bridge; knows nothing of layout.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, QRect, QTimer, Slot

from app.credit.inspector import Inspector
from app.credit.response_panel import ResponsePanel
from app.engine_client import Bridge
from app.widgets.popup import TokenPopup
from core.engine.protocol import Inspected, Side
from core.present.token_facts import popup_html
from core.scoring import Inspection
from core.text import Tokens, align

if TYPE_CHECKING:
    from app.credit.view import CreditView

ASK_MS = 80
KEPT = 400
Spot = tuple[Side, int]
Key = tuple[int, str, int]
"""A state (by the node before the token), a query, and the checkpoint that is asked."""


class Focus(QObject):
    """Hover and pin of one credit view."""

    def __init__(self, view: "CreditView", bridge: Bridge, inspector: Inspector) -> None:
        super().__init__(view)
        self._view, self._bridge, self._inspector = view, bridge, inspector
        self.popup = TokenPopup(view)
        self.shown: Spot | None = None
        """The token that the inspector shows."""
        self.pinned: Spot | None = None
        self._hover: Spot | None = None
        self._kept: dict[Key, Inspection] = {}
        self._asked: dict[int, Key] = {}
        self._ask = QTimer(self)
        self._ask.setSingleShot(True)
        self._ask.setInterval(ASK_MS)
        self._ask.timeout.connect(self._request)
        for panel in view.panels.values():
            editor = panel.editor
            hover, click = (
                (self._hovered_a, self._clicked_a)
                if panel.side == "A"
                else (self._hovered_b, self._clicked_b)
            )
            editor.hovered.connect(hover)
            editor.token_clicked.connect(click)
            editor.walked.connect(click)
        inspector.chosen.connect(self._replace)
        view.q_page.chosen.connect(self._replace)
        view.q_function.chart_hovered.connect(self.chart_hovered)
        view.q_function.chart_clicked.connect(self.chart_clicked)
        inspector.searched.connect(self._searched)
        inspector.unpin.connect(self.unpin)
        bridge.inspected.connect(self._inspected)

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
        for panel in self._view.panels.values():
            panel.editor.highlight(index if panel.side == side else None)
        self._hovered("B" if side == "B" else "A", index)

    @Slot(str, int)
    def chart_clicked(self, side: str, index: int) -> None:
        self.pin("B" if side == "B" else "A", index)

    def _hovered(self, side: Side, index: int) -> None:
        panel = self._view.panels[side]
        scoring = panel.scoring
        if index < 0 or scoring is None or index >= len(scoring):
            self._hover = None
            self.popup.hide()
            self._mark_partner(None)
            self._mark_chart(self.pinned)
            self._ask.stop()
            return
        self._hover = side, index
        self._mark_partner(self._hover)
        self._mark_chart(self._hover)
        self._show_popup(panel, index)
        if self.pinned is None:
            self._show((side, index))

    def _show_popup(self, panel: ResponsePanel, index: int) -> None:
        rects = panel.editor.token_rects(index)
        if not rects or panel.scoring is None or self.pinned == (panel.side, index):
            self.popup.hide()
            return
        viewport = panel.editor.viewport()
        corner = viewport.mapTo(self._view, QPoint(0, 0))
        inside = QRect(corner, viewport.size())
        where = rects[0].translated(corner)
        if not inside.intersects(where):
            self.popup.hide()
            return
        group = self._view.group_sum(panel.side, index)
        html = popup_html(panel.scoring, index, self._view.beta(), group, self._view.noise)
        self.popup.show_at(where, html)

    def _mark_partner(self, spot: Spot | None) -> None:
        """Outline the equal token of the other response."""
        for panel in self._view.panels.values():
            if spot is None:
                panel.editor.highlight(None)
            elif panel.side != spot[0]:
                partner = self._view.partner(*spot)
                panel.editor.highlight(partner if partner >= 0 else None)

    def mark_chart(self) -> None:
        """Mark what is looked at in a chart that was drawn anew."""
        self._mark_chart(self._hover or self.pinned)

    def _mark_chart(self, spot: Spot | None) -> None:
        chart = self._view.chart
        if chart is not None:
            chart.highlight(*(spot or ("", -1)))
        self._view.q_function.highlight(*(spot or ("", -1)))

    # --- pin --------------------------------------------------------------------------------

    def pin(self, side: Side, index: int) -> None:
        """Hold a token until another is pinned."""
        scoring = self._view.panels[side].scoring
        if index < 0 or scoring is None or index >= len(scoring):
            return
        if self.pinned != (side, index):
            self._inspector.end_search()
        self.pinned = side, index
        for panel in self._view.panels.values():
            panel.editor.pin(index if panel.side == side else None)
        self.popup.hide()
        self._mark_chart(self.pinned)
        self._show(self.pinned)

    @Slot()
    def unpin(self) -> None:
        """Let the inspector follow the mouse again."""
        self.pinned = None
        self._inspector.end_search()
        for panel in self._view.panels.values():
            panel.editor.pin(None)
        self._mark_chart(None)
        if self.shown is not None:
            self._show(self.shown)

    def pin_at_caret(self) -> None:
        """Pin the token at the caret of the editor that has the focus."""
        for panel in self._view.panels.values():
            if panel.editor.hasFocus():
                editor = panel.editor
                point = editor.cursorRect().center()
                index = editor.token_at(point + QPoint(2, 0))
                if index < 0:
                    index = editor.token_at(point - QPoint(4, 0))
                self.pin(panel.side, index)
                return

    def spot(self) -> Spot | None:
        """The token that is meant: the pinned one, else that at the caret of the editor with the
        focus."""
        if self.pinned is not None:
            return self.pinned
        for panel in self._view.panels.values():
            if panel.editor.hasFocus() and panel.scoring is not None:
                index = panel.editor.caret_index()
                return (panel.side, index) if index >= 0 else None
        return None

    # --- inspector --------------------------------------------------------------------------

    def _show(self, spot: Spot) -> None:
        side, index = spot
        panel = self._view.panels[side]
        if panel.scoring is None or index >= len(panel.scoring):
            self.clear()
            return
        self.shown = spot
        self._inspector.show_token(
            side,
            panel.scoring,
            index,
            self._view.beta(),
            self.pinned == spot,
            not panel.is_current() or panel.editor.is_stale(index),
            self._view.noise,
        )
        key = self._key(spot)
        if key is not None:
            self._view.q_function.look(side, index, key[0], self.pinned == spot)
        known = self._kept.get(key) if key is not None else None
        self._show_alternatives(known)
        if known is None:
            self._ask.start()
        else:
            self._ask.stop()

    def _show_alternatives(self, inspection: Inspection | None) -> None:
        scale = self._view.reward_scale()
        self._inspector.show_alternatives(inspection, self._view.beta(), scale)

    def refresh(self, side: Side | None = None) -> None:
        """Numbers, beta or theme have changed: of one side, or of all."""
        if self.shown is not None and side in (None, self.shown[0]):
            self._show(self.shown)
        if self._hover is None or side in (None, self._hover[0]):
            self.popup.hide()

    def follow(self, side: Side, old: Tokens, new: Tokens) -> None:
        """A side's tokens have changed: pin and inspector stay with the token that they had."""
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
            self._view.panels[side].editor.pin(index)

    def clear(self) -> None:
        """Nothing is looked at."""
        self.shown = self.pinned = self._hover = None
        self._ask.stop()
        self._view.q_function.look_away()
        self.popup.hide()
        self._inspector.clear()
        for panel in self._view.panels.values():
            panel.editor.pin(None)

    def forget(self) -> None:
        """Another pair: what is kept of states is of the old one."""
        self._kept.clear()
        self._asked.clear()
        self._view.q_function.forget()
        self.clear()

    def forget_checkpoint(self, index: int) -> None:
        """What is kept of a checkpoint is of another one, which lay there before."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[2] != index}
        self._asked.clear()
        self._view.q_function.forget_checkpoint(index)

    def _key(self, spot: Spot) -> Key | None:
        """What there is to be asked about a token."""
        side, index = spot
        scoring = self._view.panels[side].scoring
        if scoring is None:
            return None
        # The node before a first token is the prompt's last, which the scoring does not name;
        # the first token's own node stands for it, as a negative number.
        state = int(scoring.nodes[index - 1]) if index else -1 - int(scoring.nodes[0])
        return state, self._inspector.query(), self._view.film.shown

    @Slot()
    def _request(self) -> None:
        if self.shown is None:
            return
        side, index = self.shown
        key = self._key(self.shown)
        if key is None or not self._view.panels[side].is_current():
            return  # the scoring that is under way brings a refresh
        if self._view.between_checkpoints():
            return  # and so does the checkpoint
        self._asked.clear()
        self._inspector.search_asked()
        self._asked[self._bridge.inspect(side, index, key[1])] = key

    @Slot(object)
    def _inspected(self, event: Inspected) -> None:
        key = self._asked.pop(event.id, None)
        if key is None or (key[0] >= 0 and event.inspection.state != key[0]):
            return
        if key[2] != self._view.film.shown or self._view.between_checkpoints():
            return  # it may be of another checkpoint; when that is shown, this is asked anew
        self._kept[key] = event.inspection
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        if self.shown is not None and self._key(self.shown) == key:
            self._show_alternatives(event.inspection)

    @Slot(str)
    def _searched(self, query: str) -> None:
        if self.shown is not None:
            self._show(self.shown)
            if self._ask.isActive():
                self._ask.stop()
                self._request()

    @Slot(int)
    def _replace(self, id: int) -> None:
        if self.pinned is None:
            if self.shown is None:
                return
            self.pin(*self.shown)
        if self.pinned is not None:
            self._view.replace(*self.pinned, id)


def successor(index: int, old: Tokens, new: Tokens) -> int:
    """Where a token is after an edit, or what stands in its place; -1 if it is gone."""
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
