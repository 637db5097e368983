"""What operators that move or select data share: axes counted from the front, the axes that number rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinycomp.errors import BadInput
from tinycomp.ir import Array


def axis_of(value: int, rank: int, where: str, what: str = "axis") -> int:
    """The axis, counted from the front. Raises BadInput outside [−rank, rank)."""
    if not -rank <= value < rank:
        raise BadInput(f"{what} {value} is outside a tensor of rank {rank}", where=where, fix="export the model again")
    return value % rank


def axes_of(values: Iterable[int], rank: int, where: str) -> tuple[int, ...]:
    """The axes, counted from the front, sorted, each once. Raises BadInput as `axis_of` does."""
    return tuple(sorted({axis_of(int(v), rank, where) for v in values}))


def row_axes(shape: Sequence[int]) -> int:
    """How many leading axes number the rows of a tensor (see `Tensor.rows`); the others lie inside a row."""
    return 2 if len(shape) >= 3 else len(shape) - 1 if shape else 0


def integers(data: Array) -> tuple[int, ...]:
    """A constant of axes, sizes or indices, flat."""
    return tuple(int(v) for v in data.reshape(-1).tolist())
