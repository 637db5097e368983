"""Frames on a serial line: sync, type, sequence number, length, payload, CRC-32. docs/protocol.md describes them.

No input or output here: bytes become frames and frames bytes. The firmware's half is templates/project/frames.c.j2.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

SYNC = b"\xf5\xfa"  # neither byte occurs in UTF-8, so that printed text is never taken for a frame
MAX_PAYLOAD = 256
REPLY = 0x80  # added to the type of the request that is answered; alone: a damaged frame was received
_HEAD = struct.Struct("<BHH")  # type, sequence number, length of the payload
_HEADER = len(SYNC) + _HEAD.size
_CRC = struct.Struct("<I")
MAX_FRAME = _HEADER + MAX_PAYLOAD + _CRC.size


@dataclass(frozen=True)
class Frame:
    """One sound frame. type: a command, or REPLY + command. sequence: 16 bits, chosen by the host."""

    type: int
    sequence: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """The frame as it goes over the line. Raises ValueError where the payload is longer than 256 bytes."""
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(frame.payload)} bytes, at most {MAX_PAYLOAD} fit")
    covered = _HEAD.pack(frame.type, frame.sequence, len(frame.payload)) + frame.payload
    return SYNC + covered + _CRC.pack(zlib.crc32(covered))


class Decoder:
    """Finds frames in whatever arrives. Bytes that belong to none are counted and dropped.

    A damaged frame is given up one byte at a time, since a sound one may stand inside it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.noise = 0  # bytes dropped so far

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        self._buffer += data
        found: list[Frame] = []
        while (size := self._front()) is not None:
            if size <= len(self._buffer):
                self._take(size, found)
            else:
                break
        return found

    def flush(self) -> list[Frame]:
        """The line is silent: the frame that is not complete will never be. What stands whole inside it."""
        found: list[Frame] = []
        while (size := self._front()) is not None:
            if size <= len(self._buffer):
                self._take(size, found)
            else:
                self._drop(1)
        self._drop(len(self._buffer))
        return found

    def _front(self) -> int | None:
        """Size of the frame at the front, once noise is dropped; None where its header is not there yet."""
        while True:
            at = self._buffer.find(SYNC[0])
            self._drop(len(self._buffer) if at < 0 else at)
            if len(self._buffer) > 1 and self._buffer[1] != SYNC[1]:
                self._drop(1)
                continue
            if len(self._buffer) < _HEADER:
                return None
            length: int = _HEAD.unpack_from(self._buffer, len(SYNC))[2]
            if length <= MAX_PAYLOAD:
                return _HEADER + length + _CRC.size
            self._drop(1)

    def _take(self, size: int, found: list[Frame]) -> None:
        covered = bytes(self._buffer[len(SYNC) : size - _CRC.size])
        if zlib.crc32(covered) != _CRC.unpack_from(self._buffer, size - _CRC.size)[0]:
            self._drop(1)
            return
        kind, sequence, _ = _HEAD.unpack_from(covered)
        found.append(Frame(kind, sequence, covered[_HEAD.size :]))
        del self._buffer[:size]

    def _drop(self, count: int) -> None:
        self.noise += count
        del self._buffer[:count]
