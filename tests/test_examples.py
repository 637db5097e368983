"""The examples: each runs in its emulator, says what its README says, and hears and sees what the board does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from examples import bands, run
from examples.example import HERE, Example
from tests.emulated import needs_tools
from tests.firmware import WARNINGS
from tests.support import needs_cc, tflm
from tinycomp import frontend
from tinycomp.target import load_board

every_example = pytest.mark.parametrize("example", run.EXAMPLES.values(), ids=list(run.EXAMPLES))


@needs_cc
@every_example
def test_the_firmware_answers_as_the_reference_and_as_the_readme_shows(example: Example, tmp_path: Path, capsys):
    needs_tools(load_board(example.board))
    assert run.compare(example, example.board, tmp_path) == 0
    said = capsys.readouterr().out.splitlines()
    (shown,) = re.findall(r"```console\n(.*?)```", (example.folder / "README.md").read_text(), re.DOTALL)
    lines = [line for line in shown.splitlines() if line not in (f"$ make example-{example.name}", "...")]
    assert len(lines) > 5
    assert [line for line in lines if line not in said] == []
    assert_no_warning(example, tmp_path)


def assert_no_warning(example: Example, folder: Path) -> None:
    """The application's own C in a written project is as clean as what tinycomp emits."""
    headers = ["-I", str(folder / "src"), "-I", str(folder / "lib" / example.name / "src")]
    for name in ("main.c", *(f"{part}.c" for part in example.app)):
        command = ["gcc", "-std=c99", *WARNINGS, *headers, "-fsyntax-only", str(folder / "src" / name)]
        subprocess.run(command, check=True)


@every_example
def test_what_the_run_expects_is_what_tensorflow_lite_micro_answers(example: Example):
    inputs = example.inputs(example.record().data)
    answers = tflm(example.model.read_bytes(), [[x] for x in inputs])
    assert np.array_equal(np.stack([a.ravel() for (a,) in answers]), run.expected(example, inputs))


@pytest.mark.parametrize("change", [lambda lines: [*lines[:-1], "result 0: 0 rest"], lambda lines: lines[1:],
                                    lambda lines: [*lines, lines[-1]]])  # fmt: skip
def test_a_result_that_differs_is_missing_or_too_many_is_counted(change, tmp_path: Path, monkeypatch):
    example = run.EXAMPLES["anomaly"]
    inputs = example.inputs(example.record().data)
    lines = [f"result {k}: {line}" for k, line in enumerate(example.says(inputs, run.expected(example, inputs)))]
    monkeypatch.setattr(run, "prepare", lambda *_: None)
    monkeypatch.setattr(run, "emulated", lambda *_: lines)
    assert run.compare(example, example.board, tmp_path) == 0
    monkeypatch.setattr(run, "emulated", lambda *_: change(lines))
    assert run.compare(example, example.board, tmp_path) > 0


def test_for_a_real_board_the_project_is_written_and_the_next_step_said(tmp_path: Path, capsys):
    example = run.EXAMPLES["gesture"]
    assert run.compare(example, "nucleo_l4r5zi", tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: tinycomp flash {tmp_path}"
    assert (tmp_path / "src" / "main.c").read_bytes() == (example.folder / "main.c").read_bytes()


def test_make_and_the_list_name_every_example():
    (made,) = re.findall(r"^EXAMPLES := (.*)$", (HERE.parent / "Makefile").read_text(), re.MULTILINE)
    assert made.split() == sorted(run.EXAMPLES)
    assert set(re.findall(r"`make example-(\w+)`", (HERE / "README.md").read_text())) == set(run.EXAMPLES)


NETWORKS = """
import importlib, json, sys
made = [importlib.import_module(f"examples.{name}.train").network(1) for name in sys.argv[1:]]
print(json.dumps([[list(m.input_shape), list(m.output_shape)] for m in made]))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="pip install 'tinycomp[train]' to build the networks")
def test_the_training_scripts_build_networks_of_the_models_shapes():
    command = [sys.executable, "-c", NETWORKS, *run.EXAMPLES]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=True)
    graphs = [frontend.front(frontend.load(e.model), "tflm").source for e in run.EXAMPLES.values()]
    assert json.loads(done.stdout.splitlines()[-1]) == [
        [list(g.tensors[name].shape) for name in (*g.inputs, *g.outputs)] for g in graphs
    ]


def test_a_tone_is_loudest_in_its_own_band():
    t = np.arange(bands.FRAME) / bands.RATE
    for band in range(0, bands.BANDS, 4):
        tone = np.round(8_000 * np.sin(2 * np.pi * bands.FREQUENCIES[band] * t)).astype(np.int16)
        assert bands.levels(tone)[0].argmax() == band


def test_levels_are_quarters_of_a_power_of_two_and_silence_is_zero():
    power = np.array([-5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1 << 40, (1 << 41) - 1, 1 << 61])
    assert bands.logarithm(power).tolist() == [0, 0, 0, 4, 6, 8, 9, 10, 11, 12, 160, 163, 244]
    assert not bands.levels(np.zeros(bands.FRAME, np.int16)).any()
