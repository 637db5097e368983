"""The grid that ADD, SUB and MUL share: how two operands meet."""

from __future__ import annotations

import numpy as np

from tests.support import activation, constant, quant, single
from tinycomp.ir import DType, Graph, Quant, Tensor
from tinycomp.ops.binary import Binary

# shape of a, shape of b, which one is a constant ("" for neither), how the kernel walks
MEETINGS: list[tuple[tuple[int, ...], tuple[int, ...], str, str]] = [
    ((1, 3, 4, 5), (1, 3, 4, 5), "", "window"),
    ((1, 3, 4, 5), (5,), "b", "window"),
    ((5,), (1, 3, 4, 5), "a", "window"),
    ((1, 3, 4, 5), (1,), "b", "window"),
    ((1, 3, 4, 5), (), "b", "window"),
    ((1, 3, 4, 5), (1, 1, 1, 5), "", "window"),
    ((1, 1, 4, 1), (1, 3, 4, 5), "", "window"),
    ((1, 3, 4, 5), (1, 3, 1, 5), "", "window"),
    ((1, 3, 4, 5), (1, 3, 1, 1), "", "window"),
    ((1, 1, 4, 1), (1, 3, 1, 5), "", "window"),
    ((1, 3, 4, 5), (1, 3, 4, 5), "b", "whole"),
    ((1, 3, 4, 1), (1, 3, 4, 5), "a", "whole"),
    ((1, 3, 4, 5), (3, 1, 5), "", "window"),
    ((1, 3, 4, 5), (3, 4, 5), "", "whole"),
    ((1, 3, 4, 5), (4, 5), "", "whole"),
    ((2, 3, 4, 5), (1, 3, 4, 5), "", "whole"),
    ((2, 1, 4, 1), (1, 3, 1, 5), "", "whole"),
    ((3, 4, 5), (3, 4, 5), "", "window"),
    ((3, 7), (3, 7), "", "window"),
    ((3, 7), (7,), "", "window"),
    ((3, 7), (3, 1), "", "window"),
    ((7,), (7,), "", "window"),
    ((1,), (1,), "", "window"),
]


def meeting(attrs: Binary, a: tuple[int, ...], b: tuple[int, ...], fixed: str, dtype: DType) -> Graph:
    """One node over those shapes, with random constants."""
    rng, q = np.random.default_rng(sum(a) * 10 + sum(b)), dtype == "int8"
    scales: dict[str, Quant | None] = {"a": quant(0.05, 3) if q else None, "b": quant(0.021, -7) if q else None}

    def operand(name: str, shape: tuple[int, ...]) -> Tensor:
        if name not in fixed:
            return activation(name, shape, dtype, scales[name])
        drawn = rng.normal(0, 2, shape) if dtype == "float32" else rng.integers(-128, 128, shape)
        return constant(name, np.asarray(drawn).astype(dtype), scales[name])

    return single(attrs, [operand("a", a), operand("b", b)], out_quant=quant(0.06, -4) if q else None)


Ends = tuple[float, int]  # scale and zero point

SCALES: list[tuple[Ends, Ends, Ends]] = [  # of a, b and the output
    ((0.05, 3), (0.05, 3), (0.1, 0)),
    ((0.05, -128), (0.0500001, 127), (0.03, 5)),
    ((0.0371, 127), (0.0012, -128), (0.0375, -128)),
    ((0.0003, 0), (0.9, 11), (0.71, 127)),
    ((1.5, -1), (0.75, -60), (0.02, 60)),
    ((0.0078125, 0), (0.015625, 0), (0.03125, 0)),
]


def scaled(attrs: Binary, a: Ends, b: Ends, out: Ends, shape: tuple[int, ...]) -> Graph:
    """One int8 node with that quantization."""
    return single(attrs, [activation("a", shape, "int8", quant(*a)), activation("b", shape, "int8", quant(*b))],
                  out_quant=quant(*out))  # fmt: skip
