"""A whole conversation at once, for an emulator that reads requests from one file and writes replies to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinycomp.errors import DeviceError
from tinycomp.harness.frames import REPLY, Decoder, Frame, encode
from tinycomp.harness.messages import Exchange, Reply, Request, check


def script(exchanges: Sequence[Exchange[Any]]) -> bytes:
    """Every request of the exchanges, in order, as the firmware reads them from tinycomp.in."""
    return b"".join(encode(frame) for frame, _ in _numbered(exchanges))


def results(exchanges: Sequence[Exchange[Any]], data: bytes) -> list[Any]:
    """What each exchange's `parse` makes of the replies in tinycomp.out; text between them is skipped.

    Raises DeviceError where a reply is missing (the firmware stopped) or is a refusal.
    """
    decoder = Decoder()
    frames = [f for f in (*decoder.feed(data), *decoder.flush()) if f.type & REPLY]
    replies: list[Reply] = []
    for k, (sent, request) in enumerate(_numbered(exchanges)):
        if k == len(frames):
            raise DeviceError(
                f"the firmware stopped after {k:,} of {sum(len(e.requests) for e in exchanges):,} requests",
                where=request.name,
                fix="a fault or an overflowing stack: look at what it printed",
            )
        got = frames[k]
        if (got.type, got.sequence) != (sent.type | REPLY, sent.sequence) or not got.payload:
            raise DeviceError(f"the replies are out of order: request {k} got {got}", where=request.name)
        replies.append(check(request, Reply(got.payload[0], got.payload[1:])))
    made: list[Any] = []
    at = 0
    for exchange in exchanges:
        made.append(exchange.parse(replies[at : at + len(exchange.requests)]))
        at += len(exchange.requests)
    return made


def _numbered(exchanges: Sequence[Exchange[Any]]) -> list[tuple[Frame, Request]]:
    requests = [request for exchange in exchanges for request in exchange.requests]
    return [(Frame(r.command, k & 0xFFFF, r.payload), r) for k, r in enumerate(requests)]
