"""Serial ports proper, through pyserial on pseudo-terminals: missing, busy, forbidden, looped back, noisy."""

from __future__ import annotations

import os
import pty
import random
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import firmware, support
from tests.link.devices import HASTY, INPUTS, QUICK, Noisy, expected
from tinycomp.errors import DeviceError, ToolMissing
from tinycomp.harness.link import Link
from tinycomp.harness.wire import FileWire, open_port, ports

pytestmark = support.needs_cc


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
