"""A build folder's C run where the user asks for it: natively, on the board's emulated twin, or on the board."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tinycomp.errors import BadInput
from tinycomp.harness import device, native, qemu
from tinycomp.harness.inputs import Case
from tinycomp.harness.verify import Verified, verify_emulated, verify_native
from tinycomp.ir import Array, Graph
from tinycomp.target import load_board

Where = Literal["native", "emulator", "device"]


def run(
    directory: Path,
    manifest: Mapping[str, Any],
    graph: Graph,
    cases: Sequence[Case],
    where: Where,
    port: str | None = None,
) -> list[list[Array]]:
    """Each case's outputs. Raises OutputsDiffer where the program fails, ToolMissing without compiler or emulator.

    port: the device's serial port; None takes the only one there is. Raises DeviceError where it does not answer.
    """
    _require_alone(directory, manifest, where)
    if where == "device":
        return device.run(device.connect(port), manifest, _sha256(directory), graph, cases)[0]
    if where == "emulator":
        board = load_board(manifest["options"]["board"])
        return qemu.run_emulated(directory, board, manifest, graph, cases).outputs
    with tempfile.TemporaryDirectory() as folder:
        program = native.compile_library(_library(directory, manifest), manifest["name"], graph, Path(folder))
        return native.run(program, graph, cases)[0]


def verify(
    directory: Path,
    manifest: Mapping[str, Any],
    source: Graph,
    graph: Graph,
    cases: Sequence[Case],
    where: Where,
    port: str | None = None,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> Verified:
    """Compare with the reference; see harness/verify.py. Raises what `run` raises, and OutputsDiffer."""
    _require_alone(directory, manifest, where)
    if where == "device":
        wire = device.connect(port)
        return device.verify(wire, manifest, _sha256(directory), source, graph, cases, progress=progress)
    if where == "emulator":
        board = load_board(manifest["options"]["board"])
        return verify_emulated(directory, board, manifest, source, graph, cases, progress=progress)
    return verify_native(_library(directory, manifest), manifest["name"], source, graph, cases, progress=progress)


def profile_device(
    directory: Path, manifest: Mapping[str, Any], graph: Graph, case: Case, port: str | None
) -> dict[str, Any]:
    """The ticks of one inference on the board. Raises DeviceError, and BadInput for a firmware of several models."""
    _require_alone(directory, manifest, "device")
    return device.profile(device.connect(port), manifest, _sha256(directory), graph, case)


def _require_alone(directory: Path, manifest: Mapping[str, Any], where: Where) -> None:
    """Raise BadInput where it is firmware that must answer, and that has several models: it answers nothing."""
    if where != "native" and "models" in manifest:
        raise BadInput(f"a firmware of several models does not answer on the {where}", where=str(directory),
                       fix=f"--on native, or build {manifest['name']} alone")  # fmt: skip


def _library(directory: Path, manifest: Mapping[str, Any]) -> Path:
    return directory / "lib" / manifest["name"] / "src"


def _sha256(directory: Path) -> str:
    """Of the model that the folder was built from: what the firmware was told at build time."""
    return str(json.loads((directory / "report.json").read_bytes())["model"]["sha256"])
