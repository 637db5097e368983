"""The sound files that the mutations start from."""

from __future__ import annotations

from functools import cache

from tests.op_graphs import FOLDED, RUNNING
from tests.support import SHARED
from tests.test_hostile import chain
from tinycomp import tflite

SMALL = 64 << 10  # bytes of a shared model that a mutation can still be aimed at


@cache
def files(shared: bool = False) -> list[bytes]:
    """Every kind of operator, a short chain, and the small ones of the shared models where they are wanted and here."""
    made = [chain(), *(tflite.write(make()) for make in (*RUNNING.values(), *FOLDED.values()))]
    if shared and (SHARED / "models").is_dir():
        made += [p.read_bytes() for p in sorted((SHARED / "models").glob("*.tflite")) if p.stat().st_size < SMALL]
    return made
