"""The lowered model: what runs when, on which bytes. `lower` makes it, `emit` prints it, the report counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Access, Leaf, Taps
from tinycomp.layout import SRAM, Layout
from tinycomp.ops.trainable_dense import TrainableDense
from tinycomp.rewrite import biases_of, weights_of

Opt = Literal["speed", "size", "balanced"]
Stream = Literal["auto", "off", "on", "push"]
Kind = Literal["layer by layer", "streamed", "rows pushed"]


@dataclass(frozen=True)
class Recipe:
    """The choices that turn one graph into one program.

    stream: off computes layer after layer; push takes the input's rows one at a time and never holds it; on and auto
        compute row by row through segments of layers where that takes less memory than layer after layer does.
    kernels: portable keeps to C99 on any core. pinned: kernel row by node name, instead of the best that accepts it.
    """

    opt: Opt = "balanced"
    stream: Stream = "auto"
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

    states: how many states it is handed.
    template: its text where it lies outside templates/ (see `Leaf`).
    literals are substituted as numbers, arguments (int32_t, in this order) differ between the steps that call it.
    """

    symbol: str
    op: str
    kernel: str
    helpers: tuple[str, ...]
    access: str
    scratch: bool
    states: int
    data_types: tuple[str, ...]
    params: Mapping[str, object]
    literals: Mapping[str, int]
    arguments: tuple[str, ...] = ()
    template: str = ""


@dataclass(frozen=True)
class Place:
    """Where a tensor's rows lie: row y at offsets[y] bytes into the region's arena."""

    offsets: tuple[int, ...]
    row_bytes: int
    region: str = SRAM

    @property
    def rows(self) -> int:
        """Rows of the tensor."""
        return len(self.offsets)

    @property
    def affine(self) -> tuple[int, int] | None:
        """(offset, stride) where row y lies at offset + y · stride; None where a table is needed."""
        steps = {b - a for a, b in zip(self.offsets, self.offsets[1:], strict=False)}
        if len(steps) > 1:
            return None
        return self.offsets[0], steps.pop() if steps else self.row_bytes


@dataclass(frozen=True)
class Operand:
    """A step's view of one operand: the tensor, its place, and the rows that each call takes (None: all of it)."""

    tensor: str
    place: Place
    taps: Taps | None


@dataclass(frozen=True, eq=False)
class Register:
    """A state's bytes in the arena, in SRAM.

    initial: the value at the start and after a reset, a byte that fills it or an array in flash. source: where the next
    value lies at the end of an inference; None where a kernel has made it in place.
    """

    name: str
    offset: int
    bytes: int
    initial: int | Data
    source: Place | Data | None


@dataclass(frozen=True)
class Step:
    """One node at work: `calls` calls of a function. states: offsets of those that it carries on beside its output."""

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
    scratch_region: str = SRAM
    states: tuple[int, ...] = ()


@dataclass(frozen=True)
class Run:
    """Steps [first, end). order: the step of each call in turn; None where one step's calls simply follow each other.

    In a build that is pushed, ARRIVAL in an order waits for the next input row.
    """

    first: int
    end: int
    order: tuple[int, ...] | None


@dataclass(frozen=True)
class Tried:
    """A way of running the program, and the bytes of arena that it takes were SRAM all there is.

    swapped: layers whose fastest kernel gave way to one with less scratch. fits: the board's fast memory has room.
    """

    kind: Kind
    swapped: int
    arena: int
    fits: bool
    taken: bool


@dataclass(frozen=True)
class Program:
    """Everything that emission needs. Offsets and sizes are bytes in a region's arena, mostly SRAM's.

    pads: bytes of the longest padding row by fill byte. answers: outputs that are constants. pushed: the input's
    rows arrive one at a time into input_rows. whole_tensors: bytes alive at each step where tensors are kept whole.
    tried: the plans that there were to choose from, the preferred first.
    """

    graph: Graph
    recipe: Recipe
    steps: tuple[Step, ...]
    runs: tuple[Run, ...]
    functions: tuple[Function, ...]
    data: tuple[Data, ...]
    places: Mapping[str, Place]
    layout: Layout
    input_rows: Place
    whole_tensors: tuple[int, ...]
    align: int = 16
    pads: Mapping[int, int] = field(default_factory=dict[int, int])
    answers: Mapping[str, Data] = field(default_factory=dict[str, Data])
    registers: tuple[Register, ...] = ()
    tried: tuple[Tried, ...] = ()

    @property
    def arena(self) -> int:
        """Bytes of the arena in SRAM."""
        return self.layout.size

    @property
    def layer_by_layer(self) -> int:
        """The least that a schedule of whole tensors can do with, in bytes, without scratch."""
        return max(self.whole_tensors, default=0)

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that the program uses besides SRAM."""
        return tuple(self.layout.others)

    @property
    def head(self) -> Step | None:
        """The dense layer that learns on the board, None without one."""
        return next((step for step in self.steps if isinstance(step.node.attrs, TrainableDense)), None)

    @property
    def pushed(self) -> bool:
        """The input is never held; its rows arrive one at a time."""
        return self.recipe.stream == "push"

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weight tensors that the nodes have, whatever layout a kernel stores them in."""
        found = {t.name: t for step in self.steps for t in weights_of(step.node, self.graph)}
        return min(sum(t.bytes for t in found.values()), self.constants_bytes)

    @property
    def biases_bytes(self) -> int:
        """Bytes of the bias tensors that the nodes have."""
        found = {t.name: t for step in self.steps for t in biases_of(step.node, self.graph)}
        return min(sum(t.bytes for t in found.values()), self.tables_bytes)

    @property
    def tables_bytes(self) -> int:
        """The rest of the constants: biases, multipliers, look-up tables, padding of packed weights, padding rows."""
        return self.constants_bytes - self.weights_bytes

    @property
    def pads_bytes(self) -> int:
        """Bytes of the rows of padding."""
        return sum(self.pads.values())

    @property
    def constants_bytes(self) -> int:
        """Bytes of constant arrays in flash."""
        return sum(d.array.nbytes for d in self.data) + self.pads_bytes
