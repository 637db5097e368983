"""Wrong model files that are nearly right: changes to a flatbuffer by its schema, field by field, and to its bytes.

A file that is merely noise is refused in its first table. What reaches the passes, the planner and the templates is a
file with one or two wrong fields, or one in which several fields are wrong in the same way; both are made here.
"""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import numpy as np
from flatbuffers import Builder

MARK = "Zq9x"  # nothing of tinycomp's own contains it: where it turns up in C, it came from the file
_HARMFUL = (
    "*/ int ", '"; ', "\n#include <", "\\\n", "%n%s", "{{ 1 }} ", "\x1b[31m", "\u202e", "../../", "??/\n", "$(id) ", "'"
)  # fmt: skip
NAMES = (*(before + MARK for before in _HARMFUL), "", MARK * 99)
_WORDS = (0, 1, -1, 2, 3, 4, 7, 8, 100, 127, 128, 255, -128, 2**15, 2**16, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
_REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 1e30, 3.4e38, 0.5, 2.0, float("nan"), float("inf"), float("-inf"))
_SIZES = (1, 1, 2, 3, 4, 5, 8, 9, 16, 17, 33)

Change = Callable[[random.Random, Any], None]


def mutated(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The file with a few changes; `others` are files from which tables may be taken. Equal arguments, equal bytes."""
    if rng.random() < 0.12:
        return _bytewise(rng, data, others)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    donor = schema.ModelT.InitFromObj(schema.Model.GetRootAs(rng.choice(others), 0)) if others else model
    for _ in range(min(6, 1 + int(rng.expovariate(1.0)))):
        before = copy.deepcopy(model)
        try:
            _change(rng, model, donor)
            _packed(model)
        except _UNFIT:
            model = before  # the change has no form in a flatbuffer, a field too narrow for instance
    return _packed(model)


_UNFIT = (TypeError, ValueError, AttributeError, IndexError, KeyError, OverflowError, struct.error, AssertionError)


def _packed(model: Any) -> bytes:
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _change(rng: random.Random, model: Any, donor: Any) -> None:
    change = rng.choices(_CHANGES, weights=_WEIGHTS)[0]
    if change is _transplant:
        _transplant(rng, model, donor)
    else:
        change(rng, model)


def _graph(rng: random.Random, model: Any) -> Any:
    return model.subgraphs[0] if rng.random() < 0.9 else rng.choice(model.subgraphs)


def _any_field(rng: random.Random, model: Any) -> None:
    """One field of one table, whatever it is."""
    g = _graph(rng, model)
    owner = rng.choice([rng.choice(g.tensors), rng.choice(g.operators), rng.choice(model.operatorCodes), g, model,
                        rng.choice(model.buffers)])  # fmt: skip
    for name in ("quantization", "builtinOptions", "builtinOptions2"):
        if getattr(owner, name, None) is not None and rng.random() < 0.5:
            owner = getattr(owner, name)
    name = rng.choice(sorted(vars(owner)))
    setattr(owner, name, _value(rng, getattr(owner, name)))


def _value(rng: random.Random, old: Any) -> Any:
    """Something of the same type that is likely to be wrong."""
    if isinstance(old, (bytes, str)):
        return rng.choice(NAMES)
    if isinstance(old, (bool, np.bool_)):
        return not old
    if isinstance(old, (int, np.integer)):
        return rng.choice([*_WORDS, int(old) + 1, int(old) - 1, -int(old), 2 * int(old), rng.randrange(16)])
    if isinstance(old, (float, np.floating)):
        return rng.choice([*_REALS, 2 * float(old), -float(old), float(old) / 3])
    if isinstance(old, (np.ndarray, list)):
        return _sequence(rng, old)
    return None


def _sequence(rng: random.Random, old: Any) -> Any:
    """A vector with one element changed, removed, doubled or added; or an empty one."""
    values = list(old)
    at = rng.randrange(len(values)) if values else 0
    what = rng.randrange(7) if values else 5
    if what < 3:
        values[at] = _value(rng, values[at]) if not hasattr(values[at], "Pack") else rng.choice(values)
    elif what == 3:
        del values[at]
    elif what == 4:
        values.insert(at, values[at])
    elif what == 5:
        values.append(rng.choice(values) if values and hasattr(values[0], "Pack") else rng.choice(_WORDS))
    else:
        values = []
    if not isinstance(old, np.ndarray):
        return values
    return np.array(values).astype(old.dtype) if old.dtype.kind == "f" else np.array(values, dtype=old.dtype)


def _shape(rng: random.Random, model: Any) -> None:
    """The shape of one tensor: another rank, order or size; its constant follows half of the time."""
    t = rng.choice(_graph(rng, model).tensors)
    dims = [int(d) for d in (t.shape if t.shape is not None else [])]
    if rng.random() < 0.3:
        dims = [rng.choice(_SIZES) for _ in range(rng.randrange(7))]
    elif rng.random() < 0.5 and dims:
        dims[rng.randrange(len(dims))] = rng.choice([*_SIZES, 0, -1, 2**16, 2**31 - 1])
    else:
        rng.shuffle(dims)
        dims = dims[rng.randrange(2) :] + [1] * rng.randrange(2)
    _reshaped(rng, model, t, dims, follow=rng.random() < 0.5)


def _reshaped(rng: random.Random, model: Any, t: Any, dims: list[int], follow: bool) -> None:
    t.shape = np.array(dims, np.int32)
    held = model.buffers[t.buffer] if 0 <= t.buffer < len(model.buffers) else None
    if follow and held is not None and held.data is not None and len(held.data):
        width = _WIDTH.get(t.type, 1)
        wanted = max(1, int(np.prod([max(1, d) for d in dims], dtype=np.int64))) * width
        if wanted < 1 << 16:
            raw = np.resize(np.array(held.data, np.uint8), wanted)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = raw
            t.buffer = len(model.buffers) - 1


_TYPES = schema.TensorType
_WIDTH = {_TYPES.FLOAT32: 4, _TYPES.INT32: 4, _TYPES.INT64: 8, _TYPES.INT16: 2, _TYPES.FLOAT16: 2, _TYPES.FLOAT64: 8}


def _size_everywhere(rng: random.Random, model: Any) -> None:
    """One size becomes another in every tensor that has it, as in the model that somebody trained differently."""
    g = model.subgraphs[0]
    sizes = sorted({int(d) for t in g.tensors if t.shape is not None for d in t.shape if d > 1})
    if not sizes:
        return
    old, new = rng.choice(sizes), rng.choice([*_SIZES, 0])
    for t in g.tensors:
        if t.shape is not None and old in t.shape:
            _reshaped(rng, model, t, [new if d == old else int(d) for d in t.shape], follow=True)


def _type(rng: random.Random, model: Any) -> None:
    """The dtype of one tensor, or of all that share it."""
    g = _graph(rng, model)
    t, new = (
        rng.choice(g.tensors),
        rng.choice([_TYPES.INT8, _TYPES.FLOAT32, _TYPES.INT16, _TYPES.INT32, rng.randrange(22)]),
    )
    old = t.type
    for u in g.tensors if rng.random() < 0.5 else [t]:
        if u.type == old:
            u.type = new
            _reshaped(rng, model, u, [int(d) for d in (u.shape if u.shape is not None else [])], follow=True)


def _quantization(rng: random.Random, model: Any) -> None:
    """Scales and zero points that are legal and unusual, or wrong."""
    t = rng.choice(_graph(rng, model).tensors)
    q = t.quantization or schema.QuantizationParametersT()
    n = rng.choice([1, 1, 1, 2, int(t.shape[-1]) if t.shape is not None and len(t.shape) else 1])
    scales = [rng.choice([*_REALS, 10 ** rng.uniform(-8, 4), 1 / 256, 1 / 128]) for _ in range(max(0, min(n, 64)))]
    q.scale = np.array(scales, np.float32)
    q.zeroPoint = np.array([rng.choice([0, -128, 127, 128, 255, 5, -(2**31)])] * len(scales), np.int64)
    q.quantizedDimension = rng.choice([0, 0, 1, 3, -1, 7])
    t.quantization = q if rng.random() < 0.9 else None


def _options(rng: random.Random, model: Any) -> None:
    """A few of an operator's options, within what a converter could have written or not."""
    op = rng.choice(_graph(rng, model).operators)
    for options in (op.builtinOptions, op.builtinOptions2):
        for name in sorted(vars(options)) if options is not None else ():
            old = getattr(options, name)
            if rng.random() < 0.5:
                small = type(old) is int and rng.random() < 0.6
                setattr(options, name, rng.choice([0, 1, 2, 3, 5, -1]) if small else _value(rng, old))


def _builtin(rng: random.Random, model: Any) -> None:
    """Another operator under the same inputs and options."""
    code = rng.choice(model.operatorCodes)
    code.builtinCode = rng.choice([rng.randrange(220), rng.choice(model.operatorCodes).builtinCode, _BINARY, 32])
    code.deprecatedBuiltinCode = min(127, code.builtinCode)
    if rng.random() < 0.5:
        for op in _graph(rng, model).operators:
            op.builtinOptions, op.builtinOptionsType = None, 0


_BINARY = schema.BuiltinOperator.SUB


def _wiring(rng: random.Random, model: Any) -> None:
    """Who reads and writes what."""
    g = _graph(rng, model)
    owner = rng.choice([rng.choice(g.operators), g])
    name = rng.choice(["inputs", "outputs"])
    ends = [int(i) for i in (getattr(owner, name) if getattr(owner, name) is not None else [])]
    index = rng.choice([rng.randrange(len(g.tensors)), rng.randrange(len(g.tensors)), -1, len(g.tensors), 2**31 - 1])
    if ends and rng.random() < 0.6:
        ends[rng.randrange(len(ends))] = index
    elif ends and rng.random() < 0.4:
        ends.pop(rng.randrange(len(ends)))
    else:
        ends.insert(rng.randrange(len(ends) + 1), index)
    setattr(owner, name, np.array(ends, np.int32))


def _constant(rng: random.Random, model: Any) -> None:
    """The contents of one buffer: extremes, a word, or the wrong number of bytes."""
    held = [b for b in model.buffers if b.data is not None and len(b.data)]
    if not held:
        return
    buffer = rng.choice(held)
    raw = np.array(buffer.data, np.uint8)
    what = rng.randrange(6)
    if what == 0:
        raw[:] = rng.choice([0, 0x7F, 0x80, 0xFF])
    elif what < 4 and raw.size >= 4:
        at = 4 * rng.randrange(raw.size // 4)
        word = (
            rng.choice(_WORDS[:17])
            if rng.random() < 0.8
            else struct.unpack("<i", struct.pack("<f", rng.choice(_REALS)))[0]
        )
        raw[at : at + 4] = np.frombuffer(struct.pack("<i", word), np.uint8)
    elif what == 4:
        raw = np.array([rng.randrange(256) for _ in range(raw.size)], np.uint8) if raw.size < 4096 else ~raw
    else:
        raw = raw[: rng.randrange(raw.size + 1)]
    buffer.data = raw


def _name(rng: random.Random, model: Any) -> None:
    """Names that would mean something in C, in a terminal or as a path, in several places at once."""
    g = _graph(rng, model)
    for owner in rng.sample(g.tensors, min(len(g.tensors), 3)):
        owner.name = rng.choice(NAMES)
    rng.choice(model.operatorCodes).customCode = rng.choice(NAMES)
    g.name = model.description = rng.choice(NAMES)


def _transplant(rng: random.Random, model: Any, donor: Any) -> None:
    """A table of another file."""
    g, other = _graph(rng, model), rng.choice(donor.subgraphs)
    what = rng.randrange(4)
    if what == 0:
        g.tensors[rng.randrange(len(g.tensors))] = rng.choice(other.tensors)
    elif what == 1:
        op, given = rng.choice(g.operators), rng.choice(other.operators)
        op.builtinOptions, op.builtinOptionsType = given.builtinOptions, given.builtinOptionsType
    elif what == 2:
        rng.choice(g.tensors).quantization = rng.choice(other.tensors).quantization
    else:
        model.subgraphs.insert(rng.randrange(len(model.subgraphs) + 1), other)


def _tables(rng: random.Random, model: Any) -> None:
    """A list of tables with one removed, doubled, or out of order."""
    g = _graph(rng, model)
    owner, name = rng.choice([(g, "operators"), (g, "tensors"), (model, "buffers"), (model, "operatorCodes"),
                              (model, "subgraphs")])  # fmt: skip
    tables = list(getattr(owner, name))
    what, at = rng.randrange(3), rng.randrange(len(tables))
    if what == 0:
        del tables[at]
    elif what == 1:
        tables.insert(rng.randrange(len(tables) + 1), tables[at])
    else:
        rng.shuffle(tables)
    setattr(owner, name, tables)


def _longer(rng: random.Random, model: Any) -> None:
    """The last operator once more on its own output, where its tensors allow that."""
    g = model.subgraphs[0]
    op, out = g.operators[-1], int(g.outputs[0])
    again, t = copy.deepcopy(op), copy.deepcopy(g.tensors[out])
    g.tensors.append(t)
    again.inputs = np.array([out if i == g.inputs[0] else int(i) for i in op.inputs], np.int32)
    again.outputs = np.array([len(g.tensors) - 1, *(int(i) for i in op.outputs[1:])], np.int32)
    g.operators.append(again)
    g.outputs = np.array([len(g.tensors) - 1], np.int32)


_TABLE: tuple[tuple[Change, int], ...] = (
    (_any_field, 6), (_shape, 3), (_size_everywhere, 5), (_type, 3), (_quantization, 4), (_options, 5), (_builtin, 3),
    (_wiring, 3), (_constant, 4), (_name, 1), (_transplant, 2), (_tables, 1), (_longer, 2),
)  # fmt: skip
_CHANGES = [change for change, _ in _TABLE]
_WEIGHTS = [weight for _, weight in _TABLE]


def _bytewise(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Flipped bits, extreme words, a piece missing or taken from another file."""
    raw = bytearray(data)
    what = rng.randrange(4)
    for _ in range(rng.randrange(1, 4)):
        if what == 0:
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        elif what == 1:
            at = 4 * rng.randrange(len(raw) // 4)
            raw[at : at + 4] = struct.pack("<i", rng.choice(_WORDS[:17]))
        elif what == 2:
            del raw[rng.randrange(8, len(raw)) :]
            break
        else:
            other = rng.choice(others) if others else data
            size = rng.randrange(1, min(64, len(other)))
            start, at = rng.randrange(len(other) - size), rng.randrange(8, len(raw))
            raw[at : at + size] = other[start : start + size]
    return bytes(raw)
