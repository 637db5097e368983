"""STRIDED_SLICE and SLICE: bounds settled when read, the reference against TensorFlow Lite Micro."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.ops.folding import check_against_tflm, check_folding, graph_of
from tests.support import activation, constant, quant, random_inputs, reference, tflm
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Attrs
from tinycomp.ops.base import Source, Written
from tinycomp.ops.strided_slice import OPERATOR, StridedSlice
from tinycomp.tflite import reader, writer

SLICE, STRIDED_SLICE = OPERATOR.codecs
MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
NO_MASKS = {**dict.fromkeys(MASKS, 0), "offset": False}
DTYPES = [("int8", quant(0.1, 3)), ("int16", quant(0.1)), ("int32", None), ("float32", None)]

GRID = [
    pytest.param((5,), (1,), (4,), (1,), (), id="a range"),
    pytest.param((5,), (2,), (3,), (1,), (0,), id="one element as a scalar"),
    pytest.param((4, 5), (1, 0), (2, 5), (1, 1), (0,), id="a row"),
    pytest.param((4, 5), (0, 4), (4, -1), (2, -2), (), id="steps, one backwards to the front"),
    pytest.param((2, 3, 4, 5), (0, 1, 0, 2), (2, 3, 4, 3), (1, 1, 3, 1), (3,), id="four axes"),
    pytest.param((1, 1), (0, 0), (1, 1), (1, 1), (0, 1), id="one element"),
]


@pytest.mark.parametrize(("shape", "start", "stop", "step", "drop"), GRID)
@pytest.mark.parametrize(("dtype", "q"), DTYPES)
def test_the_reference_computes_what_tflite_micro_computes(shape, start, stop, step, drop, dtype, q):
    graph = graph_of(StridedSlice(start, stop, step, drop), [activation("x", shape, dtype, q)])
    check_against_tflm(graph)
    check_folding(graph, random_inputs(graph)[2])


def read(shape: tuple[int, ...], begin: list[int], end: list[int], strides: list[int], **masks: object) -> Attrs:
    """The attributes that a file's STRIDED_SLICE reads as."""
    data = [constant(n, np.array(v, np.int32)) for n, v in (("b", begin), ("e", end), ("s", strides))]
    inputs = (activation("x", shape), *data)
    return STRIDED_SLICE.read(Source("strided_slice_0", "STRIDED_SLICE", NO_MASKS | masks, inputs, ())).attrs


def sliced(attrs: Attrs, x: np.ndarray) -> np.ndarray:
    """The reference's answer for a file's attributes."""
    return reference(graph_of(attrs, [activation("x", x.shape, "int32")]), [x])[0]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 6), st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([-3, -2, -1, 1, 2, 3]),
       st.booleans(), st.booleans())  # fmt: skip
def test_one_axis_reads_as_python_slices(size, begin, end, step, from_edge, to_edge):
    x = np.arange(size, dtype=np.int32)
    wanted = x[slice(None if from_edge else begin, None if to_edge else end, step)]
    assume(wanted.size)
    attrs = read((size,), [begin], [end], [step], begin_mask=int(from_edge), end_mask=int(to_edge))
    np.testing.assert_array_equal(sliced(attrs, x), wanted)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-6, 6), st.integers(-6, 6), st.sampled_from([-2, -1, 1, 2])),
                min_size=1, max_size=4), st.integers(0, 15), st.integers(0, 15), st.integers(0, 15))  # fmt: skip
def test_files_with_any_masks_are_read_as_tflite_micro_runs_them(axes, begin_mask, end_mask, shrink):
    """The file itself goes to the interpreter, its attributes to the reference."""
    shape = tuple(a[0] for a in axes)
    triples = [list(v) for v in zip(*(a[1:] for a in axes), strict=True)]
    masks = {"begin_mask": begin_mask, "end_mask": end_mask, "shrink_axis_mask": shrink % (1 << len(axes))}
    try:
        attrs = read(shape, *triples, **masks)
        graph = graph_of(attrs, [activation("x", shape, "int32")])
    except BadInput:
        assume(False)
    cases = random_inputs(graph, cases=3)[2:]
    verbatim = Written(NO_MASKS | masks, ("x", *(np.array(v, np.int32) for v in triples)))
    as_given = replace(OPERATOR, codecs=(replace(STRIDED_SLICE, write=lambda node, graph: verbatim),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ops.OPERATORS, "strided_slice", as_given)
        data = writer.write(graph)
    (answer,) = tflm(data, cases)
    np.testing.assert_array_equal(answer[0].ravel(), reference(graph, cases[0])[0].ravel())


def test_shrinking_drops_the_axis():
    x = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert sliced(read((3, 4), [-1, 0], [0, 0], [1, 1], shrink_axis_mask=1, end_mask=2), x).tolist() == [8, 9, 10, 11]
    assert sliced(read((3, 4), [1, 2], [2, 3], [1, 1], shrink_axis_mask=3), x).shape == ()


def test_axes_that_the_file_leaves_out_are_taken_whole():
    assert read((3, 4, 5), [1], [2], [1]) == StridedSlice((1, 0, 0), (2, 4, 5), (1, 1, 1))


def test_an_end_may_be_an_offset_from_the_start():
    assert read((9,), [-4], [3], [1], offset=True) == StridedSlice((5,), (8,), (1,))


def test_slices_read_with_sizes():
    def one(begin: list[int], size: list[int]) -> Attrs:
        inputs = (activation("x", (4, 5)), constant("b", np.array(begin)), constant("s", np.array(size)))
        return SLICE.read(Source("slice_0", "SLICE", {}, inputs, ())).attrs

    assert one([1, 2], [3, 2]) == StridedSlice((1, 2), (4, 4), (1, 1))
    assert one([1, 2], [-1, -1]) == StridedSlice((1, 2), (4, 5), (1, 1))
    with pytest.raises(BadInput, match=r"slice_0 \(SLICE\): begin \[1, 2\] and size \[4, 1\] leave 'x' \[4, 5\]"):
        one([1, 2], [4, 1])
    with pytest.raises(BadInput, match="leave 'x'"):
        one([-1, 0], [1, 1])
    with pytest.raises(BadInput, match="begin and size have 1 and 2 entries for an input of rank 2"):
        one([1], [1, 1])


def test_what_is_a_slice_is_written_as_one():
    plain, stepped = (StridedSlice((1,), (5,), (s,)) for s in (1, 2))
    for attrs, builtin in ((plain, b"SLICE"), (stepped, b"STRIDED_SLICE")):
        written = reader.survey(writer.write(graph_of(attrs, [activation("x", (6,), "int32")])))
        assert [op.builtin.encode() for op in written.operators] == [builtin]


def test_a_whole_leading_axis_takes_a_larger_batch_along():
    graph = graph_of(StridedSlice((0, 1), (1, 3), (1, 1)), [activation("x", (1, 4), "int32")])
    x = np.arange(12, dtype=np.int32).reshape(3, 4)
    np.testing.assert_array_equal(reference(graph, [x])[0], x[:, 1:3])


def test_an_empty_slice_is_empty_in_both_directions():
    graph = graph_of(StridedSlice((0,), (2,), (1,)), [activation("x", (4,), "int32")])
    x = np.arange(4, dtype=np.int32)
    for start, stop, step in ((2, 2, 1), (-1, -1, -1), (3, 3, -1), (2, 1, 1)):
        node = type(graph.nodes[0])("s", StridedSlice((start,), (stop,), (step,)), ("x",), ("out0",))
        assert OPERATOR.reference(node, graph, [x])[0].size == 0
        assert OPERATOR.infer(node, graph) == (((0,), "int32"),)


def test_faults_are_named():
    with pytest.raises(BadInput, match=r"strided_slice_0 \(STRIDED_SLICE\): the stride of axis 1 is 0"):
        read((3, 4), [0, 0], [1, 1], [1, 0])
    with pytest.raises(BadInput, match="the stride of axis 0, which is dropped, is -1"):
        read((3,), [0], [1], [-1], shrink_axis_mask=1)
    with pytest.raises(BadInput, match="begin, end and strides have 1, 2 and 2 entries for an input of rank 2"):
        read((3, 4), [0], [1, 1], [1, 1])
    with pytest.raises(BadInput, match="index 3 of axis 0 is outside its 3 elements"):
        read((3,), [3], [4], [1], shrink_axis_mask=1)
    for mask in ("ellipsis_mask", "new_axis_mask"):
        with pytest.raises(Unsupported, match="ellipsis and new-axis masks"):
            read((3,), [0], [1], [1], **{mask: 1})
    with pytest.raises(BadInput, match=r"slices 1 axes of 'x' \[3, 4\]"):
        graph_of(StridedSlice((0,), (1,), (1,)), [activation("x", (3, 4), "int32")])
    with pytest.raises(BadInput, match=r"drops axes \[0\] of a slice of shape \[2\]"):
        graph_of(StridedSlice((0,), (2,), (1,), (0,)), [activation("x", (3,), "int32")])


def test_a_slice_of_a_run_time_tensor_is_kept_when_read():
    graph = graph_of(StridedSlice((0,), (2,), (1,)), [activation("x", (4,), "int32")])
    assert [n.attrs for n in reader.read(writer.write(graph)).nodes] == [graph.nodes[0].attrs]
