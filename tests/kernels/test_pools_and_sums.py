"""Pools, means, ADD and SUB on emulated cores with the DSP extension: every row bit-equal to the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.core import bundle, check_on_core, kernels
from tests.support import activation, constant, quant, random_inputs, single
from tinycomp import qmath
from tinycomp.ir import Graph
from tinycomp.ops import linear_dsp
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.mean import Mean
from tinycomp.ops.sub import Sub

Labelled = Iterator[tuple[str, Graph]]
BYTES = np.arange(-128, 128).astype(np.int8)
PAIRS = (np.repeat(BYTES, 256).reshape(1, 256, 4, 64), np.tile(BYTES, 256).reshape(1, 256, 4, 64))


def means() -> Labelled:
    """Everything averaged to one pixel: rows of few and many columns, channels that fill words and that do not."""
    for h, w, c in [(3, 4, 4), (5, 5, 64), (8, 8, 19), (2, 9, 6), (4, 13, 7), (2, 255, 5), (6, 10, 3)]:
        x = [activation("x", (1, h, w, c), "int8", quant(0.03, -5))]
        yield (
            f"average_{w}_{c}",
            single(AveragePool2D((h, w), (h, w), (0, 0, 0, 0), "none"), x, out_quant=quant(0.03, -5)),
        )
        yield f"mean_{w}_{c}", single(Mean((1, 2), False), x, out_quant=quant(0.02, 3))
    x = [activation("x", (1, 3, 6, 8), "int8", quant(0.03, -5))]
    yield "average_relu", single(AveragePool2D((3, 6), (3, 6), (0, 0, 0, 0), "relu"), x, out_quant=quant(0.03, -5))


def largest() -> Labelled:
    """Maxima of windows inside the image and across its edges; channels that fill words and that do not."""
    for c in (4, 7, 16, 33):
        x = [activation("x", (1, 9, 10, c), "int8", quant(0.03, -5))]
        yield f"c{c}", single(MaxPool2D((2, 2), (2, 2), (0, 0, 0, 0), "none"), x, out_quant=quant(0.03, -5))
        yield f"c{c}_padded", single(MaxPool2D((3, 3), (2, 1), (1, 1, 1, 2), "none"), x, out_quant=quant(0.03, -5))


def sums() -> Labelled:
    """Operands of many scales, lengths that fill words and that do not, a constant operand, every clamp."""
    scales = [(0.05, 0.05, 0.1), (0.02, 0.09, 0.08), (0.1, 0.003, 0.11), (0.05, 0.05, 0.02)]
    for k, (a, b, out) in enumerate(scales):
        shape = (1, 3, 5, 4 + k)
        ends = [
            activation("a", shape, "int8", quant(a, -128 + 50 * k)),
            activation("b", shape, "int8", quant(b, 7 - k)),
        ]
        yield f"add_{k}", single(Add("relu"), ends, out_quant=quant(out, -128))
        yield f"sub_{k}", single(Sub("relu"), ends, out_quant=quant(out, -90 + k))
        fixed = constant("b", np.resize(BYTES[::3], shape), quant(b))
        yield f"fixed_{k}", single(Add("relu6"), [ends[0], fixed], out_quant=quant(out, -128))


@pytest.mark.parametrize(
    ("name", "rows"), [("means", {"reduce_dsp"}), ("largest", {"dsp"}), ("sums", {"dsp", "portable"})]
)
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m33"])
def test_every_shape_of_the_grid_is_bit_exact_on_the_core(name: str, rows: set[str], core: str, tmp_path: Path):
    graphs = dict({"means": means, "largest": largest, "sums": sums}[name]())
    lowered = check_on_core(
        graphs, random_inputs(bundle(graphs), cases=4), core, tmp_path, natively=core == "cortex-m4"
    )
    assert rows == set(kernels(lowered).values()) | (rows - {"dsp", "reduce_dsp"})


@pytest.mark.parametrize(("act", "zero"), [("relu", -128), ("none", 3), ("relu", -20)])
def test_every_pair_of_bytes_adds_up_as_in_the_reference_on_the_core(act: str, zero: int, tmp_path: Path):
    q = quant(0.0317, -9), quant(0.0754, 21)
    ends = [activation("a", PAIRS[0].shape, "int8", q[0]), activation("b", PAIRS[1].shape, "int8", q[1])]
    graphs = {"add": single(Add(act), ends, out_quant=quant(0.0611, zero)),
              "sub": single(Sub(act), ends, out_quant=quant(0.0611, zero))}  # fmt: skip
    lowered = check_on_core(graphs, [[*PAIRS, *PAIRS]], "cortex-m4", tmp_path)
    assert set(kernels(lowered).values()) == {"dsp"}


def test_sums_that_no_single_rounding_gives_are_declined():
    """Halves on both sides of zero, which the reference rounds away from it."""
    real = (BYTES.astype(np.int64)[:, None] + BYTES.astype(np.int64)[None, :]) / 2
    away = np.sign(real) * np.floor(np.abs(real) + 0.5)
    assert linear_dsp.linear(0.5, 0.5, np.clip(away, -128, 127).astype(np.int64), -128, 127) is None
    assert _applied(0.5, 0.5, np.clip(away, 0, 127).astype(np.int64), 0, 127)


def _applied(alpha: float, beta: float, wanted: qmath.Int64, low: int, high: int) -> bool:
    found = linear_dsp.linear(alpha, beta, wanted, low, high)
    assert found is not None
    terms = [(BYTES.astype(np.int64) << 8) * factor >> 16 for factor in (found.factor_a, found.factor_b)]
    total = found.offset + terms[0][:, None] + terms[1][None, :]
    return bool((np.clip(total >> found.right, low, high) == wanted).all())
