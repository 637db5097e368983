"""The firmware of a build folder for its emulated board, compiled and linked by the cross compiler itself.

What PlatformIO does with `pio run -e emulated`, without PlatformIO: the same sources, start-up code, linker script and
flags, a few times faster.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tinycomp.emit.emulator import FOLDER, link_flags
from tinycomp.emit.library import environment
from tinycomp.errors import BadInput, DoesNotFit, OutputsDiffer, Unsupported
from tinycomp.harness import frames, tools
from tinycomp.target import Board

TRACE = 0x40  # type of the frames in which templates/harness/trace.c.j2 sends rows
TRACE_MOST = 240  # bytes of a row in one of them
_APPLICATION = ("-std=gnu99", "-Os", "-g", "-ffunction-sections", "-fdata-sections")


@dataclass(frozen=True)
class Firmware:
    """A linked program for an emulated board."""

    elf: Path
    board: Board


def build(directory: Path, board: Board, name: str, out: Path, *, trace: bool = False,
          definitions: Sequence[str] = ()) -> Firmware:  # fmt: skip
    """Compile the build folder for the emulated `board` into `out`.

    trace: the firmware also sends every finished row. definitions: for the linker, such as `STACK_SIZE=512`.

    Raises ToolMissing without the compiler, BadInput where files are missing, DoesNotFit where a memory region
    overflows, Unsupported where the compiler's library lacks floating point, OutputsDiffer where C does not compile.
    """
    cc = tools.find(board.core.compiler)
    sources = _sources(directory, name)
    optimise = _optimise(directory / "lib" / name / "library.json")
    shared = ["-I", str(directory / "src"), "-I", str(directory / "lib" / name / "src"), *board.core.flags]
    if trace:
        sources.append(_trace_source(name, out))
    commands: list[list[str]] = []
    objects: list[str] = []
    for k, source in enumerate(sources):
        library = source.parent == directory / "lib" / name / "src"
        flags = ["-std=c99", *optimise, "-ffunction-sections", "-fdata-sections"] if library else list(_APPLICATION)
        flags += [f"-D{name.upper()}_TRACE"] if trace and (library or k == len(sources) - 1) else []
        objects.append(str(out / f"{k}_{source.stem}.o"))
        commands.append([cc, *shared, *flags, "-c", str(source), "-o", objects[-1]])
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(_run, commands):
            if done.returncode:
                raise OutputsDiffer(f"the emitted C does not compile:\n{_head(done.stderr)}", where=board.core.compiler)
    elf = out / "firmware.elf"
    script = ["-T", str(directory / FOLDER / "link.ld"), *(f"-Wl,--defsym={d}" for d in definitions)]
    link = [cc, *board.core.flags, *link_flags(board.core), *script, *objects, "-lm", "-lc", "-lgcc", "-o", str(elf)]
    _check(_run(link), board)
    return Firmware(elf, board)


def where_is(firmware: Firmware, address: int) -> str:
    """`function (file:line)` of a code address, empty where nothing is known of it."""
    tool = shutil.which(f"{firmware.board.core.tools}addr2line")
    if tool is None:
        return ""
    found = _run([tool, "-f", "-s", "-e", str(firmware.elf), hex(address)])
    function, _, line = found.stdout.strip().partition("\n")
    return "" if found.returncode or not function or function == "??" else f"{function} ({line})"


def _sources(directory: Path, name: str) -> list[Path]:
    """Every C file of the firmware, in order. A real board's own port is left out: emulator/ has another."""
    start = sorted((directory / FOLDER).glob("*.c"))
    own_port = any(f.name.startswith("port_") for f in start)
    application = [f for f in sorted((directory / "src").glob("*.c")) if not (own_port and f.name.startswith("port_"))]
    library = sorted((directory / "lib" / name / "src").glob("*.c"))
    for part, files in ((FOLDER, start), ("src", application), (f"lib/{name}/src", library)):
        if not files:
            raise BadInput(f"has no C files in {part}", where=str(directory), fix="build it again with this tinycomp")
    return [*start, *application, *library]


def _optimise(manifest: Path) -> list[str]:
    """The flags that the report's figures assume."""
    try:
        flags = json.loads(manifest.read_bytes())["build"]["flags"]
        return [str(flag) for flag in flags]
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput("is missing or broken", where=str(manifest), fix="build again") from None


def _trace_source(name: str, out: Path) -> Path:
    path = out / "trace.c"
    path.write_text(environment().get_template("harness/trace.c.j2").render(
        name=name, most=TRACE_MOST, sync=tuple(frames.SYNC), kind=TRACE))  # fmt: skip
    return path


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace")


def _check(done: subprocess.CompletedProcess[str], board: Board) -> None:
    if not done.returncode:
        return
    overflow = re.search(r"region [`'](\w+)' overflowed by (\d+) bytes", done.stderr)
    if overflow:
        region, least = overflow[1], int(overflow[2])
        size = (board.flash if region == "FLASH" else board.sram).size
        raise DoesNotFit(f"region {region} of {size:,} bytes overflowed by {least:,} when the firmware was linked",
                         where=board.id, fix="build for a larger board, or with a smaller model")  # fmt: skip
    missing = re.search(r"undefined reference to [`'](__\w+[sd]f\w*|\w+f?)'", done.stderr)
    if missing and "fpu" not in board.core.features:
        raise Unsupported(f"the distribution's library for {board.core.title} has no {missing[1]}", where=board.id,
                          fix="run an integer model here, or the float model with --on native")  # fmt: skip
    raise OutputsDiffer(f"the firmware does not link:\n{_head(done.stderr)}", where=board.core.compiler)


def _head(text: str) -> str:
    return "\n".join(text.splitlines()[:12])
