"""Profiles of emitted libraries: repeatable, layer by layer, and the same as an independent count."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.support import SHARED, activation, needs_cc, needs_shared, random_inputs, reference, same
from tests.test_library import twins
from tinycomp import build as builder
from tinycomp import frontend
from tinycomp.cli import main
from tinycomp.errors import BadInput, OutputsDiffer, ToolMissing, Unsupported
from tinycomp.harness.counting import profile as counts
from tinycomp.harness.counting.profile import Profile
from tinycomp.ir import Graph, Node, Quant, Tensor
from tinycomp.ops.softmax import Softmax
from tinycomp.target import Board, load_board
from tinycomp.tflite import writer

COUNTED = ("emu_cortex_m0", "pico", "emu_cortex_m3", "emu_cortex_m4", "emu_cortex_m7", "emu_cortex_m33")
RETIRED = ("emu_cortex_m55", "ek_ra8d1", "emu_riscv32", "esp32c6", "emu_xtensa")
QUICK = ("emu_cortex_m0", "emu_cortex_m4", "emu_cortex_m55", "emu_riscv32", "emu_xtensa")
# Board to the core's name in the independent tool.
OTHERS = {
    "emu_cortex_m4": "m4",
    "pico": "m0plus",
    "emu_cortex_m3": "m3",
    "emu_cortex_m7": "m7",
    "emu_cortex_m33": "m33",
}


def net() -> Graph:
    """Two convolutions and a softmax."""
    g = twins()
    out = Tensor("answer", g.tensors["end"].shape, "int8", Quant((1 / 256,), (-128,)))
    nodes = (*g.nodes, Node("softmax_0", Softmax(), ("end",), ("answer",)))
    return replace(g, tensors={**g.tensors, "answer": out}, nodes=nodes, outputs=("answer",))


@cache
def model() -> bytes:
    """The file of that net."""
    return writer.write(net())


def ready(board_id: str) -> Board:
    """The board; the test is skipped where a tool for its core is missing."""
    board = load_board(board_id)
    if not shutil.which(board.core.compiler):
        pytest.skip(f"{board.core.compiler} is not installed")
    for package in ("unicorn", "capstone", "elftools"):
        pytest.importorskip(package, reason=f"the Python package {package} is not installed")
    if board_id in RETIRED and not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    return board


@pytest.fixture(scope="module")
def build_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A build folder of the net for a board, not to be changed."""
    return cache(lambda board_id: built(board_id, tmp_path_factory.mktemp(board_id) / "out"))


@pytest.fixture
def copy_of(build_of: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """The same for tests that change it."""
    return lambda board_id: shutil.copytree(build_of(board_id), tmp_path / "some where" / "else")


def built(board_id: str, folder: Path, data: bytes | None = None, **options) -> Path:
    """A build folder for the board."""
    made = builder.compile_model(frontend.Model("net.tflite", data or model()), builder.Options(board_id, **options))
    builder.write(made, folder)
    return folder


def profiled(board: Board, folder: Path, case: int = 3) -> Profile:
    """The profile of a build folder."""
    manifest, front = builder.reopen(folder)
    return counts.profile(folder, board, manifest, front.graph, random_inputs(front.source)[case])


def figures(p: Profile) -> tuple[object, ...]:
    """Everything but the outputs."""
    return p.instructions, p.cycles, p.stack_bytes, p.layers


def tool(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.parametrize("board_id", [
    board if board in QUICK else pytest.param(board, marks=pytest.mark.slow) for board in (*COUNTED, *RETIRED)
])  # fmt: skip
def test_the_layers_add_up_to_nearly_the_whole_and_the_answer_is_right(board_id: str, build_of):
    board = ready(board_id)
    found = profiled(board, build_of(board_id))
    assert [layer.name for layer in found.layers] == ["conv2d_0", "conv2d_1", "softmax_2"]
    assert 0.98 * found.instructions < sum(x.instructions for x in found.layers) < 1.002 * found.instructions
    assert all(x.instructions > 1000 for x in found.layers)
    assert found.stack_bytes > 0
    assert found.stack_bytes % 4 == 0
    same(found.outputs, reference(net(), random_inputs(net())[3]), board_id)
    if board_id in RETIRED:
        assert found.cycles is None
        assert all(x.cycles is None for x in found.layers)
        assert "cycles: not modelled" in found.how
    else:
        assert found.cycles is not None
        assert 0.5 * found.instructions < found.cycles < 3 * found.instructions
        assert 0.98 * found.cycles < sum(x.cycles or 0 for x in found.layers) < 1.002 * found.cycles
        assert "modelled" in found.how
        assert ("publishes no table" in found.how) != board.core.timing.published


@pytest.mark.parametrize("board_id", ["emu_cortex_m4", "emu_riscv32"])
def test_a_profile_repeats_to_the_instruction(board_id: str, build_of):
    board = ready(board_id)
    folder = build_of(board_id)
    assert figures(profiled(board, folder)) == figures(profiled(board, folder))


def test_the_count_depends_on_the_input_and_not_on_the_folder(build_of, copy_of):
    board = ready("emu_cortex_m4")
    first = figures(profiled(board, build_of("emu_cortex_m4")))
    assert figures(profiled(board, copy_of("emu_cortex_m4"))) == first
    assert figures(profiled(board, build_of("emu_cortex_m4"), case=0)) != first


@pytest.mark.parametrize("stream", ["off", "on", "push"])
def test_rows_that_stream_are_counted_for_the_layer_that_makes_them(stream: str, tmp_path: Path):
    board = ready("emu_cortex_m4")
    found = profiled(board, built("emu_cortex_m4", tmp_path / "out", stream=stream))
    same(found.outputs, reference(net(), random_inputs(net())[3]), stream)
    # Both convolutions have the same shape, whatever the order in which their rows come.
    first, second, _ = (layer.instructions for layer in found.layers)
    assert first == pytest.approx(second, rel=0.05)
    assert 0.9 * found.instructions < sum(layer.instructions for layer in found.layers) < 1.002 * found.instructions


def test_unoptimised_flags_in_library_json_are_what_is_measured(copy_of):
    board = ready("emu_cortex_m4")
    folder = copy_of("emu_cortex_m4")
    fast = profiled(board, folder).instructions
    manifest = folder / "lib" / "net" / "library.json"
    facts = json.loads(manifest.read_text())
    facts["build"]["flags"] = ["-O0"]
    manifest.write_text(json.dumps(facts))
    assert profiled(board, folder).instructions > 2 * fast


@needs_shared
@pytest.mark.parametrize("board_id", [
    board if board == "emu_cortex_m4" else pytest.param(board, marks=pytest.mark.slow) for board in OTHERS
])  # fmt: skip
def test_an_independent_tool_counts_the_same(board_id: str, tmp_path: Path):
    board = ready(board_id)
    folder = built(board_id, tmp_path / "out", (SHARED / "models" / "ad_int8.tflite").read_bytes(), stream="off")
    _, front = builder.reopen(folder)
    found, theirs = profiled(board, folder), independent(board, folder, random_inputs(front.source)[3][0], tmp_path)
    assert found.instructions == pytest.approx(theirs["insns"], rel=0.0001)
    assert found.cycles == pytest.approx(theirs["cycles"], rel=0.01)
    assert found.stack_bytes <= theirs["peak_stack"] <= found.stack_bytes + 128  # theirs has main's frame besides


def independent(board: Board, folder: Path, data: np.ndarray, out: Path) -> dict[str, int]:
    """What the shared tool counts, with its own start-up, main and linker script."""
    tools = SHARED / "tools"
    source = (tools / "fw" / "main.c.in").read_text()
    for key, value in {"name": "net", "NAME": "NET", "INPUT": ",".join(map(str, data.tobytes())), "PUSH": "0"}.items():
        source = source.replace(f"@{key}@", value)
    (out / "fw.c").write_text(source)
    library = folder / "lib" / "net" / "src"
    command = [board.core.compiler, *board.core.flags, *board.core.optimise, "-ffunction-sections", "-fdata-sections",
               "-I", str(library), str(out / "fw.c"), str(tools / "fw" / "arm.c"), *map(str, library.glob("*.c")),
               "-nostartfiles", "-T", str(tools / "fw" / "arm.ld"), "-Wl,--gc-sections", "--specs=nano.specs", "-lm",
               "-o", str(out / "fw.elf")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    arguments = ["--core", OTHERS[board.id], "--stack", "--json", str(out / "their.json"), str(out / "fw.elf")]
    subprocess.run([sys.executable, str(tools / "cyclesim.py"), *arguments], check=True, capture_output=True)
    return json.loads((out / "their.json").read_text())


@needs_cc
def test_the_command_line_prints_a_table_and_json(build_of):
    ready("emu_cortex_m4")
    folder = build_of("emu_cortex_m4")
    done = tool("profile", folder)
    assert done.exit_code == 0, done.output
    assert re.search(r"1 +conv2d_1 +[\d,]+ +[\d,]+ +[\d.]+ %", done.stdout)
    assert "Cortex-M4 TRM" in done.stdout
    facts = json.loads(tool("profile", folder, "--on", "emulator", "--json").stdout)
    assert f"{facts['instructions']:,} instructions, {facts['cycles']:,} modelled cycles" in done.stdout
    assert [layer["name"] for layer in facts["layers"]] == ["conv2d_0", "conv2d_1", "softmax_2"]
    assert facts["core"] == "cortex-m4"


def test_the_command_line_takes_inputs_and_refuses_those_of_another_shape(build_of, tmp_path: Path):
    ready("emu_cortex_m4")
    folder = build_of("emu_cortex_m4")
    np.save(tmp_path / "x.npy", np.zeros((1, 6, 6, 4), np.int8))
    np.save(tmp_path / "y.npy", np.zeros((1, 4, 6, 6), np.int8))
    assert tool("profile", folder, "--inputs", tmp_path / "x.npy").exit_code == 0
    refused = tool("profile", folder, "--inputs", tmp_path / "y.npy")
    assert refused.exit_code == 2
    assert "shape" in refused.stderr


def test_a_folder_that_is_no_build_is_refused(tmp_path: Path):
    done = tool("profile", tmp_path)
    assert done.exit_code == 2
    assert "tinycomp build" in done.stderr


def test_a_core_that_nothing_emulates_is_refused_by_name(build_of):
    folder = build_of("esp32")
    with pytest.raises(Unsupported, match="Xtensa LX6"):
        profiled(load_board("esp32"), folder)
    assert tool("profile", folder).exit_code == 2


@pytest.mark.parametrize(("board_id", "absent", "message"), [
    ("emu_cortex_m4", "arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi"),
    ("emu_riscv32", "qemu-system-riscv32", "apt-get install qemu-system-misc"),
    ("emu_riscv32", "gcc", "apt-get install gcc"),
])  # fmt: skip
def test_a_missing_program_is_named_with_its_package(board_id: str, absent: str, message: str, build_of, monkeypatch):
    board = ready(board_id)
    folder = build_of(board_id)
    found = shutil.which
    gone = {"gcc", "clang", "cc"} if absent == "gcc" else {absent}
    monkeypatch.setattr(shutil, "which", lambda name: None if name in gone else found(name))
    with pytest.raises(ToolMissing, match=message):
        profiled(board, folder)
    assert tool("profile", folder).exit_code == 4


@pytest.mark.parametrize("absent", ["unicorn", "capstone", "elftools.elf.elffile"])
def test_a_missing_package_is_named_with_the_extra(absent: str, build_of, monkeypatch):
    board = ready("emu_cortex_m4")
    folder = build_of("emu_cortex_m4")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(
        ToolMissing, match=rf"'{absent.split('.')[0]}' is not installed; pip install 'tinycomp\[emulate\]'"
    ):
        profiled(board, folder)


def test_a_library_of_another_model_is_refused(copy_of):
    board = ready("emu_cortex_m4")
    folder = copy_of("emu_cortex_m4")
    header = folder / "lib" / "net" / "src" / "net.h"
    header.write_text(header.read_text().replace("NET_NUM_LAYERS 3", "NET_NUM_LAYERS 4"))
    with pytest.raises(OutputsDiffer, match="other layers than the model"):
        profiled(board, folder)


@pytest.mark.parametrize("text", ["{", '{"build": {"flags": 3}}', '{"build": {"flags": [1]}}', '{"build": 1}'])
def test_a_broken_library_json_is_refused_by_name(text: str, copy_of):
    board = ready("emu_cortex_m4")
    folder = copy_of("emu_cortex_m4")
    (folder / "lib" / "net" / "library.json").write_text(text)
    with pytest.raises(BadInput, match=r"library\.json"):
        profiled(board, folder)


def test_a_library_that_never_ends_is_stopped(copy_of):
    board = ready("emu_cortex_m4")
    folder = copy_of("emu_cortex_m4")
    source = folder / "lib" / "net" / "src" / "net.c"
    source.write_text(
        source.read_text().replace("  return NET_OK;", "  for (volatile int i = 1; i;) {}\n  return NET_OK;")
    )
    manifest, front = builder.reopen(folder)
    with pytest.raises(OutputsDiffer, match=r"did not end in 0\.5 s; it was at .* in net_"):
        counts.profile(folder, board, manifest, front.graph, random_inputs(front.source)[3], timeout=0.5)


def test_a_float_model_uses_the_unit_for_it_and_answers_nearly_right(tmp_path: Path):
    board = ready("emu_cortex_m4")
    x = activation("x", (1, 4, 4, 2), "float32")
    g = Graph(
        "f",
        {"x": x, "y": Tensor("y", x.shape, "float32")},
        (Node("softmax_0", Softmax(), ("x",), ("y",)),),
        ("x",),
        ("y",),
    )
    found = profiled(board, built("emu_cortex_m4", tmp_path / "out", writer.write(g)))
    same(found.outputs, reference(g, random_inputs(g)[3]), "float softmax")
