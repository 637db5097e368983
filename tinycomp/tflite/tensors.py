"""A file's tensors as the IR's: dtypes, static shapes, quantization, constants as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import ITEM_BYTES, MAX_RANK, NUMPY, Array, DType, Quant, Tensor
from tinycomp.tflite.file import REEXPORT, FileQuant, FileTensor, Meter

MAX_BYTES = 2**31  # no tensor of a model that is meant for a microcontroller comes near
DTYPES: Mapping[str, DType] = {
    "bool": "bool", "int4": "int4", "int8": "int8", "uint8": "uint8", "int16": "int16", "int32": "int32",
    "int64": "int64", "float32": "float32", "float16": "float32",
}  # fmt: skip
_STORED: Mapping[str, type[np.generic]] = {**NUMPY, "float16": np.float16, "bool": np.uint8, "int4": np.uint8}
_INT32 = (-(2**31), 2**31 - 1)
_ZERO_POINTS: Mapping[str, tuple[int, int]] = {
    "int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1), "int32": _INT32,
    "int64": _INT32,
}  # fmt: skip


def tensor(t: FileTensor, where: str, *, runtime: bool, meter: Meter) -> Tensor:
    """The tensor in the IR. float16 constants are widened to float32.

    where: the tensor and the operator that uses it, for messages. runtime: something gives it a value at run time.
    Raises Unsupported for dtypes, shapes and storage that have no place in a static C program, BadInput where the
    file contradicts itself.
    """
    dtype = DTYPES.get(t.dtype)
    if dtype is None or (t.dtype == "float16" and runtime):
        raise Unsupported(f"has dtype {t.dtype}; supported are {', '.join(DTYPES)} (float16 for constants alone)",
                          where=where, fix="export the model as full-integer int8 or as float32")  # fmt: skip
    if dtype == "int4" and runtime:
        raise Unsupported("is int4 and computed or given at run time; int4 is for weights alone", where=where,
                          fix="export the model with int8 activations")  # fmt: skip
    if t.sparse:
        raise Unsupported("is stored sparse", where=where, fix="export the model with dense weights")
    _check_shape(t, dtype, where, runtime)
    if runtime and t.data is not None:
        raise BadInput(f"is computed or given at run time, yet has {t.data.size} bytes of constant data",
                       where=where, fix=REEXPORT)  # fmt: skip
    return Tensor(t.name, t.shape, dtype, quantization(t, where), None if runtime else constant(t, where, meter))


def _check_shape(t: FileTensor, dtype: DType, where: str, runtime: bool) -> None:
    if len(t.shape) > MAX_RANK:
        raise Unsupported(f"has {len(t.shape)} dimensions; at most {MAX_RANK} are supported", where=where)
    if any(d < 0 for d in t.shape) or (runtime and 0 in t.shape):
        raise Unsupported(f"has the shape {list(t.shape)}, which is not static", where=where,
                          fix="export the model with a fixed input shape")  # fmt: skip
    if math.prod(t.shape) * ITEM_BYTES[dtype] > MAX_BYTES:
        raise Unsupported(f"is {dtype}{list(t.shape)}, {math.prod(t.shape) * ITEM_BYTES[dtype]:,} bytes; "
                          f"at most {MAX_BYTES:,} are supported", where=where)  # fmt: skip


def quantization(t: FileTensor, where: str) -> Quant | None:
    """The tensor's quantization; None for real and boolean tensors, which may carry leftovers of training.

    Raises BadInput where scales are not positive and finite, zero points leave the dtype's range, or their numbers
    do not fit each other or the shape; Unsupported for custom quantization.
    """
    q = t.quant
    if q is None or t.dtype in ("float32", "float16", "bool"):
        return None
    if q.custom:
        raise Unsupported("has a custom quantization", where=where, fix="quantize with the standard converter")
    if not q.scale:
        return None
    for i, scale in enumerate(q.scale):
        if not (math.isfinite(scale) and scale > 0):
            raise BadInput(f"has the scale {scale:g}{_channel(i, q)}; a scale must be positive and finite", where=where,
                           fix="calibrate the quantization again: a channel may never have been active")  # fmt: skip
    return Quant(q.scale, _zero_points(t, q, where), _axis(t, q, where))


def _channel(i: int, q: FileQuant) -> str:
    return f" for channel {i}" if len(q.scale) > 1 else ""


def _zero_points(t: FileTensor, q: FileQuant, where: str) -> tuple[int, ...]:
    """One for each scale: as given, one for all, or zeros where the file has none."""
    if len(q.zero_point) not in (0, 1, len(q.scale)):
        raise BadInput(f"has {len(q.scale)} scales and {len(q.zero_point)} zero points", where=where, fix=REEXPORT)
    low, high = _ZERO_POINTS[t.dtype]
    for i, zero in enumerate(q.zero_point):
        if not low <= zero <= high:
            raise BadInput(f"has the zero point {zero}{_channel(i, q)}, outside {t.dtype}'s {low} to {high}",
                           where=where, fix=REEXPORT)  # fmt: skip
    return q.zero_point if len(q.zero_point) == len(q.scale) else (q.zero_point or (0,)) * len(q.scale)


def _axis(t: FileTensor, q: FileQuant, where: str) -> int:
    """The channel axis; 0 where one scale serves the whole tensor and the axis says nothing.

    Old converters give the bias of a depthwise convolution, which has one axis, the channel axis of its weights.
    """
    if len(q.scale) == 1:
        return 0
    axis = 0 if len(t.shape) == 1 else q.axis
    if not 0 <= axis < len(t.shape):
        raise BadInput(f"is quantized along axis {axis} and has the shape {list(t.shape)}", where=where, fix=REEXPORT)
    if t.shape[axis] != len(q.scale):
        raise BadInput(f"has {len(q.scale)} scales for the {t.shape[axis]} channels of axis {axis} "
                       f"in the shape {list(t.shape)}", where=where, fix=REEXPORT)  # fmt: skip
    return axis


def constant(t: FileTensor, where: str, meter: Meter) -> Array | None:
    """The tensor's bytes as an array of its shape; None for a tensor without data, unless it has no elements.

    The array is read-only and, where the file's layout allows, a view of the file.
    Raises BadInput where the number of bytes is not what shape and dtype say.
    """
    stored = np.dtype(_STORED[t.dtype]).newbyteorder("<")
    elements = math.prod(t.shape)
    if t.data is None:
        return np.zeros(t.shape, NUMPY[DTYPES[t.dtype]]) if elements == 0 else None
    wanted = (elements + 1) // 2 if t.dtype == "int4" else elements * stored.itemsize
    if t.data.size != wanted:
        raise BadInput(f"is {t.dtype}{list(t.shape)}, which takes {wanted} bytes, and its buffer holds {t.data.size}",
                       where=where, fix=REEXPORT)  # fmt: skip
    values = _decoded(t, np.frombuffer(t.data, stored), elements)
    if not np.shares_memory(values, t.data):
        meter.spend(values.nbytes, where)
    values.flags.writeable = False
    return values.reshape(t.shape)


def _decoded(t: FileTensor, values: Array, elements: int) -> Array:
    """The stored elements, flat, in the machine's form."""
    if t.dtype == "int4":
        return unpacked(values.astype(np.uint8), elements)
    if t.dtype == "bool":
        return values.astype(np.uint8) != 0
    native = values.astype(NUMPY[DTYPES[t.dtype]], copy=False)
    return native if native.flags.aligned else native.copy()


def unpacked(pairs: NDArray[np.uint8], elements: int) -> NDArray[np.int8]:
    """int4 values, two to a byte with the first one low, sign-extended."""
    nibbles = np.stack([pairs & 0x0F, pairs >> 4], axis=1).reshape(-1)[:elements].astype(np.int8)
    return (nibbles ^ 8) - 8


def packed(values: NDArray[np.int8]) -> bytes:
    """The inverse of `unpacked`."""
    flat = np.zeros((values.size + 1) // 2 * 2, np.uint8)
    flat[: values.size] = values.reshape(-1).view(np.uint8) & 0x0F
    return (flat[0::2] | flat[1::2] << 4).tobytes()
