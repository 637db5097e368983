"""The emitted application and the host talk over a line that drops, doubles and corrupts bytes, or is not ours."""

from __future__ import annotations

import os
import pty
import random
import struct
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import firmware, support
from tests.firmware import OUTPUT_BYTES, SHA256
from tinycomp.errors import DeviceError, ToolMissing
from tinycomp.harness import batch, messages, native
from tinycomp.harness.frames import MAX_FRAME, REPLY, SYNC, Decoder, Frame, encode
from tinycomp.harness.link import Link, Patience, run_cases
from tinycomp.harness.wire import FileWire, Wire, open_port, ports
from tinycomp.ir import Graph
from tinycomp.target import load_board

pytestmark = support.needs_cc
BOARD = load_board("esp32")
# Short waits: a request that is lost costs one of them. The firmware itself waits 100 ms for the rest of a frame.
QUICK = Patience(reply=0.15, tries=100, greeting=10, greeting_reply=0.15, inference=20)
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


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The firmware as processes, by kind."""
    kinds = {
        "plain": firmware.stub(),
        "profiled": firmware.stub("KWS_PROFILE"),
        "faulty": firmware.stub("STUB_FAULTS"),
        "pushed": firmware.stub("KWS_PROFILE", push=True),
    }
    return {
        kind: firmware.host_program(model, BOARD, "arduino", tmp_path_factory.mktemp(kind), reference_port=True)
        for kind, model in kinds.items()
    }


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


@contextmanager
def device(program: Path, patience: Patience = QUICK) -> Iterator[Link]:
    """A link to a process."""
    with firmware.running([program]) as (_, wire), Link(wire, patience) as link:
        yield link


def test_a_device_says_what_it_is(programs: dict[str, Path]):
    with device(programs["plain"]) as link:
        hello = link.hello()
    assert (hello.tool_version, hello.model, hello.sha256, hello.arena) == ("0.1.0", "kws", SHA256, 256)
    assert (hello.inputs, hello.outputs, hello.tensors) == ((12, 8), OUTPUT_BYTES, 5)
    assert (hello.layers, hello.ticks_per_second, hello.profiled, hello.push) == (2, 1_000_000, False, False)


def test_inferences_give_the_models_answers_and_state_is_kept_or_reset(programs: dict[str, Path]):
    other = (bytes(range(100, 112)), struct.pack("<2f", 0, 8))
    with device(programs["plain"]) as link:
        assert link.run(INPUTS).outputs == expected(1)
        assert link.run(other, reset=False).outputs == expected(2, other)
        assert link.run(INPUTS).outputs == expected(1)
        assert link.stack() is None


def test_the_emitted_library_answers_as_it_does_natively(tmp_path: Path):
    graph = firmware.convolution()
    cases = support.random_inputs(graph, cases=5)
    model = firmware.emitted(graph, tmp_path)
    wanted, _ = native.run(native.compile_library(tmp_path, "net", graph, tmp_path), graph, cases)
    program = firmware.host_program(model, BOARD, "arduino", tmp_path / "app", reference_port=True)
    with firmware.running([program]) as (_, wire):
        noisy = Noisy(wire, 0.0005, random.Random(5))
        with Link(noisy, QUICK) as link:
            link.require("net", SHA256, graph)
            found, ticks = run_cases(link, graph, cases)
    assert noisy.seen > 40
    assert len(ticks) == len(cases)
    for answer, reference in zip(found, wanted, strict=True):
        support.same(answer, reference, "device")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [0.0005, 0.003])
@pytest.mark.parametrize("kind", ["plain", "pushed"])
def test_every_inference_is_right_and_runs_once_on_a_noisy_line(
    programs: dict[str, Path], kind: str, rate: float, seed: int
):
    inputs = INPUTS if kind == "plain" else INPUTS[:1]
    with firmware.running([programs[kind]]) as (_, wire):
        noisy = Noisy(wire, rate, random.Random(seed))
        with Link(noisy, QUICK, sequence=65_530) as link:
            link.reset()
            for count in range(1, 5):
                assert link.run(inputs, reset=False).outputs == expected(count, inputs)
    assert noisy.seen > 40


@pytest.mark.parametrize("seed", range(3))
def test_a_line_that_is_too_bad_gives_right_answers_or_an_error_and_no_hang(programs: dict[str, Path], seed: int):
    impatient = Patience(reply=0.1, tries=3, greeting=0.5, greeting_reply=0.1, inference=0.5)
    start = time.monotonic()
    failures = 0
    with firmware.running([programs["plain"]]) as (_, wire):
        link = Link(Noisy(wire, 0.02, random.Random(seed)), impatient)
        for _ in range(5):
            try:
                assert link.run(INPUTS).outputs == expected(1)
            except DeviceError:
                failures += 1
        link.close()
    assert failures > 0
    assert time.monotonic() - start < 30


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


@pytest.mark.parametrize("kind", ["plain", "pushed"])
def test_a_request_that_arrives_twice_is_carried_out_once(programs: dict[str, Path], kind: str):
    inputs = INPUTS if kind == "plain" else INPUTS[:1]
    with firmware.running([programs[kind]]) as (_, wire), Link(Twice(wire), QUICK) as link:
        link.reset()
        for count in range(1, 4):
            assert link.run(inputs, reset=False).outputs == expected(count, inputs)


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


def test_a_profiled_firmware_names_its_layers_and_counts_their_ticks(programs: dict[str, Path]):
    for kind, inputs in (("profiled", INPUTS), ("pushed", INPUTS[:1])):
        with device(programs[kind]) as link:
            link.run(inputs)
            layers = link.profile()
            assert link.hello().profiled
        assert [layer.name for layer in layers] == ["first", 'second, with a "long" name']
        assert all(0 <= layer.ticks < 1_000_000 for layer in layers)


def test_an_ordinary_firmware_says_how_to_get_ticks(programs: dict[str, Path]):
    with device(programs["plain"]) as link, pytest.raises(DeviceError, match="-DKWS_PROFILE"):
        link.profile()


def test_a_model_with_many_tensors_tells_all_their_sizes(tmp_path: Path):
    """More than fit into one answer."""
    outputs = "".join(
        f"#define KWS_OUTPUT{i}_{macro}\n"
        for i in range(40)
        for macro in (f"BYTES {i + 1}", f"ELEMENTS {i + 1}", "TYPE int8_t")
    )
    text = (firmware.STUBS / "kws.h").read_text().replace("#define KWS_NUM_OUTPUTS 3", "#define KWS_NUM_OUTPUTS 40")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("#define KWS_OUTPUT")]
    (tmp_path / "kws.h").write_text("".join(lines).replace("typedef enum", f"{outputs}\ntypedef enum", 1))
    (tmp_path / "kws.c").write_text(
        (firmware.STUBS / "kws.c")
        .read_text()
        .replace("KWS_OUTPUT0_ELEMENTS", "300")
        .replace("(const void *)output2 : NULL", "(const void *)output2 : (const void *)output0")
    )
    model = firmware.Model("kws", tmp_path, (tmp_path / "kws.c",), firmware.INPUTS, ("int8",) * 40)
    program = firmware.host_program(model, BOARD, "arduino", tmp_path / "app", reference_port=True)
    with device(program) as link:
        hello = link.hello()
    assert (hello.inputs, hello.outputs) == ((12, 8), tuple(range(1, 41)))


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


HASTY = Patience(reply=0.1, tries=3, greeting=0.4, greeting_reply=0.1, inference=0.6)


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


# Serial ports proper: pyserial, on pseudo-terminals.


@contextmanager
def on_a_pty(program: Path, seed: int | None = None) -> Iterator[str]:
    """A process behind a port; the line between is noisy where a seed is given. Yields the port's path."""
    pytest.importorskip("serial", reason="pyserial is not installed")
    rng = random.Random(seed)
    with firmware.running([program]) as (_, process):
        line = Noisy(process, 0.0 if seed is None else 0.001, rng)
        master, slave = pty.openpty()
        tty.setraw(slave)
        here = Noisy(FileWire(master, master), 0.0, rng)
        done = threading.Event()

        def carry(source: Noisy, target: Noisy) -> None:
            while not done.is_set():
                try:
                    data = source.receive(0.05)
                    if data:
                        target.send(data)
                except DeviceError:
                    return

        carriers = [threading.Thread(target=carry, args=pair, daemon=True) for pair in ((line, here), (here, line))]
        for carrier in carriers:
            carrier.start()
        yield os.ttyname(slave)
        done.set()
        for carrier in carriers:
            carrier.join()
        os.close(slave)
        here.close()
        process.close()


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_serial_port_works_quiet_or_noisy(programs: dict[str, Path], seed: int | None):
    with on_a_pty(programs["plain"], seed) as port, Link(open_port(port), QUICK) as link:
        assert link.hello().model == "kws"
        for _ in range(3):
            assert link.run(INPUTS).outputs == expected(1)


def test_a_port_that_somebody_else_has_open_is_busy(programs: dict[str, Path]):
    with on_a_pty(programs["plain"]) as port:
        wire = open_port(port)
        with pytest.raises(DeviceError, match="the port is busy; close the serial monitor"):
            open_port(port)
        wire.close()
        open_port(port).close()


def test_a_port_that_does_not_exist_is_named_with_those_that_do(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("serial", reason="pyserial is not installed")
    with pytest.raises(DeviceError, match=r"/dev/ttyNONE: the port does not exist; (these exist|none exists)"):
        open_port("/dev/ttyNONE")
    monkeypatch.setattr("tinycomp.harness.wire.ports", lambda: ["/dev/ttyACM0", "/dev/ttyUSB1"])
    with pytest.raises(DeviceError, match="these exist: /dev/ttyACM0, /dev/ttyUSB1"):
        open_port("/dev/ttyNONE")
    assert isinstance(ports(), list)


def test_a_file_is_no_port(tmp_path: Path):
    pytest.importorskip("serial", reason="pyserial is not installed")
    (tmp_path / "file").write_text("x")
    for name in (tmp_path / "file", tmp_path):
        with pytest.raises(DeviceError, match="this is no serial port"):
            open_port(str(name))


def test_a_port_may_be_forbidden(monkeypatch: pytest.MonkeyPatch):
    serial = pytest.importorskip("serial", reason="pyserial is not installed")

    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(13, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(DeviceError, match=r"may not be opened by you.*dialout"):
        open_port("/dev/ttyUSB0")


def test_a_looped_back_port_is_named():
    pytest.importorskip("serial", reason="pyserial is not installed")
    with (
        Link(open_port("loop://"), HASTY) as link,
        pytest.raises(DeviceError, match="loop://: everything that is sent comes back"),
    ):
        link.hello()


def test_without_pyserial_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(ToolMissing, match=r"pip install 'tinycomp\[device\]'") as caught:
        open_port("/dev/ttyUSB0")
    assert caught.value.exit_status == 4


def test_a_port_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tinycomp.harness.wire.WRITE_SECONDS", 0.2)
    reading, writing = os.pipe()
    wire = FileWire(reading, writing)
    with pytest.raises(DeviceError, match="took no data"):
        wire.send(bytes(1 << 20))
    wire.close()


# All requests in one file, all replies in another.

SCRIPT = (
    messages.hello(),
    *(messages.inference(INPUTS, OUTPUT_BYTES, reset=k == 0) for k in range(3)),
    messages.layers(2),
    messages.stack(),
)


def test_a_whole_conversation_goes_through_files(programs: dict[str, Path]):
    done = subprocess.run(
        [programs["profiled"]], input=batch.script(SCRIPT), capture_output=True, timeout=60, check=True
    )
    hello, *answers, layers, stack = batch.results(SCRIPT, done.stdout)
    assert hello.model == "kws"
    assert [answer.outputs for answer in answers] == [expected(k) for k in (1, 2, 3)]
    assert [layer.name for layer in layers][:1] == ["first"]
    assert stack is None


def test_a_conversation_that_ends_early_or_is_out_of_order_is_an_error(programs: dict[str, Path]):
    script = batch.script(SCRIPT)
    done = subprocess.run([programs["profiled"]], input=script, capture_output=True, timeout=60, check=True)
    with pytest.raises(DeviceError, match=r"stopped after \d+ of \d+ requests"):
        batch.results(SCRIPT, done.stdout[: len(done.stdout) // 2])
    with pytest.raises(DeviceError, match="out of order"):
        batch.results((messages.stack(), *SCRIPT), done.stdout)
    with pytest.raises(DeviceError, match="INVOKE: the firmware has lost the inputs"):
        batch.results((messages.Exchange((messages.Request(messages.INVOKE),), len),),
                      encode(Frame(messages.INVOKE | REPLY, 0, bytes([messages.NOT_READY]))))  # fmt: skip


def test_the_flush_is_as_long_as_any_frame_may_be():
    from tinycomp.harness import link

    assert len(link._FLUSH) == MAX_FRAME
    assert not set(link._FLUSH) & set(SYNC)
