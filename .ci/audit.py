"""Asks pip-audit whether what constraints.txt pins has known vulnerabilities; exits with 1 if so.

Where its database cannot be reached, or answers too slowly, that is said and nothing fails.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
IGNORED = ROOT / ".ci" / "ignored-vulnerabilities.txt"
"""A line each: the id, and why Qscope is not concerned."""
SECONDS = 120
SKIPPED = "The audit is skipped:"
OFFLINE = "requests.exceptions", "Could not connect", "ConnectionError", "ServiceError"
"""What pip-audit says without a network."""


def ignored(text: str) -> list[str]:
    """Return the ids that a file of ignored vulnerabilities names.

    Raises:
        SystemExit: one has no reason.
    """
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    for parts in lines:
        if len(parts) < 2:
            sys.exit(f"{IGNORED.name} says of {' '.join(parts)} no reason: write it behind the id.")
    return [parts[0] for parts in lines]


def verdict(report: Mapping[str, Any]) -> tuple[int, str]:
    """Return the exit status and a sentence for what pip-audit found."""
    packages: Sequence[Mapping[str, Any]] = report["dependencies"]
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return 0, f"{SKIPPED} the database answers for none of the packages."
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for package in known
        for flaw in package["vulns"]
    ]
    if found:
        return 1, "\n".join(
            [*found, f"Raise the bound and pin anew, or give a reason in {IGNORED.name}."]
        )
    return 0, f"No known vulnerabilities in {len(known)} of {len(packages)} pinned packages."


def unfinished(stderr: str) -> tuple[int, str]:
    """Return the exit status and a sentence where pip-audit has ended without a report."""
    last = (stderr.strip().splitlines() or ["it said nothing"])[-1][:160]
    if any(sign in stderr for sign in OFFLINE):
        return 0, f"{SKIPPED} the database cannot be reached ({last})."
    return 1, f"pip-audit has failed ({last}): see what is wrong with constraints.txt."


def audit() -> tuple[int, str]:
    """Run pip-audit over the constraints and judge what it says."""
    with tempfile.TemporaryDirectory() as room:
        said = Path(room) / "report.json"
        command = [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt")),
            *("--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", "15"),
            *("--format", "json", "--output", str(said)),
        ]
        for name in ignored(IGNORED.read_text("utf-8")):
            command += ["--ignore-vuln", name]
        try:
            ran = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return 0, f"{SKIPPED} the database has not answered for {SECONDS} seconds."
        if not said.exists() or not said.stat().st_size:
            return unfinished(ran.stderr)
        return verdict(json.loads(said.read_text("utf-8")))


if __name__ == "__main__":
    status, sentence = audit()
    print(sentence)
    sys.exit(status)
