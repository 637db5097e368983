"""The folder emulator/ of a project: start-up code, linker script and PlatformIO platform of its board in QEMU.

For a board that exists in QEMU alone, and for a real one whose core an emulated board shares. The folder holds all that
it needs and no path of this machine, so that a build may be moved or sent to somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tinycomp.cores import Core
from tinycomp.emit.library import environment
from tinycomp.harness.tools import PACKAGES
from tinycomp.target import Board, Region, load_board

FOLDER = "emulator"
FAULT_STATUS = 3  # the firmware's exit status after a fault; the port uses 0 to 2
# A stack is painted as far as it may reach, but not megabytes of it.
WINDOW = 65_536
# Bytes of stack for an interrupt handler: the port's SysTick_Handler counts and nothing else.
_HANDLER_STACK = 64
_QUIET = ("-display", "none", "-monitor", "none", "-serial", "none", "-chardev", "stdio,id=sh",
          "-semihosting-config", "enable=on,target=native,chardev=sh")  # fmt: skip
_ARMV8M = frozenset({"cortex-m33", "cortex-m55", "cortex-m85"})
_ENTRIES: Mapping[str, str] = MappingProxyType({"arm": "Reset_Handler", "riscv": "_start", "xtensa": "_start"})
# Emitted file, template.
_FILES: tuple[tuple[str, str], ...] = (
    ("builder/main.py", "builder/main.py"),
    ("link.ld", "link.ld.j2"),
    ("platform.json", "platform.json.j2"),
    ("platform.py", "platform.py"),
)


@dataclass(frozen=True)
class Span:
    """A region of memory for linker scripts and memory protection units.

    power, without: the smallest power of two (its exponent) that covers the region, and the mask of those of its
    eighths which do not belong to it (Armv7-M Architecture Reference Manual, B3.5.9, MPU_RASR).
    """

    origin: int
    size: int

    @property
    def start(self) -> str:
        """The first address."""
        return f"0x{self.origin:08x}"

    @property
    def last(self) -> str:
        """The last block of 32 bytes (Armv8-M, MPU_RLAR)."""
        return f"0x{self.origin + self.size - 32:08x}"

    @property
    def power(self) -> int:
        """See the class."""
        return (self.size - 1).bit_length()

    @property
    def without(self) -> int:
        """See the class."""
        kept = -(-8 * self.size // (1 << self.power))
        return 0xFF & ~((1 << kept) - 1)


def emulated_board(board: Board) -> Board | None:
    """The emulated board that runs the board's firmware: itself, the one of the same core, or None."""
    if board.emulator is None:
        return None
    return board if board.emulated else load_board(board.emulator.board)


def qemu_arguments(board: Board) -> list[str]:
    """What QEMU needs to be the emulated board, all but `-kernel` and its file. Output is semihosting's alone."""
    assert board.emulator is not None
    return ["-M", board.emulator.machine, *board.emulator.args, *_QUIET]


def link_flags(core: Core) -> list[str]:
    """What the compiler needs to link firmware, besides the core's flags, the linker script and the libraries."""
    small = ["--specs=nano.specs"] if "arm" in core.features else []  # picolibc is small, and named in cores.toml
    return [*small, "-nostartfiles", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments"]


def architecture(core: Core) -> str:
    """`arm`, `riscv` or `xtensa`: which start-up code and which semihosting the core has."""
    return next(arch for arch in ("arm", "riscv", "xtensa") if arch in core.features)


def emulator_files(board: Board, version: str, semver: str, license_name: str) -> dict[str, str]:
    """Relative path to text of emulator/, empty where no emulated board shares the core.

    A real board's folder also has the port, since its src/ holds the port of the real framework.
    """
    twin = emulated_board(board)
    if twin is None:
        return {}
    values = {**_values(twin), "version": version, "semver": semver, "license": license_name}
    wanted = [*_FILES, ("startup.c", f"startup_{values['arch']}.c.j2"), (f"boards/{twin.id}.json", "board.json.j2")]
    if values["arch"] == "xtensa":
        wanted.append(("libgcc.c", "libgcc_xtensa.c.j2"))
    env = environment()
    files = {path: env.get_template(f"platform/{template}").render(**values) for path, template in wanted}
    if not board.emulated:
        files["port_emulated.c"] = env.get_template("project/port_emulated.c.j2").render(**values)
    return {f"{FOLDER}/{path}": text for path, text in sorted(files.items())}


def _values(board: Board) -> dict[str, Any]:
    core, emulator = board.core, board.emulator
    assert emulator is not None
    arch = architecture(core)
    return {
        "board": board.id, "title": board.title, "clock_hz": board.clock_hz, "stack": board.stack_bytes,
        "core_id": core.id, "core_flags": core.flags, "tools": core.tools, "arch": arch, "entry": _ENTRIES[arch],
        "mainline": "thumb2" in core.features, "fpu": "fpu" in core.features, "v8m": core.id in _ARMV8M,
        "flash": _span(board.flash), "ram": _span(board.sram),
        "handler_stack": _HANDLER_STACK, "fault_status": FAULT_STATUS, "window": WINDOW, "top": "_estack",
        "link_flags": link_flags(core), "compiler_package": " ".join(PACKAGES[core.compiler]),
        "program": emulator.program, "qemu_args": qemu_arguments(board),
        "qemu_package": " ".join(PACKAGES[emulator.program]),
    }  # fmt: skip


def _span(region: Region) -> Span:
    assert region.origin is not None, "an emulated board's memory has addresses"
    return Span(region.origin, region.size)
