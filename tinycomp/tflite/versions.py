"""Operator versions: what a file must say so that a runtime that checks them knows it has the kernel.

TensorFlow Lite Micro ignores versions, LiteRT looks up (operator, version). Source of the numbers: the tests that
decide them in tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinycomp.ir import Tensor

# By the dtype of the data input; dtypes that are not listed are version 1.
_INT8_2: Mapping[str, int] = {"int8": 2}
_INT8_2_INT16_3: Mapping[str, int] = {"int8": 2, "int16": 3}
BY_DTYPE: Mapping[str, Mapping[str, int]] = {
    "ABS": {"int8": 2, "uint8": 2, "int16": 3},
    "ADD": {"int8": 2, "int16": 3, "int64": 4},
    "ARG_MAX": {"int8": 2, "bool": 3},
    "ARG_MIN": {"int8": 2, "bool": 3},
    "AVERAGE_POOL_2D": _INT8_2_INT16_3,
    "BATCH_MATMUL": _INT8_2_INT16_3,
    "BATCH_TO_SPACE_ND": {"int8": 2, "int16": 4},
    "BROADCAST_TO": {"int8": 3, "int16": 3, "int32": 2, "float32": 2},
    "CAST": {"int8": 3},
    "CONCATENATION": {"int8": 2, "int16": 3, "int4": 5},
    "CONV_2D": {"int8": 3, "int16": 4},
    "DEPTHWISE_CONV_2D": {"int8": 3, "int16": 5},
    "DEQUANTIZE": {"int8": 2, "int16": 3, "int4": 6},
    "EQUAL": {"int8": 2, "int16": 5},
    "EXP": {"int8": 2, "int16": 2},
    "FILL": {"bool": 2, "int8": 3, "int16": 3},
    "FULLY_CONNECTED": {"int8": 4, "int16": 7},
    "GATHER": {"int8": 2, "bool": 3, "int16": 4, "int4": 7},
    "GREATER": _INT8_2,
    "GREATER_EQUAL": _INT8_2_INT16_3,
    "L2_NORMALIZATION": _INT8_2,
    "LEAKY_RELU": {"int16": 2},
    "LESS": _INT8_2_INT16_3,
    "LESS_EQUAL": _INT8_2,
    "LOG": {"int8": 2, "int16": 2},
    "LOGISTIC": _INT8_2_INT16_3,
    "LOG_SOFTMAX": _INT8_2,
    "MAXIMUM": {"int8": 2, "int16": 4},
    "MAX_POOL_2D": _INT8_2_INT16_3,
    "MEAN": _INT8_2_INT16_3,
    "MINIMUM": {"int8": 2, "int16": 4},
    "MIRROR_PAD": _INT8_2_INT16_3,
    "MUL": {"int8": 2, "int16": 4, "int64": 5},
    "NOT_EQUAL": {"int8": 2, "int16": 4},
    "PACK": _INT8_2_INT16_3,
    "PAD": {"int8": 2, "int16": 3, "bool": 5},
    "PADV2": {"int8": 2, "int16": 3, "bool": 5},
    "RANGE": {"int64": 2},
    "REDUCE_MAX": _INT8_2_INT16_3,
    "REDUCE_MIN": _INT8_2_INT16_3,
    "REDUCE_PROD": {"int8": 2, "int16": 2},
    "RELU": {"int8": 2, "uint8": 2, "int16": 3},
    "RELU6": _INT8_2_INT16_3,
    "RESIZE_BILINEAR": {"int8": 2, "int16": 4},
    "RESIZE_NEAREST_NEIGHBOR": {"int8": 2, "int16": 4},
    "RSQRT": _INT8_2_INT16_3,
    "SELECT": _INT8_2,
    "SLICE": {"int8": 2, "int16": 4, "int4": 7},
    "SOFTMAX": _INT8_2_INT16_3,
    "SPACE_TO_BATCH_ND": {"int8": 2, "int16": 4},
    "SPACE_TO_DEPTH": _INT8_2,
    "SPLIT": {"int8": 2, "int32": 3, "int16": 4},
    "SPLIT_V": _INT8_2,
    "SQRT": {"int8": 2, "int16": 2},
    "STRIDED_SLICE": {"int8": 2, "bool": 3},
    "SUB": {"int8": 2, "int64": 4, "int16": 5},
    "SUM": _INT8_2,
    "SVDF": {"int8": 3},
    "TANH": _INT8_2_INT16_3,
    "TILE": {"int8": 2},
    "TRANSPOSE": {"int8": 2, "bool": 3, "int16": 5, "int4": 7},
    "TRANSPOSE_CONV": _INT8_2,
    "UNPACK": {"int8": 2, "uint8": 2, "bool": 3, "int16": 4},
}
# Operators whose data input is not the first.
_DATA_INPUT: Mapping[str, int] = {"FILL": 1, "SPLIT": 1, "TRANSPOSE_CONV": 1}


def version(
    builtin: str, options: Mapping[str, Any], inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]
) -> int:
    """The lowest version that has everything this operator uses (where cheap to say, a later one)."""
    at = _DATA_INPUT.get(builtin, 0)
    data = inputs[at] if at < len(inputs) else None
    base = BY_DTYPE.get(builtin, {}).get(data.dtype, 1) if data else 1
    return max(base, _feature(builtin, options, inputs, data), *(_output(builtin, t) for t in outputs))


def _output(builtin: str, out: Tensor) -> int:
    """What the output's dtype asks for."""
    if builtin == "QUANTIZE":
        return 3 if out.quant and out.quant.per_channel else 2 if out.dtype == "int16" else 1
    return 3 if builtin == "CAST" and out.dtype == "int8" else 1


def _hybrid(data: Tensor, weights: Tensor, one: int, many: int) -> int:
    """int8 weights beside float32: the version for one scale, or for one for each channel."""
    if (data.dtype, weights.dtype) != ("float32", "int8"):
        return 1
    return many if weights.quant and weights.quant.per_channel else one


def _feature(builtin: str, options: Mapping[str, Any], inputs: Sequence[Tensor | None], data: Tensor | None) -> int:
    """What the options, the weights and the ranks ask for."""
    weights = inputs[1] if len(inputs) > 1 else None
    rank = max((len(t.shape) for t in inputs if t is not None), default=0)
    match builtin:
        case "CONV_2D" if data and weights:
            grouped = len(data.shape) == 4 and len(weights.shape) == 4 and data.shape[3] != weights.shape[3]
            return 7 if weights.dtype == "int4" else 6 if grouped else _hybrid(data, weights, 2, 5)
        case "DEPTHWISE_CONV_2D" if data and weights:
            dilated = options.get("dilation_h_factor", 1) != 1 or options.get("dilation_w_factor", 1) != 1
            return 7 if weights.dtype == "int4" else max(2 if dilated else 1, _hybrid(data, weights, 4, 6))
        case "FULLY_CONNECTED" if data and weights:
            no_bias = len(inputs) < 3 or inputs[2] is None
            keep = bool(options.get("keep_num_dims", False))
            if weights.dtype == "int4":
                return 10
            return max(6 if no_bias else 5 if keep else 1, _hybrid(data, weights, 3, 12))
        case "MUL" if data and weights and data.quant and weights.quant:
            return 3  # the version that may rescale by 1 or more
        case "PAD" | "PADV2" | "STRIDED_SLICE" if rank > 4:
            return 4
        case "STRIDED_SLICE" if options.get("ellipsis_mask") or options.get("new_axis_mask"):
            return 6
        case "SLICE" if rank > 4:
            return 5
        case "TRANSPOSE" if rank > 4:
            return 8 if rank > 6 else 6 if rank > 5 else 4
        case "SUB" | "MAXIMUM" | "MINIMUM" if rank > 4:
            return 3
        case "RESIZE_BILINEAR" | "RESIZE_NEAREST_NEIGHBOR" if options.get("half_pixel_centers"):
            return 3
        case "TRANSPOSE_CONV":
            return 4 if options.get("fused_activation_function") else 3 if len(inputs) > 3 else 1
        case _:
            return 1
