"""`--on device` and `flash`, with the firmware in QEMU playing the board on a pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import firmware as startup
from tests.emulated import needs_tools
from tests.test_build import tool
from tests.test_library import small, twins
from tinycomp.harness import firmware
from tinycomp.ir import Graph
from tinycomp.target import load_board
from tinycomp.tflite import writer

pytest.importorskip("serial", reason="pyserial is not installed")
BOARD = load_board("emu_cortex_m4")


def build(graph: Graph, folder: Path, name: str) -> Path:
    """A build folder for the emulated Cortex-M4."""
    model = folder / f"{name}.tflite"
    model.write_bytes(writer.write(graph))
    assert tool("build", model, "--board", BOARD.id, "--name", "net", "-o", folder / name).exit_code == 0
    return folder / name


@contextmanager
def board(directory: Path, scratch: Path) -> Iterator[str]:
    """The build's firmware, serving on a pseudo-terminal; yields the port's name."""
    needs_tools(BOARD)
    made = firmware.build(directory, BOARD, "net", scratch)
    master, slave = pty.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    with subprocess.Popen(
        startup.qemu(BOARD, made.elf, serve=True), stdin=master, stdout=master, cwd=scratch
    ) as process:
        try:
            yield os.ttyname(slave)
        finally:
            process.kill()
            os.close(slave)
            os.close(master)


def test_a_device_is_verified_run_and_profiled_over_its_port(tmp_path):
    directory = build(small(), tmp_path, "one")
    with board(directory, tmp_path) as port:
        done = tool("verify", directory, "--on", "device", "--port", port, "--cases", 4)
        assert done.exit_code == 0, done.stderr
        assert "4 inputs on device, outputs equal to the last bit" in done.stdout
        done = tool("profile", directory, "--on", "device", "--port", port, "--json")
        assert done.exit_code == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["ticks"] > 0


def test_a_device_with_another_models_firmware_is_named(tmp_path):
    one, two = build(small(), tmp_path, "one"), build(twins(), tmp_path, "two")
    with board(two, tmp_path) as port:
        done = tool("verify", one, "--on", "device", "--port", port, "--cases", 1)
    assert done.exit_code == 2
    assert "another model" in done.stderr
    assert "tinycomp flash" in done.stderr


def test_a_port_that_does_not_exist_is_named(tmp_path):
    done = tool("verify", build(small(), tmp_path, "one"), "--on", "device", "--port", "/dev/nowhere")
    assert done.exit_code == 2
    assert "/dev/nowhere: the port does not exist" in done.stderr


def test_a_folder_that_is_no_build_cannot_be_flashed(tmp_path):
    done = tool("flash", tmp_path)
    assert done.exit_code == 2
    assert "tinycomp build" in done.stderr
