"""Every operator's room is complete: reference, portable kernel, a template for each kernel row, a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinycomp.ops import CODECS, OPERATORS

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "templates"
KERNELS, HELPERS, SHARED = (TEMPLATES / folder for folder in ("kernels", "helpers", "shared"))
WITH_KERNELS = {name: op for name, op in OPERATORS.items() if op.kernels}
ROWS = [(name, kernel) for name, op in WITH_KERNELS.items() for kernel in op.kernels]
ROW_IDS = [f"{name}-{kernel.name}" for name, kernel in ROWS]

# Operators that no file has.
MADE_BY_REWRITES = {"delay", "trainable_dense"}

# Operators that are variants of one share a test file.
TEST_FILES = {
    "average_pool2d": "pool", "max_pool2d": "pool", "batch_to_space": "moves", "space_to_batch": "moves",
    "depth_to_space": "moves", "space_to_depth": "moves", "mirror_pad": "moves", "reverse": "moves", "tile": "moves",
    "resize_nearest": "moves",
}  # fmt: skip

# What C99 does not have: inline assembly, vendor intrinsics, compiler built-ins.
NOT_PORTABLE = re.compile(r"\basm\b|\b__\w+|\barm_\w+|\bv(ld|st)r[bhw]q_\w+|\b_?_builtin_\w+")


def parts(file: Path) -> list[Path]:
    """A template and all that it extends and includes."""
    inner = re.findall(r"{%-?\s*(?:include|extends|import|from)\s+\"([^\"]+)\"", file.read_text())
    return [file, *(part for name in inner for part in parts(TEMPLATES / name))]


def text(file: Path) -> str:
    """The template's C, that of its parts included."""
    return "\n".join(part.read_text() for part in parts(file))


def called_by(text: str) -> set[str]:
    """The helpers' names that a template's C mentions as calls."""
    return {helper.name.removesuffix(".c.j2") for helper in HELPERS.glob("*.c.j2") if defines(helper) & calls(text)}


def calls(text: str) -> set[str]:
    """Every identifier followed by an opening bracket."""
    return set(re.findall(r"\b([a-z_]\w*)\s*\(", text))


def defines(helper: Path) -> set[str]:
    """The functions that a helper template defines."""
    return set(re.findall(r"^static\b[^;{(]*?\b(\w+)\(", helper.read_text(), re.MULTILINE))


def template(op: str, kernel: str) -> Path:
    """Where a kernel row's C stands."""
    return KERNELS / op / f"{kernel}.c.j2"


def test_the_table_is_sorted_and_its_keys_are_file_names():
    assert list(OPERATORS) == sorted(OPERATORS)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in OPERATORS)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_a_meaning_in_numpy(name: str):
    assert callable(OPERATORS[name].reference)
    assert callable(OPERATORS[name].infer)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_runs_or_is_a_view_or_is_folded(name: str):
    op = OPERATORS[name]
    assert bool(op.kernels) == (op.access is not None and not op.view), f"{name}: kernels and access go together"


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_the_last_kernel_row_runs_on_any_core(name: str):
    assert OPERATORS[name].kernels[-1].requires == frozenset()


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_kernel_rows_have_names_of_their_own(name: str):
    names = [kernel.name for kernel in OPERATORS[name].kernels]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "kernel"), ROWS, ids=ROW_IDS)
def test_every_kernel_row_has_a_template(name: str, kernel):
    file = template(name, kernel.name)
    assert file.is_file(), f"{file.relative_to(ROOT)} is missing"
    assert text(file).count("{{ signature }}") == 1


@pytest.mark.parametrize(("name", "kernel"), [row for row in ROWS if not row[1].requires],
                         ids=[i for i, row in zip(ROW_IDS, ROWS, strict=True) if not row[1].requires])  # fmt: skip
def test_kernels_for_any_core_are_plain_c(name: str, kernel):
    found = NOT_PORTABLE.search(text(template(name, kernel.name)))
    assert found is None, f"{name}/{kernel.name} uses {found.group(0)!r}"


def test_every_kernel_template_belongs_to_a_row():
    used = {part for name, kernel in ROWS for part in parts(template(name, kernel.name))}
    files = {path for folder in (KERNELS, SHARED) for path in folder.rglob("*") if path.is_file()}
    assert not sorted(str(path.relative_to(ROOT)) for path in files - used)


@pytest.mark.parametrize(("name", "kernel"), ROWS, ids=ROW_IDS)
def test_a_kernel_calls_the_helpers_that_it_lists(name: str, kernel):
    files = [HELPERS / f"{helper}.c.j2" for helper in kernel.helpers]
    assert all(file.is_file() for file in files), f"{name}/{kernel.name} lists {kernel.helpers}"
    called = called_by(text(template(name, kernel.name)))
    through = {inner for file in files for inner in called_by(file.read_text())}
    assert set(kernel.helpers) <= called | through


def test_every_helper_is_used_by_a_kernel():
    listed = {HELPERS / f"{helper}.c.j2" for _, kernel in ROWS for helper in kernel.helpers}
    included = {part for name, kernel in ROWS for part in parts(template(name, kernel.name))}
    assert not set(HELPERS.glob("*.c.j2")) - listed - included


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_a_test_of_its_own(name: str):
    file = ROOT / "tests" / "ops" / f"test_{TEST_FILES.get(name, name)}.py"
    assert file.is_file(), f"{file.relative_to(ROOT)} is missing"
    source = file.read_text()
    assert re.search(rf"\b{OPERATORS[name].attrs.__name__}\b", source)
    assert "def test_" in source


def test_no_two_operators_claim_one_builtin():
    claims = [codec.builtin for op in OPERATORS.values() for codec in op.codecs]
    assert sorted(claims) == sorted(CODECS)
    assert {name for name, op in OPERATORS.items() if not op.codecs} == MADE_BY_REWRITES
