"""Files packed with a model: TensorFlow Lite's metadata tools append them to it as a zip archive, labels among them.

Source: the documentation of TensorFlow Lite metadata ("Associated files"): one label a line, in the order of the
output's elements.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress

from tinycomp.tflite.file import printable

MOST_FILES, MOST_BYTES = 64, 1 << 20  # of what is looked at
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)  # encrypted is a RuntimeError


def labels(data: bytes, elements: int) -> tuple[str, ...]:
    """The lines of the first text file packed with the model that has one for each of the output's elements.

    () where there is none: labels are no part of the computation, so a damaged archive is passed over. Lines are safe
    to print and at most 256 characters long; what C may not hold is the emitter's business.
    """
    for text in _texts(data):
        lines = text.splitlines()
        if len(lines) == elements > 1:
            return tuple(printable(line.strip()) for line in lines)
    return ()


def _texts(data: bytes) -> Iterator[str]:
    """The contents of the archive's .txt files, in its order, up to the first that is damaged."""
    with suppress(*_DAMAGED):
        yield from _read(data)


def _read(data: bytes) -> Iterator[str]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist()[:MOST_FILES]:
            if entry.filename.lower().endswith(".txt"):
                with archive.open(entry) as file:
                    content = file.read(MOST_BYTES + 1)
                if len(content) <= MOST_BYTES:
                    yield content.decode("utf-8", "replace")
