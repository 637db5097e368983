"""The Python API, as a notebook uses it."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import tinycomp
from tests.support import needs_cc
from tests.test_html import DIGITS
from tinycomp import errors


def test_importing_the_package_imports_nothing_of_the_compiler():
    code = (
        "import sys, tinycomp; print(*(m for m in ('numpy', 'jinja2', 'tflite', 'tinycomp.api') if m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tinycomp.nonsense


@needs_cc
def test_compile_look_write_and_verify(tmp_path):
    made = tinycomp.compile(DIGITS, board="esp32", stream="push")
    assert isinstance(made, tinycomp.Result)
    assert made.fits
    assert made.require_fit() is made
    assert f"{made.report['arena_bytes']}" in made.sources["digits.h"]
    assert str(made).startswith("digits.tflite fits esp32")
    assert repr(made) == f"<tinycomp.Result: {made}>"
    folder = made.write(tmp_path / "firmware")
    assert (folder / "report.html").read_text() == made.html
    assert tinycomp.verify(folder, cases=3).cases == 3


@needs_cc
def test_verify_takes_inputs_of_ones_own(tmp_path):
    made = tinycomp.compile(DIGITS.read_bytes(), board="pico", name="mine")
    shape = made.report["inputs"][0]["shape"]
    folder = made.write(tmp_path / "o")
    assert tinycomp.verify(folder, [[np.zeros(shape, np.int8)]]).cases == 1


def test_what_does_not_fit_is_a_report_until_it_is_required():
    made = tinycomp.compile(DIGITS, board="esp32", ram=100)
    assert not made.fits
    with pytest.raises(errors.DoesNotFit, match="arena"):
        made.require_fit()


def test_a_notebook_shows_the_page_in_a_frame_of_its_own():
    made = tinycomp.compile(DIGITS, board="esp32")
    frames: list[dict[str, str | None]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            frames.append(dict(attrs))

    Reader().feed(made._repr_html_())
    (frame,) = frames
    assert frame["srcdoc"] == made.html
    assert frame["sandbox"] == "allow-scripts"
