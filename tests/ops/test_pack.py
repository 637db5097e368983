"""PACK: the reference against TensorFlow Lite Micro, the reader's folding."""

from __future__ import annotations

import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, quant, random_inputs
from tinycomp.errors import BadInput
from tinycomp.ops.base import Parsed, Source
from tinycomp.ops.pack import OPERATOR, Pack

GRID = [((), 0, 4), ((3,), 0, 2), ((3,), 1, 2), ((2, 3), 1, 3), ((2, 3, 2), 3, 2), ((1,), 0, 1)]


@pytest.mark.parametrize(("shape", "axis", "count"), GRID)
@pytest.mark.parametrize(("dtype", "q"), [("int8", quant(0.1, 3)), ("int32", None), ("int64", None), ("float32", None)])
def test_the_reference_computes_what_tflite_micro_computes(shape, axis, count, dtype, q):
    graph = graph_of(Pack(axis), [activation(f"x{i}", shape, dtype, q) for i in range(count)])
    check_folding(graph, random_inputs(graph)[2])
    if dtype != "int64" and shape != ():  # the interpreter's Python side takes no int64 and no scalar inputs
        check_against_tflm(graph)


def test_reading_counts_the_axis_from_the_front():
    (codec,) = OPERATOR.codecs
    pair = (activation("a", (2, 3)), activation("b", (2, 3)))
    assert codec.read(Source("p", "PACK", {"axis": -1, "values_count": 2}, pair, ())) == Parsed(Pack(2), pair)
    with pytest.raises(BadInput, match="axis 3 is outside a tensor of rank 3"):
        codec.read(Source("p", "PACK", {"axis": 3}, pair, ()))
    with pytest.raises(BadInput, match="has no inputs"):
        codec.read(Source("p", "PACK", {}, (), ()))


def test_tensors_that_do_not_stack_are_refused():
    with pytest.raises(BadInput, match=r"pack_0 \(pack\): 'b' int32\[3\] and 'a' int32\[2\] do not stack"):
        graph_of(Pack(0), [activation("a", (2,), "int32"), activation("b", (3,), "int32")])
