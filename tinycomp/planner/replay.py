"""The independent check of a row plan: play the tasks on arenas that remember who wrote each byte.

Shares nothing with the code that plans. It proves that every row is written before it is read, and read before
anything has overwritten it, and that nothing lies outside its region's arena.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinycomp.planner.check import PlannerError

NOBODY = -1

_Owners = dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]


@dataclass(frozen=True)
class Span:
    """Bytes [at, at + size) of a region that hold value `owner`, an id that the caller gives meaning to by `name`."""

    owner: int
    at: int
    size: int
    name: str
    region: str


@dataclass(frozen=True)
class Act:
    """What one task does: reads, uses as scratch, writes."""

    name: str
    reads: tuple[Span, ...]
    scratch: tuple[Span, ...]
    writes: tuple[Span, ...]


def replay(arenas: Mapping[str, int], given: Iterable[Span], acts: Sequence[Act], wanted: Iterable[Span]) -> None:
    """Raise PlannerError at the first act that reads a byte which does not hold the row it should.

    arenas: bytes by region. given: what the caller has written before the run. wanted: what the caller reads after it.
    """
    owners: _Owners = {region: np.full(size, NOBODY, np.int64) for region, size in arenas.items()}
    _write(owners, given, "the caller")
    for act in acts:
        for span in (*act.reads, *act.scratch, *act.writes):
            _inside(span, owners, act.name)
        _holds(owners, act.reads, act.name)
        _apart(act.scratch, act.reads, act.name)
        _apart(act.scratch, act.writes, act.name)
        _write(owners, act.scratch, act.name)
        _write(owners, act.writes, act.name)
    _holds(owners, wanted, "the caller")


def _write(owners: _Owners, spans: Iterable[Span], who: str) -> None:
    for span in spans:
        _inside(span, owners, who)
        owners[span.region][span.at : span.at + span.size] = span.owner


def _inside(span: Span, owners: _Owners, who: str) -> None:
    arena = owners[span.region].size if span.region in owners else 0
    if span.at < 0 or span.at + span.size > arena:
        raise PlannerError(
            f"{span.name} is at [{span.at}, {span.at + span.size}) in an arena of {arena} bytes of {span.region}",
            where=who,
        )


def _holds(owners: _Owners, spans: Iterable[Span], who: str) -> None:
    for span in spans:
        _inside(span, owners, who)
        held = owners[span.region][span.at : span.at + span.size]
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
            meet = a.region == b.region and a.at < b.at + b.size and b.at < a.at + a.size
            if a.owner != b.owner and meet:
                raise PlannerError(f"{a.name} and {b.name} share bytes in one task", where=who)
