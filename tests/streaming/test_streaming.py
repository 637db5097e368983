"""Streamed equals layer by layer equals the reference, and the plan is proved by replaying it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings

from benchmarks.mobilenet import mobilenet_v2
from tests.ops.test_conv2d import convolution
from tests.rules.nets import Net
from tests.streaming.graphs import networks
from tests.support import needs_cc, random_inputs, reference, run_program, same
from tinycomp import layout, segments, timeline
from tinycomp.errors import Unsupported
from tinycomp.frontend import scheduled
from tinycomp.ir import Graph
from tinycomp.lower import lower
from tinycomp.planner import PlannerError
from tinycomp.program import Program, Recipe


def programs(graph: Graph) -> dict[str, Program]:
    """The graph in every way of streaming that it allows; each has survived its replay, or `lower` had raised."""
    made = {stream: lower(graph, Recipe(stream=stream)) for stream in ("off", "on")}
    if graph.tensors[graph.inputs[0]].rows > 1:
        made["push"] = lower(graph, Recipe(stream="push"))
    else:
        with pytest.raises(Unsupported, match="--stream push"):
            lower(graph, Recipe(stream="push"))
    return made


@given(networks())
@settings(max_examples=150, deadline=None)
def test_every_random_network_has_a_plan_that_survives_its_replay(graph):
    made = programs(scheduled(graph))
    assert made["on"].arena <= made["off"].arena
    for program in made.values():
        assert program.layout.lower_bound <= program.arena


@needs_cc
@given(networks())
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking compiles C
def test_random_networks_compute_the_same_bits_in_every_mode(graph):
    cases = random_inputs(graph, cases=3)
    wanted = [reference(graph, case) for case in cases]
    for stream, program in programs(scheduled(graph)).items():
        # Twice the same inputs: nothing of the first frame may leak into the second.
        for k, answer in enumerate(run_program(program, [*cases, *cases])):
            same(answer, wanted[k % len(cases)], f"--stream {stream}, case {k}")


@given(networks())
@settings(max_examples=60, deadline=None)
def test_the_replay_catches_a_row_that_is_moved_onto_another(graph):
    program = lower(scheduled(graph), Recipe(stream="on"))
    plan, model, tasks = rebuilt(program)
    rows = [(s, row) for s, storage in enumerate(model.storages) for row in range(storage.rows)]
    caught = tried = 0
    for s, row in rows:
        for other, other_row in rows:
            if (s, row) != (other, other_row) and _meet(plan, model, (s, row), (other, other_row)):
                tried += 1
                caught += _refused(model, tasks, _moved(plan, s, row, plan.row_at[other][other_row]))
    assert caught == tried


def rebuilt(program: Program) -> tuple[layout.Layout, timeline.Model, list[timeline.Task]]:
    """A streamed plan of a program's nodes, for breaking it."""
    chosen = [timeline.Chosen(s.node, s.access, s.leaf.scratch) for s in program.steps]
    model = timeline.model(program.graph, chosen, held=True)
    cut = segments.best(model)
    return layout.lay_out(model, cut, 4), model, [t for segment in cut for t in segment.tasks]


def _lives(plan: layout.Layout, model: timeline.Model, unit: tuple[int, int]) -> tuple[int, int] | None:
    name = model.storages[unit[0]].name
    return next(((r.start, r.end) for r in plan.residents if r.name == name and r.row == unit[1]), None)


def _meet(plan: layout.Layout, model: timeline.Model, a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Both rows hold something that is still read after the other has been written, so they must lie apart."""
    first, second = _lives(plan, model, a), _lives(plan, model, b)
    if first is None or second is None:
        return False
    start, end = max(first[0], second[0]), min(first[1], second[1])
    # half-open and more than the task at which one dies and the other is born, which may be an overwriting in place
    return end - start >= 2


def _moved(plan: layout.Layout, s: int, row: int, at: int) -> layout.Layout:
    rows = [list(r) for r in plan.row_at]
    rows[s][row] = at
    return replace(plan, row_at=tuple(tuple(r) for r in rows), size=plan.size + 4096)


def _refused(model: timeline.Model, tasks: list[timeline.Task], plan: layout.Layout) -> bool:
    try:
        layout.check(model, tasks, plan)
    except PlannerError:
        return True
    return False


def test_a_row_outside_the_arena_is_caught():
    program = lower(convolution(5, 5, 3, 4, (3, 3), (1, 1), (1, 1), 0, "relu"), Recipe())
    plan, model, tasks = rebuilt(program)
    with pytest.raises(PlannerError, match="in an arena of"):
        layout.check(model, tasks, replace(plan, size=plan.size - 1))


def test_a_mobilenet_of_224_pixels_takes_its_camera_lines_in_under_125_kilobytes():
    program = lower(scheduled(mobilenet_v2()), Recipe(stream="push"))
    assert program.arena <= 125_000
    assert program.layer_by_layer == 1_505_280


def test_two_hundred_streamed_layers_are_planned():
    net = Net(seed=1)
    x = net.input(1, 24, 4, 3)
    for _ in range(100):
        x = net.conv(net.depthwise(x, (3, 3), padding=(1, 1, 1, 1)), 3)
    program = lower(net.graph(x), Recipe())
    assert len(program.steps) == 200
    assert program.arena < program.layer_by_layer


@pytest.mark.parametrize("inputs", [1, 2])
def test_push_is_refused_with_the_operator_that_needs_everything(inputs):
    net = Net(seed=2)
    if inputs == 1:
        x = net.dense(net.input(1, 40), 3, per_channel=False)
        message = r"fully_connected_0.*single row.*--stream on"
    else:
        x = net.conv(net.input(1, 4, 4, 2), 3)
        x = net.conv(net.input(1, 4, 4, 2), 3)
        message = r"2 inputs"
    with pytest.raises(Unsupported, match=message):
        lower(net.graph(x), Recipe(stream="push"))
