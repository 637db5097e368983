"""The emulated boards: right answers on every core, faults named, memory limits kept, PlatformIO offline."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.emulated import BOARDS, EMULATED, every_core, folder_of, needs_tools, quiet
from tests.firmware import convolution
from tests.support import (
    SHARED,
    activation,
    constant,
    needs_shared,
    per_channel,
    quant,
    random_inputs,
    reference,
    same,
    single,
)
from tinycomp.cli import main
from tinycomp.emit.emulator import Span, emulator_files
from tinycomp.errors import BadInput, DoesNotFit, OutputsDiffer, ToolMissing, Unsupported
from tinycomp.harness import firmware, qemu, setup, tools
from tinycomp.harness.verify import verify_emulated
from tinycomp.ir import Graph
from tinycomp.ops.conv2d import Conv2D
from tinycomp.program import Recipe
from tinycomp.target import Board

M4 = BOARDS["emu_cortex_m4"]
TWINS = [board for board in BOARDS.values() if board.emulator and not board.emulated]
STACK_OVERFLOW = """
static int deep(int n, volatile char *p) { volatile char b[64]; b[0] = p[0]; return n ? deep(n - 1, b) + b[1] : 0; }
int tc_app_start(void) { char c = 1; return deep(100000, &c); }"""
PAST_RAM = "extern uint32_t _ram_end[]; int tc_app_start(void) { *(volatile uint32_t *)_ram_end = 5; return 0; }"
INTO_FLASH = "int tc_app_start(void) { *(volatile uint32_t *)((uintptr_t)&tc_app_start & ~3u) = 5; return 0; }"
NOWHERE = "int tc_app_start(void) { ((void (*)(void))(uintptr_t)0x12345679)(); return 0; }"
ENDLESS = "int tc_app_start(void) { for (volatile int i = 0;; i++) {} }"
# The vector table is nowhere, so that the fault cannot be handled.
LOCK_UP = (
    'int tc_app_start(void) { *(volatile uint32_t *)0xE000ED08 = 0x30000000; __asm__ volatile("udf #0"); return 0; }'
)


def wide(height: int, width: int) -> Graph:
    """A pointwise convolution whose input and output together need height * width * 12 bytes."""
    x = activation("x", (1, height, width, 4), "int8", quant(0.05))
    weights = constant("w", np.ones((8, 1, 1, 4), np.int8), per_channel([0.01] * 8))
    bias = constant("b", np.zeros(8, np.int32), per_channel([0.0005] * 8))
    return single(Conv2D((1, 1), (1, 1), (0, 0, 0, 0), "none"), [x, weights, bias], out_quant=quant(0.1))


def faulty(code: str, board: Board, folder: Path) -> firmware.Firmware:
    """Firmware whose application is that code."""
    needs_tools(board)
    folder_of(convolution(), board, folder)
    (folder / "src" / "main.c").write_text(
        f'#include <stdint.h>\n#include "port.h"\n{code}\nint tc_app_step(void) {{ return 0; }}\n'
    )
    (folder / "made").mkdir()
    return firmware.build(folder, board, "net", folder / "made")


@every_core
def test_a_convolution_on_every_core_equals_the_reference(board: Board, tmp_path: Path):
    needs_tools(board)
    graph = convolution()
    cases = random_inputs(graph, cases=5)
    ran = qemu.run_emulated(tmp_path, board, folder_of(graph, board, tmp_path), graph, cases)
    for k, (answer, case) in enumerate(zip(ran.outputs, cases, strict=True)):
        same(answer, reference(graph, case), f"{board.id}, case {k}")
    assert ran.stack_bytes is not None
    assert 64 < ran.stack_bytes < board.stack_bytes


@every_core
def test_rows_pushed_on_every_core_equal_the_reference(board: Board, tmp_path: Path):
    needs_tools(board)
    graph = convolution()
    cases = random_inputs(graph, cases=3)
    manifest = folder_of(graph, board, tmp_path, Recipe(stream="push"))
    ran = qemu.run_emulated(tmp_path, board, manifest, graph, cases)
    for k, (answer, case) in enumerate(zip(ran.outputs, cases, strict=True)):
        same(answer, reference(graph, case), f"{board.id}, case {k}")


@pytest.mark.parametrize("board", TWINS, ids=[board.id for board in TWINS])
def test_a_real_boards_build_runs_on_its_emulated_twin(board: Board, tmp_path: Path):
    needs_tools(board)
    graph = convolution()
    cases = random_inputs(graph, cases=2)
    done = verify_emulated(tmp_path, board, folder_of(graph, board, tmp_path), graph, graph, cases)
    assert done.cases == 2
    assert done.stack_bytes is not None


def test_a_board_without_an_emulator_is_refused_by_name(tmp_path: Path):
    graph, board = convolution(), BOARDS["esp32s3"]
    manifest = folder_of(graph, board, tmp_path)
    with pytest.raises(Unsupported, match=r"esp32s3.*no emulator"):
        qemu.run_emulated(tmp_path, board, manifest, graph, random_inputs(graph))


def test_a_changed_weight_is_found_on_the_emulator_and_its_layer_named(tmp_path: Path):
    needs_tools(M4)
    graph = convolution()
    manifest = folder_of(graph, M4, tmp_path)
    data = tmp_path / "lib/net/src/net_data.c"
    text = data.read_text()
    digits = re.search(r"\{\s*(-?\d+),", text)
    assert digits
    data.write_text(text[: digits.start(1)] + str(-int(digits[1]) // 2 + 1) + text[digits.end(1) :])
    with pytest.raises(OutputsDiffer, match=r"layer 0 .*tensor 'out' element"):
        verify_emulated(tmp_path, M4, manifest, graph, graph, random_inputs(graph))


@every_core
def test_a_stack_overflow_is_named(board: Board, tmp_path: Path):
    with pytest.raises(OutputsDiffer, match=rf"{board.id}: stack overflow.*stack of {board.stack_bytes:,} bytes"):
        qemu.run_firmware(faulty(STACK_OVERFLOW, board, tmp_path), convolution(), [])


@every_core
def test_a_write_past_ram_is_named_with_the_function(board: Board, tmp_path: Path):
    wanted = "hard fault" if board.id == "emu_cortex_m0" else "memory fault.*address 0x"
    with pytest.raises(OutputsDiffer, match=wanted) as caught:
        qemu.run_firmware(faulty(PAST_RAM, board, tmp_path), convolution(), [])
    assert re.search(r"at pc 0x[0-9a-f]{8} tc_app_start \(main\.c:3\)", str(caught.value))


# The nRF51 of the Cortex-M0 has no memory protection unit, the simulator of the Xtensa keeps code in RAM.
@pytest.mark.parametrize("board_id", sorted({b.id for b in EMULATED} - {"emu_cortex_m0", "emu_xtensa"}))
def test_a_write_into_flash_is_a_fault(board_id: str, tmp_path: Path):
    with pytest.raises(OutputsDiffer, match=r"memory fault.*flash at pc .* tc_app_start"):
        qemu.run_firmware(faulty(INTO_FLASH, BOARDS[board_id], tmp_path), convolution(), [])


@every_core
def test_a_jump_to_nowhere_is_a_fault(board: Board, tmp_path: Path):
    with pytest.raises(OutputsDiffer, match=r"(no code|hard fault).* at pc 0x1234567[89]"):
        qemu.run_firmware(faulty(NOWHERE, board, tmp_path), convolution(), [])


def test_firmware_that_hangs_is_stopped_at_the_time_limit(tmp_path: Path):
    made = faulty(ENDLESS, M4, tmp_path)
    start = time.monotonic()
    with pytest.raises(OutputsDiffer, match=r"did not finish in 0\.5 s, 0 of 4 inferences done"):
        qemu.run_firmware(made, convolution(), random_inputs(convolution()), timeout=0.5)
    assert time.monotonic() - start < 10


def test_a_lock_up_is_named(tmp_path: Path):
    with pytest.raises(OutputsDiffer, match="lock-up, a fault inside the fault handler"):
        qemu.run_firmware(faulty(LOCK_UP, M4, tmp_path), convolution(), [])


def test_a_model_too_large_for_the_ram_fails_at_link_with_the_regions_overflow(tmp_path: Path):
    board, graph = BOARDS["emu_cortex_m3"], wide(48, 48)
    needs_tools(board)
    manifest = folder_of(graph, board, tmp_path, Recipe(stream="off"))
    with pytest.raises(DoesNotFit, match=r"region RAM of 8,192 bytes overflowed by [\d,]+ when"):
        qemu.run_emulated(tmp_path, board, manifest, graph, random_inputs(graph))


def test_a_stack_too_small_is_measured_before_and_named_after(tmp_path: Path):
    needs_tools(M4)
    graph = convolution()
    manifest, cases = folder_of(graph, M4, tmp_path), random_inputs(graph)
    used = qemu.run_emulated(tmp_path, M4, manifest, graph, cases).stack_bytes
    assert used
    for size, fits in (((used + 263) // 8 * 8, True), ((used - 72) // 8 * 8, False)):
        if fits:
            qemu.run_emulated(tmp_path, M4, manifest, graph, cases, definitions=[f"STACK_SIZE={size}"])
        else:
            with pytest.raises(OutputsDiffer, match="stack overflow"):
                qemu.run_emulated(tmp_path, M4, manifest, graph, cases, definitions=[f"STACK_SIZE={size}"])


def test_c_that_does_not_compile_is_shown(tmp_path: Path):
    with pytest.raises(OutputsDiffer, match=r"does not compile(.|\n)*main.c"):
        faulty("int tc_app_start(void) { return nobody; }", M4, tmp_path)


@needs_shared
def test_the_command_line_verifies_and_runs_a_real_boards_build_on_the_emulator(tmp_path: Path):
    needs_tools(M4)
    out, inputs = tmp_path / "out", tmp_path / "x.npy"
    np.save(inputs, np.arange(-5, 5, dtype=np.int8).reshape(10, 1))
    model = str(SHARED / "models" / "hello_world_int8.tflite")
    answers: list[str] = []
    for command in (
        ["build", model, "--board", "nucleo_f446re", "-o", str(out)],
        ["verify", str(out), "--on", "emulator", "--cases", "5"],
        ["run", str(out), "--on", "emulator", "--inputs", str(inputs)],
        ["run", str(out), "--on", "native", "--inputs", str(inputs)],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        answers.append(done.output)
    assert re.search(r"5 inputs on emulator, outputs equal to the last bit; stack \d+ bytes", answers[1])
    assert answers[2] == answers[3]


@pytest.mark.parametrize("part", ["emulator/startup.c", "lib/net/library.json", "lib/net/src/net.c"])
def test_a_folder_with_files_missing_is_refused(part: str, tmp_path: Path):
    needs_tools(M4)
    graph = convolution()
    manifest = folder_of(graph, M4, tmp_path)
    (tmp_path / part).unlink()
    if part.endswith("net.c"):
        (tmp_path / "lib/net/src/net_data.c").unlink()
    with pytest.raises(BadInput, match="build"):
        qemu.run_emulated(tmp_path, M4, manifest, graph, random_inputs(graph))


@pytest.mark.parametrize(
    ("board", "missing", "package"),
    [
        ("emu_cortex_m4", "arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        ("emu_cortex_m4", "qemu-system-arm", "qemu-system-arm"),
        ("emu_riscv32", "qemu-system-riscv32", "qemu-system-misc"),
        ("emu_xtensa", "xtensa-lx106-elf-gcc", "gcc-xtensa-lx106 picolibc-xtensa-lx106-elf"),
    ],
)
def test_a_missing_tool_is_named_with_its_package(board: str, missing: str, package: str, tmp_path: Path, monkeypatch):
    graph = convolution()
    manifest = folder_of(graph, BOARDS[board], tmp_path)
    found = shutil.which
    monkeypatch.setattr(tools.shutil, "which", lambda name: None if name == missing else found(name) or name)
    with pytest.raises(ToolMissing, match=f"{missing} is not installed; apt-get install {package}"):
        qemu.run_emulated(tmp_path, BOARDS[board], manifest, graph, random_inputs(graph))


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_the_folder_of_the_emulator_is_whole_and_names_no_path(board: Board):
    files = emulator_files(board, "0.1.0", "0.1.0", "Apache-2.0")
    assert bool(files) == (board.emulator is not None)
    assert all(name.startswith("emulator/") for name in files)
    assert ("emulator/port_emulated.c" in files) == (board.emulator is not None and not board.emulated)
    for text in files.values():
        assert text.endswith("\n")
        assert not re.search(r"{{|{%|/home/|/tmp/|/root/|/work/", text)


@pytest.mark.parametrize(
    ("size", "power", "without"), [(8192, 13, 0), (196_608, 18, 0xC0), (327_680, 19, 0xE0), (1 << 22, 22, 0)]
)
def test_a_region_is_a_power_of_two_without_some_eighths(size: int, power: int, without: int):
    span = Span(0x2000_0000, size)
    assert (span.power, span.without) == (power, without)
    assert (8 - without.bit_count()) << (power - 3) == size


@pytest.mark.parametrize(
    ("package", "version"), [("4.41101.0", "4.11.1"), ("4.40801.0", "4.8.1"), ("4.40400.3", "4.4.0")]
)
def test_the_version_of_scons_is_read_from_platformios_package(package: str, version: str):
    assert setup.scons_version(package) == version


def test_without_apt_or_root_the_packages_are_named(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    missing = setup.missing_packages()
    assert "qemu-system-arm" in missing
    with pytest.raises(ToolMissing, match=r"install what your system calls .*qemu-system-misc"):
        setup.install_packages(missing, said.append)
    monkeypatch.setattr(setup.shutil, "which", lambda name: name)
    monkeypatch.setattr(setup.os, "geteuid", lambda: 1000)
    with pytest.raises(ToolMissing, match=r"sudo apt-get install .*gcc-arm-none-eabi"):
        setup.install_packages(missing, said.append)
    assert said == []


@pytest.fixture(scope="module")
def platformio(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """`pio` and an environment with a core folder of its own that holds SCons from PyPI, and no way to the network."""
    folder = tmp_path_factory.mktemp("core")
    try:
        pio = tools.platformio()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PLATFORMIO_CORE_DIR", str(folder))
            core = setup.platformio_core()
        assert not setup.has_scons(core)
        setup.provision_scons(core)
    except ToolMissing as error:
        pytest.skip(f"PlatformIO or its SCons cannot be had: {error}")
    assert core.folder == folder
    assert setup.has_scons(core)
    return pio, {**quiet(), "PLATFORMIO_CORE_DIR": str(folder)}


@pytest.mark.slow
def test_platformio_builds_and_runs_every_emulated_board_offline(platformio, tmp_path: Path):
    """In under a minute, without an attempt to connect; the folder has been moved since it was written."""
    pio, environment = platformio
    start = time.monotonic()
    for board in [*EMULATED, BOARDS["nucleo_f446re"], BOARDS["esp32c3"]]:
        needs_tools(board)
        folder_of(convolution(), board, tmp_path / "first")
        folder = (tmp_path / "first").rename(tmp_path / f"moved {board.id}")
        command = [pio, "run", "-d", str(folder), "-e", "emulated", "-t", "upload"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^output 0:( -?\d+)+ \.\.\.$", done.stdout, re.MULTILINE), done.stdout
        assert re.search(r"^RAM: .*used [1-9]\d* bytes", done.stdout, re.MULTILINE)
        assert re.search(r"^Flash: .*used [1-9]\d* bytes", done.stdout, re.MULTILINE)
        assert "Tool Manager" not in done.stdout + done.stderr
        assert "warning" not in (done.stdout + done.stderr).lower()
    assert time.monotonic() - start < 60


@pytest.mark.slow
def test_platformio_fails_where_the_firmware_faults_or_does_not_fit(platformio, tmp_path: Path):
    pio, environment = platformio
    needs_tools(BOARDS["emu_cortex_m3"])
    for name, board, graph, code, wanted in (
        ("fault", M4, convolution(), PAST_RAM, "tinycomp fault: memory fault"),
        ("large", BOARDS["emu_cortex_m3"], wide(48, 48), "", "region `RAM' overflowed by"),
    ):
        folder_of(graph, board, tmp_path / name, Recipe(stream="off"))
        if code:
            main = '#include <stdint.h>\n#include "port.h"\n' + code + "\nint tc_app_step(void) { return 0; }\n"
            (tmp_path / name / "src" / "main.c").write_text(main)
        command = [pio, "run", "-d", str(tmp_path / name), "-e", "emulated", "-t", "upload"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert wanted in done.stdout + done.stderr
