"""Firmware in QEMU: many inferences in one run, through files that the firmware opens by semihosting; faults named.

The firmware is the one that a real board gets, with the same protocol (docs/protocol.md); only its port differs.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinycomp.emit.emulator import FAULT_STATUS, emulated_board, qemu_arguments
from tinycomp.errors import OutputsDiffer, Unsupported
from tinycomp.harness import batch, firmware, messages, tools
from tinycomp.harness.firmware import Firmware
from tinycomp.harness.frames import REPLY, SYNC, Decoder
from tinycomp.harness.link import arrays
from tinycomp.harness.native import Row
from tinycomp.ir import Array, Graph
from tinycomp.target import Board

TIME_LIMIT = 300.0  # seconds for one run
_FAULT = re.compile(
    r"tinycomp fault: (?P<what>[^;\n]+)(?:; pc (?P<pc>0x\w+))?(?:; address (?P<address>0x\w+))?(?:; sp (?P<sp>0x\w+))?"
)
_LOCK_UP = re.compile(r"Lockup: |lockup", re.IGNORECASE)
_PC = re.compile(r"\bR15=([0-9a-f]{8})")


@dataclass(frozen=True)
class EmulatedRun:
    """What came back. board: the emulated board. outputs: each case's, in the graph's order. ticks: the firmware's own
    timer, for each case. stack_bytes: the most that was in use, None where the firmware cannot tell. rows: every
    finished row, with `trace`."""

    board: Board
    outputs: list[list[Array]]
    ticks: list[int]
    stack_bytes: int | None
    rows: list[Row]


def twin(board: Board) -> Board:
    """The emulated board that runs the board's firmware. Raises Unsupported where there is none."""
    found = emulated_board(board)
    if found is None:
        raise Unsupported(f"no emulator runs the code of {board.core.title}", where=f"board {board.id}",
                          fix="use --on native, or build for one of the emulated boards (tinycomp boards)")  # fmt: skip
    return found


def run_emulated(directory: Path, board: Board, manifest: Mapping[str, Any], graph: Graph,
                 cases: Sequence[Sequence[Array]], *, trace: bool = False, timeout: float = TIME_LIMIT,
                 definitions: Sequence[str] = ()) -> EmulatedRun:  # fmt: skip
    """Compile the build in `directory` for the board's emulated twin and run every case in one go.

    Raises what firmware.build raises, ToolMissing without QEMU, OutputsDiffer where the firmware faults, overflows
    its stack, locks up or does not finish in `timeout` seconds.
    """
    emulated = twin(board)
    tools.find(_program(emulated))
    with tempfile.TemporaryDirectory() as folder:
        made = firmware.build(directory, emulated, manifest["name"], Path(folder), trace=trace, definitions=definitions)
        return run_firmware(made, graph, cases, timeout=timeout)


def run_firmware(
    made: Firmware, graph: Graph, cases: Sequence[Sequence[Array]], *, timeout: float = TIME_LIMIT
) -> EmulatedRun:
    """Run every case (the graph's inputs in order) on firmware that is built already; see `run_emulated`.

    A graph with states takes the cases as one stream: they begin with their initial values and then go on.
    """
    sizes = [graph.tensors[name].bytes for name in graph.outputs]
    asked = [
        messages.inference([np.ascontiguousarray(x).tobytes() for x in case], sizes, reset=not (graph.states and k))
        for k, case in enumerate(cases)
    ]
    exchanges = [*asked, messages.stack()]
    data = _converse(made, batch.script(exchanges), len(cases), timeout)
    *answers, stack = batch.results(exchanges, data)
    return EmulatedRun(made.board, [arrays(a, graph) for a in answers], [a.ticks for a in answers], stack, _rows(data))


def _program(board: Board) -> str:
    assert board.emulator is not None
    return board.emulator.program


def printed(made: Firmware, *, timeout: float = TIME_LIMIT) -> str:
    """What the firmware prints where nobody talks to it, until it leaves; see `run_emulated` for what is raised."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = _start(made, folder, timeout)
        except subprocess.TimeoutExpired:
            raise OutputsDiffer(f"did not leave within {timeout:g} s", where=made.board.id,
                                fix="in an emulator tc_app_step has to return 0 in the end") from None  # fmt: skip
    if done.returncode:
        raise _failure(made, done, done.stdout, 0)
    return done.stdout.decode(errors="replace")


def _start(made: Firmware, folder: str, timeout: float) -> subprocess.CompletedProcess[bytes]:
    command = [tools.find(_program(made.board)), *qemu_arguments(made.board), "-kernel", str(made.elf.resolve())]
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)


def _converse(made: Firmware, requests: bytes, cases: int, timeout: float) -> bytes:
    """What the firmware has written once it left; the requests lie in its working directory before it starts."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tinycomp.in").write_bytes(requests)
        answers = Path(folder) / "tinycomp.out"
        try:
            done = _start(made, folder, timeout)
        except subprocess.TimeoutExpired:
            data = answers.read_bytes() if answers.exists() else b""
            raise OutputsDiffer(f"did not finish in {timeout:g} s, {_inferences(data)} of {cases} inferences done",
                                where=made.board.id, fix="an endless loop, or too little time") from None  # fmt: skip
        data = answers.read_bytes() if answers.exists() else b""
    if done.returncode:
        raise _failure(made, done, data, cases)
    return data


def _failure(made: Firmware, done: subprocess.CompletedProcess[bytes], data: bytes, cases: int) -> OutputsDiffer:
    said = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    after = f"after {_inferences(data)} of {cases} inferences"
    fault = _FAULT.search(said)
    if done.returncode == FAULT_STATUS and fault:
        return OutputsDiffer(
            f"{fault['what']}{_place(made, fault)}, {after}", where=made.board.id, fix=_advice(made, fault["what"])
        )
    if _LOCK_UP.search(said):
        pc = _PC.search(said)
        place = f" at {pc[1]} {firmware.where_is(made, int(pc[1], 16))}".rstrip() if pc else ""
        return OutputsDiffer(f"lock-up, a fault inside the fault handler{place}, {after}", where=made.board.id,
                             fix="memory was overwritten: run it natively under sanitizers (--on native)")  # fmt: skip
    text = data.partition(SYNC)[0].decode(errors="replace").strip()
    lines = "\n".join([*text.splitlines()[-3:], *said.strip().splitlines()[:8]])
    return OutputsDiffer(f"left with status {done.returncode}, {after}\n{lines}", where=made.board.id)


def _place(made: Firmware, fault: re.Match[str]) -> str:
    words: list[str] = []
    if fault["pc"]:
        words.append(f"at pc {fault['pc']} {firmware.where_is(made, int(fault['pc'], 16))}".rstrip())
    if fault["address"]:
        words.append(f"address {fault['address']}")
    return " " + ", ".join(words) if words else ""


def _advice(made: Firmware, what: str) -> str:
    if what.startswith("stack overflow"):
        return f"the stack of {made.board.stack_bytes:,} bytes is too small for the firmware"
    return "run it natively under sanitizers (--on native), which names the line"


def _inferences(data: bytes) -> int:
    return sum(frame.type == messages.INVOKE | REPLY for frame in Decoder().feed(data))


def _rows(data: bytes) -> list[Row]:
    """The rows that a tracing firmware sends, but those of its first inference, before it answers any request."""
    rows: list[Row] = []
    answered = False
    for frame in Decoder().feed(data):
        if frame.type & REPLY and not answered:
            rows, answered = [], True
        if frame.type != firmware.TRACE:
            continue
        layer, row, size, offset = struct.unpack_from("<IIII", frame.payload)
        start = rows.pop().data if offset else b""
        rows.append(Row(layer, row, start + frame.payload[16:]))
        if len(rows[-1].data) > size:
            raise OutputsDiffer(f"layer {layer} sent more than the {size:,} bytes of row {row}", where="trace")
    return rows
