"""A device that is another, hangs, fails, restarts or is none at all: each is named within its time."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests import firmware, support
from tests.firmware import OUTPUT_BYTES, SHA256
from tests.link.devices import HASTY, INPUTS, QUICK, Scripted, X, Y, device, expected
from tinycomp.errors import DeviceError
from tinycomp.harness import link as harness_link
from tinycomp.harness import messages
from tinycomp.harness.frames import MAX_FRAME, REPLY, SYNC, Frame, encode
from tinycomp.harness.link import Link, Patience
from tinycomp.ir import Graph

pytestmark = support.needs_cc


def graph_like_the_stub(output_bytes: int = 300) -> Graph:
    """Only its inputs and outputs matter."""
    x, y = support.activation("x", (12,)), support.activation("y", (2,), "float32")
    outs = (support.activation("a", (output_bytes,)), support.activation("b", (2,), "float32"),
            support.activation("c", (4,), "int32"))  # fmt: skip
    return Graph("stub", {t.name: t for t in (x, y, *outs)}, (), ("x", "y"), ("a", "b", "c"))


def test_another_models_firmware_is_refused(programs: dict[str, Path]):
    with device(programs["plain"]) as link:
        assert link.require("kws", SHA256, graph_like_the_stub()).model == "kws"
        with pytest.raises(
            DeviceError, match=r"holds another model: 'kws' with SHA-256 abababababab.*'vww' with cdcd.*flash"
        ) as caught:
            link.require("vww", "cd" * 32, graph_like_the_stub())
        assert caught.value.exit_status == 2
        with pytest.raises(DeviceError, match=r"outputs have \[300, 8, 16\] bytes, this build's \[200, 8, 16\]"):
            link.require("kws", SHA256, graph_like_the_stub(200))
        with pytest.raises(DeviceError, match=r"takes inputs of \[12, 8\] bytes, not \[12, 9\]"):
            link.run((X, Y + b"!"))


def test_a_firmware_that_hangs_is_named_within_the_time(programs: dict[str, Path]):
    with device(programs["faulty"], HASTY) as link:
        assert link.run(INPUTS).outputs == expected(1)
        start = time.monotonic()
        with pytest.raises(DeviceError, match=r"INVOKE.*the firmware hangs"):
            link.run((b"\x42" * 12, Y))
        with pytest.raises(DeviceError, match="stopped answering"):
            link.reset()
    assert time.monotonic() - start < 5


def test_a_model_that_fails_is_named(programs: dict[str, Path]):
    with device(programs["faulty"]) as link:
        with pytest.raises(
            DeviceError, match=r"INVOKE: the firmware reports that the model failed with ERROR_BAD_ARGUMENT"
        ):
            link.run((b"\x43" * 12, Y))
        assert link.run(INPUTS).outputs == expected(1)


def test_a_device_that_starts_again_in_the_middle_is_noticed(programs: dict[str, Path]):
    inputs = (X, Y)
    with firmware.running([programs["plain"]]) as (_, first), firmware.running([programs["plain"]]) as (_, second):
        link = Link(first, QUICK)
        link.hello()
        exchange = messages.inference(inputs, OUTPUT_BYTES)
        link.exchange(messages.Exchange(exchange.requests[:3], lambda replies: None))  # everything loaded
        link._wire = second  # the reset
        with pytest.raises(DeviceError, match="INVOKE: the firmware has lost the inputs; it has started again"):
            link.exchange(messages.Exchange(exchange.requests[3:], lambda replies: None))
        first.close()
        second.close()


def test_a_device_that_goes_away_is_noticed(programs: dict[str, Path]):
    with firmware.running([programs["plain"]]) as (process, wire), Link(wire, QUICK) as link:
        link.hello()
        process.kill()
        process.wait()
        with pytest.raises(DeviceError, match="connection was lost"):
            link.run(INPUTS)


def greeting(body: bytes) -> bytes:
    """An answer to HELLO with sequence number 1."""
    return encode(Frame(messages.HELLO | REPLY, 1, bytes([messages.OK]) + body))


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (Scripted(), r"scripted: nothing answers \(waited 0 s\); flash the firmware"),
        (Scripted(b"login: "), r"something else talks there: it sent b'login: login: .*…"),
        (Scripted(bytes([0x80, 0xF5, 0xFA, 0x81])), "something else talks there"),
        (Scripted(echo=True), "everything that is sent comes back"),
        (Scripted(greeting(b"\x02abc")), "version 2 of the protocol.*flash again"),
        (Scripted(greeting(b"\x01abc")), "wrong length"),
        (Scripted(greeting(b"")), "wrong length"),
        (Scripted(encode(Frame(messages.HELLO | REPLY, 1, bytes([messages.UNKNOWN_COMMAND])))), "does not know it"),
        (Scripted(encode(Frame(messages.HELLO | REPLY, 1, b"\x63"))), "unknown status 99"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_device_of_ours_is_named_and_never_waited_for(wire: Scripted, message: str):
    start = time.monotonic()
    with pytest.raises(DeviceError, match=message):
        Link(wire, HASTY, sequence=0).hello()
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_no_device(seed: int):
    rng = random.Random(seed)
    with pytest.raises(DeviceError):
        Link(Scripted(rng.randbytes(64)), Patience(reply=0.02, tries=2, greeting=0.05, greeting_reply=0.02)).hello()


def test_the_flush_is_as_long_as_any_frame_may_be():
    assert len(harness_link._FLUSH) == MAX_FRAME
    assert not set(harness_link._FLUSH) & set(SYNC)
