"""`build` from the outside: what it writes, what it refuses, what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.rules.nets import Net
from tests.support import needs_cc
from tests.test_library import small
from tinycomp.cli import main
from tinycomp.ir import Graph
from tinycomp.tflite import writer


def tool(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model file of one convolution."""
    path = tmp_path / "tiny net.tflite"
    path.write_bytes(writer.write(small()))
    return path


def build(model: Path, out: Path, *more: object) -> Result:
    """`tinycomp build` for an emulated Cortex-M4."""
    return tool("build", model, "--board", "emu_cortex_m4", "-o", out, *more)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_build_writes_the_promised_files(model, tmp_path):
    assert build(model, tmp_path / "out").exit_code == 0
    made = contents(tmp_path / "out")
    packaging = ("library.json", "library.properties", "CMakeLists.txt", "idf_component.yml", "zephyr/module.yml")
    sources = ("src/tiny_net.h", "src/tiny_net.c", "src/tiny_net_data.c")
    library = {f"lib/tiny_net/{file}" for file in (*packaging, *sources)}
    assert library | {"report.json", "report.txt", "model.tflite"} <= set(made)
    assert made["model.tflite"] == model.read_bytes()
    assert list(tmp_path.glob(".*")) == []


def test_the_same_build_twice_gives_the_same_bytes(model, tmp_path):
    build(model, tmp_path / "a")
    build(model, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_json_prints_the_report_and_nothing_else(model, tmp_path):
    done = build(model, tmp_path / "out", "--json")
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["arena_bytes"] >= report["memory"]["lower_bound"] > 0
    assert report["flash_bytes"] == report["weights_bytes"] + report["tables_bytes"] + report["code_bytes"]["value"]
    assert report["budget"]["fits"] is True
    assert report["latency_ms"] > 0


def test_several_boards_get_a_build_each_and_a_table(model, tmp_path):
    boards = ("--board", "emu_cortex_m4", "--board", "emu_cortex_m3")
    done = tool("build", model, *boards, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if "cortex-m" in line] == [boards[1], boards[3]]
    assert build(model, tmp_path / "alone").exit_code == 0
    assert contents(tmp_path / "out/emu_cortex_m4") == contents(tmp_path / "alone")
    assert (tmp_path / "out/emu_cortex_m3/platformio.ini").exists()


def test_of_several_boards_those_that_cannot_hold_the_model_are_told(tmp_path):
    net = Net(seed=1)
    large = tmp_path / "large.tflite"
    large.write_bytes(writer.write(net.graph(net.dense(net.input(1, 9000), 2))))  # an input for more than 8 KB of RAM
    done = tool(
        "build", large, "--board", "emu_cortex_m4", "--board", "emu_cortex_m3", "-o", tmp_path / "out", "--json"
    )
    assert done.exit_code == 3
    assert [(f["board"], f["fits"]) for f in json.loads(done.stdout)] == [
        ("emu_cortex_m4", True), ("emu_cortex_m3", False)]  # fmt: skip
    assert "1 of 2 boards cannot hold it\n  emu_cortex_m3: " in done.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["emu_cortex_m4"]


@needs_cc
@pytest.mark.parametrize("stream", ["off", "on", "push"])
def test_every_way_of_streaming_is_verified(model, tmp_path, stream):
    assert build(model, tmp_path / "out", "--stream", stream).exit_code == 0
    done = tool("verify", tmp_path / "out", "--cases", 6)
    assert done.exit_code == 0, done.stderr
    assert "6 inputs" in done.stdout


def test_too_little_ram_names_the_layer_the_tensors_and_the_bytes_and_writes_nothing(model, tmp_path):
    done = build(model, tmp_path / "out", "--ram", "100", "--stream", "off")
    assert done.exit_code == 3
    assert "conv2d_0" in done.stderr
    assert "x (" in done.stderr
    assert "out (" in done.stderr
    assert "has 100" in done.stderr
    assert not (tmp_path / "out").exists()


def test_too_little_flash_is_refused_and_force_writes_it_anyway(model, tmp_path):
    assert build(model, tmp_path / "out", "--flash", "100").exit_code == 3
    assert not (tmp_path / "out").exists()
    assert build(model, tmp_path / "out", "--flash", "100", "--force").exit_code == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["budget"]["fits"] is False


def test_a_folder_that_is_not_ours_stays_as_it_is(model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    done = build(model, out)
    assert done.exit_code == 2
    assert "not made by tinycomp" in done.stderr
    assert contents(out) == {"thesis.txt": b"years of work"}


def test_an_empty_folder_is_filled(model, tmp_path):
    (tmp_path / "out").mkdir()
    assert build(model, tmp_path / "out").exit_code == 0


def test_an_output_path_that_is_a_file_is_refused(model, tmp_path):
    (tmp_path / "out").write_text("x")
    done = build(model, tmp_path / "out")
    assert done.exit_code == 2
    assert "is a file" in done.stderr
    assert (tmp_path / "out").read_text() == "x"


def test_building_again_keeps_what_the_user_wrote_and_refreshes_the_library(model, tmp_path):
    out = tmp_path / "out"
    build(model, out)
    main_file = next(p for p in (out / "src").iterdir() if p.name.startswith("main"))
    main_file.write_text("/* mine */")
    (out / "src" / "sensor.c").write_text("/* mine too */")
    (out / "lib" / "tiny_net" / "src" / "tiny_net.c").write_text("/* stale */")
    done = build(model, out)
    assert done.exit_code == 0
    assert main_file.read_text() == "/* mine */"
    assert (out / "src" / "sensor.c").read_text() == "/* mine too */"
    assert "tiny_net_invoke" in (out / "lib" / "tiny_net" / "src" / "tiny_net.c").read_text()
    assert main_file.name in done.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (["--board", "esp23"], "esp32"),
    (["--name", "3d"], "--name model_3d"),
    (["--ram", "lots"], "64K"),
    (["--framework", "zephyr"], "bare"),
    (["--quantize", "int16x8", "--data", "x.npz"], "--quantize"),
])  # fmt: skip
def test_a_bad_option_is_refused_with_one_that_works(model, tmp_path, arguments, message):
    done = build(model, tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_missing_model_and_a_file_that_is_none_are_refused(tmp_path):
    (tmp_path / "photo.tflite").write_bytes(b"\x89PNG\r\n" * 40)
    for path in (tmp_path / "absent.tflite", tmp_path / "photo.tflite", tmp_path):
        done = build(path, tmp_path / "out")
        assert done.exit_code == 2
        assert path.name in done.stderr
    assert not (tmp_path / "out").exists()


@needs_cc
def test_verify_accepts_what_was_built_and_names_the_layer_of_a_changed_weight(model, tmp_path):
    out = tmp_path / "out"
    build(model, out)
    assert tool("verify", out, "--cases", 5).exit_code == 0
    data = out / "lib" / "tiny_net" / "src" / "tiny_net_data.c"
    lines = data.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  "))
    first, rest = lines[at].strip().split(", ", 1)
    lines[at] = f"  {(int(first) + 64) % 100}, {rest}"
    data.write_text("\n".join(lines) + "\n")
    done = tool("verify", out, "--cases", 5)
    assert done.exit_code == 1
    assert "layer 0 conv2d_0" in done.stderr
    assert "element [0, " in done.stderr


@needs_cc
def test_run_prints_and_writes_the_outputs_of_given_inputs(model, tmp_path):
    build(model, tmp_path / "out")
    graph: Graph = small()
    np.save(tmp_path / "x.npy", np.zeros((3, *graph.tensors["x"].shape[1:]), np.int8))
    done = tool("run", tmp_path / "out", "--inputs", tmp_path / "x.npy")
    assert done.exit_code == 0
    assert done.stdout.count("case") == 3
    assert tool("run", tmp_path / "out", "--inputs", tmp_path / "x.npy", "-o", tmp_path / "y.npy").exit_code == 0
    assert np.load(tmp_path / "y.npy").shape == (3, *graph.tensors["out"].shape)


@pytest.mark.parametrize(("array", "message"), [
    (np.zeros((1, 5, 5, 3), np.float32), "float32"),
    (np.zeros((1, 3, 5, 5), np.int8), "shape"),
    (np.zeros((4,), np.int8), "shape"),
])  # fmt: skip
def test_inputs_that_do_not_fit_the_model_are_refused(model, tmp_path, array, message):
    build(model, tmp_path / "out")
    np.save(tmp_path / "x.npy", array)
    done = tool("run", tmp_path / "out", "--inputs", tmp_path / "x.npy")
    assert done.exit_code == 2
    assert message in done.stderr


def test_inspect_boards_ops_and_report_answer_in_text_and_json(model, tmp_path):
    build(model, tmp_path / "out")
    for command in (["inspect", model], ["boards"], ["boards", "esp32"], ["ops"], ["report", tmp_path / "out"]):
        assert tool(*command).exit_code == 0
        assert json.loads(tool(*command, "--json").stdout)
    assert "can be compiled" in tool("inspect", model).stdout
    assert "CONV_2D" in tool("ops").stdout
