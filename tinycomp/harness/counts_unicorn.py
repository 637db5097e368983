"""Cortex-M firmware in the `unicorn` engine: every executed basic block is counted, window by window.

A window is what runs between the return of OPEN, called with the window's number, and the entry of CLOSE; neither
function's own instructions count. A small host library counts where a C compiler is found, else Python does, some
fifty times slower with the same numbers.
"""

from __future__ import annotations

import ctypes
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from tinycomp import resources
from tinycomp.errors import OutputsDiffer, TinycompError, ToolMissing
from tinycomp.harness import native
from tinycomp.harness.counts_cycles import Cost, Coster
from tinycomp.harness.counts_elf import Elf, Symbol
from tinycomp.harness.counts_tools import package
from tinycomp.harness.counts_window import FIRMWARE, Counted, Window, nested
from tinycomp.target import Core

# Core -> the engine's model of it; Cortex-M0+ differs from M0 in timing alone.
MODELS: Mapping[str, str] = MappingProxyType({
    "cortex-m0": "M0", "cortex-m0plus": "M0", "cortex-m3": "M3",
    "cortex-m4": "M4", "cortex-m7": "M7", "cortex-m33": "M33",
})  # fmt: skip
# Address, bytes: code, data, and the system control space as plain memory.
MEMORY = ((0x0000_0000, 16 << 20), (0x2000_0000, 32 << 20), (0xE000_0000, 1 << 20))
NEVER = 0xFFFF_FFFE
BREAKPOINT = b"\xab\xbe"  # BKPT 0xAB, a semihosting call
WRITE0, EXIT_EXTENDED, STOPPED = 0x04, 0x20, 0x20026


@dataclass(frozen=True)
class Block:
    """`count` executions of the block of `size` bytes at `address` in a window, left by a branch or not."""

    address: int
    size: int
    window: int
    taken: bool
    count: int


class Counter(Protocol):
    """What counts blocks: times that each window was opened, and the blocks run in it."""

    def opened(self, window: int) -> int:
        """How often the window was opened."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Every block that ran in a window. Raises OutputsDiffer where windows were nested."""
        ...


@dataclass(frozen=True)
class _Watch:
    """What a counter needs: the engine, the addresses of OPEN and CLOSE, how many windows there are."""

    uc: Any
    opening: int
    closing: int
    windows: int
    block: int  # the engine's number of the hook that is called for each block
    argument: int  # and of the register that holds the window


def count(elf: Elf, core: Core, hooks: tuple[Symbol, Symbol], windows: int, *, timeout: float = 600,
          python: bool = False) -> Counted:  # fmt: skip
    """Run to the semihosting exit and count. hooks: OPEN and CLOSE. python: do not use the host's C compiler.

    Raises ToolMissing; OutputsDiffer where the firmware faults, does not end in `timeout` seconds, or leaves with a
    status other than 0.
    """
    unicorn: Any = package("unicorn")
    coster = Coster(core)
    uc = _machine(unicorn, core, elf)
    watch = _Watch(uc, hooks[0].address, hooks[1].address, windows, unicorn.UC_HOOK_BLOCK,
                   package("unicorn.arm_const").UC_ARM_REG_R0)  # fmt: skip
    with (tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
          _counter(watch, None if python else _library(Path(folder))) as counter):  # fmt: skip
        console = _run(unicorn, uc, elf, timeout)
        opened, blocks = [counter.opened(w) for w in range(windows)], list(counter.blocks())
    costs: dict[tuple[int, int], Cost] = {}
    instructions, cycles = [0] * windows, [0] * windows
    for b in blocks:
        key = (b.address, b.size)
        if key not in costs:
            costs[key] = coster.block(bytes(uc.mem_read(b.address, b.size)), b.address)
        cost = costs[key]
        instructions[b.window] += b.count * cost.instructions
        cycles[b.window] += b.count * (cost.cycles + (cost.taken if b.taken else 0))
    found = zip(instructions, cycles, opened, strict=True)
    return Counted(tuple(Window(n, c, times) for n, c, times in found), console)


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
        console.fault = f"it did not end in {timeout:.0f} s; it was at {_place(uc, elf)}"
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


def _counter(watch: _Watch, library: Any) -> AbstractContextManager[Counter]:
    engine = _engine_library()
    return _InPython(watch) if library is None or engine is None else _InC(library, engine, watch)


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
    """Counts in a Python callback."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch
        self._counts: dict[tuple[int, int, int, bool], int] = {}
        self._opened = [0] * watch.windows
        self._window: int | None = None
        self._last: tuple[int, int, int] | None = None
        self._error: TinycompError | None = None
        watch.uc.hook_add(watch.block, self._block)

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _block(self, _engine: Any, address: int, size: int, _data: Any) -> None:
        if self._last is not None:
            key = (*self._last, address != self._last[0] + self._last[1])
            self._counts[key] = self._counts.get(key, 0) + 1
        self._last = None
        if address == self._watch.opening:
            window = int(self._watch.uc.reg_read(self._watch.argument))
            if window >= len(self._opened) or self._window is not None:
                self._error = nested()
                return
            self._opened[window] += 1
            self._window = window
        elif address == self._watch.closing:
            self._window = None
        elif self._window is not None:
            self._last = (address, size, self._window)

    def opened(self, window: int) -> int:
        return self._opened[window]

    def blocks(self) -> Iterator[Block]:
        if self._error is not None:
            raise self._error
        for (address, size, window, taken), times in self._counts.items():
            yield Block(address, size, window, taken, times)


class _Entry(ctypes.Structure):
    """entry_t of count_blocks.c."""

    _fields_ = (
        ("address", ctypes.c_uint32), ("size", ctypes.c_uint32), ("window", ctypes.c_uint32),
        ("taken", ctypes.c_uint32), ("count", ctypes.c_uint64),
    )  # fmt: skip


class _InC:
    """Counts in the compiled library, which the engine calls without Python between."""

    def __init__(self, library: Any, engine: Any, watch: _Watch) -> None:
        self._library = library
        library.counter_new.restype = ctypes.c_void_p
        library.counter_used.restype = library.counter_opened.restype = ctypes.c_uint64
        read_register = ctypes.cast(engine.uc_reg_read, ctypes.c_void_p)
        address = library.counter_new(watch.windows, ctypes.c_uint32(watch.opening), ctypes.c_uint32(watch.closing),
                                      read_register, watch.argument)  # fmt: skip
        if not address:
            raise MemoryError
        self._counter = ctypes.c_void_p(address)
        self._handle = ctypes.c_size_t()
        callback = ctypes.cast(library.counter_block, ctypes.c_void_p)
        # A range that ends before it begins means everywhere (uc_hook_add in unicorn.h).
        status = engine.uc_hook_add(watch.uc._uch, ctypes.byref(self._handle), watch.block, callback, self._counter,
                                    ctypes.c_uint64(1), ctypes.c_uint64(0))  # fmt: skip
        if status:
            raise RuntimeError(f"unicorn refuses the block hook: {status}")

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.counter_free(self._counter)

    def opened(self, window: int) -> int:
        return int(self._library.counter_opened(self._counter, window))

    def blocks(self) -> Iterator[Block]:
        match self._library.counter_failed(self._counter):
            case 0:
                entries = (_Entry * self._library.counter_used(self._counter))()
                self._library.counter_entries(self._counter, entries)
                for e in entries:
                    yield Block(e.address, e.size, e.window, bool(e.taken), e.count)
            case 1:
                raise MemoryError
            case _:
                raise nested()
