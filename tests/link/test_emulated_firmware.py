"""The emitted application on every emulated core: it prints, works through a file of requests, talks over a pty."""

from __future__ import annotations

import os
import pty
import random
import shutil
import subprocess
import tty
from pathlib import Path

import pytest

from tests import firmware, support
from tests.link.devices import Noisy
from tinycomp.harness import batch, messages
from tinycomp.harness.link import Link, Patience, run_cases
from tinycomp.harness.wire import FileWire
from tinycomp.target import Board, load_boards

EMULATED = [board for board in load_boards().values() if board.emulated]
ONE_OF_EACH = ("emu_cortex_m4", "emu_riscv32", "emu_xtensa")
every_core = pytest.mark.parametrize("board", EMULATED, ids=[board.id for board in EMULATED])


@pytest.fixture(scope="module")
def reference() -> tuple[list[list[support.Array]], list[list[support.Array]]]:
    """Inputs of the convolution, and what its C answers natively."""
    graph = firmware.convolution()
    cases = support.random_inputs(graph, cases=4)
    return cases, support.emitted(graph, cases)


def needs_tools(board: Board) -> None:
    """Skip where the compiler or the emulator is missing."""
    assert board.emulator
    for tool in (board.core.compiler, board.emulator.program):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def built(board: Board, folder: Path) -> Path:
    """The convolution's firmware for the board."""
    needs_tools(board)
    return firmware.elf(firmware.emitted(firmware.convolution(), folder, "NET_PROFILE"), board, folder)


def run(board: Board, program: Path, *more: str) -> subprocess.CompletedProcess[bytes]:
    """One run in the firmware's own folder."""
    command = firmware.qemu(board, program, more=more)
    return subprocess.run(command, cwd=program.parent, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


@support.needs_cc
@every_core
def test_it_prints_its_first_inference_or_works_through_a_file_of_requests(board: Board, reference, tmp_path: Path):
    program = built(board, tmp_path)
    cases, wanted = reference
    alone = run(board, program)
    assert alone.stdout.startswith(b"output 0: ")
    assert (alone.stdout.count(b"\n"), alone.stderr, alone.returncode) == (1, b"", 0)

    (size,) = (array.nbytes for array in wanted[0])
    script = (messages.hello(), *(messages.inference([x.tobytes() for x in case], (size,)) for case in cases),
              messages.layers(1), messages.stack())  # fmt: skip
    (tmp_path / "tinycomp.in").write_bytes(batch.script(script))
    ticks: list[list[int]] = []
    for _ in range(2):
        done = run(board, program, "-icount", "shift=0")
        assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)
        hello, *answers, layers, stack = batch.results(script, (tmp_path / "tinycomp.out").read_bytes())
        assert [answer.outputs[0] for answer in answers] == [answer[0].tobytes() for answer in wanted]
        ticks.append([answer.ticks for answer in answers])
    # A timer is read at any phase of its tick; RISC-V's counter counts instructions.
    slack = 0 if "riscv" in board.core.features else 1
    assert all(abs(a - b) <= slack for a, b in zip(*ticks, strict=True))
    assert min(ticks[0]) > 100
    assert (hello.model, hello.inputs, hello.outputs) == ("net", (432,), (size,))
    assert [layer.name for layer in layers] == ["conv2d_0"]
    assert 0 < layers[0].ticks <= answers[-1].ticks + slack
    assert 64 <= stack < 1024


@support.needs_cc
@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize("board", [b for b in EMULATED if b.id in ONE_OF_EACH], ids=lambda board: board.id)
def test_it_talks_over_a_pty_quiet_or_noisy(board: Board, seed: int | None, reference, tmp_path: Path):
    """An emulated board has no clock to give up a damaged frame, so this needs the host's flush."""
    program = built(board, tmp_path)
    cases, wanted = reference
    master, slave = pty.openpty()
    tty.setraw(slave)
    with subprocess.Popen(
        firmware.qemu(board, program, serve=True), stdin=slave, stdout=slave, cwd=tmp_path
    ) as process:
        os.close(slave)
        try:
            wire = Noisy(FileWire(master, master, "pty"), 0.0 if seed is None else 0.001, random.Random(seed))
            with Link(wire, Patience(reply=0.3, tries=60, greeting=20, greeting_reply=0.3)) as link:
                link.require("net", firmware.SHA256, firmware.convolution())
                found, _ = run_cases(link, firmware.convolution(), cases)
            for answer, expected in zip(found, wanted, strict=True):
                support.same(answer, expected, board.id)
            assert process.wait(20) == 0  # the line is closed: nothing more will come
        finally:
            process.kill()


def test_a_model_that_refuses_to_start_ends_the_emulator_with_a_status(tmp_path: Path):
    board = next(b for b in EMULATED if b.id == "emu_cortex_m4")
    needs_tools(board)
    done = run(board, firmware.elf(firmware.stub("STUB_REFUSES"), board, tmp_path))
    assert (done.stdout, done.stderr, done.returncode) == (b"kws: status 1\n", b"", 1)
