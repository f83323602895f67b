"""constraints.txt pins what pyproject.toml asks for, and the audit of it judges rightly."""

import importlib.util
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
ASKED = [Requirement(it) for it in [*PROJECT["dependencies"], *(it for e in EXTRAS for it in e)]]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def load_audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on(python, platform):
    return {**default_environment(), "python_version": python, "sys_platform": platform,
            "python_full_version": f"{python}.1", "platform_machine": "x86_64"}  # fmt: skip


def applies(requirement, environment):
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_one_version_is_pinned_of_each_package_that_is_asked_for(python, platform):
    here = on(python, platform)
    pinned = {}
    for pin in PINS:
        (exactly,) = pin.specifier
        assert exactly.operator == "==" and "*" not in exactly.version
        if applies(pin, here):
            assert pinned.setdefault(pin.name, exactly.version) == exactly.version
    for asked in ASKED:
        if asked.name != PROJECT["name"] and applies(asked, here):
            name = asked.name.lower().replace("_", "-")
            assert name in pinned and asked.specifier.contains(pinned[name]), (
                f"{asked} is not what constraints.txt pins: make it anew (CONTRIBUTING.md)"
            )


def package(name, *flaws, **more):
    found = [{"id": flaw, "fix_versions": ["2.0"]} for flaw in flaws]
    return {"name": name, "version": "1.0", "vulns": found, **more}


def test_a_known_vulnerability_fails_and_a_missing_database_does_not():
    audit = load_audit()
    skipped = {"name": "b", "skip_reason": "not found"}
    status, said = audit.verdict({"dependencies": [package("a", "PYSEC-1"), skipped]})
    assert status == 1 and "a 1.0: PYSEC-1, mended in 2.0" in said
    status, said = audit.verdict({"dependencies": [package("a"), skipped]})
    assert status == 0 and "in 1 of 2" in said
    status, said = audit.verdict({"dependencies": [skipped]})
    assert status == 0 and said.startswith("The audit is skipped:")
    assert audit.unfinished("...\nrequests.exceptions.ProxyError: no way")[0] == 0
    assert audit.unfinished("ERROR:pip_audit._cli:invalid requirements input: x")[0] == 1


def test_what_is_ignored_has_a_reason():
    audit = load_audit()
    audit.ignored(audit.IGNORED.read_text("utf-8"))
    assert audit.ignored("# a remark\nPYSEC-1 only in the server, which is not run\n") == [
        "PYSEC-1"
    ]
    with pytest.raises(SystemExit, match="PYSEC-2"):
        audit.ignored("PYSEC-2\n")
