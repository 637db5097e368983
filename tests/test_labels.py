"""Labels that are packed with a model: found, counted, quoted, and never in the way of a build."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.op_graphs import RUNNING
from tests.support import needs_cc
from tinycomp import build, frontend, tflite
from tinycomp.tflite import associated

MODEL = tflite.write(RUNNING["fully_connected"]())  # of five outputs
MAIN = """
#include "net.h"
#include <stdio.h>
static const char *const labels[NET_NUM_LABELS] = NET_LABELS;
int main(void)
{
  for (int i = 0; i < NET_NUM_LABELS; i++) puts(labels[i]);
  return 0;
}
"""
NAMES = ("cat", "dog", "hat", "a b", "z")


def packed(files: dict[str, str], model: bytes = MODEL) -> bytes:
    """A model with files appended as the metadata tools do."""
    file = io.BytesIO(model)
    file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file.getvalue()


def made(data: bytes) -> dict[str, str]:
    """The library's files."""
    options = build.Options(board="pico", quantize="none")
    return dict(build.compile_model(frontend.Model("net.tflite", data), options).sources)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_text_file_with_a_line_for_each_output_is_its_labels(end: str):
    files = {"readme.md": "1\n2\n3\n4\n5", "vocabulary.txt": "a\nb", "labels.txt": "\n".join(NAMES) + end}
    assert associated.labels(packed(files), 5) == NAMES
    assert associated.labels(packed(files), 4) == ()
    assert associated.labels(MODEL, 5) == ()


def test_a_damaged_archive_is_no_labels_and_no_fault():
    data = packed({"labels.txt": "\n".join(NAMES)})
    for at in range(len(MODEL), len(data), 3):
        damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        assert associated.labels(damaged, 5) in ((), NAMES)


def test_a_text_that_unpacks_to_more_than_a_megabyte_is_passed_over():
    long = "\n".join(["x" * 400_000] * 5)
    assert associated.labels(packed({"labels.txt": long, "second.txt": "\n".join(NAMES)}), 5) == NAMES


def test_a_model_that_was_quantized_keeps_the_labels_of_its_file():
    model = frontend.Model("net.tflite", MODEL, packed({"labels.txt": "\n".join(NAMES)}))
    assert model.labels(5) == NAMES


@needs_cc
def test_hostile_labels_are_strings_in_c_and_nothing_else(tmp_path: Path):
    labels = ('"); exit(1); ("', "*/ #error", "\\", "ä??/", "%s")
    for name, text in made(packed({"labels.txt": "\n".join(labels)})).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "main.c").write_text(MAIN)
    gcc = shutil.which("gcc")
    assert gcc is not None
    command = [gcc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout.decode()
    assert tuple(said.splitlines()) == labels


def test_a_model_without_labels_has_no_word_of_them():
    assert "LABELS" not in made(MODEL)["net.h"]
