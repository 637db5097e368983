"""Folders of images as calibration data."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.quantize.test_data import model, values
from tinycomp.errors import BadInput, ToolMissing
from tinycomp.ir import Array
from tinycomp.quantize import data

image = pytest.importorskip("PIL.Image", reason="pip install pillow")


def save(path: Path, pixels: Array) -> None:
    """One image file."""
    image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of different sizes and kinds."""
    rng = np.random.default_rng(0)
    save(tmp_path / "a.png", rng.integers(0, 256, (6, 5, 3)).astype(np.uint8))
    save(tmp_path / "b.png", rng.integers(0, 256, (40, 30)).astype(np.uint8))
    save(tmp_path / "c.jpg", rng.integers(0, 256, (12, 20, 3)).astype(np.uint8))
    return tmp_path


def test_images_are_resized_converted_and_scaled_as_told(folder):
    found = data.load(folder, model(), (0.0, 1.0))
    assert found.inputs[0].shape == (3, 1, 6, 5, 3)
    exact = np.asarray(image.open(folder / "a.png"), np.float32) / 255
    np.testing.assert_allclose(found.inputs[0][0, 0], exact, atol=1e-6)
    grey = found.inputs[0][1, 0]
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    assert 0 <= found.inputs[0].min() < found.inputs[0].max() <= 1
    assert found.quants[0] is not None
    assert data.load(folder, model(1, 6, 5, 1), (0.0, 255.0)).inputs[0].shape == (3, 1, 6, 5, 1)


def test_images_without_the_values_of_black_and_white_are_refused(folder):
    with pytest.raises(BadInput, match=r"not said what values.*--pixels"):
        data.load(folder, model())


def test_an_image_that_does_not_decode_is_named(folder):
    (folder / "d.png").write_bytes((folder / "a.png").read_bytes()[:60])
    with pytest.raises(BadInput, match=r"d\.png: does not decode"):
        data.load(folder, model(), (0.0, 1.0))


def test_images_for_a_model_that_takes_none_are_refused(folder):
    with pytest.raises(BadInput, match=r"input 'x0' is \[1, 12\]"):
        data.load(folder, model(1, 12), (0.0, 1.0))


def test_images_beside_arrays_are_refused(folder):
    np.save(folder / "x.npy", values(1)[0])
    with pytest.raises(BadInput, match=r"arrays \(x\.npy\) and images \(a\.png\)"):
        data.load(folder, model(), (0.0, 1.0))


def test_without_pillow_the_package_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ToolMissing, match=r"tinycomp\[images\]"):
        data.load(folder, model(), (0.0, 1.0))
