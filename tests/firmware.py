"""The emitted application compiled for tests: on the host as a process, for an emulated board as an ELF file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support import activation, constant, per_channel, quant, single
from tinycomp.emit.library import Identity, library
from tinycomp.emit.project import Project, port_file, project_files
from tinycomp.harness.wire import FileWire
from tinycomp.ir import Graph, Tensor
from tinycomp.lower import lower
from tinycomp.ops.conv2d import Conv2D
from tinycomp.program import Recipe
from tinycomp.regions import Room, Rooms
from tinycomp.target import Board

STUBS = Path(__file__).parent / "stubs"
STARTUP = Path(__file__).parent / "startup"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-pedantic", "-Werror")
SANITIZERS = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
SHA256 = "ab" * 32
# The model of stubs/kws.h.
INPUTS, OUTPUTS = ("int8", "float32"), ("int8", "float32", "int32")
INPUT_BYTES, OUTPUT_BYTES = (12, 8), (300, 8, 16)
# What else each framework's stub needs.
EXTRA = {"arduino": ("arduino_main.cpp",), "espidf": ("espidf_main.c",), "bare": ("board_serial.c",),
         "cmsis": ("board_serial.c",), "libopencm3": ("board_serial.c",)}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A model's sources: where its header is, its C files, and what defines they need."""

    name: str
    headers: Path
    sources: tuple[Path, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    defines: tuple[str, ...] = ()
    push: bool = False
    regions: tuple[str, ...] = ()


def stub(*defines: str, push: bool = False) -> Model:
    """The hand-made model of stubs/kws.h."""
    given = (*defines, *(("STUB_PUSH",) if push else ()))
    return Model("kws", STUBS, (STUBS / "kws.c",), INPUTS[:1] if push else INPUTS, OUTPUTS, given, push)


def convolution() -> Graph:
    """Two outputs' worth of frames: 12x12x3 in, 6x6x8 out."""
    rng = np.random.default_rng(7)
    scales = list(rng.uniform(0.001, 0.03, 8))
    x = activation("x", (1, 12, 12, 3), "int8", quant(0.05, -4))
    weights = constant("w", rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8), per_channel(scales))
    bias = Tensor(
        "b", (8,), "int32", per_channel([0.05 * s for s in scales]), rng.integers(-300, 300, 8).astype(np.int32)
    )
    return single(Conv2D((2, 2), (1, 1), (0, 1, 0, 1), "relu"), [x, weights, bias], out_quant=quant(0.11, 3))


def emitted(graph: Graph, folder: Path, *defines: str) -> Model:
    """A graph's library, written to the folder."""
    program = lower(graph, Recipe(), frozenset())
    for file, text in library(program, Identity("net", SHA256)).items():
        (folder / file).write_text(text)
    kinds = [tuple(graph.tensors[t].dtype for t in names) for names in (graph.inputs, graph.outputs)]
    return Model("net", folder, (folder / "net.c", folder / "net_data.c"), kinds[0], kinds[1], defines)


def spread(folder: Path, region: str, *defines: str) -> Model:
    """The convolution's library with its input, at least, in another memory region."""
    graph = convolution()
    arena = lower(graph, Recipe()).arena
    rooms = {"dtcm": Rooms((Room("dtcm", arena), Room("sram", arena)), True),
             "psram": Rooms((Room("sram", arena - 1), Room("psram", arena)))}[region]  # fmt: skip
    program = lower(graph, Recipe(), rooms=rooms)
    for file, text in library(program, Identity("net", SHA256)).items():
        (folder / file).write_text(text)
    sources = (folder / "net.c", folder / "net_data.c")
    return Model("net", folder, sources, ("int8",), ("int8",), defines, regions=program.regions)


def project(model: Model, board: Board, framework: str) -> Project:
    """The project around a model."""
    return Project(model.name, board, framework, "0.1.0", SHA256, "A test", model.inputs, model.outputs, model.push,
                   regions=model.regions)  # fmt: skip


def write(files: dict[str, str], folder: Path) -> Path:
    """Put the files into the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def sources(made: Project) -> list[str]:
    """The application's C and C++ files."""
    more = ["src/memory.c"] if made.regions else []
    return ["src/main.c", "src/serve.c", "src/frames.c", port_file(made), *more]


def flags(model: Model, folder: Path) -> list[str]:
    """Defines and include folders. What is emitted is pedantic, the frameworks' headers need not be."""
    defines = [f"-D{define}" for define in model.defines]
    return [*defines, "-I", str(folder / "src"), "-I", str(model.headers), "-isystem", str(STUBS)]


def compiler(source: Path) -> list[str]:
    """gcc or g++ with every warning an error."""
    return [*(["g++", "-std=c++17"] if source.suffix == ".cpp" else ["gcc", "-std=c99"]), *WARNINGS]


def host_program(model: Model, board: Board, framework: str, folder: Path, *, reference_port: bool = False) -> Path:
    """The application as a process whose serial port is its standard input and output, under sanitizers.

    The port is the framework's on stub headers, or stubs/port_host.c.
    """
    made = project(model, board, framework)
    write(project_files(made), folder)
    parts = [folder / name for name in sources(made)]
    parts = (
        [*parts[:3], STUBS / "port_host.c"]
        if reference_port
        else [*parts, *(STUBS / n for n in EXTRA.get(framework, ()))]
    )
    objects: list[str] = []
    for source in (*parts, *model.sources):
        objects.append(str(folder / f"{source.stem}_{len(objects)}.o"))
        command = [*compiler(source), *SANITIZERS, "-D_POSIX_C_SOURCE=200809L", *flags(model, folder)]
        subprocess.run([*command, "-c", str(source), "-o", objects[-1]], check=True)
    program = folder / "program"
    subprocess.run(["g++", *SANITIZERS, *objects, "-lm", "-o", str(program)], check=True)
    return program


@contextmanager
def running(
    command: Sequence[str | Path], cwd: Path | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], FileWire]]:
    """A process and the wire to it. It is killed at the end, if it has not left."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=cwd) as process:
        assert process.stdin
        assert process.stdout
        wire = FileWire(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
        try:
            yield process, wire
        finally:
            process.kill()


MEMORY = """\
MEMORY {{
  VECTORS (rx) : ORIGIN = {vectors}, LENGTH = 1K
  FLASH (rx) : ORIGIN = {flash.origin}, LENGTH = {flash.size}
  RAM (rwx) : ORIGIN = {sram.origin}, LENGTH = {sram.size}
}}
ENTRY(reset)
SECTIONS {{
  .vectors : {{ KEEP(*(.vectors)) }} > {first}
  .text : {{ *(.literal*) *(.text*) *(.rodata*) *(.srodata*) . = ALIGN(4); }} > FLASH
  .ARM.exidx : {{ *(.ARM.exidx*) }} > FLASH
  .data : {{ . = ALIGN(4); _sdata = .; *(.data*) *(.sdata*) . = ALIGN(4); _edata = .; }} > RAM AT > FLASH
  _sidata = LOADADDR(.data);
  .bss (NOLOAD) : {{ . = ALIGN(16); _sbss = .; *(.bss*) *(.sbss*) *(COMMON) . = ALIGN(4); _end = .; }} > RAM
  _estack = ORIGIN(RAM) + LENGTH(RAM);
}}
"""
STARTED_BY = {"arm": ("arm.c",), "riscv": ("riscv.S",), "xtensa": ("xtensa.S", "xtensa_math.c")}
RESET_VECTOR = {"xtensa": 0x5000_0000}  # elsewhere the vectors stand first in flash


def elf(model: Model, board: Board, folder: Path) -> Path:
    """The application for an emulated board, with as little start-up code as will do."""
    made = project(model, board, "bare")
    write(project_files(made), folder)
    arch = next(a for a in ("arm", "riscv", "xtensa") if a in board.core.features)
    first = "VECTORS" if arch in RESET_VECTOR else "FLASH"
    script = folder / "memory.ld"
    script.write_text(MEMORY.format(vectors=RESET_VECTOR.get(arch, 0), flash=board.flash, sram=board.sram, first=first))
    start = [STARTUP / name for name in STARTED_BY[arch]]
    objects: list[str] = []
    for source in (*(folder / name for name in sources(made)), *model.sources, *start):
        objects.append(str(folder / f"{source.stem}_{len(objects)}.o"))
        dialect = ["-std=c99", *WARNINGS] if source.suffix == ".c" else []
        command = [board.core.compiler, *board.core.flags, *board.core.optimise, *dialect, *flags(model, folder)]
        subprocess.run([*command, "-c", str(source), "-o", objects[-1]], check=True)
    program = folder / "firmware.elf"
    link = [board.core.compiler, *board.core.flags, "-nostartfiles", "-T", str(script), *objects]
    subprocess.run([*link, "-Wl,--gc-sections", "-lc", "-lgcc", "-o", str(program)], check=True)
    return program


def qemu(board: Board, program: Path, *, serve: bool = False, more: Sequence[str] = ()) -> list[str]:
    """The command that runs the firmware. serve: it answers on standard input and output instead of files."""
    assert board.emulator
    # The console is QEMU's own standard input and output. No -chardev stdio: it would make reading not wait.
    semihosting = "enable=on,target=native" + (",arg=serve" if serve else "")
    # Time by instructions: a SysTick that ran out while QEMU waited for a byte stands at zero.
    clock = ["-icount", "shift=0"] if serve else []
    return [board.emulator.program, "-M", board.emulator.machine, *board.emulator.args, "-display", "none",
            "-monitor", "none", "-serial", "none", "-semihosting-config", semihosting, *clock, *more,
            "-kernel", str(program)]  # fmt: skip
