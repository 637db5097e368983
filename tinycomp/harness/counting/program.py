"""The parts of an ELF file that running and counting it needs."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinycomp.harness.counting.tools import package
from tinycomp.harness.counting.window import Mark


@dataclass(frozen=True)
class Symbol:
    """A function or variable: address (without the Thumb bit) and size in bytes."""

    name: str
    address: int
    size: int


@dataclass(frozen=True)
class Elf:
    """A linked program. segments: where each block of bytes goes. symbols by name. marks by address."""

    path: Path
    segments: tuple[tuple[int, bytes], ...]
    symbols: Mapping[str, Symbol]
    marks: tuple[Mark, ...]

    def __getitem__(self, name: str) -> Symbol:
        """The symbol of that name."""
        return self.symbols[name]

    def function(self, address: int) -> str:
        """The function that the address lies in, as far as symbols tell."""
        known = sorted((s.address, s.name) for s in self.symbols.values() if s.size)
        at = bisect_right(known, (address & ~1, "\U0010ffff")) - 1
        return known[at][1] if at >= 0 else f"{address:#x}"


def read(path: Path) -> Elf:
    """Read an ELF file. Raises ToolMissing without pyelftools."""
    with path.open("rb") as file:
        elf: Any = package("elftools.elf.elffile").ELFFile(file)
        loads = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"]]
        segments = tuple((int(s["p_paddr"]), bytes(s.data())) for s in loads)
        thumb = elf["e_machine"] == "EM_ARM"
        symbols = [
            _symbol(s, thumb)
            for s in elf.get_section_by_name(".symtab").iter_symbols()
            if s["st_shndx"] != "SHN_UNDEF" and s["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT")
        ]
        marks = elf.get_section_by_name(".marks")
        words = struct.iter_unpack("<III", marks.data() if marks else b"")
    # Sorting is stable: marks of one address stay in the order of the program.
    found = sorted(
        (Mark(address & ~int(thumb), w, bool(opens)) for address, w, opens in words), key=lambda m: m.address
    )
    return Elf(path, segments, {s.name: s for s in symbols}, tuple(found))


def _symbol(s: Any, thumb: bool) -> Symbol:
    is_code = thumb and s["st_info"]["type"] == "STT_FUNC"
    return Symbol(str(s.name), int(s["st_value"]) & ~int(is_code), int(s["st_size"]))
