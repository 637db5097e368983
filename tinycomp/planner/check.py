"""An independent proof that a placement is safe. Shares no code with `place`, only the two dataclasses."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from tinycomp.errors import TinycompError
from tinycomp.planner.buffers import Buffer, Placement


class PlannerError(TinycompError):
    """A placement that would corrupt memory: a fault of the planner, never of the user."""

    def __init__(self, what: str, *, where: str = "") -> None:
        super().__init__(what, where=where, fix="this is a bug in tinycomp; please report it with the model")


def check(buffers: Sequence[Buffer], placement: Placement) -> None:
    """Raise PlannerError unless the placement holds exactly these buffers, each in its place and apart.

    Every buffer is placed once, at a non-negative multiple of its alignment, inside `placement.size`, and shares no
    byte with another buffer that is alive in the same step (lifetimes are half-open).
    """
    _check_names(buffers, placement)
    for buffer in buffers:
        _check_position(buffer, placement)
    _check_overlaps(buffers, placement)


def _check_names(buffers: Sequence[Buffer], placement: Placement) -> None:
    names: set[str] = set()
    for buffer in buffers:
        if buffer.name in names:
            raise PlannerError("two buffers have this name", where=_where(buffer))
        names.add(buffer.name)
        if buffer.name not in placement.offsets:
            raise PlannerError("has no offset", where=_where(buffer))
    for name in placement.offsets:
        if name not in names:
            raise PlannerError("has an offset but is not to be placed", where=f"buffer {name!r}")


def _check_position(buffer: Buffer, placement: Placement) -> None:
    offset = placement.offsets[buffer.name]
    if offset < 0:
        raise PlannerError(f"lies at the negative offset {offset}", where=_where(buffer))
    if offset % buffer.align:
        raise PlannerError(f"lies at {offset}, which is not a multiple of {buffer.align}", where=_where(buffer))
    if offset + buffer.size > placement.size:
        end = offset + buffer.size
        raise PlannerError(f"ends at {end} in an arena of {placement.size} bytes", where=_where(buffer))


def _check_overlaps(buffers: Sequence[Buffer], placement: Placement) -> None:
    """Replay the steps. Buffers alive together are disjoint so far, so a newcomer can only hit a direct neighbour."""
    # At one step deaths come before births, since lifetimes are half-open.
    events = [(b.start, 1, i) for i, b in enumerate(buffers)] + [(b.end, 0, i) for i, b in enumerate(buffers)]
    alive: list[tuple[int, int]] = []  # (offset, buffer), ascending
    for step, birth, i in sorted(events):
        entry = (placement.offsets[buffers[i].name], i)
        at = bisect_left(alive, entry)
        if not birth:
            del alive[at]
            continue
        for _, j in alive[max(at - 1, 0) : at + 1]:
            _check_pair(buffers[i], buffers[j], placement, step)
        alive.insert(at, entry)


def _check_pair(a: Buffer, b: Buffer, placement: Placement, step: int) -> None:
    x, y = placement.offsets[a.name], placement.offsets[b.name]
    if x < y + b.size and y < x + a.size:
        raise PlannerError(
            f"bytes [{x}, {x + a.size}) overlap [{y}, {y + b.size}) of buffer {b.name!r}, both alive at step {step}",
            where=_where(a),
        )


def _where(buffer: Buffer) -> str:
    return f"buffer {buffer.name!r}"
