"""The rules of the house, read from the source and from what an import brings along."""

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Lower may not import higher. A module that is not named has the rank of its package.
RANKS = {
    "core.errors": 0,
    "core.failures": 0,
    "core.folders": 0,
    "core.safe_files": 0,
    "core.session_record": 3,
    "core.recording": 3,
    "core.session_check": 3,
    "core.session_file": 5,
    "core.session_numbers": 5,
    "core.text": 0,
    "core.dependence": 1,
    "core.substitution": 1,
    "core.reading": 0,
    "core.rendering": 0,
    "core.rendering_process": 0,
    "core.template": 0,
    "core.inert": 0,
    "core.as_read": 1,
    "core.codec": 0,
    "core.tree": 0,
    "core.quantities": 0,
    "core.losses": 0,
    "core.trace": 0,
    "core.progress": 0,
    "core.setting": 0,
    "core.finding": 0,
    "core.scoring": 1,
    "core.noise": 1,
    "core.provenance": 1,
    "core.plausibility": 1,
    "core.search.spec": 1,
    "core.search.grown": 1,
    "core.gauge": 1,
    "core.sweeps.record": 1,
    "core.runs.records": 1,
    "core.present": 2,
    "core.history": 2,
    "core.engine.protocol": 2,
    "core.checkpoints": 3,
    "core.diagnosis": 3,
    "core.models": 4,
    "core.search": 5,
    "core.sweeps": 5,
    "core.dataset": 5,
    "core.learned": 5,
    "core.learned.record": 1,
    "core.learned.compare": 2,
    "core.learned.report": 2,
    "core.learned.saved": 2,
    "core.demo": 5,
    "core.evaluation": 5,
    "core.runs": 5,
    "core.preferences": 1,
    "core.tables": 0,
    "core.files": 0,
    "core.training": 5,
    "core.registrations": 0,
    "core.engine": 6,
    "core.commands": 7,
    "app": 7,
    "main": 8,
}
QT = {"PySide6", "shiboken6", "pyqtgraph"}
MODELS = {"torch", "transformers", "peft", "trl", "safetensors", "gguf", "tokenizers"}
SOURCES = [
    ROOT / "main.py",
    *sorted((ROOT / "core").rglob("*.py")),
    *sorted((ROOT / "app").rglob("*.py")),
]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imported(path: Path) -> set[str]:
    """Every module that the file imports, inside functions too; "from a import b" gives a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rank(module: str) -> int | None:
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (prefix := ".".join(parts[:length])) in RANKS:
            return RANKS[prefix]
    return None


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_imports_up(path: Path) -> None:
    own = rank(module_name(path))
    if own is None:
        assert module_name(path) == "core", f"{path} has no place among the layers"
        return
    for name in imported(path):
        other = rank(name)
        assert other is None or other <= own, f"{module_name(path)} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_qt_stays_in_the_app_and_models_in_the_core(path: Path) -> None:
    tops = {name.partition(".")[0] for name in imported(path)}
    where = module_name(path)
    if where.startswith("core"):
        assert not tops & (QT | {"app", "main"})
    else:
        assert not tops & MODELS
        assert "core.commands" not in where


def test_quantities_take_and_return_arrays() -> None:
    tops = {name.partition(".")[0] for name in imported(ROOT / "core" / "quantities.py")}
    assert tops <= {"numpy", "math", "typing", "collections", "__future__"}


def test_every_module_says_what_it_does() -> None:
    silent = [
        str(path)
        for path in SOURCES
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent


def modules_imported(path: Path) -> set[str]:
    """The modules of ours that the file imports, for type checkers too."""
    ours = {module_name(source) for source in SOURCES}
    names = imported(path)
    found = {name if name in ours else name.rpartition(".")[0] for name in names}
    return (found & ours) - {module_name(path)}


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module_name(path): modules_imported(path) for path in SOURCES}
    assert tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, with names


def test_classes_are_composed_rather_than_inherited() -> None:
    """No class of ours has more than two ancestors of ours."""
    bases: dict[str, list[str]] = {}
    for path in SOURCES:
        where, tree = module_name(path), ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                named = [ast.unparse(base).partition("[")[0] for base in node.bases]
                bases[f"{where}.{node.name}"] = [names.get(n, f"{where}.{n}") for n in named]

    def ancestors(name: str) -> set[str]:
        direct = {base for base in bases.get(name, []) if base in bases}
        return direct.union(*map(ancestors, direct))

    deep = {name: found for name in bases if len(found := ancestors(name)) > 2}
    assert not deep


# gentle_import asks modules of Qt for each of their names: that makes PySide's classes.
WINDOW = [path for path in SOURCES if module_name(path).startswith("app.")]
NAMED = [path for path in WINDOW if module_name(path) != "app.gentle_import"]


@pytest.mark.parametrize("path", NAMED, ids=module_name)
def test_no_callback_is_looked_up_by_a_computed_name(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            assert isinstance(node.args[1], ast.Constant), f"{path}:{node.lineno}"


def test_what_is_public_is_documented() -> None:
    """At least nine in ten of the public classes, functions and methods."""
    counts = [0, 0]
    for path in SOURCES:
        waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
        for tree in waiting:
            for node in ast.iter_child_nodes(tree):
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_":
                    counts[ast.get_docstring(node) is not None] += 1
                    waiting += [node] if isinstance(node, ast.ClassDef) else []
    assert counts[True] / sum(counts) >= 0.9


def brought_along(statement: str, unwanted: set[str]) -> str:
    """Run ``statement`` in a fresh Python; the top-level packages of ``unwanted`` it imported."""
    script = f"{statement}\nimport sys\nprint(*sorted({unwanted!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_command_line_is_light() -> None:
    assert brought_along("import main", MODELS | QT | {"numpy"}) == ""


def test_the_window_waits_for_neither_models_nor_charts() -> None:
    later = {"pyqtgraph", "app.probe", "core.substitution"}
    assert brought_along("import app.main_window, app.start", MODELS | later) == ""


@pytest.mark.parametrize(
    "module",
    [
        "core.engine.protocol",
        "core.scoring",
        "core.text",
        "core.quantities",
        "core.gauge",
        "core.errors",
    ],
)
def test_what_the_window_needs_first_is_light(module: str) -> None:
    assert brought_along(f"import {module}", MODELS | QT) == ""


def test_the_core_imports_without_qt() -> None:
    modules = [module_name(path) for path in SOURCES if module_name(path).startswith("core")]
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(QT)!r}: sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
