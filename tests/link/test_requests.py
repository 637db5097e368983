"""Whatever bytes arrive, the firmware answers each request rightly and writes nowhere else."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import firmware, support
from tests.link.devices import INPUTS, X, device, expected
from tinycomp.harness import messages
from tinycomp.harness.frames import REPLY, SYNC, Decoder, Frame, encode
from tinycomp.harness.wire import Wire

pytestmark = support.needs_cc


hostile = st.one_of(
    st.binary(max_size=400),
    st.just(SYNC),
    st.just(SYNC + b"\2\0\0\0\1" + bytes(30)),  # says that 256 bytes follow
    st.builds(lambda data: encode(Frame(3, 7, data))[:-3], st.binary(max_size=50)),
    st.builds(encode, st.builds(Frame, st.integers(0, 255), st.integers(0, 65_535), st.binary(max_size=256))),
    st.builds(
        lambda index, offset, data: encode(Frame(messages.LOAD_INPUT, 9, struct.pack("<BI", index, offset) + data)),
        st.integers(0, 255), st.sampled_from([0, 1, 11, 12, 13, 0x7FFF_FFFF, 0xFFFF_FFFF]), st.binary(max_size=20),
    ),
    st.builds(
        lambda index, offset, count: encode(Frame(messages.READ_OUTPUT, 9, struct.pack("<BIH", index, offset, count))),
        st.integers(0, 255), st.sampled_from([0, 299, 300, 301, 0xFFFF_FFFF]), st.sampled_from([0, 1, 255, 256]),
    ),
)  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "pushed"])
def test_nothing_that_is_sent_can_harm_the_firmware(programs: dict[str, Path], kind: str):
    """The process runs under AddressSanitizer, and every request is answered rightly afterwards."""
    inputs = INPUTS if kind == "plain" else INPUTS[:1]
    with device(programs[kind]) as link:
        wire = link._wire  # what is sent here is no request

        @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(st.lists(hostile, max_size=4))
        def attack(attacks: list[bytes]) -> None:
            wire.send(b"".join(attacks))
            link.hello()
            assert link.run(inputs).outputs == expected(1, inputs)

        attack()


def ask(wire: Wire, command: int, payload: bytes = b"", sequence: int = 1) -> messages.Reply:
    """One request by hand, its reply."""
    wire.send(encode(Frame(command, sequence, payload)))
    decoder = Decoder()
    while data := wire.receive(10):
        for frame in decoder.feed(data):
            if (frame.type, frame.sequence) == (command | REPLY, sequence):
                return messages.Reply(frame.payload[0], frame.payload[1:])
    raise AssertionError("no reply")


LOAD0 = struct.pack("<BI", 0, 0)
CASES = [
    (messages.HELLO, b"", messages.BAD_ARGUMENT),
    (messages.HELLO, struct.pack("<H", 5), messages.BAD_ARGUMENT),
    (messages.HELLO, struct.pack("<H", 4), messages.OK),
    (messages.LOAD_INPUT, b"\0\0\0\0", messages.BAD_ARGUMENT),
    (messages.LOAD_INPUT, struct.pack("<BI", 2, 0) + b"x", messages.BAD_ARGUMENT),
    (messages.LOAD_INPUT, LOAD0 + bytes(13), messages.BAD_ARGUMENT),
    (messages.LOAD_INPUT, LOAD0 + bytes(12), messages.OK),
    (messages.LOAD_INPUT, struct.pack("<BI", 0, 4) + bytes(4), messages.NOT_READY),
    (messages.LOAD_INPUT, struct.pack("<BI", 0, 0xFFFF_FFFF) + bytes(4), messages.BAD_ARGUMENT),
    (messages.INVOKE, b"", messages.NOT_READY),
    (messages.READ_OUTPUT, struct.pack("<BIH", 0, 0, 10), messages.NOT_READY),
    (messages.READ_OUTPUT, struct.pack("<BIH", 3, 0, 10), messages.BAD_ARGUMENT),
    (messages.READ_OUTPUT, struct.pack("<BIH", 0, 0, 256), messages.BAD_ARGUMENT),
    (messages.READ_OUTPUT, struct.pack("<BIH", 0, 296, 5), messages.BAD_ARGUMENT),
    (messages.LAYER, struct.pack("<H", 2), messages.BAD_ARGUMENT),
    (messages.LAYER, struct.pack("<H", 1), messages.UNSUPPORTED),
    (messages.STACK, b"", messages.UNSUPPORTED),
    (0x55, b"", messages.UNKNOWN_COMMAND),
    (0x00, b"", messages.UNKNOWN_COMMAND),
]  # fmt: skip


@pytest.mark.parametrize(("command", "payload", "status"), CASES)
def test_each_fault_has_its_status(programs: dict[str, Path], command: int, payload: bytes, status: int):
    with firmware.running([programs["plain"]]) as (_, wire):
        assert ask(wire, command, payload).status == status
        wire.close()


def test_inputs_are_gone_after_an_inference_and_outputs_once_new_inputs_come(programs: dict[str, Path]):
    read = struct.pack("<BIH", 0, 0, 10)
    with firmware.running([programs["plain"]]) as (_, wire):
        for index, data in enumerate(INPUTS):
            assert ask(wire, messages.LOAD_INPUT, struct.pack("<BI", index, 0) + data, 1 + index).status == messages.OK
        assert ask(wire, messages.INVOKE, sequence=3).status == messages.OK
        assert ask(wire, messages.READ_OUTPUT, read, 4).body == expected(1)[0][:10]
        assert ask(wire, messages.INVOKE, sequence=3).status == messages.OK  # a repetition
        assert ask(wire, messages.INVOKE, sequence=5).status == messages.NOT_READY
        assert ask(wire, messages.LOAD_INPUT, LOAD0 + X, 6).status == messages.OK
        assert ask(wire, messages.READ_OUTPUT, read, 7).status == messages.NOT_READY
        wire.close()


def test_a_damaged_frame_is_refused_at_once(programs: dict[str, Path]):
    with firmware.running([programs["plain"]]) as (_, wire):
        damaged = bytearray(encode(Frame(messages.STACK, 77, b"")))
        damaged[3] ^= 1
        wire.send(bytes(damaged))
        decoder, found = Decoder(), []
        while not found:
            found = decoder.feed(wire.receive(1))
        assert found == [Frame(REPLY, 0, bytes([messages.BAD_CRC]))]
        wire.close()
