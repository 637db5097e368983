"""The fastest plan that fits: which kernels, streamed or layer by layer, in which memory, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from click.testing import CliRunner

from tests.rules.nets import Net
from tests.streaming.test_regions import network
from tests.support import SHARED, needs_cc, needs_shared
from tinycomp import candidates, cost, frontend, regions
from tinycomp.cli import main
from tinycomp.cores import load_core
from tinycomp.ir import Graph
from tinycomp.lower import lower
from tinycomp.program import Opt, Program, Recipe, Stream
from tinycomp.regions import Room, Rooms
from tinycomp.report import chart, memory, text
from tinycomp.tflite import writer

M4 = load_core("cortex-m4")
PLENTY = 1 << 22


def planned(graph: Graph, opt: Opt, stream: Stream = "auto", *rooms: Room) -> Program:
    """The graph on a Cortex-M4; no rooms is as much SRAM as it needs."""
    return lower(graph, Recipe(opt, stream), M4.features, Rooms(rooms) if rooms else None, M4)


def sram(size: int) -> Room:
    """Room for an arena of that size and its context."""
    return Room("sram", size + regions.context_bytes(pushed=False))


def scratch(program: Program) -> list[int]:
    """Scratch bytes of each layer."""
    return [step.leaf.scratch for step in program.steps]


def test_with_room_for_them_speed_takes_the_fastest_kernels_and_of_equally_fast_plans_the_smaller():
    free, roomy = planned(network(), "speed"), planned(network(), "speed", "auto", sram(PLENTY))
    assert roomy.layout == free.layout
    streamed, whole = free.tried
    assert (streamed.kind, streamed.taken, streamed.swapped) == ("streamed", True, 0)
    assert (whole.kind, whole.taken) == ("layer by layer", False)
    assert streamed.arena == free.arena < whole.arena == planned(network(), "speed", "off").arena


@pytest.mark.parametrize("stream", ["off", "auto", "push"])
def test_where_the_fastest_kernels_do_not_fit_their_scratch_gives_way_until_the_plan_does(stream):
    fastest = planned(network(), "speed", stream)
    limit = fastest.arena - 1
    room = Room("sram", limit + regions.context_bytes(fastest.pushed))
    program = planned(network(), "speed", stream, room)
    assert program.arena <= limit
    assert sum(scratch(program)) < sum(scratch(fastest))
    assert not program.tried[0].fits
    taken = next(t for t in program.tried if t.taken)
    assert taken.fits
    assert taken.swapped == sum(a != b for a, b in zip(scratch(program), scratch(fastest), strict=True))


def test_no_more_kernels_give_way_than_the_room_demands():
    least = planned(network(), "size")
    sizes = range(least.arena, planned(network(), "speed").arena + 1, 64)
    swaps = [next(t.swapped for t in planned(network(), "speed", "auto", sram(n)).tried if t.taken) for n in sizes]
    assert swaps == sorted(swaps, reverse=True)
    assert len(set(swaps)) > 2


@pytest.mark.parametrize("opt", ["speed", "balanced", "size"])
def test_where_nothing_fits_the_smallest_plan_is_what_is_told(opt):
    least = planned(network(), "size").arena
    program = planned(network(), opt, "auto", sram(least - 1))
    assert program.arena == least
    assert not any(t.fits for t in program.tried)
    assert [t.arena for t in program.tried if t.taken] == [least]


def test_slow_memory_is_used_only_where_no_kernels_fit_the_fast_one_and_then_with_the_fastest():
    fastest, least = planned(network(), "speed"), planned(network(), "size")
    psram = Room("psram", PLENTY)
    shrunk = planned(network(), "speed", "auto", sram(fastest.arena - 1), psram)
    assert shrunk.regions == ()
    spread = planned(network(), "speed", "auto", sram(least.arena - 1), psram)
    assert spread.regions == ("psram",)
    assert scratch(spread) == scratch(fastest)


def test_memory_as_fast_as_sram_is_used_before_any_kernel_gives_way():
    fastest = planned(network(), "speed")
    program = planned(network(), "speed", "auto", Room("dtcm", PLENTY), sram(fastest.arena - 1))
    assert program.regions == ("dtcm",)
    assert scratch(program) == scratch(fastest)


def test_layers_stay_loops_where_streaming_gains_nothing():
    net = Net(seed=4)
    x = net.dense(net.dense(net.input(1, 40), 30, per_channel=False), 10, per_channel=False)
    taken = next(t for t in planned(net.graph(x), "speed").tried if t.taken)
    assert taken.kind == "layer by layer"


def test_size_takes_the_least_and_speed_the_fastest():
    size, speed = planned(network(), "size"), planned(network(), "speed")
    assert size.arena < speed.arena
    assert size.arena == min(t.arena for t in size.tried)
    assert work(speed) < work(size)


def work(program: Program) -> float:
    """Cycles as predicted for a function of each layer's own."""
    total = 0.0
    for step in program.steps:
        rows = candidates.of(step.node, program.graph, Recipe(), M4.features, M4)
        found = next(c.work for c in rows if c.kernel.name == step.function.kernel)
        assert found is not None
        total += found
    return total


def classifier(inner: int, *outputs: int) -> Graph:
    """Dense layers: the fast kernel of each wants its input once more in 16 bits."""
    net = Net(seed=5)
    x = net.input(1, inner)
    for count in outputs:
        x = net.dense(x, count, per_channel=False)
    return net.graph(x)


@pytest.mark.parametrize(("graph", "gives_way"), [
    (network(), False),  # its arena would be a little smaller
    (classifier(400, 4, 200, 100), True),  # and here two fifths
], ids=["a little", "a lot"])  # fmt: skip
def test_balanced_gives_time_for_memory_at_its_rate(graph: Graph, gives_way: bool):
    speed, balanced, size = (planned(graph, opt) for opt in ("speed", "balanced", "size"))
    assert (balanced.arena < speed.arena) == gives_way
    for other in (speed, size):
        assert work(balanced) ** 2 * balanced.arena <= work(other) ** 2 * other.arena


def test_where_no_work_is_predicted_the_tables_order_decides_and_balanced_trades_nothing():
    graph = network()
    speed, balanced = (lower(graph, Recipe(opt), M4.features) for opt in ("speed", "balanced"))
    assert balanced.layout == speed.layout
    assert [s.function.kernel for s in balanced.steps] == [s.function.kernel for s in speed.steps]


def test_a_row_of_the_table_is_passed_over_for_one_that_is_predicted_clearly_faster():
    graph = classifier(16, 8)
    first, *others = candidates.of(graph.nodes[0], graph, Recipe(), M4.features)
    assert first.kernel.name == "dsp"
    assert [c.kernel.name for c in others] == ["portable"]
    for portable, expected in ((0.95, "dsp"), (0.85, "portable")):
        table = {"cortex-m4": {f"fully_connected/{c.kernel.name}": replace(
            cost.fitted()["cortex-m4"][f"fully_connected/{c.kernel.name}"],
            terms={"step": portable if c.kernel.name == "portable" else 1.0},
        ) for c in (first, *others)}}  # fmt: skip
        assert candidates.of(graph.nodes[0], graph, Recipe(), M4.features, M4, table)[0].kernel.name == expected


@needs_shared
@pytest.mark.parametrize(("name", "arena"), [("kws_int8", 4_460), ("sww_int8", 3_208)])
def test_reference_models_stream_with_their_fastest_kernels_on_a_board_that_has_room(name, arena):
    graph = frontend.front(frontend.load(SHARED / "models" / f"{name}.tflite")).graph
    assert planned(graph, "speed", "auto", sram(PLENTY)).arena <= arena


def build(tmp_path, *more: object, graph: Graph | None = None):
    """`tinycomp build` of the network, or of another graph, for an emulated Cortex-M4."""
    path = tmp_path / "net.tflite"
    path.write_bytes(writer.write(graph or network()))
    arguments = ["build", path, "--board", "emu_cortex_m4", "-o", tmp_path / "out", *more]
    return CliRunner().invoke(main, [str(a) for a in arguments])


@needs_cc
def test_the_report_says_which_plan_was_taken_and_why(tmp_path):
    fastest = planned(network(), "speed")
    done = build(tmp_path, "--opt", "speed", "--ram", fastest.arena + 3)
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    taken = next(p for p in report["memory"]["plans"] if p["taken"])
    assert taken["arena_bytes"] == report["arena_bytes"] < fastest.arena
    written = (tmp_path / "out/report.txt").read_text()
    assert f"streamed: {report['arena_bytes']:,} of {fastest.arena + 3:,} bytes; layer by layer would take" in written
    assert f"with the fastest the arena would be {fastest.arena:,} bytes, which does not fit" in written


def test_a_way_of_streaming_that_does_not_fit_is_refused_with_those_that_do(tmp_path):
    room = planned(network(), "size").arena + 4
    done = build(tmp_path, "--stream", "off", "--opt", "size", "--ram", room)
    assert done.exit_code == 3
    assert f"--stream auto needs an arena of {room - 4:,} bytes and fits; or --stream push needs" in done.stderr
    done = build(tmp_path, "--opt", "size", "--ram", room - 1)
    assert done.exit_code == 3
    assert "--stream auto" not in done.stderr
    assert "--stream push needs" in done.stderr


def test_a_model_whose_rows_cannot_be_pushed_is_refused_without_that_advice(tmp_path):
    net = Net(seed=4)
    done = build(tmp_path, "--ram", 40, graph=net.graph(net.dense(net.input(1, 40), 30, per_channel=False)))
    assert done.exit_code == 3
    assert "--stream" not in done.stderr


@pytest.mark.parametrize("stream", ["off", "auto", "push"])
def test_ram_over_time_ends_at_the_peaks_that_the_report_names(stream):
    program = planned(network(), "speed", stream)
    series = memory.over_time(program)
    assert {len(values) for values in series.values()} == {memory.COLUMNS}
    assert max(series["whole_tensors"]) == program.layer_by_layer
    assert max(series["live"]) == program.layout.lower_bound
    assert all(live <= arena <= program.arena for live, arena in zip(series["live"], series["arena"], strict=True))


def test_a_program_of_one_task_fills_every_column_of_the_chart():
    net = Net(seed=4)
    program = planned(net.graph(net.dense(net.input(1, 40), 30, per_channel=False)), "speed")
    assert set(memory.over_time(program)["whole_tensors"]) == {70}


@needs_cc
def test_the_chart_fits_eighty_columns_and_names_the_peak(tmp_path):
    assert build(tmp_path).exit_code == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    section = next(s for s in text.sections(report) if s.title.startswith("RAM over time"))
    assert max(map(len, text.plain(section).splitlines())) <= 80
    peak = max(report["memory"]["peak"], key=lambda b: b["bytes"])
    layer = report["layers"][report["memory"]["peak_layer"]]["name"]
    assert any(layer in note for note in section.notes)
    assert any(f"{peak['tensor']} {peak['bytes']:,}" in note for note in section.notes)


@pytest.mark.parametrize(("values", "lines"), [
    ((0, 1, 8, 16), ["   █", " ▁██"]),
    ((16, 16), ["██", "██"]),
    ((1000, 1), ["█ ", "█▁"]),
    ((0, 0), ["  ", "  "]),
])  # fmt: skip
def test_bars_are_eighths_of_the_largest_and_what_is_not_zero_shows(values: Sequence[int], lines: list[str]):
    assert chart.bars(values, max(values), height=2) == lines


def test_all_bands_share_one_scale_and_lose_the_empty_lines_above_them():
    drawn = chart.bands({"whole": [3000, 3000], "rows": [1000, 500]})
    assert drawn == ["       ██", "       ██", "whole  ██  3,000", "rows   █▄  1,000"]


def shrinking() -> Graph:
    """Depthwise convolutions of four widths."""
    net = Net(seed=6)
    x = net.input(1, 17, 17, 12)
    for stride in (1, 2, 1, 2):
        x = net.depthwise(x, (3, 3), stride=(stride, stride), padding=(1, 1, 1, 1))
    return net.graph(x)


def test_flash_that_is_too_small_is_refused_with_size_where_that_fits(tmp_path):
    need = {}
    for opt in ("speed", "size"):
        assert build(tmp_path, "--opt", opt, graph=shrinking()).exit_code == 0
        need[opt] = json.loads((tmp_path / "out/report.json").read_text())["flash_bytes"]
    done = build(tmp_path, "--opt", "speed", "--flash", need["speed"] - 1, graph=shrinking())
    assert done.exit_code == 3
    assert f"--opt size needs {need['size']:,} bytes of flash and fits; or take a board" in done.stderr
    done = build(tmp_path, "--opt", "speed", "--flash", need["size"] - 1, graph=shrinking())
    assert done.exit_code == 3
    assert "--opt size" not in done.stderr


def test_size_prefers_one_kernel_for_many_shapes_to_a_faster_one_for_each():
    graph = shrinking()
    made = {opt: planned(graph, opt) for opt in ("speed", "size")}
    kernels = {opt: {s.function.kernel for s in program.steps} for opt, program in made.items()}
    assert kernels["speed"] == {"dsp_strip"}
    assert len(made["size"].functions) < len(made["speed"].functions)
    assert footprint_bytes(made["size"]) < footprint_bytes(made["speed"])


def footprint_bytes(program: Program) -> float:
    """Constants, and predicted code of each function."""
    code = {s.function.symbol: cost.code(s, program.graph, M4) for s in program.steps}
    assert None not in code.values()
    return program.constants_bytes + sum(n for n in code.values() if n is not None)


def test_where_constants_lie_in_ram_packed_weights_give_way_like_scratch():
    graph = classifier(64, 64)
    free = planned(graph, "speed")
    assert free.constants_bytes > planned(graph, "size").constants_bytes
    limit = free.arena + free.constants_bytes + regions.context_bytes(pushed=False)
    for spare, kernel in ((0, "dsp"), (-1, "portable")):
        rooms = Rooms((Room("sram", limit + spare),), constants=True)
        program = lower(graph, Recipe("speed"), M4.features, rooms, M4)
        assert [s.function.kernel for s in program.steps] == [kernel]
        assert program.arena + program.constants_bytes + regions.context_bytes(pushed=False) <= limit + spare


def test_rows_of_padding_count_among_the_constants_that_lie_in_ram():
    program = planned(network(), "speed")
    rows = [candidates.of(s.node, program.graph, Recipe(), M4.features, M4) for s in program.steps]
    chosen = [next(c for c in row if c.kernel.name == s.function.kernel)
              for row, s in zip(rows, program.steps, strict=True)]  # fmt: skip
    assert program.pads_bytes > 0
    assert candidates.constants_bytes(chosen, program.graph) == program.constants_bytes
