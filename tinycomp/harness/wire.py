"""Byte streams to a device: a serial port (pyserial), or a pair of file descriptors (a pipe, a pty)."""

from __future__ import annotations

import errno
import os
import select
import time
from importlib import import_module
from typing import Any, Protocol

from tinycomp.errors import DeviceError, ToolMissing

BAUD = 115_200
WRITE_SECONDS = 5.0  # a port that takes nothing for so long is dead


class Wire(Protocol):
    """A stream of bytes in both directions."""

    @property
    def name(self) -> str:
        """The port, for messages."""
        ...

    def send(self, data: bytes) -> None:
        """Hand over all of it. Raises DeviceError where the other end has gone or takes nothing."""
        ...

    def receive(self, timeout: float) -> bytes:
        """Wait for a byte, at most so many seconds, and take what is there; b"" after silence. Raises DeviceError."""
        ...

    def close(self) -> None:
        """Give the port back."""
        ...


class FileWire:
    """Two file descriptors, which may be one. They are closed with the wire."""

    def __init__(self, reading: int, writing: int, name: str = "pipe") -> None:
        self._reading, self._writing, self._name = reading, writing, name
        os.set_blocking(writing, False)

    @property
    def name(self) -> str:
        """What the messages call it."""
        return self._name

    def send(self, data: bytes) -> None:
        """Write all of it. Raises DeviceError."""
        end = time.monotonic() + WRITE_SECONDS
        while data:
            left = end - time.monotonic()
            if left <= 0 or not select.select([], [self._writing], [], left)[1]:
                raise stuck(self._name)
            try:
                data = data[os.write(self._writing, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise gone(self._name, error) from None

    def receive(self, timeout: float) -> bytes:
        """Read what is there. Raises DeviceError."""
        if not select.select([self._reading], [], [], max(timeout, 0.0))[0]:
            return b""
        try:
            data = os.read(self._reading, 65_536)
        except OSError as error:  # a pty whose other end was closed says EIO
            raise gone(self._name, error) from None
        if not data:
            raise gone(self._name)
        return data

    def close(self) -> None:
        """Close both descriptors."""
        for descriptor in {self._reading, self._writing}:
            os.close(descriptor)


class SerialWire:
    """A port of pyserial."""

    def __init__(self, port: Any, name: str) -> None:
        self._port, self._name = port, name

    @property
    def name(self) -> str:
        """The port's path or URL."""
        return self._name

    def send(self, data: bytes) -> None:
        """Write all of it. Raises DeviceError."""
        serial = _pyserial()
        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            raise stuck(self._name) from None
        except OSError as error:
            raise gone(self._name, error) from None

    def receive(self, timeout: float) -> bytes:
        """Read what is there. Raises DeviceError."""
        try:
            self._port.timeout = max(timeout, 0.0)
            first: bytes = self._port.read(1)
            more: bytes = self._port.read(self._port.in_waiting) if first else b""
        except OSError as error:
            raise gone(self._name, error) from None
        return first + more

    def close(self) -> None:
        """Give the port back."""
        self._port.close()


def open_port(name: str, baud: int = BAUD) -> SerialWire:
    """Open a serial port (a path, `COM3`, or a URL of pyserial such as `socket://host:port`), for us alone.

    Raises DeviceError where it does not exist, is busy, may not be opened or is no serial port, each with its own fix;
    ToolMissing without pyserial.
    """
    serial = _pyserial()
    try:
        port: Any = serial.serial_for_url(name, baud, timeout=0, write_timeout=WRITE_SECONDS, exclusive=True)
        port.reset_input_buffer()
    except (OSError, ValueError) as error:  # SerialException is an OSError
        raise _cannot_open(name, error) from None
    return SerialWire(port, name)


def ports() -> list[str]:
    """The serial ports of this machine, sorted. Raises ToolMissing without pyserial."""
    _pyserial()
    return sorted(str(port.device) for port in import_module("serial.tools.list_ports").comports())


def _pyserial() -> Any:
    try:
        return import_module("serial")
    except ImportError:
        raise ToolMissing(
            "pyserial is not installed", where="serial port", fix="pip install 'tinycomp[device]'"
        ) from None


def _cannot_open(name: str, error: Exception) -> DeviceError:
    code, text = getattr(error, "errno", None), str(error)
    if code == errno.ENOENT or "FileNotFoundError" in text:
        found = ports()
        fix = f"these exist: {', '.join(found)}" if found else "none exists: plug the board in"
        return DeviceError("the port does not exist", where=name, fix=fix)
    if code == errno.EACCES:
        return DeviceError(
            "the port may not be opened by you",
            where=name,
            fix="join the group that owns it (sudo usermod -aG dialout $USER) and log in again",
        )
    if code in (errno.EBUSY, errno.EAGAIN) or "PermissionError" in text:
        return DeviceError("the port is busy", where=name, fix="close the serial monitor or whatever else has it open")
    return DeviceError(
        f"this is no serial port: {text}",
        where=name,
        fix="give the path of a serial port, such as /dev/ttyUSB0 or COM3",
    )


def gone(name: str, error: Exception | None = None) -> DeviceError:
    """The other end went away while we talked."""
    detail = f": {getattr(error, 'strerror', None) or error}" if error else ""
    return DeviceError(
        f"the connection was lost{detail}", where=name, fix="check the cable, and that the board does not reset"
    )


def stuck(name: str) -> DeviceError:
    """The other end takes no bytes."""
    return DeviceError(
        f"the port took no data for {WRITE_SECONDS:.0f} s", where=name, fix="unplug the board and plug it in again"
    )
