"""Holds what is drawn of one tree: where its boxes lie, their colours and marks, ways to walk it.

Joins the grown tree, its layout and what the user did to it (collapsed, unfolded, pinned, found).
Arrays have one row per entry of the tree. Knows NumPy, the paper's quantities and colour scales;
knows nothing of Qt: ``measure`` tells it how wide a text is.
"""

from collections.abc import Callable, Iterable

import numpy as np

from app.search.layout import Flags, Floats, Ints, Layout, Placed
from app.widgets.colour_scale import ColourScale
from core import quantities
from core.search.grown import GrownTree, Growth, Hypothesis, Reason, Status
from core.search.spec import SearchSpec

BOTH, ONLY_HERE, ONLY_THERE = 0, 1, 2
"""Which of two compared trees has an entry."""
START = "▸"


class Picture:
    """One tree as it is to be drawn. ``arrange`` after anything but ``recolour`` has changed."""

    def __init__(self, measure: Callable[[str], float], start: str = START) -> None:
        self.tree = GrownTree()
        self.start = start
        self.collapsed: set[int] = set()
        self.unfolded: set[int] = set()
        self.pinned: set[int] = set()
        self.found: set[int] = set()
        self.only: Ints | None = None
        """BOTH, ONLY_HERE or ONLY_THERE for each entry, where two trees are compared."""
        self.placed: Placed | None = None
        self.rewards: Floats = np.zeros(0)
        self.classes: Ints = np.zeros(0, dtype=np.int64)
        self.chance: Floats = np.zeros(0)
        self.pruned: Flags = np.zeros(0, dtype=bool)
        self.best: Flags = np.zeros(0, dtype=bool)
        self.given: Flags = np.zeros(0, dtype=bool)
        """Which entries are of a response that was put there by hand."""
        self._before: dict[int, tuple[int, int]] = {}
        """Status and reason, before that, of entries pruned by hand."""
        self._measure = measure
        self._letters: list[float] = []
        self._widths: dict[str, float] = {}
        self._layout = Layout()

    def __len__(self) -> int:
        return 0 if self.placed is None else len(self.placed.x)

    def take(self, growth: Growth, given: bool = False) -> None:
        """Take in what a step did; ``given``: it added a response that was put there by hand."""
        changed = self.tree.add(growth)
        fresh = len(self.tree) - len(self.given)
        self.given = np.append(self.given, np.zeros(max(fresh, 0), dtype=bool))
        if given:
            self.given[changed] = True
            self.given[0] = False

    def set_pruned(self, entry: int, on: bool) -> None:
        """Show an entry and all below it as pruned by hand, or as it was before."""
        below = np.zeros(len(self.tree), dtype=bool)
        below[entry] = True
        parent = self.tree.parent.tolist()
        for i in range(entry + 1, len(parent)):
            below[i] = below[parent[i]]
        for i in np.flatnonzero(below).tolist():
            if on:
                self._before.setdefault(i, (int(self.tree.status[i]), int(self.tree.reason[i])))
                self.tree.status[i], self.tree.reason[i] = Status.PRUNED, Reason.BY_HAND
            elif i in self._before:
                self.tree.status[i], self.tree.reason[i] = self._before.pop(i)

    def arrange(self) -> None:
        """Place everything that the tree holds now."""
        tree = self.tree
        if not len(tree):
            self.placed = None
            return
        for entry in range(len(self._letters), len(tree)):
            label = self.label(entry)
            width = self._widths.get(label)
            if width is None:
                width = self._widths[label] = self._measure(label)
            self._letters.append(width)
        self.pruned = tree.status == Status.PRUNED
        self.best = np.zeros(len(tree), dtype=bool)
        if len(tree.best):
            self.best[tree.path(int(tree.best[0]))] = True
        pinned = np.zeros(len(tree), dtype=np.int64)
        pinned[list(self.pinned)] = 1
        kind = self.pruned + 2 * self.given + 4 * pinned
        if self.only is not None:
            # A tree that has grown since it was compared: nothing is known of the rest yet.
            self.only = np.append(self.only, np.zeros(len(tree) - len(self.only), dtype=np.int64))
            kind = kind + 8 * self.only
        self.placed = self._layout.place(
            tree.parent,
            tree.column("logp_policy"),
            np.array(self._letters),
            kind,
            self.collapsed,
            self.unfolded,
        )

    def recolour(self, beta: float, scale: ColourScale) -> None:
        """Work out rewards, colour classes and probabilities from what the tree holds."""
        tree = self.tree
        policy = tree.column("logp_policy")
        self.rewards = quantities.reward(policy, tree.column("logp_reference"), beta)
        classes = scale.classes(self.rewards).astype(np.int64)
        self.classes = np.where(np.isnan(self.rewards), scale.zero, classes)
        self.classes[:1] = scale.zero  # the start is no token of this tree
        self.chance = np.exp(np.nan_to_num(policy, nan=-5.0))

    def label(self, entry: int) -> str:
        """Return a token as it is shown."""
        return self.tree.labels[entry] if entry else self.start

    def box_label(self, head: int) -> str:
        """Return what stands in a box: a token's label, or the text of a folded run."""
        assert self.placed is not None
        if self.placed.run[head] == 1:
            return self.label(head)
        at = int(self.placed.last[head])
        members = [at]
        while at != head:
            at = int(self.tree.parent[at])
            members.insert(0, at)
        closing = self.tree.is_closed(members[-1])
        pieces = b"".join(self.tree.pieces[i] for i in members[: -1 if closing else None])
        text = pieces.decode("utf-8", "replace").replace("\n", "↵").replace("\t", "⇥")
        return text + (self.tree.labels[members[-1]] if closing else "")

    # --- finding ----------------------------------------------------------------------------

    def at(self, x: float, row: float) -> int:
        """Return the entry at x (layout units) and ``row`` (with its fraction), -1 for none."""
        placed = self.placed
        if placed is None:
            return -1
        hit = placed.shown & (placed.row == int(np.floor(row)))
        hit &= (placed.x <= x) & (x < placed.x + placed.width)
        found = np.flatnonzero(hit)
        return int(found[0]) if len(found) else -1

    def search(self, query: str) -> list[int]:
        """Return the entries at which an occurrence of ``query`` ends, top to bottom.

        The last token of each first occurrence on a path; case counts for nothing.
        """
        wanted = query.casefold()
        tree = self.tree
        if not wanted or not len(self):
            return []
        reach = len(wanted.encode()) * 4
        tails: list[bytes] = [b""]
        found = []
        for entry in range(1, len(self)):
            before = tails[int(tree.parent[entry])]
            piece = tree.pieces[entry]
            tail = before + piece
            tails.append(tail[-reach:])
            old = before.decode("utf-8", "ignore").casefold()
            new = tail.decode("utf-8", "ignore").casefold()
            at = new.rfind(wanted)
            named = wanted in tree.labels[entry].casefold()
            if named or (at >= 0 and at + len(wanted) > len(old)):
                found.append(entry)
        if self.placed is not None:
            rows, x = self.placed.row, self.placed.x
            found.sort(key=lambda entry: (int(rows[entry]), float(x[entry])))
        return found

    def reveal(self, entry: int) -> bool:
        """Expand what hides an entry; return True if something was collapsed."""
        above = set(self.tree.path(entry).tolist()[:-1]) | {0}
        hidden = self.collapsed & above
        self.collapsed -= hidden
        return bool(hidden)

    # --- walking ----------------------------------------------------------------------------

    def children(self, entry: int) -> list[int]:
        """Return the shown children, top to bottom."""
        placed = self.placed
        if placed is None:
            return []
        # The tree may have grown since it was placed.
        kids = np.flatnonzero((self.tree.parent[: len(self)] == entry) & placed.shown)
        return [int(kid) for kid in kids[np.argsort(placed.row[kids], kind="stable")]]

    def best_child(self, entry: int) -> int:
        """Return where a walk to the right goes: along the best hypothesis, else straight on."""
        kids = self.children(entry)
        return next((kid for kid in kids if self.best[kid]), kids[0] if kids else entry)

    def beside(self, entry: int, step: int) -> int:
        """Return the next (+1) or previous (-1) sibling; an ancestor's where there is none."""
        at = entry
        while at > 0:
            parent = int(self.tree.parent[at])
            kids = self.children(parent)
            place = kids.index(at) + step
            if 0 <= place < len(kids):
                return kids[place]
            at = parent
        return entry

    def best_leaf(self) -> int:
        """Return the end of the best hypothesis; the likeliest shown leaf before there is one."""
        if len(self.tree.best) and self.tree.best[0] < len(self):
            return int(self.tree.best[0])
        at, seen = 0, -1
        while at != seen:
            at, seen = self.best_child(at), at
        return at

    def neighbour(self, entry: int, way: str) -> int:
        """Return the entry one walk away.

        ``way``: "left" (parent), "right" (best child), "up" or "down" (sibling), "home", "end"
        (best leaf).
        """
        ways = {
            "left": lambda: max(int(self.tree.parent[entry]), 0),
            "right": lambda: self.best_child(entry),
            "up": lambda: self.beside(entry, -1),
            "down": lambda: self.beside(entry, 1),
            "home": lambda: 0,
            "end": self.best_leaf,
        }
        return ways[way]()

    def toggle(self, entry: int) -> bool:
        """Hide or show what lies below an entry; return False if nothing does."""
        if entry in self.collapsed:
            self.collapsed.discard(entry)
        elif self.children(entry):
            self.collapsed.add(entry)
        else:
            return False
        return True

    def toggle_run(self, entry: int) -> bool:
        """Unfold or fold the run that an entry is in; return False where it is in none."""
        if self.placed is None:
            return False
        unfolded = self._unfolded_run(entry)
        if self.placed.run[entry] > 1:
            self.unfolded.add(int(self.placed.head[entry]))
        elif unfolded >= 0:
            self.unfolded.discard(unfolded)
        else:
            return False
        return True

    def _unfolded_run(self, entry: int) -> int:
        """Return the head of the unfolded run that an entry is in, or -1."""
        while entry > 0:
            if entry in self.unfolded:
                return entry
            parent = int(self.tree.parent[entry])
            if len(self.children(parent)) != 1:
                return -1
            entry = parent
        return -1

    def hypotheses(self, spec: SearchSpec, earlier: Iterable[int] = ()) -> list[Hypothesis]:
        """Return what the last search and ``earlier`` ones found, without what is pruned.

        The best by ``spec`` first.
        """
        tree = self.tree
        last = tree.best
        fresh = set(last.tolist())
        more = np.array([e for e in earlier if e not in fresh], dtype=np.int64)
        both = np.append(last, more)
        tree.best = both[tree.status[both] != Status.PRUNED]
        found = tree.hypotheses(spec)
        tree.best = last
        return sorted(found, key=lambda one: -one.score) if len(more) else found
