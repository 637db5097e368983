"""What the code is for: boards, and the budget of flash, RAM and time.

The data are `boards/*.toml`, one file a board. They are read strictly: a typo is an error. The cores are in cores.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tinycomp import resources
from tinycomp.cores import CORES_FILE, Core, load_cores
from tinycomp.errors import BadInput
from tinycomp.strict_toml import Table, nearest

FRAMEWORKS = ("arduino", "bare", "cmsis", "espidf", "libopencm3", "mbed", "stm32cube", "zephyr")
REGIONS = ("flash", "sram", "psram", "dtcm", "itcm")
LARGEST = 1 << 32


@dataclass(frozen=True)
class Region:
    """A block of memory, in bytes.

    `size` is the hardware's; `usable` is what a model may have of it with the board's first framework: for RAM the
    largest static array that the linker accepts, less what the framework needs to run. `usable_by` has other
    frameworks' figures. `access_bytes`: the only width of load that works there, 1 where any does. `origin`: the
    address, where it is known and matters. `not_with`: frameworks that give it to no model, or that have it as SRAM.
    `sdkconfig`: what ESP-IDF must be told to use it.
    """

    name: str
    size: int
    usable: int
    source: str
    origin: int | None = None
    access_bytes: int = 1
    usable_by: Mapping[str, int] = field(default_factory=dict[str, int], hash=False)
    not_with: tuple[str, ...] = ()
    sdkconfig: tuple[str, ...] = ()

    def usable_with(self, framework: str | None) -> int:
        """Usable bytes with that framework; None means the board's first one."""
        return self.usable_by.get(framework, self.usable) if framework else self.usable


@dataclass(frozen=True)
class PlatformIO:
    """PlatformIO's names: `platform`, `board`; `hal`: prefix of the STM32Cube headers, empty where there is none."""

    platform: str
    board: str
    hal: str = ""


@dataclass(frozen=True)
class Emulator:
    """A QEMU machine. `board` is the emulated board that it belongs to, whose memory map is the one to link for."""

    board: str
    program: str
    machine: str
    args: tuple[str, ...]


@dataclass(frozen=True)
class Energy:
    """µJ per million cycles, as measured: a middle value, the least and the most that were seen, and where."""

    uj_per_mcycle: float
    least: float
    most: float
    source: str

    def microjoules(self, cycles: float) -> tuple[float, float, float]:
        """What that many cycles cost: the middle value, the least, the most."""
        each = (self.uj_per_mcycle, self.least, self.most)
        return each[0] * cycles / 1e6, each[1] * cycles / 1e6, each[2] * cycles / 1e6


@dataclass(frozen=True)
class Board:
    """A board: `clock_hz` in Hz, memory in bytes, energy None where nobody measured it.

    `stack_bytes` of SRAM are kept free for the stack that runs the model; 0 where the framework takes its stacks
    from memory that static data cannot have. `emulator` runs the same instruction set, not the same chip.
    """

    id: str
    title: str
    core: Core
    clock_hz: int
    frameworks: tuple[str, ...]
    regions: tuple[Region, ...]
    stack_bytes: int
    platformio: PlatformIO | None
    emulator: Emulator | None
    energy: Energy | None
    notes: tuple[str, ...]

    @property
    def emulated(self) -> bool:
        """Whether the board exists in the emulator only."""
        return self.emulator is not None and self.emulator.board == self.id

    @property
    def flash(self) -> Region:
        """Where code and weights go."""
        return self._region("flash")

    @property
    def sram(self) -> Region:
        """Where the arena goes."""
        return self._region("sram")

    def framework(self, wanted: str | None = None) -> str:
        """The framework to write for: the wanted one or the board's first. Raises BadInput where it has no such."""
        if wanted is None:
            return self.frameworks[0]
        if wanted not in self.frameworks:
            raise BadInput(f"has no framework {wanted!r}", where=f"board {self.id}",
                           fix=f"use one of: {', '.join(self.frameworks)}")  # fmt: skip
        return wanted

    def _region(self, name: str) -> Region:
        return next(region for region in self.regions if region.name == name)


@dataclass(frozen=True)
class Budget:
    """What a build may cost: bytes of flash (code and weights), bytes of static RAM, milliseconds an inference."""

    flash: int
    ram: int
    max_ms: float | None = None

    @staticmethod
    def of(board: Board, flash: int | None = None, ram: int | None = None, max_ms: float | None = None, *,
           framework: str | None = None) -> Budget:  # fmt: skip
        """The board's budget; what is given replaces the board's figure.

        RAM is what is left for static data (arena and context) after the framework's share and the stack: the
        stack is not to be counted again. A given figure is taken as it is, and may exceed the usable share (you
        may know your linker script better) but not the hardware. Raises BadInput.
        """
        chosen = board.framework(framework)
        for name, value, region in (("flash", flash, board.flash), ("RAM", ram, board.sram)):
            if value is not None and not 0 < value <= region.size:
                raise BadInput(f"a budget of {value:,} bytes of {name} is not between 1 and the {region.size:,} that "
                               f"the board has", where=f"board {board.id}")  # fmt: skip
        if max_ms is not None and not 0 < max_ms < float("inf"):
            raise BadInput(f"a budget of {max_ms} ms is not a positive time", where="--max-ms")
        return Budget(
            flash=board.flash.usable_with(chosen) if flash is None else flash,
            ram=board.sram.usable_with(chosen) - board.stack_bytes if ram is None else ram,
            max_ms=max_ms,
        )


def parse_bytes(text: str) -> int:
    """A number of bytes: `20480`, `64K`, `64KB`, `64KiB`, `1M`; K is 1,024 as in linker scripts. Raises BadInput."""
    match = re.fullmatch(r"(\d+(?:_\d+)*)\s*(?:([KM])(?:I?B)?|B)?", text.strip(), re.IGNORECASE | re.ASCII)
    fix = "write it as 20480, 64K or 1M"
    if match is None:
        raise BadInput(f"{text!r} is not a number of bytes", fix=fix)
    scale = {"": 1, "K": 1 << 10, "M": 1 << 20}[(match[2] or "").upper()]
    value = int(match[1]) * scale if len(match[1]) < 20 else LARGEST + 1
    if value == 0:
        raise BadInput(f"{text!r} leaves nothing", fix=fix)
    if value > LARGEST:
        raise BadInput(f"{text!r} is more than a 32-bit core can address", fix=fix)
    return value


def parse_share(text: str, where: str) -> float:
    """A share such as 55% or 0.55 of the plain int8 build, above 0 and at most 1. Raises BadInput."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text.strip(), re.ASCII)
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value <= 1:
        raise BadInput(f"{text!r} is no share of the plain int8 build", where=where, fix="write it as 55% or 0.55")
    return value


def load_board(board_id: str, folder: Path | None = None) -> Board:
    """The board of that id. Raises BadInput: unknown (with the nearest names), or a faulty file."""
    folder = folder or resources.path("boards")
    known = _board_ids(folder)
    if board_id not in known:
        raise BadInput(f"unknown board {board_id!r}",
                       fix=nearest(board_id, known) or "see `tinycomp boards` for those that are known")  # fmt: skip
    return _board(board_id, folder, load_cores(folder))


def load_boards(folder: Path | None = None) -> dict[str, Board]:
    """Every board by id, sorted. Raises BadInput where any file is faulty."""
    folder = folder or resources.path("boards")
    cores = load_cores(folder)
    return {board_id: _board(board_id, folder, cores) for board_id in _board_ids(folder)}


def _board_ids(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.toml") if file.name != CORES_FILE)


def _board(board_id: str, folder: Path, cores: Mapping[str, Core]) -> Board:
    table = Table.read(folder / f"{board_id}.toml")
    if table.text("id") != board_id:
        raise table.error(f"must be the file's name, {board_id!r}", "id")
    core_id = table.text("core")
    if core_id not in cores:
        raise table.error(f"unknown core {core_id!r}", "core", fix=nearest(core_id, cores))
    board = Board(
        id=board_id,
        title=table.text("title"),
        core=cores[core_id],
        clock_hz=table.integer("clock_hz", least=1),
        frameworks=(frameworks := _frameworks(table)),
        regions=_regions(table.table("memory"), frameworks),
        stack_bytes=table.integer("stack_bytes"),
        platformio=_platformio(table.table("platformio"), frameworks) if "platformio" in table else None,
        emulator=_emulator(table, board_id, folder),
        energy=_energy(table.table("energy")) if "energy" in table else None,
        notes=table.texts("notes") if "notes" in table else (),
    )
    table.done()
    if any(Budget.of(board, framework=name).ram <= 0 for name in frameworks):
        raise table.error("leaves no RAM for a model", "stack_bytes")
    return board


def _energy(table: Table) -> Energy:
    found = Energy(table.number("uj_per_mcycle"), table.number("least"), table.number("most"), table.text("source"))
    if not found.least <= found.uj_per_mcycle <= found.most:
        raise table.error(f"is not between {found.least:g} and {found.most:g}", "uj_per_mcycle")
    table.done()
    return found


def _frameworks(table: Table) -> tuple[str, ...]:
    names = table.texts("frameworks")
    if not names:
        raise table.error("must name one at least", "frameworks")
    unknown = [name for name in names if name not in FRAMEWORKS]
    if unknown:
        raise table.error(f"unknown framework {unknown[0]!r}", "frameworks", fix=nearest(unknown[0], FRAMEWORKS))
    return names


def _platformio(table: Table, frameworks: tuple[str, ...]) -> PlatformIO:
    hal = table.text("hal") if "hal" in table or "stm32cube" in frameworks else ""
    found = PlatformIO(table.text("platform"), table.text("board"), hal)
    table.done()
    return found


def _regions(memory: Table, frameworks: tuple[str, ...]) -> tuple[Region, ...]:
    unknown = [name for name in memory.keys if name not in REGIONS]
    if unknown:
        raise memory.error("unknown region", unknown[0], fix=nearest(unknown[0], REGIONS))
    needed = [name for name in REGIONS if name in memory or name in ("flash", "sram")]
    return tuple(_region(name, memory.table(name), frameworks) for name in needed)


def _region(name: str, table: Table, frameworks: tuple[str, ...]) -> Region:
    size = table.integer("size", least=1)
    usable_by: dict[str, int] = {}
    if "usable_by" in table:
        inner = table.table("usable_by")
        usable_by = {key: inner.integer(key, least=1) for key in inner.keys if key in frameworks[1:]}
        inner.done()
    region = Region(
        name=name,
        size=size,
        usable=table.integer("usable", least=1),
        source=table.text("source"),
        origin=table.integer("origin") if "origin" in table else None,
        access_bytes=table.integer("access_bytes", least=1) if "access_bytes" in table else 1,
        usable_by=MappingProxyType(usable_by),
        not_with=table.texts("not_with") if "not_with" in table else (),
        sdkconfig=table.texts("sdkconfig") if "sdkconfig" in table else (),
    )
    if unknown := [f for f in region.not_with if f not in frameworks]:
        raise table.error(f"the board has no framework {unknown[0]!r}", "not_with", fix=nearest(unknown[0], frameworks))
    for key, value in (("usable", region.usable), *((f"usable_by.{key}", n) for key, n in usable_by.items())):
        if value > size:
            raise table.error(f"is {value:,} bytes of a region of {size:,}", key)
    table.done()
    return region


def _emulator(table: Table, board_id: str, folder: Path) -> Emulator | None:
    """An emulated board describes its own machine; a real one names the emulated board that stands in for it."""
    if "qemu" in table:
        qemu = table.table("qemu")
        found = Emulator(board_id, qemu.text("program"), qemu.text("machine"), qemu.texts("args"))
        qemu.done()
        return found
    if "emulator" not in table:
        return None
    name = table.text("emulator")
    stand_in = Table.read(folder / f"{name}.toml") if name in _board_ids(folder) else None
    if stand_in is None or "qemu" not in stand_in:
        emulated = (other for other in _board_ids(folder) if other.startswith("emu_"))
        raise table.error(f"{name!r} is not an emulated board", "emulator", fix=nearest(name, emulated))
    return _emulator(stand_in, name, folder)
