"""Images as model inputs, through Pillow (the extra `images`)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tinycomp.errors import BadInput, ToolMissing
from tinycomp.ir import Array, Tensor

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MODES = {1: "L", 3: "RGB"}


def pixels_of(path: Path, t: Tensor) -> Array:
    """The image as uint8 [H, W, C] of the input's size: converted to grey or RGB, resized bilinearly with antialiasing.

    Raises BadInput where the file does not decode or the input is no image, ToolMissing without Pillow.
    """
    if len(t.shape) != 4 or t.shape[0] != 1 or t.shape[3] not in MODES:
        raise BadInput(f"holds images, and the model's input {t.name!r} is {list(t.shape)}", where=str(path.parent),
                       fix="images need an input [1, height, width, 1 or 3]; give arrays instead")  # fmt: skip
    image: Any = _pillow("Image")
    try:
        with image.open(path) as opened:
            picture = opened.convert(MODES[t.shape[3]])
            resized = picture.resize((t.shape[2], t.shape[1]), image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:
        raise BadInput(f"does not decode: {error}", where=str(path), fix="remove it or save it again") from None
    return np.asarray(resized, np.uint8).reshape(t.shape[1:])


def _pillow(module: str) -> Any:
    try:
        return import_module(f"PIL.{module}")
    except ImportError:
        raise ToolMissing("images need Pillow, which is not installed",
                          fix="pip install 'tinycomp[images]', or give arrays") from None  # fmt: skip
