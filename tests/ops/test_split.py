"""SPLIT and SPLIT_V: the reference against TensorFlow Lite Micro, the reader's folding."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, constant, quant, random_inputs
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Attrs, Tensor
from tinycomp.ops.base import Source
from tinycomp.ops.split import OPERATOR, Split
from tinycomp.tflite import reader, writer

SPLIT, SPLIT_V = OPERATOR.codecs
GRID = [
    ((6,), 0, (3, 3)),
    ((6,), 0, (1, 2, 3)),
    ((2, 6), 1, (2, 2, 2)),
    ((2, 5, 3), 1, (4, 1)),
    ((1, 2, 2, 4), 3, (1, 3)),
    ((1, 1), 0, (1,)),
]


@pytest.mark.parametrize(("shape", "axis", "sizes"), GRID)
@pytest.mark.parametrize(("dtype", "q"), [("int8", quant(0.1, 3)), ("int32", None), ("float32", None)])
def test_the_reference_computes_what_tflite_micro_computes(shape, axis, sizes, dtype, q):
    graph = graph_of(Split(axis, sizes), [activation("x", shape, dtype, q)], outputs=len(sizes))
    builtin = "SPLIT" if len(set(sizes)) == 1 else "SPLIT_V"
    assert [op.builtin for op in reader.survey(writer.write(graph)).operators] == [builtin]
    check_against_tflm(graph)
    check_folding(graph, random_inputs(graph)[2])


def read(x: Tensor, axis: object, outputs: int, sizes: list[int] | None = None) -> Attrs:
    """What a file's SPLIT (SPLIT_V with sizes) reads as."""
    made, at = tuple(activation(f"y{i}", (1,)) for i in range(outputs)), constant("a", np.array(axis, np.int32))
    if sizes is None:
        return SPLIT.read(Source("split_0", "SPLIT", {}, (at, x), made)).attrs
    return SPLIT_V.read(Source("split_0", "SPLIT_V", {}, (x, constant("s", np.array(sizes)), at), made)).attrs


def test_sizes_and_axes_are_settled_when_read():
    x = activation("x", (2, 6))
    assert read(x, -1, 3) == Split(1, (2, 2, 2))
    assert read(x, [0], 2) == Split(0, (1, 1))
    assert read(x, 1, 3, [1, -1, 3]) == Split(1, (1, 2, 3))


def test_faults_are_named():
    x = activation("x", (2, 6))
    with pytest.raises(BadInput, match=r"axis 1 of 'x' \[2, 6\] does not divide into 4 equal parts"):
        read(x, 1, 4)
    with pytest.raises(BadInput, match="axis 2 is outside a tensor of rank 2"):
        read(x, 2, 2)
    with pytest.raises(BadInput, match="needs one axis, found 2"):
        read(x, [0, 1], 2)
    for sizes in ([-1, -1], [7, -1], [-2, 8]):
        with pytest.raises(BadInput, match="do not cut the 6 elements of axis 1"):
            read(x, 1, 2, sizes)
    with pytest.raises(BadInput, match=r"cuts 'x' \[2, 6\] along axis 1 into \[2, 2\] for 2 outputs"):
        graph_of(Split(1, (2, 2)), [x], outputs=2)
    with pytest.raises(Unsupported, match="the axis"):
        SPLIT.read(Source("split_0", "SPLIT", {}, (activation("a", (), "int32"), x), (x,)))
