"""A few hundred mutated files, those that once went wrong, and the harness itself."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz import examine, seeds
from tests.fuzz.__main__ import fuzz
from tests.fuzz.mutate import mutated
from tests.op_graphs import RUNNING
from tests.support import needs_cc
from tinycomp import tflite
from tinycomp.build import Options
from tinycomp.errors import Unsupported

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.tflite"))
QUIET = examine.Depth(0, 0, 0, 0)


@needs_cc
@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_refused_with_a_reason_or_built_soundly(seed, tmp_path, capsys):
    found = fuzz(600, seed, range(30), seeds.files(), examine.Depth(300, 60, 20, 40), tmp_path)
    assert found == 0, capsys.readouterr().out


@needs_cc
@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_files_that_once_went_wrong_do_so_no_more(path):
    for options in (Options(board="emu_cortex_m4", stream="push", quantize="none"), Options(board="pico", opt="size")):
        examine.examine(path.read_bytes(), options, random.Random(0), examine.Depth(1000, 1000, 0, 1000))


def test_equal_seeds_make_equal_files():
    files = seeds.files()
    largest = max(files, key=len)  # where two mutations seldom are the same
    first, second = ([mutated(random.Random(f"1/{n}"), largest, files) for n in range(40)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 30


@pytest.mark.parametrize(("wrong", "place"), [(ValueError("x"), "ValueError"), (MemoryError(), "MemoryError")])
def test_what_is_no_refusal_is_a_fault_and_its_file_is_kept(wrong, place, tmp_path, monkeypatch, capsys):
    def fails(*_: object) -> None:
        raise wrong

    monkeypatch.setattr(examine.builder, "compile_model", fails)
    assert fuzz(600, 0, range(5), seeds.files(), QUIET, tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["seed0-case0.tflite"]
    assert place in capsys.readouterr().out


def test_a_hang_and_too_much_memory_are_faults():
    def spin() -> None:
        while True:
            pass

    with pytest.raises(examine.Hang), examine.limited(seconds=0.2):
        spin()
    with pytest.raises(MemoryError), examine.limited():
        bytearray(2 * examine.BYTES)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"../x": ""}, r"\.\./x"),
        ({"/x": ""}, "/x"),
        ({"m.c": "int Zq9x;"}, "name of the file"),
        ({"m.h": '/* Zq9x" */'}, "name of the file"),
        ({"report.txt": "\x1b[31m"}, "contains"),
    ],
)
def test_a_build_that_lets_the_file_speak_is_a_fault(files, says):
    with pytest.raises(AssertionError, match=says):
        examine.clean(files)
    examine.clean({"m.h": "/* ?Zq9x: float32 [1, 4, 12] */"})


def test_a_refusal_without_place_and_remedy_is_a_fault():
    with pytest.raises(AssertionError, match="neither place nor remedy"):
        examine.told(Unsupported("no"))
    examine.told(Unsupported("no", where="conv2d_1", fix="do this"))


@pytest.mark.parametrize("label", ["conv2d, SAME", "softmax", "conv2d, float32", "transpose"])
def test_the_files_to_start_from_build(label):
    data = tflite.write(RUNNING[label]())
    assert data in seeds.files()
    assert examine.examine(data, Options(board="pico", quantize="none"), random.Random(0), QUIET) == "built"
