"""Cortex-M firmware in the `unicorn` engine: every executed basic block is counted, window by window.

A small host library counts where a C compiler is found, else Python does, some fifty times slower with the same
numbers.
"""

from __future__ import annotations

import ctypes
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from tinycomp import resources
from tinycomp.cores import Core
from tinycomp.errors import OutputsDiffer, ToolMissing
from tinycomp.harness import native
from tinycomp.harness.counting.cycles import Cost, Coster
from tinycomp.harness.counting.program import Elf
from tinycomp.harness.counting.tools import package
from tinycomp.harness.counting.window import FIRMWARE, Counted, Mark, Window, after, within

# Core -> the engine's model of it; Cortex-M0+ differs from M0 in timing alone.
MODELS: Mapping[str, str] = MappingProxyType({
    "cortex-m0": "M0", "cortex-m0plus": "M0", "cortex-m3": "M3",
    "cortex-m4": "M4", "cortex-m7": "M7", "cortex-m33": "M33",
})  # fmt: skip
# Address, bytes: code, data, and the system control space as plain memory.
MEMORY = ((0x0000_0000, 16 << 20), (0x2000_0000, 32 << 20), (0xE000_0000, 1 << 20))
NEVER = 0xFFFF_FFFE
NO_WINDOW = 0xFFFF_FFFF  # NONE of count_blocks.c
BREAKPOINT = b"\xab\xbe"  # BKPT 0xAB, a semihosting call
WRITE0, EXIT_EXTENDED, STOPPED = 0x04, 0x20, 0x20026


@dataclass(frozen=True)
class Block:
    """`count` executions of the block of `size` bytes at `address`, left by a branch or not.

    window: the one that is open when the block begins, None outside all.
    """

    address: int
    size: int
    window: int | None
    taken: bool
    count: int


class Counter(Protocol):
    """What counts blocks."""

    def blocks(self) -> Iterator[Block]:
        """Every block that ran in a window at least in part."""
        ...


def count(elf: Elf, core: Core, whole: int, *, timeout: float = 600, python: bool = False) -> Counted:
    """Run to the semihosting exit and count the windows 0 to `whole`. python: do not use the host's C compiler.

    Raises ToolMissing; OutputsDiffer where the firmware faults, does not end in `timeout` seconds, or leaves with a
    status other than 0.
    """
    unicorn: Any = package("unicorn")
    coster = Coster(core)
    uc = _machine(unicorn, core, elf)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = None if python else _library(Path(folder))
        with _counter(uc, unicorn.UC_HOOK_BLOCK, elf.marks, whole, library) as counter:
            console = _run(unicorn, uc, elf, timeout)
            blocks = list(counter.blocks())
    costs: dict[tuple[int, int], Cost] = {}
    instructions, cycles = [0] * (whole + 1), [0] * (whole + 1)
    for b in blocks:
        marks = within(elf.marks, b.address, b.size)
        if (b.address, b.size) not in costs:
            code = bytes(uc.mem_read(b.address, b.size + 4))
            costs[b.address, b.size] = coster.block(
                code[: b.size], b.address, [m.address for m in marks], code[b.size :]
            )
        cost, window = costs[b.address, b.size], b.window
        for k, (n, c) in enumerate(cost.pieces):
            if window is not None:
                end = (cost.taken if b.taken else cost.falls) if k == len(marks) else 0
                instructions[window] += b.count * n
                cycles[window] += b.count * (c + end)
            if k < len(marks):
                window = after(window, marks[k], whole)
    return Counted(tuple(Window(n, c) for n, c in zip(instructions, cycles, strict=True)), console)


def _machine(unicorn: Any, core: Core, elf: Elf) -> Any:
    arm = package("unicorn.arm_const")
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    uc.ctl_set_cpu_model(getattr(arm, f"UC_CPU_ARM_CORTEX_{MODELS[core.id]}"))
    for base, size in MEMORY:
        uc.mem_map(base, size)
    for address, data in elf.segments:
        uc.mem_write(address, data)
    return uc


@dataclass
class _Console:
    """What the firmware says over semihosting, and how it ends."""

    parts: list[bytes] = field(default_factory=list[bytes])
    status: int | None = None
    fault: str = ""


def _run(unicorn: Any, uc: Any, elf: Elf, timeout: float) -> str:
    arm, console = package("unicorn.arm_const"), _Console()
    uc.hook_add(unicorn.UC_HOOK_INTR, _interrupts(uc, elf, console))
    stack, entry = struct.unpack("<II", uc.mem_read(elf["vectors"].address, 8))
    uc.reg_write(arm.UC_ARM_REG_SP, stack)
    try:
        uc.emu_start(entry | 1, NEVER, timeout=int(timeout * 1e6))
    except unicorn.UcError as error:
        console.fault = f"{error} at {_place(uc, elf)}"
    if not console.fault and console.status is None:
        console.fault = f"it did not end in {timeout:g} s; it was at {_place(uc, elf)}"
    if console.fault or console.status:
        raise OutputsDiffer(console.fault or f"it left with status {console.status}", where=FIRMWARE)
    return b"".join(console.parts).decode("ascii", "replace")


def _place(uc: Any, elf: Elf) -> str:
    pc = int(uc.reg_read(package("unicorn.arm_const").UC_ARM_REG_PC))
    return f"{pc:#010x} in {elf.function(pc)}"


def _interrupts(uc: Any, elf: Elf, console: _Console) -> Any:
    """The engine's callback on exceptions: serves semihosting calls, stops at anything else."""
    arm = package("unicorn.arm_const")

    def serve(_engine: Any, number: int, _data: Any) -> None:
        pc = int(uc.reg_read(arm.UC_ARM_REG_PC)) & ~1
        if bytes(uc.mem_read(pc, 2)) != BREAKPOINT:
            console.fault = f"exception {number} at {_place(uc, elf)}"
            uc.emu_stop()
            return
        operation, argument = int(uc.reg_read(arm.UC_ARM_REG_R0)), int(uc.reg_read(arm.UC_ARM_REG_R1))
        if operation == WRITE0:
            console.parts.append(_text(uc, argument))
        elif operation == EXIT_EXTENDED:
            reason, status = struct.unpack("<II", uc.mem_read(argument, 8))
            console.status = status if reason == STOPPED else status or 1
            uc.emu_stop()
            return
        uc.reg_write(arm.UC_ARM_REG_PC, (pc + 2) | 1)

    return serve


def _text(uc: Any, address: int) -> bytes:
    found = bytearray()
    while (byte := uc.mem_read(address + len(found), 1)) != b"\0":
        found += byte
    return bytes(found)


def _library(folder: Path) -> Any:
    """The counting library, compiled and loaded; None where the host has no compiler."""
    try:
        compiler = native.compiler()
    except ToolMissing:
        return None
    source, library = resources.path("templates") / "harness" / "count_blocks.c", folder / "count_blocks.so"
    done = subprocess.run([compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(library)], capture_output=True)
    return ctypes.CDLL(str(library)) if done.returncode == 0 else None


def _counter(uc: Any, kind: int, marks: Sequence[Mark], whole: int, library: Any) -> AbstractContextManager[Counter]:
    engine = _engine_library()
    if library is None or engine is None:
        return _InPython(uc, kind, marks, whole)
    return _InC(library, engine, uc, kind, marks, whole)


def _engine_library() -> Any:
    """The engine's own C library as the binding has loaded it; None where the binding hides it."""
    for module, name in (("unicorn.unicorn_py3.unicorn", "uclib"), ("unicorn.unicorn", "_uc")):
        try:
            found = getattr(package(module), name, None)
        except ToolMissing:
            continue
        if found is not None:
            return found
    return None


class _InPython:
    """Counts in a Python callback. kind: the engine's number of the hook on blocks."""

    def __init__(self, uc: Any, kind: int, marks: Sequence[Mark], whole: int) -> None:
        self._marks, self._whole = marks, whole
        self._within: dict[tuple[int, int], list[Mark]] = {}
        self._counts: dict[tuple[int, int, int | None, bool], int] = {}
        self._window: int | None = None
        self._last: tuple[int, int, int | None] | None = None
        uc.hook_add(kind, self._block)

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _block(self, _engine: Any, address: int, size: int, _data: Any) -> None:
        self._leave(self._last is not None and address != self._last[0] + self._last[1])
        if (address, size) not in self._within:
            self._within[address, size] = within(self._marks, address, size)
        window, marks = self._window, self._within[address, size]
        for mark in marks:
            self._window = after(self._window, mark, self._whole)
        self._last = (address, size, window) if marks or window is not None else None

    def _leave(self, taken: bool) -> None:
        if self._last is not None:
            key = (*self._last, taken)
            self._counts[key] = self._counts.get(key, 0) + 1
        self._last = None

    def blocks(self) -> Iterator[Block]:
        self._leave(False)  # the block that ended the run
        for (address, size, window, taken), times in self._counts.items():
            yield Block(address, size, window, taken, times)


class _Entry(ctypes.Structure):
    """entry_t of count_blocks.c."""

    _fields_ = (
        ("address", ctypes.c_uint32), ("size", ctypes.c_uint32), ("window", ctypes.c_uint32),
        ("taken", ctypes.c_uint32), ("count", ctypes.c_uint64),
    )  # fmt: skip


class _Mark(ctypes.Structure):
    """mark_t of count_blocks.c."""

    _fields_ = (("address", ctypes.c_uint32), ("window", ctypes.c_uint32), ("opens", ctypes.c_uint32))


class _InC:
    """Counts in the compiled library, which the engine calls without Python between."""

    def __init__(self, library: Any, engine: Any, uc: Any, kind: int, marks: Sequence[Mark], whole: int) -> None:
        self._library = library
        library.counter_new.restype = ctypes.c_void_p
        library.counter_used.restype = ctypes.c_uint64
        array = (_Mark * len(marks))(*((m.address, m.window, m.opens) for m in marks))
        address = library.counter_new(array, len(marks), whole)
        if not address:
            raise MemoryError
        self._counter = ctypes.c_void_p(address)
        self._handle = ctypes.c_size_t()
        callback = ctypes.cast(library.counter_block, ctypes.c_void_p)
        # A range that ends before it begins means everywhere (uc_hook_add in unicorn.h).
        status = engine.uc_hook_add(uc._uch, ctypes.byref(self._handle), kind, callback, self._counter,
                                    ctypes.c_uint64(1), ctypes.c_uint64(0))  # fmt: skip
        if status:
            raise RuntimeError(f"unicorn refuses the block hook: {status}")

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.counter_free(self._counter)

    def blocks(self) -> Iterator[Block]:
        if self._library.counter_end(self._counter):
            raise MemoryError
        entries = (_Entry * self._library.counter_used(self._counter))()
        self._library.counter_entries(self._counter, entries)
        for e in entries:
            yield Block(e.address, e.size, None if e.window == NO_WINDOW else e.window, bool(e.taken), e.count)
