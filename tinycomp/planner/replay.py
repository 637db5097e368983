"""The independent check of a row plan: play the tasks on an arena that remembers who wrote each byte.

Shares nothing with the code that plans. It proves that every row is written before it is read, and read before
anything has overwritten it, and that nothing lies outside the arena.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinycomp.planner.check import PlannerError

NOBODY = -1


@dataclass(frozen=True)
class Span:
    """Bytes [at, at + size) that hold value `owner`, an id that the caller gives meaning to by `name`."""

    owner: int
    at: int
    size: int
    name: str


@dataclass(frozen=True)
class Act:
    """What one task does: reads, uses as scratch, writes."""

    name: str
    reads: tuple[Span, ...]
    scratch: tuple[Span, ...]
    writes: tuple[Span, ...]


def replay(arena: int, given: Iterable[Span], acts: Sequence[Act], wanted: Iterable[Span]) -> None:
    """Raise PlannerError at the first act that reads a byte which does not hold the row it should.

    given: what the caller has written before the run. wanted: what the caller reads after it.
    """
    owner = np.full(arena, NOBODY, np.int64)
    for span in given:
        _inside(span, arena, "the caller")
        owner[span.at : span.at + span.size] = span.owner
    for act in acts:
        for span in (*act.reads, *act.scratch, *act.writes):
            _inside(span, arena, act.name)
        _holds(owner, act.reads, act.name)
        _apart(act.scratch, act.reads, act.name)
        _apart(act.scratch, act.writes, act.name)
        for span in act.scratch:
            owner[span.at : span.at + span.size] = span.owner
        for span in act.writes:
            owner[span.at : span.at + span.size] = span.owner
    _holds(owner, wanted, "the caller")


def _inside(span: Span, arena: int, who: str) -> None:
    if span.at < 0 or span.at + span.size > arena:
        raise PlannerError(
            f"{span.name} is at [{span.at}, {span.at + span.size}) in an arena of {arena} bytes", where=who
        )


def _holds(owner: np.ndarray[tuple[int], np.dtype[np.int64]], spans: Iterable[Span], who: str) -> None:
    for span in spans:
        held = owner[span.at : span.at + span.size]
        wrong = np.flatnonzero(held != span.owner)
        if wrong.size:
            found = int(held[wrong[0]])
            what = "nothing yet" if found == NOBODY else f"value {found}"
            raise PlannerError(
                f"{span.name} should hold value {span.owner}, but byte {span.at + int(wrong[0])} holds {what}",
                where=who,
            )


def _apart(some: Sequence[Span], others: Sequence[Span], who: str) -> None:
    for a in some:
        for b in others:
            if a.owner != b.owner and a.at < b.at + b.size and b.at < a.at + a.size:
                raise PlannerError(f"{a.name} and {b.name} share bytes in one task", where=who)
