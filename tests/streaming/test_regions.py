"""Several memory regions: the same bits, what is hot in the fast one, proved by replaying, refused with both named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mobilenet import mobilenet_v2
from tests.rules.nets import Net
from tests.streaming.graphs import networks
from tests.support import needs_cc, quant, random_inputs, reference, run_program, same
from tests.test_library import compiled
from tinycomp import layout, regions, segments, timeline
from tinycomp.emit.library import Identity, library
from tinycomp.frontend import scheduled
from tinycomp.ir import Graph
from tinycomp.lower import lower
from tinycomp.ops.add import Add
from tinycomp.ops.mean import Mean
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.softmax import Softmax
from tinycomp.planner import PlannerError
from tinycomp.program import Program, Recipe
from tinycomp.regions import Room, Rooms

PLENTY = 1 << 22
STREAMS = ("off", "on", "push")


def network() -> Graph:
    """An image, a residual block and a classifier."""
    net = Net(seed=3)
    x = net.conv(net.input(1, 16, 12, 3), 8, (3, 3), padding=(1, 1, 1, 1))
    branch = net.conv(net.depthwise(x, (3, 3), padding=(1, 1, 1, 1)), 8)
    x = net.op(Add("none"), branch, x)
    x = net.conv(x, 12, (3, 3), stride=(2, 2), padding=(0, 1, 0, 1))
    x = net.op(Reshape((1, 12)), net.op(Mean((1, 2), keep_dims=True), x))
    return net.graph(net.op(Softmax(), x, q=quant(1 / 256, -128)))


def split(graph: Graph, stream: str, kind: str) -> Program:
    """The graph in regions of which none but the last is large enough."""
    need = lower(graph, Recipe(stream=stream)).arena
    shapes = {
        "sram+psram": (Room("sram", need * 2 // 3), Room("psram", PLENTY)),
        "dtcm+sram": (Room("dtcm", need // 2), Room("sram", need)),
        "three": (Room("dtcm", need // 4), Room("sram", need // 3), Room("psram", PLENTY)),
    }
    return lower(graph, Recipe(stream=stream), rooms=Rooms(shapes[kind]))


@needs_cc
@pytest.mark.parametrize("kind", ["sram+psram", "dtcm+sram", "three"])
@pytest.mark.parametrize("stream", STREAMS)
def test_a_program_in_several_regions_computes_the_same_bits(stream, kind):
    graph = network()
    program = split(graph, stream, kind)
    assert program.regions
    cases = random_inputs(graph, cases=3)
    wanted = [reference(graph, case) for case in cases]
    for k, answer in enumerate(run_program(program, [*cases, *cases])):
        same(answer, wanted[k % len(cases)], f"--stream {stream}, {kind}, case {k}")


def rebuilt(program: Program) -> tuple[timeline.Model, list[timeline.Task]]:
    """The rows and tasks behind a program that holds its input."""
    chosen = [timeline.Chosen(s.node, s.access, s.leaf.scratch) for s in program.steps]
    ordered = any(run.order is not None for run in program.runs)
    model = timeline.model(program.graph, chosen, held=True, whole=not ordered)
    cut = segments.best(model) if ordered else segments.layer_by_layer(model)
    return model, [t for segment in cut for t in segment.tasks]


@given(networks(), st.integers(1, 9), st.sampled_from(["off", "on"]))
@settings(max_examples=60, deadline=None)
def test_what_is_touched_most_is_in_the_fast_region_unless_it_does_not_fit_beside_what_is_hotter(graph, tenths, stream):
    graph = scheduled(graph)
    limit = lower(graph, Recipe(stream=stream)).arena * tenths // 10
    program = lower(graph, Recipe(stream=stream), rooms=Rooms((Room("sram", limit), Room("psram", PLENTY))))
    assert program.arena <= max(limit, 4)
    model, tasks = rebuilt(program)
    homes = program.layout.homes
    found = regions.items(model, tasks, 4)
    fast = [i for i in found if (homes.scratch if i.scratch else homes.storages)[i.index] == "sram"]
    room = limit - regions.context_bytes(False, 2)
    for item in found:
        if item not in fast:
            hotter = [i.live for i in fast if i.heat >= item.heat]
            beside = sum(hotter, np.zeros_like(item.live)) + item.live
            assert len(hotter) == len(fast) or int(beside.max()) > room


def test_a_held_input_goes_to_the_slow_region_before_the_windows_that_stream():
    net = Net(seed=5)
    x = net.input(1, 40, 20, 3)
    for channels in (4, 5, 6):
        x = net.conv(x, channels, (3, 3), padding=(1, 1, 1, 1))
    graph = net.graph(net.op(Mean((1, 2), keep_dims=False), x))
    program = split(graph, "on", "sram+psram")
    places = {name: place.region for name, place in program.places.items()}
    assert {name for name, region in places.items() if region == "psram"} == {graph.inputs[0]}


def test_gaps_do_not_empty_the_fast_region():
    """What is alive at once would fit, its placement does not: only the coldest of it leaves."""
    graph = scheduled(mobilenet_v2())
    limit = lower(graph, Recipe(stream="push")).arena * 2 // 3
    rooms = Rooms((Room("sram", limit), Room("psram", PLENTY)))
    assert limit // 2 < lower(graph, Recipe(stream="push"), rooms=rooms).arena <= limit


def test_an_output_row_does_not_lie_on_an_input_row_that_is_still_read():
    """The sum's rows may overwrite the input's only in the last row: before, the depthwise layer has still to come."""
    net = Net(seed=7)
    x = net.input(1, 14, 4, 2)
    graph = net.graph(net.op(Add("none"), x, net.conv(net.depthwise(x, (3, 3), padding=(1, 1, 1, 1)), 2)))
    arena = lower(graph, Recipe(stream="on")).arena
    rooms = [Rooms((Room("sram", arena * k // 10), Room("psram", PLENTY))) for k in range(1, 10)]
    assert any(lower(graph, Recipe(stream="on"), rooms=r).regions for r in rooms)


@pytest.mark.parametrize("kind", ["sram+psram", "three"])
def test_the_replay_catches_what_is_moved_to_another_region_onto_something_that_is_alive(kind):
    program = split(network(), "on", kind)
    plan = program.layout
    model, tasks = rebuilt(program)
    layout.check(model, tasks, plan)
    caught = 0
    for s, storage in enumerate(model.storages):
        for region in set(plan.sizes) - {plan.homes.storages[s]}:
            meets = any(
                a.name == storage.name and b.region == region and a.at < b.at + b.size and b.at < a.at + a.size
                and min(a.end, b.end) - max(a.start, b.start) >= 2
                for a in plan.residents for b in plan.residents
            )  # fmt: skip
            outside = max(plan.row_at[s]) + storage.row_bytes > plan.sizes[region]
            if meets or outside:
                names = list(plan.homes.storages)
                names[s] = region
                homes = replace(plan.homes, storages=tuple(names))
                with pytest.raises(PlannerError):
                    layout.check(model, tasks, replace(plan, homes=homes))
                caught += 1
    assert caught > 0


def test_a_row_in_a_region_that_the_program_does_not_have_is_caught():
    program = split(network(), "on", "sram+psram")
    model, tasks = rebuilt(program)
    with pytest.raises(PlannerError, match="of psram"):
        layout.check(model, tasks, replace(program.layout, others={}))


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("asked", [False, True])
def test_a_program_that_fits_sram_is_byte_for_byte_the_one_of_a_board_without_other_regions(stream, asked):
    graph = network()
    alone = lower(graph, Recipe(stream=stream))
    room = Room("sram", alone.arena + regions.context_bytes(alone.pushed))
    for others in ((), (Room("psram", PLENTY),)):
        beside = lower(graph, Recipe(stream=stream), rooms=Rooms((room, *others), asked))
        assert library(beside, Identity("net", "0" * 64)) == library(alone, Identity("net", "0" * 64))
    dtcm = Rooms((Room("dtcm", PLENTY), room))
    assert lower(graph, Recipe(stream=stream), rooms=dtcm).layout == alone.layout
    assert lower(graph, Recipe(stream=stream), rooms=replace(dtcm, asked=True)).regions == ("dtcm",)
    one_less = Rooms((replace(room, bytes=room.bytes - 1), Room("psram", PLENTY)))
    assert lower(graph, Recipe(stream=stream), rooms=one_less).regions == ("psram",)


def test_equal_choices_give_equal_bytes():
    first, second = (library(split(network(), "push", "three"), Identity("net", "0" * 64)) for _ in range(2))
    assert first == second


ATTACH = """
#include "net.h"
#include <stdio.h>
static _Alignas(64) uint8_t arena[NET_ARENA_SIZE], psram[NET_PSRAM_SIZE + 16];
int main(void)
{
  static net_ctx_t ctx;
  printf("%d", net_attach_psram(&ctx, psram, sizeof psram) == NET_ERROR_BAD_ARGUMENT);
  printf("%d", net_init(&ctx, arena, sizeof arena) == NET_OK);
  printf("%d", NOT_READY);
  printf("%d", NO_INPUT);
  printf("%d", net_attach_psram(NULL, psram, sizeof psram) == NET_ERROR_BAD_ARGUMENT);
  printf("%d", net_attach_psram(&ctx, NULL, sizeof psram) == NET_ERROR_BAD_ARGUMENT);
  printf("%d", net_attach_psram(&ctx, psram, NET_PSRAM_SIZE - 1) == NET_ERROR_ARENA_TOO_SMALL);
  printf("%d", net_attach_psram(&ctx, psram + 8, NET_PSRAM_SIZE) == NET_ERROR_ARENA_MISALIGNED);
  printf("%d", NOT_READY);
  printf("%d", net_attach_psram(&ctx, psram, NET_PSRAM_SIZE) == NET_OK);
  printf("%d", WORKS);
  printf("%d", net_init(&ctx, arena, sizeof arena) == NET_OK && NOT_READY);
  return 0;
}
"""
HELD = {
    "NOT_READY": "net_invoke(&ctx) == NET_ERROR_NOT_READY",
    "NO_INPUT": "net_input(&ctx, 0) == NULL",
    "WORKS": "net_input(&ctx, 0) != NULL && net_invoke(&ctx) == NET_OK",
}
PUSHED = {
    "NOT_READY": "net_push_row(&ctx, row) == NET_ERROR_NOT_READY && ctx.row == 0",
    "NO_INPUT": "net_input(&ctx, 0) == NULL",
    "WORKS": "net_push_row(&ctx, row) == NET_ERROR_NOT_READY && ctx.row == 1",
    "static net_ctx_t ctx;": "static net_ctx_t ctx; static const uint8_t row[NET_INPUT0_ROW_BYTES];",
}


@needs_cc
@pytest.mark.parametrize(("stream", "calls"), [("on", HELD), ("push", PUSHED)], ids=["held", "pushed"])
def test_until_its_memory_is_attached_a_model_is_not_ready(tmp_path, stream, calls):
    program = split(network(), stream, "sram+psram")
    if stream == "on":
        assert program.places[program.graph.inputs[0]].region == "psram"
    for file, text in library(program, Identity("net", "0" * 64)).items():
        (tmp_path / file).write_text(text)
    source = ATTACH.replace("NET_ERROR_NOT_READY", "NET_NOT_YET")
    for word, call in calls.items():
        source = source.replace(word, call)
    assert compiled(tmp_path, source.replace("NET_NOT_YET", "NET_ERROR_NOT_READY"), "net.c", "net_data.c") == "1" * 12
