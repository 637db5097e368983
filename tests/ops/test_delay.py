"""Delay lines: found where a file shifts frames through a variable, equal to it, and held in place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support import needs_cc, random_inputs, references, run_program, same
from tests.test_states import frames, graph_of, start
from tinycomp import ops, rules
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Graph, Node, State
from tinycomp.lower import lower
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.delay import Delay
from tinycomp.ops.relu import Relu
from tinycomp.ops.strided_slice import StridedSlice
from tinycomp.program import Recipe


def stream(held: int, new: int, axis: int = 1, first: bool = False) -> Graph:
    """A state of `held` frames, `new` more behind it; `first`: the oldest are cut off before."""
    s, x = frames("s", held, axis), frames("x", new, axis)
    low, high, one = [0, 0, 0, 0], [*s.shape], (1,) * 4
    if first:
        low[axis] = new
        cut, joined, out = frames("cut", held - new, axis), frames("joined", held, axis), frames("out", held, axis)
        slice_ = Node("slice_0", StridedSlice(tuple(low), tuple(high), one), ("s",), ("cut",))
        nodes = [slice_, Node("concatenation_1", Concatenation(axis), ("cut", "x"), ("joined",))]
        after = "joined"
    else:
        low[axis], high[axis] = new, held + new
        cut, joined, out = (frames(n, c, axis) for n, c in (("cut", held), ("joined", held + new), ("out", held + new)))
        slice_ = Node("slice_1", StridedSlice(tuple(low), tuple(high), one), ("joined",), ("cut",))
        nodes = [Node("concatenation_0", Concatenation(axis), ("s", "x"), ("joined",)), slice_]
        after = "cut"
    nodes.append(Node("relu_2", Relu(), ("joined",), ("out",)))
    return graph_of([s, x, cut, joined, out], nodes, ["out"], [State("line", "s", after, start(s))])


LINES = {
    "one frame": lambda: stream(5, 1), "two frames": lambda: stream(5, 2), "as many frames": lambda: stream(3, 3),
    "more frames": lambda: stream(2, 3), "columns": lambda: stream(4, 1, axis=2),
    "cut first": lambda: stream(5, 2, first=True),
}  # fmt: skip


@needs_cc
@pytest.mark.parametrize("name", LINES)
def test_a_delay_line_is_the_concatenation_and_the_slice(name: str):
    graph = LINES[name]()
    line, records = rules.optimise(graph)
    assert [n.op for n in line.nodes] == ["delay", "relu"]
    assert "delay_lines" in [r.name for r in records]
    cases = random_inputs(graph, cases=9)
    wanted = references(graph, cases)
    for k, (got, c) in enumerate(zip(references(line, cases), run_program(lower(line, Recipe()), cases), strict=True)):
        same(got, wanted[k], f"{name}, interpreter, inference {k}")
        same(c, wanted[k], f"{name}, C, inference {k}")


def test_a_delay_line_takes_the_memory_of_its_frames_alone():
    program = lower(rules.optimise(stream(5, 1))[0], Recipe())
    assert program.layout.states == 36
    assert program.arena <= 36 + 8 + 36  # frames, input, output


@pytest.mark.parametrize("spoil", ["output", "reader", "order"])
def test_a_state_that_is_used_otherwise_is_no_delay_line(spoil: str):
    graph = stream(5, 1)
    if spoil == "output":
        graph = replace(graph, outputs=("out", "s"))
    if spoil == "reader":
        extra = Node("relu_3", Relu(), ("s",), ("more",))
        graph = replace(graph, tensors={**graph.tensors, "more": replace(graph.tensors["s"], name="more")},
                        nodes=(*graph.nodes, extra), outputs=("out", "more"))  # fmt: skip
    if spoil == "order":
        joined = replace(graph.nodes[0], inputs=("x", "s"))
        graph = replace(graph, nodes=(joined, *graph.nodes[1:]))
    ops.check(graph)
    assert rules.DELAY_LINES.run(graph) is graph


def test_a_state_that_a_kernel_carries_on_belongs_to_it_alone():
    s, x, out = frames("s", 3), frames("x", 1), frames("out", 3)
    graph = graph_of([s, x, out], [Node("delay_0", Delay(1), ("s", "x"), ("out",))], ["out", "s"],
                     [State("line", "s", "out", start(s))])  # fmt: skip
    with pytest.raises(Unsupported, match="does not own the state 's'"):
        lower(graph, Recipe())


@pytest.mark.parametrize(("held", "new", "axis"), [(3, 4, 1), (3, 1, 3)])
def test_frames_that_do_not_fit_are_refused(held: int, new: int, axis: int):
    s, x, out = frames("s", held), frames("x", new), frames("out", held)
    with pytest.raises(BadInput, match="cannot move"):
        graph_of([s, x, out], [Node("delay_0", Delay(axis), ("s", "x"), ("out",))], ["out"],
                 [State("line", "s", "out", start(s))])  # fmt: skip
