"""What the planner takes and gives: buffers with lifetimes in, byte offsets in one arena out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinycomp.errors import BadInput


@dataclass(frozen=True)
class Buffer:
    """`size` bytes that are alive in the steps [start, end) and begin at a multiple of `align`.

    Raises BadInput where the size, the alignment or the lifetime is not positive.
    """

    name: str
    size: int
    start: int
    end: int
    align: int = 4

    def __post_init__(self) -> None:
        where = f"buffer {self.name!r}"
        if self.size <= 0:
            raise BadInput(f"has {self.size} bytes; a buffer has at least one", where=where)
        if self.end <= self.start:
            raise BadInput(f"lives in [{self.start}, {self.end}), which holds no step", where=where)
        if self.align <= 0:
            raise BadInput(f"asks for an alignment of {self.align}; it must be positive", where=where)


@dataclass(frozen=True)
class Placement:
    """Offsets in bytes by buffer name, and how good they are.

    size: bytes of arena, the largest end of any buffer. lower_bound: bytes that no placement can go below.
    optimal: size meets the bound, or a complete search found nothing smaller.
    """

    offsets: Mapping[str, int]
    size: int
    lower_bound: int
    optimal: bool
