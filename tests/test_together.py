"""Several models in one firmware: one application, a shared arena, a budget for their sum."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.ops.test_svdf import layer
from tests.support import needs_cc, random_inputs
from tests.test_build import tool
from tests.test_library import small, twins
from tinycomp import interpret
from tinycomp.harness import native
from tinycomp.ir import Graph
from tinycomp.tflite import writer

BOARD = "esp32"
GRAPHS: dict[str, Graph] = {"conv": small(), "pair": twins(), "sums": layer()}
# The emitted application with a main that takes the models by turns, one input of each after the other.
TURNS = """
#include "main.c"
#include <stdio.h>

void tc_port_write(const void *data, size_t size)
{
  fwrite(data, 1, size, stderr);
}

int main(void)
{
  if (tc_app_start() != 0) return 1;
  for (;;) {
%s
  }
}
"""
TURN = """
    if (fread({name}_input(&model_{name}, 0), 1, {NAME}_INPUT0_BYTES, stdin) != {NAME}_INPUT0_BYTES) return 0;
    if ({name}_invoke(&model_{name}) != {NAME}_OK) return 2;
    fwrite({name}_output(&model_{name}, 0), 1, {NAME}_OUTPUT0_BYTES, stdout);
"""


def folder_of(models: list[Path], out: Path, *options: object) -> Path:
    """The firmware built, which must succeed."""
    done = tool("build", *models, "--board", BOARD, "-o", out, *options)
    assert done.exit_code == 0, done.stderr
    return out


def facts_of(folder: Path) -> dict:
    """report.json."""
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models without and one with states, as files."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / f"{name}.tflite" for name in GRAPHS]
    for path, graph in zip(paths, GRAPHS.values(), strict=True):
        path.write_bytes(writer.write(graph))
    return paths


@pytest.fixture(scope="module")
def firmware(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them in one folder."""
    return folder_of(models, tmp_path_factory.mktemp("firmware") / "out")


@pytest.fixture(scope="module")
def alone(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Each in a folder of its own."""
    folder = tmp_path_factory.mktemp("alone")
    return [folder_of([model], folder / model.stem) for model in models]


def application(firmware: Path, folder: Path) -> Path:
    """The application and the libraries as a process, under sanitizers."""
    turns = "".join(TURN.format(name=name, NAME=name.upper()) for name in GRAPHS)
    (folder / "turns.c").write_text(TURNS % turns)
    libraries = [firmware / "lib" / name / "src" for name in GRAPHS]
    command = [native.compiler(), "-std=c99", "-O1", *native.WARNINGS, *native.SANITIZERS, "-I", firmware / "src"]
    command += [part for library in libraries for part in ("-I", library, *sorted(library.glob("*.c")))]
    subprocess.run([*command, folder / "turns.c", "-lm", "-o", folder / "turns"], check=True)
    return folder / "turns"


@needs_cc
def test_models_that_take_turns_answer_as_each_does_alone(firmware, tmp_path):
    cases = {name: random_inputs(graph, seed, 6) for seed, (name, graph) in enumerate(GRAPHS.items())}
    given = b"".join(cases[name][k][0].tobytes() for k in range(6) for name in GRAPHS)
    done = subprocess.run([application(firmware, tmp_path)], input=given, capture_output=True, check=True)
    wanted = {name: [values[GRAPHS[name].outputs[0]] for values in interpret.sequence(GRAPHS[name], cases[name])]
              for name in GRAPHS}  # fmt: skip
    assert done.stdout == b"".join(wanted[name][k].tobytes() for k in range(6) for name in GRAPHS)


@needs_cc
def test_the_application_prints_what_each_model_says_of_zeros(firmware, tmp_path):
    done = subprocess.run([application(firmware, tmp_path)], input=b"", capture_output=True, check=True)
    for line, (name, graph) in zip(done.stderr.decode().splitlines(), GRAPHS.items(), strict=True):
        x = graph.tensors["x"]
        (values,) = interpret.sequence(graph, [[np.full(x.shape, x.zero_point, np.int8)]])
        first = values[graph.outputs[0]].ravel()
        more = " ..." if first.size > 16 else ""
        assert line == f"{name}: output 0: {' '.join(map(str, first[:16]))}{more}"


def test_only_models_without_states_share_the_arena(firmware, alone):
    facts, reports = facts_of(firmware), [facts_of(folder) for folder in alone]
    conv, pair, sums = (r["arena_bytes"] for r in reports)
    assert sums > 0
    assert facts["shared_arena"] == {
        "bytes": max(conv, pair), "saved_bytes": min(conv, pair), "models": ["conv", "pair"]}  # fmt: skip
    main = (firmware / "src" / "main.c").read_text()
    assert "static uint8_t arena_sums[SUMS_ARENA_SIZE]" in main
    assert "arena_conv" not in main


def test_the_report_has_each_model_as_alone_and_the_totals(firmware, alone):
    facts, reports = facts_of(firmware), [facts_of(folder) for folder in alone]
    assert facts["models"] == reports
    assert facts["flash_bytes"] == sum(r["flash_bytes"] for r in reports)
    saved = min(r["arena_bytes"] for r in reports[:2])
    assert facts["ram_bytes"] == sum(r["ram_bytes"] for r in reports) - saved
    text = (firmware / "report.txt").read_text()
    assert text.startswith(f"conv, pair, sums fit {BOARD} together: flash {facts['flash_bytes']:,} of ")


def test_each_library_is_the_one_that_a_build_alone_writes(firmware, alone):
    for folder in alone:
        files = [p.relative_to(folder) for p in (folder / "lib").rglob("*") if p.is_file()]
        assert files
        for file in files:
            assert (firmware / file).read_bytes() == (folder / file).read_bytes(), file


def test_report_shows_all_of_them_or_the_one_that_is_named(firmware, alone):
    assert json.loads(tool("report", firmware, "--json").stdout) == facts_of(firmware)
    assert tool("report", firmware).stdout.startswith("conv, pair, sums fit")
    assert json.loads(tool("report", firmware, "--json", "--model", "pair").stdout) == facts_of(alone[1])


@needs_cc
def test_verify_compares_every_model_and_finds_the_one_that_is_wrong(models, tmp_path):
    folder = folder_of(models[:2], tmp_path / "out")
    done = tool("verify", folder, "--cases", 3)
    assert done.exit_code == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["conv", "pair"]
    code = folder / "lib" / "pair" / "src" / "pair_data.c"
    head, brace, rest = code.read_text().partition("{")
    first, comma, more = rest.partition(",")
    code.write_text(f"{head}{brace}{int(first) ^ 64}{comma}{more}")
    assert tool("verify", folder, "--cases", 3).exit_code == 1
    assert tool("verify", folder, "--cases", 3, "--model", "conv").exit_code == 0


@needs_cc
def test_run_takes_the_model_that_is_named(firmware, tmp_path):
    case = random_inputs(GRAPHS["conv"])[3][0]
    np.save(tmp_path / "x.npy", case)
    done = tool("run", firmware, "--inputs", tmp_path / "x.npy", "--model", "conv", "-o", tmp_path / "y.npy")
    assert done.exit_code == 0, done.stderr
    (values,) = interpret.sequence(GRAPHS["conv"], [[case]])
    assert np.array_equal(np.load(tmp_path / "y.npy")[0], values["out"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--inputs", "x.npy"], "several models: conv, pair, sums"),
        (["run", "--inputs", "x.npy", "--model", "other"], "no model 'other': conv, pair, sums"),
        (["verify", "--on", "device", "--port", "none"], "does not answer on the device"),
        (["verify", "--on", "emulator"], "build conv alone"),
        (["report", "--html", "page.html"], "--model conv"),
    ],
)
def test_what_needs_one_model_says_so(firmware, arguments, says):
    done = tool(arguments[0], firmware, *arguments[1:])
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize("memory", ["flash", "ram"])
def test_models_that_fit_alone_but_not_together_are_refused(models, tmp_path, memory):
    """Rows are pushed, so that neither gives up its arena."""
    limits = []
    for model in models[:2]:
        folder = folder_of([model], tmp_path / model.stem, "--stream", "push")
        limits.append(facts_of(folder)[f"{memory}_bytes"])
    limit = (f"--{memory}", sum(limits) - 1)
    for model in models[:2]:
        folder_of([model], tmp_path / model.stem, "--stream", "push", *limit)
    out = tmp_path / "both"
    done = tool("build", *models[:2], "--board", BOARD, "--stream", "push", "-o", out, *limit)
    assert done.exit_code == 3
    assert f"conv ({limits[0]:,}) and pair ({limits[1]:,}) need {sum(limits):,} bytes of" in done.stderr
    assert not out.exists()
    exact = (f"--{memory}", sum(limits))
    assert facts_of(folder_of(models[:2], out, "--stream", "push", *exact))["budget"]["fits"]


def test_a_model_that_does_not_fit_alone_is_named(models, tmp_path):
    done = tool("build", *models[:2], "--board", BOARD, "--flash", 100, "-o", tmp_path / "out")
    assert done.exit_code == 3
    assert "error: conv: flash: needs" in done.stderr


def test_force_writes_what_does_not_fit_and_says_so(models, tmp_path):
    facts = facts_of(folder_of(models[:2], tmp_path / "out", "--flash", 100, "--force"))
    assert not facts["budget"]["fits"]


@pytest.mark.parametrize("names", [("net", "net"), ("net", "NET")])
def test_names_that_clash_in_c_are_refused_with_the_remedy(models, tmp_path, names):
    paths = []
    for name, model in zip(names, models[:2], strict=True):
        paths.append(tmp_path / model.stem / f"{name}.tflite")
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(model.read_bytes())
    done = tool("build", *paths, "--board", BOARD, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "would both define" in done.stderr
    assert "give --name once for each model" in done.stderr
    folder = folder_of(paths, tmp_path / "out", "--name", "left", "--name", "right")
    assert sorted(p.name for p in (folder / "lib").iterdir()) == ["left", "right"]


@pytest.mark.parametrize(
    "options",
    [["--name", "a"], ["--board", "nano33ble"], ["--data", "x.npz"], ["--recipe", "recipe.json"]],
    ids=lambda options: options[0],
)
def test_options_that_several_models_do_not_take_are_refused(models, tmp_path, options):
    done = tool("build", *models[:2], "--board", BOARD, "-o", tmp_path / "out", *options)
    assert done.exit_code == 2
    assert options[0] in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_second_build_keeps_the_application_and_renews_the_libraries(models, tmp_path):
    folder = folder_of(models[:2], tmp_path / "out")
    main, code = folder / "src" / "main.c", folder / "lib" / "conv" / "src" / "conv.c"
    main.write_text(main.read_text() + "/* mine */\n")
    code.write_text("")
    folder_of(models[:2], tmp_path / "out")
    assert main.read_text().endswith("/* mine */\n")
    assert code.read_text()


def test_a_project_of_plain_cmake_builds_and_links_every_library(models, tmp_path):
    done = tool("build", *models[:2], "--board", "emu_cortex_m4", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    text = (tmp_path / "out" / "CMakeLists.txt").read_text()
    for line in ("add_subdirectory(lib/conv)", "add_subdirectory(lib/pair)", "PRIVATE tinycomp_conv tinycomp_pair)"):
        assert line in text
    named = set(re.findall(r"src/\w+\.c", text))
    assert named == {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out" / "src").glob("*.c")}
