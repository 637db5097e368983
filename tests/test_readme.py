"""What the README says is so: its operators, its commands, its C."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support import needs_cc
from tinycomp import build, cli, errors, frontend
from tinycomp.ops import OPERATORS
from tinycomp.target import load_board

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
DIGITS = ROOT / "examples" / "digits"

MAIN = """
#include <stdio.h>
int classify(const int8_t *pixels);
int main(void) {
  static int8_t pixels[DIGITS_INPUT0_BYTES];
  while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) printf("%d ", classify(pixels));
  return 0;
}
"""


def test_the_table_of_operators_is_the_operator_table():
    rows = dict(re.findall(r"^\| ([^|]+) \| ([A-Z][A-Z0-9_, ]+) \|$", README, re.MULTILINE))
    folded = {title for title in rows if title.startswith("on constants only")}
    said = {name: title in folded for title, names in rows.items() for name in names.split(", ")}
    known = {c.builtin: not (op.kernels or op.view or op.expand) for op in OPERATORS.values() for c in op.codecs}
    assert said == known


def test_every_command_and_option_that_it_names_exists():
    for command, rest in re.findall(r"(?:`|\$ )tinycomp ([a-z]+)\b([^`\n]*)", README):
        assert command in cli.main.commands, command
        options = {o for p in cli.main.commands[command].params for o in p.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options


@pytest.mark.parametrize("error", [e for e in vars(errors).values() if isinstance(e, type)])
def test_every_exit_status_is_explained(error: type[errors.TinycompError]):
    assert f"\n| {error.exit_status} | " in README


@pytest.mark.skipif(shutil.which(load_board("esp32").core.compiler) is not None, reason="its code is an estimate")
def test_its_first_build_prints_what_it_shows(tmp_path: Path, monkeypatch):
    ((command, shown),) = re.findall(r"^\$ tinycomp (build examples.*)\n((?:.+\n|\n)*?)\.\.\.$", README, re.MULTILINE)
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(cli.main, [*command.split(), "-o", str(tmp_path / "out")])
    lines = [line for line in shown.splitlines() if line]
    assert len(lines) > 5
    assert [line for line in lines if line not in done.stdout.splitlines()] == []


@needs_cc
def test_its_c_classifies_the_examples_samples_as_recorded(tmp_path: Path):
    made = build.compile_model(frontend.load(DIGITS / "digits.tflite"), build.Options(board="esp32"))
    for name, text in made.sources.items():
        (tmp_path / name).write_text(text)
    (snippet,) = re.findall(r"```c\n(.*?)```", README, re.DOTALL)
    (tmp_path / "main.c").write_text(snippet + MAIN)
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "main.c", *made.sources, "-o", "main"]
    subprocess.run([w for w in command if not w.endswith(".h")], cwd=tmp_path, check=True)
    with np.load(DIGITS / "samples.npz") as samples:
        x, expected = samples["x"], samples["expected"]
    done = subprocess.run([tmp_path / "main"], input=x.tobytes(), capture_output=True, check=True)
    assert [int(v) for v in done.stdout.split()] == expected.argmax(axis=1).tolist()


@needs_cc
@pytest.mark.slow
def test_the_demo_ends_with_answers_that_equal_the_references(tmp_path: Path):
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--out", str(tmp_path / "demo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    *_, said = done.stdout.splitlines()
    assert said.startswith("demo OK: 20 of 20 answers equal the reference bit for bit.")
    assert re.sub(r"\S+$", "", said) in README  # all but the folder
