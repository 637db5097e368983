"""A Keras file or a SavedModel -> .tflite, by TensorFlow: python -m tinycomp.formats.by_tensorflow MODEL OUT.tflite.

The one module that imports TensorFlow to convert; `tinycomp.formats.files` runs it in a process of its own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def convert(model: Path) -> bytes:
    """The model as float32 .tflite. Raises whatever TensorFlow raises."""
    tf: Any = import_module("tensorflow")
    if model.is_dir():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(model))
    else:
        converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.models.load_model(str(model), compile=False))
    return bytes(converter.convert())


def main(model: str, out: str) -> None:
    """Convert, or leave with the reason as the last line on stderr."""
    try:
        Path(out).write_bytes(convert(Path(model)))
    except Exception as error:  # whatever it is, the user is to read it
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        sys.exit(f"{type(error).__name__}: {first}")


if __name__ == "__main__":
    main(*sys.argv[1:])
