"""A build folder's C run where the user asks for it: natively or on the board's emulated twin."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tinycomp.harness import native, qemu
from tinycomp.harness.inputs import Case
from tinycomp.harness.verify import Verified, verify_emulated, verify_native
from tinycomp.ir import Array, Graph
from tinycomp.target import load_board

Where = Literal["native", "emulator"]


def run(directory: Path, manifest: Mapping[str, Any], graph: Graph, cases: Sequence[Case], where: Where) -> list[list[Array]]:
    """Each case's outputs. Raises OutputsDiffer where the program fails, ToolMissing without compiler or emulator."""
    if where == "emulator":
        board = load_board(manifest["options"]["board"])
        return qemu.run_emulated(directory, board, manifest, graph, cases).outputs
    with tempfile.TemporaryDirectory() as folder:
        program = native.compile_library(_library(directory, manifest), manifest["name"], graph, Path(folder))
        return native.run(program, graph, cases)[0]


def verify(directory: Path, manifest: Mapping[str, Any], source: Graph, graph: Graph, cases: Sequence[Case], where: Where, *,
           progress: Callable[[int], None] = lambda done: None) -> Verified:  # fmt: skip
    """Compare with the reference; see harness/verify.py. Raises what `run` raises, and OutputsDiffer."""
    if where == "emulator":
        board = load_board(manifest["options"]["board"])
        return verify_emulated(directory, board, manifest, source, graph, cases, progress=progress)
    return verify_native(_library(directory, manifest), manifest["name"], source, graph, cases, progress=progress)


def _library(directory: Path, manifest: Mapping[str, Any]) -> Path:
    return directory / "lib" / manifest["name"] / "src"
