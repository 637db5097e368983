"""Imports run one way. Every module's imports are read, those inside functions too, and a back edge fails."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tinycomp"

# A room imports from its own layer and from those above it in this table.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "ir", "qmath", "qmath_fixed", "qmath_int16", "resources", "strict_toml"),
    ("kernel", "packing"),
    ("ops",),
    ("interpret",),
    ("tflite", "formats", "rewrite", "rules", "quantize", "train", "compress"),
    (
        "cores",
        "target",
        "schedule",
        "planner",
        "timeline",
        "segments",
        "layout",
        "regions",
        "program",
        "candidates",
        "footprint",
        "registers",
        "plans",
        "lower",
        "cost",
    ),
    ("frontend", "search"),
    ("emit", "harness", "report"),
    ("battery", "build", "fit", "on_boards", "together", "api", "__init__"),
    ("cli", "commands", "terminal", "__main__"),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# Packages of the extras, and the only room that may import each.
OPTIONAL = {
    "tensorflow": "tinycomp.compress.train",
    "tflite_micro": "tinycomp.harness",
    "unicorn": "tinycomp.harness",
    "capstone": "tinycomp.harness",
    "elftools": "tinycomp.harness",
    "serial": "tinycomp.harness",
}
HEAVY = (*OPTIONAL, "keras", "torch", "ai_edge_litert", "platformio", "tflite")


def module_name(path: Path) -> str:
    """tinycomp/ops/base.py → tinycomp.ops.base; a package's __init__.py is the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Mapping[str, Path] = {
    module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if "_data" not in path.parts
}


def room(module: str) -> str:
    """The first name below tinycomp; the package itself is `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(module: str, source: str, known: frozenset[str] | None = None) -> Iterator[tuple[str, int]]:
    """Every module that the source imports, wherever the statement stands, with its line.

    `from tinycomp import ops` is tinycomp.ops; `from tinycomp.ir import Tensor` is tinycomp.ir. Of the package itself
    a module below the API may take `__version__` alone; anything else counts as an import of the API.
    """
    known = frozenset(MODULES) if known is None else known
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name != "tinycomp":
                    yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node, known)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if inner in known:
                    yield inner, node.lineno
                elif (base, alias.name) != ("tinycomp", "__version__"):
                    yield base, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tinycomp":
            inner = f"tinycomp.{node.attr}"
            if node.attr != "__version__":
                yield inner if inner in known else "tinycomp", node.lineno


def _absolute(module: str, node: ast.ImportFrom, known: frozenset[str]) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".") if any(m.startswith(f"{module}.") for m in known) else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def edges(module: str) -> Iterator[tuple[str, int]]:
    """Imports of a module of this package from this package."""
    for target, line in imports(module, MODULES[module].read_text()):
        if target == "tinycomp" or target.startswith("tinycomp."):
            yield target, line


def back_edges(module: str, targets: Iterator[tuple[str, int]]) -> list[str]:
    """Imports of a later layer, as `module:line imports target`."""
    return [
        f"{module}:{line} imports {target}"
        for target, line in targets
        if LEVEL[room(target)] > LEVEL[room(module)]
    ]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_every_module_belongs_to_a_room_of_the_table(module: str):
    assert room(module) in LEVEL, f"add {room(module)!r} to LAYERS and to docs/architecture.md"


@pytest.mark.parametrize("name", sorted({room(module) for module in MODULES} - {"__init__", "__main__"}))
def test_the_architecture_page_lists_every_room(name: str):
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert f"`{name}.py`" in page or f"`{name}/`" in page


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_from_later_layers_to_earlier_ones(module: str):
    assert not back_edges(module, edges(module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tinycomp.ir", "from tinycomp.ops import conv2d"),
        ("tinycomp.ir", "from tinycomp import ops"),
        ("tinycomp.ops.conv2d", "def f():\n    import tinycomp.lower"),
        ("tinycomp.ops.conv2d", "from ..emit.library import c_name"),
        ("tinycomp.ops", "from .. import lower"),
        ("tinycomp.lower", "import tinycomp\ntinycomp.load('x')"),
        ("tinycomp.lower", "from tinycomp import load"),
        ("tinycomp.emit.library", "if True:\n    from tinycomp.cli import main"),
    ],
)
def test_a_back_edge_is_found_wherever_it_stands(module: str, source: str):
    known = frozenset({"tinycomp", "tinycomp.ops", "tinycomp.ops.conv2d", "tinycomp.lower", "tinycomp.emit.library"})
    assert back_edges(module, imports(module, source, known))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tinycomp.lower", "from tinycomp import ops, planner"),
        ("tinycomp.emit.library", "import tinycomp\nprint(tinycomp.__version__)"),
        ("tinycomp.emit.library", "from tinycomp import __version__"),
        ("tinycomp.ops.conv2d", "from . import base"),
        ("tinycomp.rules", "from .pad import PAD"),
    ],
)
def test_an_import_of_an_earlier_layer_is_no_back_edge(module: str, source: str):
    known = frozenset({"tinycomp", "tinycomp.ops", "tinycomp.ops.base", "tinycomp.planner", "tinycomp.rules.pad"})
    found = [(t, line) for t, line in imports(module, source, known) if t.startswith("tinycomp")]
    assert not back_edges(module, iter(found))


def test_no_module_imports_itself_through_others():
    graph = {module: {t for t, _ in edges(module) if t in MODULES} for module in MODULES}
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path[path.index(module) :], module))
        if module not in done:
            for target in sorted(graph[module] - {module}):
                walk(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        walk(module, ())


def declared() -> frozenset[str]:
    """Import names of the dependencies that an ordinary installation has; here they equal the package names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return frozenset(line.split(">")[0].split("=")[0].split("<")[0].strip() for line in project["dependencies"])


@pytest.mark.parametrize("module", MODULES)
def test_only_declared_dependencies_are_imported(module: str):
    allowed = declared() | sys.stdlib_module_names | {"tinycomp"}
    for target, line in imports(module, MODULES[module].read_text()):
        top = target.split(".")[0]
        if top in OPTIONAL:
            owner = OPTIONAL[top]
            assert f"{module}.".startswith(f"{owner}."), f"{module}:{line} imports {top}, which only {owner} may"
        else:
            assert top in allowed, f"{module}:{line} imports {target}, which pyproject.toml does not declare"


def loaded_after(statement: str) -> list[str]:
    """The heavy packages in memory once a fresh interpreter has run the statement."""
    code = f"import sys\n{statement}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_command_line_starts_without_heavy_packages():
    assert loaded_after("import tinycomp.cli") == []


def test_everything_that_builds_loads_without_tensorflow():
    names = [m for m in MODULES if not m.startswith("tinycomp.compress.train") and not m.endswith("__main__")]
    assert set(loaded_after("import " + ", ".join(names))) <= {"tflite"}
