"""The sound files that the mutations start from."""

from __future__ import annotations

from functools import cache

from tests.op_graphs import FOLDED, RUNNING
from tests.support import SHARED
from tests.test_hostile import chain
from tests.test_unsigned import LAYERS_OF_BYTES, as_unsigned
from tinycomp import tflite

SMALL = 64 << 10  # bytes of a shared model that a mutation can still be aimed at


@cache
def files(shared: bool = False) -> list[bytes]:
    """A short chain, every kind of operator, layers of uint8; small shared models where they are wanted and here."""
    made = [chain(), *(tflite.write(make()) for make in (*RUNNING.values(), *FOLDED.values()))]
    made += [tflite.write(as_unsigned(layer, zero)) for layer in LAYERS_OF_BYTES for zero in (90, 128)]
    if shared and (SHARED / "models").is_dir():
        made += [p.read_bytes() for p in sorted((SHARED / "models").glob("*.tflite")) if p.stat().st_size < SMALL]
    return made
