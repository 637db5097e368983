"""What the tests of the link share: a model's answers, patience, and lines that are noisy or not ours."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests import firmware
from tinycomp.harness.link import Link, Patience
from tinycomp.harness.wire import Wire
from tinycomp.target import load_board

BOARD = load_board("esp32")
# Short waits: a request that is lost costs one of them. The firmware itself waits 100 ms for the rest of a frame.
QUICK = Patience(reply=0.15, tries=100, greeting=10, greeting_reply=0.15, inference=20)
# For what is expected to fail.
HASTY = Patience(reply=0.1, tries=3, greeting=0.4, greeting_reply=0.1, inference=0.6)
X = bytes(range(1, 13))
Y = struct.pack("<2f", 1.5, -3)
INPUTS = (X, Y)


def expected(inferences: int, inputs: tuple[bytes, ...] = INPUTS) -> tuple[bytes, ...]:
    """What stubs/kws.c answers."""
    x = np.frombuffer(inputs[0], np.int8).astype(int)
    y = struct.unpack("<2f", inputs[1]) if len(inputs) > 1 else (0.0, 0.0)
    first = (np.resize(x, 300) + np.arange(300)).astype(np.int8).tobytes()
    total = int(x.sum())
    return first, struct.pack("<2f", 2 * y[0], 2 * y[1]), struct.pack("<4i", total, 2 * total, 3 * total, inferences)


@contextmanager
def device(program: Path, patience: Patience = QUICK) -> Iterator[Link]:
    """A link to a process."""
    with firmware.running([program]) as (_, wire), Link(wire, patience) as link:
        yield link


@dataclass
class Noisy:
    """A wire on which bytes are dropped, doubled or changed at random in both directions, the 40th in any case."""

    inner: Wire
    rate: float
    rng: random.Random
    name: str = "noisy"
    seen: int = 0

    def _harm(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            self.seen += 1
            if self.rng.random() >= self.rate and (self.seen != 40 or not self.rate):
                out.append(byte)
                continue
            out += {0: b"", 1: bytes([byte, byte]), 2: bytes([byte ^ self.rng.randint(1, 255)])}[self.rng.randrange(3)]
        return bytes(out)

    def send(self, data: bytes) -> None:
        self.inner.send(self._harm(data))

    def receive(self, timeout: float) -> bytes:
        return self._harm(self.inner.receive(timeout))

    def close(self) -> None:
        self.inner.close()


class Twice:
    """A wire that delivers everything that is sent twice."""

    name = "twice"

    def __init__(self, inner: Wire) -> None:
        self.inner = inner

    def send(self, data: bytes) -> None:
        self.inner.send(data)
        self.inner.send(data)

    def receive(self, timeout: float) -> bytes:
        return self.inner.receive(timeout)

    def close(self) -> None:
        self.inner.close()


@dataclass
class Scripted:
    """A wire whose other end says the same thing again and again, or echoes."""

    says: bytes = b""
    echo: bool = False
    pending: bytes = b""
    name: str = "scripted"

    def send(self, data: bytes) -> None:
        if self.echo:
            self.pending += data

    def receive(self, timeout: float) -> bytes:
        data, self.pending = self.says + self.pending, b""
        time.sleep(0.01 if data else min(timeout, 0.05))
        return data

    def close(self) -> None:
        self.says = b""
