"""Steps of a program counted in an emulator: cycles or instructions, and bytes of code. Counts can be kept on disk."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinycomp.cores import Core
from tinycomp.emit.library import Identity, kernels, library
from tinycomp.harness.counting import arm, firmware, plugin, profile, program
from tinycomp.harness.counting.window import Counted, Window
from tinycomp.ir import Array
from tinycomp.program import Program

KEPT = 32  # hexadecimal digits of a cache file's name


@dataclass(frozen=True)
class Count:
    """One step. work: cycles, or instructions where the core's cycles are not modelled. code: bytes of its function."""

    work: int
    code: int


def steps(made: Program, core: Core, case: Sequence[Array], cache: Path | None = None) -> list[Count]:
    """Count each step of a program, in order. cache: a folder that keeps the counts of equal kernels and data.

    Raises ToolMissing, OutputsDiffer.
    """
    kept = None if cache is None else cache / f"{_digest(made, core, case)}.json"
    if kept is not None and kept.is_file():
        return [Count(*pair) for pair in json.loads(kept.read_text())]
    found = _count(made, core, case)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([(c.work, c.code) for c in found]))
    return found


def _count(made: Program, core: Core, case: Sequence[Array]) -> list[Count]:
    with firmware_of(made, core, case, clean=False) as built:
        elf = program.read(built.layered)
        windows = counter(core)(elf, core, len(made.steps)).windows
    pairs = zip(windows[: len(made.steps)], made.steps, strict=True)
    return [Count(work(w), _size(elf, s.function.symbol)) for w, s in pairs]


def work(ran: Window) -> int:
    """Cycles, or instructions where cycles are not modelled."""
    return ran.instructions if ran.cycles is None else ran.cycles


def counter(core: Core) -> Callable[[program.Elf, Core, int], Counted]:
    """What counts a core's programs."""
    return arm.count if core.id in arm.MODELS else plugin.count


@contextmanager
def firmware_of(made: Program, core: Core, case: Sequence[Array], clean: bool = True) -> Iterator[firmware.Firmware]:
    """Firmware that runs the program on one case; clean: also without the marks between layers."""
    memory = profile.UNICORN_MEMORY if core.id in arm.MODELS else plugin.MACHINES[core.id].memory
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "src", Path(folder) / "out"
        source.mkdir()
        out.mkdir()
        for file, text in library(made, Identity("net", "0" * 64)).items():
            (source / file).write_text(text)
        job = firmware.Job(source, "net", made.graph, len(made.steps), case, core.optimise, made.pushed)
        yield firmware.build(job, core, memory, out, clean=clean)


def _size(elf: program.Elf, function: str) -> int:
    """Bytes of a function and of the parts and clones that the compiler has made of it (f.part.0, f.constprop.0)."""
    return sum(s.size for name, s in elf.symbols.items() if name.partition(".")[0] == function)


def _digest(made: Program, core: Core, case: Sequence[Array]) -> str:
    """Of all that the counts depend on but the code that calls the kernels, which is a few instructions a call."""
    facts = [core.id, core.flags, core.optimise, str(core.pipeline), str(core.timing), kernels(made)]
    found = hashlib.sha256(json.dumps(facts).encode())
    for array in (*(d.array for d in made.data), *case):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:KEPT]
