"""The firmware that profiling runs: the library as its figures assume it, a main, start-up code, a generous memory."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np

import tinycomp
from tinycomp.cores import Core
from tinycomp.emit.library import environment
from tinycomp.errors import BadInput, OutputsDiffer, Unsupported
from tinycomp.harness import tools
from tinycomp.ir import Array, Graph

STACK_BYTES = 64 << 10


@dataclass(frozen=True)
class Memory:
    """Addresses and bytes: boot holds the vectors or the first instructions, code the rest and constants."""

    boot: int
    code: int
    code_bytes: int
    data: int
    data_bytes: int


@dataclass(frozen=True)
class Isa:
    """An instruction set: its sources (file, template), the symbol that runs first, what the linker takes besides."""

    sources: tuple[tuple[str, str], ...]
    entry: str
    link: tuple[str, ...] = ()


# A feature of the core -> its instruction set.
ISAS: Mapping[str, Isa] = MappingProxyType({
    "arm": Isa((("start.c", "harness/profile_arm.c.j2"),), "reset", ("--specs=nano.specs",)),
    "riscv": Isa((("start.c", "harness/profile_riscv.c.j2"),), "_start"),
    "xtensa": Isa((("start.c", "harness/profile_xtensa.c.j2"), ("libgcc.c", "platform/libgcc_xtensa.c.j2")), "_start"),
})  # fmt: skip


# File, template.
_SOURCES = (
    ("main.c", "harness/profile_main.c.j2"),
    ("profile_marks.h", "harness/profile_marks.h.j2"),
    ("profile.ld", "harness/profile.ld.j2"),
)


@dataclass(frozen=True)
class Firmware:
    """Two programs: `clean`, the library as users compile it, and `layered`, with marks around each layer."""

    clean: Path
    layered: Path


@dataclass(frozen=True)
class Job:
    """What to profile: the folder of the library's sources, its C prefix, the graph that it was emitted from, one case.

    flags: the compiler flags that its figures assume.
    """

    source: Path
    name: str
    graph: Graph
    layers: int
    case: Sequence[Array]
    flags: tuple[str, ...]
    push: bool = False


def library_flags(library: Path) -> tuple[str, ...]:
    """`build.flags` of the folder's library.json. Raises BadInput where it does not list compiler flags."""
    manifest = library / "library.json"
    try:
        flags: object = json.loads(manifest.read_bytes())["build"]["flags"]
    except (OSError, ValueError, KeyError, TypeError):
        flags = None
    found = [f for f in cast("list[object]", flags) if isinstance(f, str)] if isinstance(flags, list) else None
    if found is None or found != flags:
        raise BadInput("has no list of compiler flags in build.flags", where=str(manifest), fix="build again")
    return tuple(found)


def build(job: Job, core: Core, memory: Memory, out: Path, *, clean: bool = True) -> Firmware:
    """Compile and link both programs into `out`; not clean: the layered one alone.

    Raises ToolMissing without the compiler; Unsupported where its library lacks floating point; OutputsDiffer where
    something does not compile.
    """
    compiler = tools.find(core.compiler)
    isa = next(isa for feature, isa in ISAS.items() if feature in core.features)
    _write_sources(job, core, isa, memory, out)
    models = [p for p in sorted(job.source.glob("*.c")) if not p.stem.endswith("_data")]
    common = [out / "main.c", *(out / file for file, _ in isa.sources), *sorted(job.source.glob("*_data.c"))]
    marked = (f"-D{job.name.upper()}_PROFILE", "-include", str(out / "profile_marks.h"))
    jobs = [
        *_compilations(common, "", (), out),
        *(_compilations(models, "clean_", (), out) if clean else ()),
        *_compilations(models, "layered_", marked, out),
    ]
    flags = [*core.flags, *job.flags, "-ffunction-sections", "-fdata-sections", "-I", str(job.source)]
    link = [*core.flags, "-nostartfiles", *isa.link, "-T", str(out / "profile.ld"), "-Wl,--gc-sections"]
    shared = [str(out / f"{part.stem}.o") for part in common]
    with ThreadPoolExecutor(4) as pool:
        _check(pool.map(_call, [[compiler, *flags, *more] for more in jobs]), core)
    for variant in ("clean", "layered") if clean else ("layered",):
        objects = [*shared, *(str(out / f"{variant}_{part.stem}.o") for part in models)]
        _check([_call([compiler, *link, *objects, "-lm", "-o", str(out / f"{variant}.elf")])], core)
    return Firmware(out / "clean.elf", out / "layered.elf")


def _compilations(parts: Sequence[Path], prefix: str, flags: Sequence[str], out: Path) -> list[list[str]]:
    return [[*flags, "-c", str(part), "-o", str(out / f"{prefix}{part.stem}.o")] for part in parts]


def _write_sources(job: Job, core: Core, isa: Isa, memory: Memory, out: Path) -> None:
    values = {
        "name": job.name, "NAME": job.name.upper(), "layers": job.layers, "push": job.push,
        "inputs": [_bytes(x) for x in job.case], "outputs": [job.graph.tensors[t].bytes for t in job.graph.outputs],
        "memory": memory, "entry": isa.entry, "stack": STACK_BYTES, "title": core.title,
        "version": tinycomp.__version__,
    }  # fmt: skip
    for file, template in (*_SOURCES, *isa.sources):
        (out / file).write_text(environment().get_template(template).render(**values))


def _bytes(array: Array) -> str:
    values = np.ascontiguousarray(array).tobytes()
    lines = (", ".join(map(str, values[i : i + 32])) for i in range(0, len(values), 32))
    return ",\n  ".join(lines)


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace")


def _check(calls: Iterable[subprocess.CompletedProcess[str]], core: Core) -> None:
    for done in calls:
        if not done.returncode:
            continue
        missing = re.search(r"undefined reference to [`'](__\w+[sd]f\w*)'", done.stderr)
        if missing:
            raise Unsupported(f"the compiler's library for {core.title} has no {missing[1]}", where=core.id,
                              fix="profile an integer model on this core")  # fmt: skip
        lines = "\n".join(done.stderr.splitlines()[:12])
        raise OutputsDiffer(f"the firmware to profile does not compile:\n{lines}", where=core.compiler)
