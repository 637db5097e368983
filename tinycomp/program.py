"""The lowered model: what runs when, on which bytes. `lower` makes it, `emit` prints it, the report counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Access, Leaf, Taps
from tinycomp.planner import Buffer, Placement

Opt = Literal["speed", "size", "balanced"]


@dataclass(frozen=True)
class Recipe:
    """The choices that turn one graph into one program.

    kernels: portable keeps to C99 on any core. pinned: kernel row by node name, instead of the best that accepts it.
    """

    opt: Opt = "balanced"
    kernels: Literal["auto", "portable"] = "auto"
    pinned: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Data:
    """A constant array in flash. symbol: its C name without the model's prefix. role: what the report counts it as."""

    symbol: str
    role: str
    array: Array


@dataclass(frozen=True)
class Function:
    """One C function made from a kernel's template.

    literals are substituted as numbers, arguments (int32_t, in this order) differ between the steps that call it.
    """

    symbol: str
    op: str
    kernel: str
    helpers: tuple[str, ...]
    access: str
    scratch: bool
    data_types: tuple[str, ...]
    params: Mapping[str, object]
    literals: Mapping[str, int]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a tensor's rows lie: row y starts at arena + offset + y · row_bytes."""

    offset: int
    rows: int
    row_bytes: int


@dataclass(frozen=True)
class Operand:
    """A step's view of one operand: the tensor, its place, and the rows that each call takes (None: all of it)."""

    tensor: str
    place: Place
    taps: Taps | None


@dataclass(frozen=True)
class Step:
    """One node at work: `calls` calls of a function."""

    node: Node
    access: Access
    function: Function
    leaf: Leaf
    data: tuple[Data, ...]
    operands: tuple[Operand, ...]
    output: Place
    scratch: int | None
    calls: int
    macs: int


@dataclass(frozen=True)
class Program:
    """Everything that emission needs. Offsets and sizes are bytes in the one arena."""

    graph: Graph
    recipe: Recipe
    steps: tuple[Step, ...]
    functions: tuple[Function, ...]
    data: tuple[Data, ...]
    places: Mapping[str, Place]
    buffers: tuple[Buffer, ...]
    placement: Placement
    roots: Mapping[str, str]
    arena: int
    align: int = 16
    pads: Mapping[int, int] = field(default_factory=dict[int, int])  # fill byte → bytes of the longest padding row
    answers: Mapping[str, Data] = field(default_factory=dict[str, Data])  # outputs that are constants

    @property
    def weights_bytes(self) -> int:
        """Bytes of filters and other weight tensors as stored; biases and tables are `tables_bytes`."""
        return sum(d.array.nbytes for d in self.data if d.role == "weights")

    @property
    def tables_bytes(self) -> int:
        """Bytes of biases, multipliers, look-up tables and padding rows."""
        return sum(d.array.nbytes for d in self.data if d.role != "weights") + sum(self.pads.values())
