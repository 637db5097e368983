"""A build's firmware on a real board: put there by PlatformIO, run and timed over the serial port."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinycomp.errors import BadInput, TinycompError
from tinycomp.harness import setup, tools
from tinycomp.harness.inputs import Case
from tinycomp.harness.link import Link, run_cases
from tinycomp.harness.native import Row
from tinycomp.harness.verify import Verified, compare
from tinycomp.harness.wire import Wire, open_port, ports
from tinycomp.ir import Array, Graph
from tinycomp.report.text import Section, number
from tinycomp.target import Board

Progress = Callable[[int], None]


class UploadFailed(TinycompError):
    """PlatformIO did not build or upload the firmware; what it said stands above."""


def connect(port: str | None) -> Wire:
    """Open the port, or the only one there is. Raises DeviceError, and BadInput where the choice is the user's."""
    if port is None:
        found = ports()
        if len(found) != 1:
            there = f"these are there: {', '.join(found)}" if found else "none is there: is the board plugged in?"
            raise BadInput(f"needs a serial port; {there}", where="--on device", fix="--port PORT")
        port = found[0]
    return open_port(port)


def run(wire: Wire, manifest: Mapping[str, Any], sha256: str, graph: Graph, cases: Sequence[Case], *,
        progress: Progress = lambda done: None) -> tuple[list[list[Array]], int | None]:  # fmt: skip
    """Each case's outputs, and the most stack in use where the board can tell. Raises DeviceError."""
    with Link(wire) as link:
        link.require(manifest["name"], sha256, graph)
        answers, _ = run_cases(link, graph, cases, progress=progress)
        return answers, link.stack()


def verify(wire: Wire, manifest: Mapping[str, Any], sha256: str, source: Graph, graph: Graph, cases: Sequence[Case], *,
           progress: Progress = lambda done: None) -> Verified:  # fmt: skip
    """Compare the device's outputs with the reference's. Raises DeviceError, OutputsDiffer."""
    answers, stack = run(wire, manifest, sha256, graph, cases, progress=progress)

    def rows(cases: Sequence[Case]) -> list[Row]:
        return []  # a device does not report rows; `verify --on native` finds the layer

    return replace(compare(source, graph, cases, answers, rows), stack_bytes=stack)


def profile(wire: Wire, manifest: Mapping[str, Any], sha256: str, graph: Graph, case: Case) -> dict[str, Any]:
    """Ticks of one inference, in all and by layer where the firmware was built with the profiling define."""
    with Link(wire) as link:
        hello = link.require(manifest["name"], sha256, graph)
        _, ticks = run_cases(link, graph, [case])
        layers = link.profile() if hello.profiled else ()
        return {
            "name": manifest["name"], "ticks": ticks[0], "ticks_per_second": hello.ticks_per_second,
            "stack_bytes": link.stack(), "layers": [{"name": x.name, "ticks": x.ticks} for x in layers],
        }  # fmt: skip


def profile_sections(facts: Mapping[str, Any]) -> list[Section]:
    """The profile as a table; measured on the board, unlike the emulator's."""
    rate = facts["ticks_per_second"]

    def time(ticks: int) -> str:
        return "–" if not rate else f"{1e6 * ticks / rate:,.0f}"

    rows = [(x["name"], number(x["ticks"]), time(x["ticks"])) for x in facts["layers"]]
    rows.append(("in all", number(facts["ticks"]), time(facts["ticks"])))
    notes = (f"stack {number(facts['stack_bytes'])} bytes",)
    if not facts["layers"]:
        notes += (f"per layer: flash with PLATFORMIO_BUILD_FLAGS=-D{facts['name'].upper()}_PROFILE",)
    return [Section("Measured on the device, one inference", ("layer", "ticks", "µs"), "<>>", tuple(rows), notes)]


def flash(directory: Path, board: Board, port: str | None, monitor: bool) -> None:
    """Build and upload with PlatformIO; an emulated board's firmware starts in the emulator. Raises UploadFailed."""
    if not (directory / "platformio.ini").is_file():
        raise BadInput(
            "has no platformio.ini", where=str(directory), fix=f"{board.id} is built with CMake, see its CMakeLists.txt"
        )
    command = [tools.platformio(), "run", "-d", str(directory)]
    if board.emulated:
        setup.provision_scons(setup.platformio_core())
        command += ["-e", "emulated", "-t", "upload"]
    else:
        command += ["-e", board.id, "-t", "upload", *(["--upload-port", port] if port else [])]
        command += ["-t", "monitor"] if monitor else []
    done = subprocess.run(command, env=setup.quiet_environment())
    if done.returncode:
        raise UploadFailed(f"`{' '.join(command[1:])}` left with status {done.returncode}", where="pio",
                           fix="its messages above say why; `pio device list` shows the ports")  # fmt: skip
