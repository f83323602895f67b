"""A watch over loaded checkpoints: it tells once of each that is written anew on disk.

What is loaded stays as it was read, so the numbers stay right for it: a user who trains on, or
copies another checkpoint over it, is told that they are not of what is there now. A checkpoint that
is only deleted is not told of. Knows nothing of models or windows.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.checkpoints.identity import Identity, written_since
from core.checkpoints.plan import PairPlan

EVERY = 1.0
"""Seconds between two looks at the disk."""
POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Change:
    """Files that have been written anew. ``policy_only``: they are all the policy's own."""

    sentence: str
    policy_only: bool


class Watch:
    """A watch over the files of what was loaded: ``parts`` by their role in the pair, in words."""

    def __init__(self, parts: Mapping[str, Identity]) -> None:
        self._parts = dict(parts)
        self.folders = {role: str(it.folder) for role, it in parts.items()}
        """Of each role, as it was loaded."""
        self._told: set[Identity] = set()
        self._looked = -EVERY

    def look(self, policy: Identity | None = None) -> Change | None:
        """Return what has been written anew since the last look that told of it, or None.

        None also if the last look was less than EVERY seconds ago. ``policy``: the checkpoint of a
        run that is the policy now.
        """
        now = time.monotonic()
        if now - self._looked < EVERY:
            return None
        self._looked = now
        parts = self._parts | ({POLICY: policy} if policy is not None else {})
        found = {
            role: [Path(it.folder, name) for name in written_since(it)]
            for role, it in parts.items()
            if it not in self._told
        }
        changed = [role for role, files in found.items() if files]
        if not changed:
            return None
        self._told.update(parts[role] for role in changed)
        whose = " and ".join(f"the {role}'s" for role in changed)
        files = [file for role in changed for file in found[role]]
        others = f" and {len(files) - 1} more" if len(files) > 1 else ""
        sentence = (
            f"{whose.capitalize()} files on disk have changed since they were loaded ({files[0]}"
            f"{others}): the numbers are of the weights as loaded."
        )
        return Change(sentence, changed == [POLICY])


def parts_of(plan: PairPlan) -> dict[str, Path]:
    """Return the folders that a pair is loaded from, each once, by their role in it, in words."""
    folders = {POLICY: plan.policy_adapter or plan.policy_model}
    others = {
        "reference": plan.reference_adapter or plan.reference_model,
        "policy's base": plan.policy_model,
        "reference's base": plan.reference_model,
        "search base": plan.search_base.path if plan.search_base else None,
    }
    for role, folder in others.items():
        if folder is not None and folder not in folders.values():
            folders[role] = folder
    return folders
