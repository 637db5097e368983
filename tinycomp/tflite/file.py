"""A .tflite file as plain values: every table that matters, every index and length checked, no meaning yet.

The Python flatbuffer accessors have no verifier. They never read outside the file, but on a damaged one they raise
whatever comes to hand, or return nonsense; and since flatbuffer vectors may overlap, a small file can ask for far
more than its size. So decoding runs under `decoding`, and what it makes is counted by a `Meter`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tinycomp.errors import BadInput, TinycompError
from tinycomp.tflite import schema

MODEL_FILE = "the model file"
REEXPORT = "the file is damaged or not a TensorFlow Lite model: export it again"
MALFORMED = (struct.error, IndexError, ValueError, TypeError, OverflowError, MemoryError)
NAME_LENGTH = 256
# Other formats that are passed by mistake, by their first bytes.
STRANGERS: Mapping[bytes, str] = {
    b"\x89HDF": "a Keras .h5 file", b"PK\x03\x04": "a zip archive (a .keras model?)", b"\x1f\x8b": "a gzip archive",
    b"\x08\x01\x12": "a SavedModel or ONNX protocol buffer", b"version https://git-lfs": "a Git LFS pointer",
}  # fmt: skip


class Meter:
    """Counts the bytes that reading makes, against what a file of that size can justify."""

    def __init__(self, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self.left = (16 << 20) + 16 * file_bytes

    def spend(self, made: int, what: str) -> None:
        """Raises BadInput where the file asks for more than it can hold."""
        self.left -= made
        if self.left < 0:
            raise BadInput(f"{what} asks for more memory than a file of this size can fill",
                           where=MODEL_FILE, fix=REEXPORT)  # fmt: skip


@dataclass(frozen=True)
class FileQuant:
    """Quantization parameters, as stored."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int
    custom: bool


@dataclass(frozen=True, eq=False)
class FileTensor:
    """One tensor. name: unique and safe to print. dtype: the schema's, in lower case. data: None or not empty.

    ranked: False where the shape is [] and the file leaves open whether that is a scalar's or nobody knows.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    ranked: bool
    signature: tuple[int, ...]
    dtype: str
    quant: FileQuant | None
    variable: bool
    sparse: bool
    data: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class FileOperator:
    """One operator, its tensors by index (−1: an optional input that is left out)."""

    index: int
    builtin: str
    custom: str
    version: int
    options_table: str | None
    options: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def kind(self) -> str:
        """For messages: the builtin's name, or the custom operator's."""
        return f"custom {self.custom!r}" if self.builtin == "CUSTOM" else self.builtin

    @property
    def label(self) -> str:
        """For messages: the index in the file and the kind."""
        return f"operator {self.index} ({self.kind})"


@dataclass(frozen=True, eq=False)
class File:
    """One subgraph of a model, the main one unless asked otherwise, and how many there are.

    open: reads another subgraph by its index. Raises BadInput where there is none.
    """

    description: str
    subgraphs: int
    open: Callable[[int], File]
    tensors: Sequence[FileTensor]
    operators: Sequence[FileOperator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@contextmanager
def decoding(what: str, where: str = MODEL_FILE) -> Generator[None]:
    """Turn whatever the accessors raise on a damaged file into BadInput."""
    try:
        yield
    except TinycompError:
        raise
    except MALFORMED as error:
        found = f"{what} cannot be decoded ({type(error).__name__}: {error})"
        raise BadInput(found, where=where, fix=REEXPORT) from error


def printable(raw: str) -> str:
    """The name with control, format and unassigned characters escaped, at most NAME_LENGTH characters."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in raw[: NAME_LENGTH + 1])
    return safe if len(safe) <= NAME_LENGTH else safe[: NAME_LENGTH - 1] + "…"


def parse(data: bytes) -> File:
    """The file's main subgraph. Raises BadInput where the bytes are not a well-formed TensorFlow Lite model."""
    if len(data) < 8 or data[4:8] != b"TFL3":
        stranger = next((f", it looks like {kind}" for magic, kind in STRANGERS.items() if data.startswith(magic)), "")
        found = f"bytes 4 to 8 are {data[4:8]!r}" if len(data) >= 8 else f"it has {len(data)} bytes"
        raise BadInput(f"is not a TensorFlow Lite model: {found}, where b'TFL3' should stand{stranger}",
                       where=MODEL_FILE, fix="convert the model with the TensorFlow Lite converter")  # fmt: skip
    meter = Meter(len(data))
    with decoding("the model's header"):
        model = schema.table("Model").GetRootAs(data, 0)
        description = printable(_text(model.Description(), meter, "the description"))
        subgraphs = _count(model.SubgraphsLength(), 0, meter, "the list of subgraphs")
    if not subgraphs:
        raise BadInput("holds no subgraph", where=MODEL_FILE, fix=REEXPORT)
    with decoding("the list of buffers and operators"):
        buffers, codes = _buffers(model, data, meter), _codes(model, meter)

    def opened(index: int) -> File:
        what = f"subgraph {index}" if index else "the main subgraph"
        if not 0 <= index < subgraphs:
            raise BadInput(f"calls {what}; the file has {subgraphs}", where=MODEL_FILE, fix=REEXPORT)
        with decoding(what):
            table = model.Subgraphs(index)
            inputs = _indices(table.InputsAsNumpy(), meter, "the list of inputs")
            outputs = _indices(table.OutputsAsNumpy(), meter, "the list of outputs")
        tensors = _tensors(table, buffers, meter)
        operators = _operators(table, codes, len(tensors), meter)
        for kind, indices in (("input", inputs), ("output", outputs)):
            for i in indices:
                _check_index(i, len(tensors), f"the {kind} list of {what}" if index else f"the model's {kind} list",
                             low=0)  # fmt: skip
        return File(description, subgraphs, opened, tensors, operators, inputs, outputs)

    return opened(0)


def _count(count: int, size: int, meter: Meter, what: str) -> int:
    """A vector of tables' length; `size` is what each costs here. Raises BadInput where no file could hold them."""
    if 4 * count > meter.file_bytes:
        raise BadInput(f"{what} claims {count} entries in a file of {meter.file_bytes} bytes",
                       where=MODEL_FILE, fix=REEXPORT)  # fmt: skip
    meter.spend(size * count, what)
    return count


def _check_index(index: int, count: int, where: str, low: int = -1) -> None:
    if not low <= index < count:
        raise BadInput(f"names tensor {index}; the file has tensors 0 to {count - 1}", where=where, fix=REEXPORT)


def _text(raw: bytes | None, meter: Meter, what: str) -> str:
    meter.spend(len(raw or b""), what)
    return (raw or b"").decode("utf-8", "backslashreplace")


def _numbers(values: Any, meter: Meter, what: str) -> list[Any]:
    """A scalar vector as Python numbers; [] for the integer 0 that the accessors return for an absent one."""
    if isinstance(values, int):
        return []
    meter.spend(32 * len(values), what)  # a Python integer in a tuple, roughly
    return values.tolist()


def _indices(values: Any, meter: Meter, what: str) -> tuple[int, ...]:
    return tuple(_numbers(values, meter, what))


def _buffers(model: Any, data: bytes, meter: Meter) -> list[NDArray[np.uint8] | None]:
    """The bytes of every buffer, without a copy; None for an empty one."""
    found: list[NDArray[np.uint8] | None] = []
    with decoding("the list of buffers"):
        count = _count(model.BuffersLength(), 256, meter, "the list of buffers")
    for i in range(count):
        with decoding(f"buffer {i}"):
            buffer = model.Buffers(i)
            if buffer.Offset() > 1:  # the data stand behind the flatbuffer (models beyond 2 GB)
                start, size = buffer.Offset(), buffer.Size()
                if start + size > len(data):
                    raise BadInput(f"reaches byte {start + size} of a file of {len(data)}",
                                   where=f"buffer {i}", fix=REEXPORT)  # fmt: skip
                values = np.frombuffer(data, np.uint8, size, start)
            else:
                values = buffer.DataAsNumpy()
            found.append(None if isinstance(values, int) or not values.size else values)
    return found


def _tensors(main: Any, buffers: Sequence[NDArray[np.uint8] | None], meter: Meter) -> list[FileTensor]:
    with decoding("the list of tensors"):
        count = _count(main.TensorsLength(), 512, meter, "the list of tensors")
    names, found = _Names(), list[FileTensor]()
    for i in range(count):
        with decoding(f"tensor {i}"):
            t = main.Tensors(i)
            raw = _text(t.Name(), meter, f"the name of tensor {i}")
            code, buffer = int(t.Type()), int(t.Buffer())
            if buffer >= max(len(buffers), 1):
                raise BadInput(f"names buffer {buffer}; the file has {len(buffers)}",
                               where=f"tensor {i} ({printable(raw)!r})", fix=REEXPORT)  # fmt: skip
            shape = _indices(t.ShapeAsNumpy(), meter, f"the shape of tensor {i}")
            found.append(FileTensor(
                i, names.unique(raw, i), shape, bool(shape) or t.HasRank(),
                _indices(t.ShapeSignatureAsNumpy(), meter, f"the shape of tensor {i}"),
                schema.enumeration("TensorType").get(code, f"number {code}").lower(), _quantization(t, i, meter),
                t.IsVariable(), t.Sparsity() is not None, buffers[buffer] if buffers else None,
            ))  # fmt: skip
    return found


def _quantization(t: Any, index: int, meter: Meter) -> FileQuant | None:
    q = t.Quantization()
    if q is None:
        return None
    what = f"the quantization of tensor {index}"
    scale = tuple(_numbers(q.ScaleAsNumpy(), meter, what))
    zero_point = tuple(_numbers(q.ZeroPointAsNumpy(), meter, what))
    custom = q.DetailsType() != 0
    return FileQuant(scale, zero_point, q.QuantizedDimension(), custom) if scale or zero_point or custom else None


class _Names:
    """Gives every tensor a name of its own: the file's, escaped, and with a suffix where it is empty or taken."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.next: dict[str, int] = {}

    def unique(self, raw: str, index: int) -> str:
        name = wanted = printable(raw) or f"tensor_{index}"
        while name in self.taken:
            self.next[wanted] = self.next.get(wanted, 0) + 1
            name = f"{wanted}_{self.next[wanted]}"
        self.taken.add(name)
        return name


def _codes(model: Any, meter: Meter) -> list[tuple[str, str, int]]:
    """(builtin, custom name, version) of every operator code."""
    found: list[tuple[str, str, int]] = []
    with decoding("the list of operator codes"):
        count = _count(model.OperatorCodesLength(), 256, meter, "the list of operator codes")
        for i in range(count):
            code = model.OperatorCodes(i)
            number = max(_wide_code(code), code.DeprecatedBuiltinCode())  # old files have the second alone
            builtin = schema.enumeration("BuiltinOperator").get(number, f"builtin number {number}")
            custom = printable(_text(code.CustomCode(), meter, f"the custom name of operator code {i}"))
            found.append((builtin, custom if builtin == "CUSTOM" else "", code.Version()))
    return found


def _wide_code(code: Any) -> int:
    """The field builtin_code as it stands: its accessor returns the deprecated one's where the number is small."""
    at = code._tab.Offset(10)
    return struct.unpack_from("<i", code._tab.Bytes, code._tab.Pos + at)[0] if at else 0


def _operators(main: Any, codes: Sequence[tuple[str, str, int]], tensors: int, meter: Meter) -> list[FileOperator]:
    with decoding("the list of operators"):
        count = _count(main.OperatorsLength(), 1024, meter, "the list of operators")
    found: list[FileOperator] = []
    for i in range(count):
        with decoding(f"operator {i}"):
            op = main.Operators(i)
            code: int = op.OpcodeIndex()
            if not code < len(codes):
                raise BadInput(f"names operator code {code}; the file has {len(codes)}",
                               where=f"operator {i}", fix=REEXPORT)  # fmt: skip
            builtin, custom, version = codes[code]
            inputs = _indices(op.InputsAsNumpy(), meter, f"the inputs of operator {i}")
            outputs = _indices(op.OutputsAsNumpy(), meter, f"the outputs of operator {i}")
            table, options = (_own_options if builtin == "CUSTOM" else _options)(op, meter, i)
            made = FileOperator(i, builtin, custom, version, table, options, inputs, outputs)
        for index in inputs:
            _check_index(index, tensors, made.label)
        for index in outputs:
            _check_index(index, tensors, made.label, low=0)
        found.append(made)
    return found


def _own_options(op: Any, meter: Meter, index: int) -> tuple[None, Mapping[str, Any]]:
    """The bytes that a custom operator stores."""
    own = op.CustomOptionsAsNumpy()
    if isinstance(own, int):  # the accessor's answer for an absent vector
        return None, {}
    meter.spend(len(own), f"the options of operator {index}")
    return None, {"custom_options": own.tobytes()}


def _options(op: Any, meter: Meter, index: int) -> tuple[str | None, Mapping[str, Any]]:
    """The options table's name and fields; (None, {}) where the operator has none."""
    kind, raw = op.BuiltinOptionsType(), op.BuiltinOptions()
    if kind == 0 or raw is None:
        return None, {}
    name = schema.enumeration("BuiltinOptions").get(kind)
    if name is None:
        raise BadInput(f"has options of the unknown kind {kind}", where=f"operator {index}", fix=REEXPORT)
    options = schema.read_options(name, raw)
    lengths = [len(cast(Sequence[Any], v)) for v in options.values() if isinstance(v, (tuple, str))]
    meter.spend(32 * sum(lengths), f"the options of operator {index}")
    return name, options
