"""ONE_HOT: the reference against LiteRT, the kernel against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import panel
from tests.support import activation, check_operator, constant, quant, single
from tinycomp.errors import BadInput
from tinycomp.ir import DType, Graph
from tinycomp.ops import CODECS
from tinycomp.ops.base import Source
from tinycomp.ops.one_hot import OneHot

# shape of the indices, depth, axis
GRID = [((4,), 3, 1), ((4,), 3, 0), ((2, 3), 5, 1), ((), 4, 0), ((2, 1, 3), 2, 3)]


def vectors(shape: tuple[int, ...], depth: int, axis: int, kind: DType, dtype: DType) -> Graph:
    """One node. kind: of the indices."""
    on, off = (constant(name, np.array(v, dtype)) for name, v in (("on", 3), ("off", 0)))
    return single(OneHot(depth, axis), [activation("i", shape, kind), on, off])


@pytest.mark.parametrize("dtype", ["float32", "int32", "int8"])
@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_each_index_is_a_vector(kind, dtype):
    graph = panel([vectors(*case, kind, dtype) for case in GRID])
    rng = np.random.default_rng(0)
    cases = [[np.asarray(rng.integers(-1, 6, shape)).astype(kind) for shape, _, _ in GRID] for _ in range(3)]
    check_operator(graph, cases, by="litert")


def test_values_may_come_at_run_time():
    inputs = [activation("i", (3,), "int32"), activation("on", (), "float32"), activation("off", (1,), "float32")]
    case = [np.array([2, 0, 7], np.int32), np.array(1.5, np.float32), np.array([-2], np.float32)]
    check_operator(single(OneHot(4, 1), inputs), [case], oracle=False)


def test_what_does_not_fit_is_named():
    i, on = activation("i", (3,), "int32"), constant("on", np.array([1.0, 2.0], np.float32))
    with pytest.raises(BadInput, match=r"the values 'on' float32\[2\] and 'on' float32\[2\] are not two of one kind"):
        single(OneHot(4, 1), [i, on, on])
    with pytest.raises(BadInput, match="expected int32"):
        single(OneHot(4, 1), [activation("i", (3,), "int8", quant(1)), on, on])
    depth = constant("d", np.array(0, np.int32))
    with pytest.raises(BadInput, match=r"the depth is \[0\]"):
        CODECS["ONE_HOT"].read(Source("o", "ONE_HOT", {}, (i, depth, on, on), (i,)))
