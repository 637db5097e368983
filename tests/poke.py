"""Places in a .tflite file that tests write nonsense to, and what must come of it."""

from __future__ import annotations

import struct
from typing import Any

from tinycomp import ops, tflite
from tinycomp.errors import TinycompError
from tinycomp.tflite import schema

# Offsets of fields in their tables' vtables: 4 + 2 · the field's number in schema.fbs.
SHAPE, TYPE, BUFFER, NAME, QUANTIZATION = 4, 6, 8, 10, 12
SCALE, ZERO_POINT = 8, 10
OPCODE, INPUTS, OUTPUTS, OPTIONS_TYPE, OPTIONS = 4, 6, 8, 10, 12
OLD_CODE, NEW_CODE = 4, 10


class Poked:
    """A file that can be changed in place."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.model: Any = schema.table("Model").GetRootAs(self.data, 0)
        self.main: Any = self.model.Subgraphs(0)

    def tensor(self, name: str) -> Any:
        """The tensor of that name."""
        every = [self.main.Tensors(i) for i in range(self.main.TensorsLength())]
        return next(t for t in every if t.Name() == name.encode())

    def index(self, name: str) -> int:
        """The tensor's index."""
        names = [self.main.Tensors(i).Name() for i in range(self.main.TensorsLength())]
        return names.index(name.encode())

    def operator(self, i: int = 0) -> Any:
        """Operator i."""
        return self.main.Operators(i)

    def options(self, i: int, table: str) -> Any:
        """The options of operator i."""
        options, raw = schema.table(table)(), self.operator(i).BuiltinOptions()
        options.Init(raw.Bytes, raw.Pos)
        return options

    def field(self, table: Any, slot: int, form: str, value: float) -> Poked:
        """Overwrite a scalar field that is there."""
        at = table._tab.Offset(slot)
        assert at, "the writer left the field at its default"
        struct.pack_into("<" + form, self.data, table._tab.Pos + at, value)
        return self

    def element(self, table: Any, slot: int, i: int, form: str, value: float) -> Poked:
        """Overwrite element i of a vector."""
        start = table._tab.Vector(table._tab.Offset(slot))
        struct.pack_into("<" + form, self.data, start + i * struct.calcsize(form), value)
        return self

    def length(self, table: Any, slot: int, value: int) -> Poked:
        """Overwrite the length of a vector or string."""
        struct.pack_into("<I", self.data, table._tab.Vector(table._tab.Offset(slot)) - 4, value)
        return self

    def text(self, table: Any, slot: int, value: bytes) -> Poked:
        """Overwrite the first bytes of a string."""
        start = table._tab.Vector(table._tab.Offset(slot))
        self.data[start : start + len(value)] = value
        return self

    def bytes(self) -> bytes:
        """The file as it is now."""
        return bytes(self.data)


def refused_or_sound(data: bytes) -> TinycompError | None:
    """The refusal; None where the bytes are a model. Any other exception is a failure of the test."""
    refusal: TinycompError | None = None
    try:
        ops.check(tflite.read(data))
    except TinycompError as error:
        refusal = error
    assert refusal is None or (str(refusal) and str(refusal).isprintable())
    return refusal
