"""The firmware that profiling runs: the library as its figures assume it, a main, start-up code, a generous memory."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np

import tinycomp
from tinycomp.emit.library import environment
from tinycomp.errors import BadInput, OutputsDiffer, Unsupported
from tinycomp.harness import tools
from tinycomp.ir import Array, Graph
from tinycomp.target import Core

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
    ("hooks.c", "harness/profile_hooks.c.j2"),
    ("profile.ld", "harness/profile.ld.j2"),
)


@dataclass(frozen=True)
class Firmware:
    """Two programs: `clean`, the library as users compile it, and `layered`, with the hooks around each layer."""

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


def library_flags(library: Path, core: Core) -> tuple[str, ...]:
    """`build.flags` of the folder's library.json, the core's own where it says nothing. Raises BadInput."""
    manifest = library / "library.json"
    try:
        facts: Any = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(manifest), fix="build again") from None
    build: Any = facts.get("build", {}) if isinstance(facts, dict) else {}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    flags: Any = build.get("flags", list(core.optimise)) if isinstance(build, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(flags, str):
        flags = flags.split()
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in cast("list[object]", flags)):
        raise BadInput("build.flags is not a list of compiler flags", where=str(manifest), fix="build again")
    return tuple(cast("list[str]", flags))


def build(job: Job, core: Core, memory: Memory, out: Path) -> Firmware:
    """Compile and link both programs into `out`. Raises ToolMissing, OutputsDiffer where something does not compile."""
    compiler = tools.find(core.compiler)
    isa = next(isa for feature, isa in ISAS.items() if feature in core.features)
    _write_sources(job, core, isa, memory, out)
    flags = [*core.flags, *job.flags, "-ffunction-sections", "-fdata-sections", "-I", str(job.source)]
    profile = f"-D{job.name.upper()}_PROFILE"
    common, variants = list[str](), dict[str, list[str]](clean=[], layered=[])
    parts = [out / file for file, _ in (("hooks.c", ""), *isa.sources)]
    for part in (*parts, *sorted(job.source.glob("*_data.c"))):
        common.append(_compile(compiler, flags, part, out / f"{part.stem}.o"))
    models = (p for p in sorted(job.source.glob("*.c")) if not p.stem.endswith("_data"))
    for part in (out / "main.c", *models):
        for variant, extra in (("clean", []), ("layered", [profile])):
            variants[variant].append(_compile(compiler, [*flags, *extra], part, out / f"{part.stem}_{variant}.o"))
    for variant, objects in variants.items():
        link = ["-nostartfiles", *isa.link, "-T", str(out / "profile.ld"), "-Wl,--gc-sections"]
        command = [compiler, *core.flags, *link, *common, *objects, "-lm", "-o", str(out / f"{variant}.elf")]
        _call(command, core)
    return Firmware(out / "clean.elf", out / "layered.elf")


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


def _compile(compiler: str, flags: Sequence[str], source: Path, target: Path) -> str:
    _call([compiler, *flags, "-c", str(source), "-o", str(target)])
    return str(target)


def _call(command: Sequence[str], links_for: Core | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        missing = re.search(r"undefined reference to [`'](__\w+[sd]f\w*)'", done.stderr)
        if missing and links_for is not None:
            raise Unsupported(f"the compiler's library for {links_for.title} has no {missing[1]}", where=links_for.id,
                              fix="profile an integer model on this core")  # fmt: skip
        lines = "\n".join(done.stderr.splitlines()[:12])
        raise OutputsDiffer(f"the firmware to profile does not compile:\n{lines}", where=Path(command[0]).name)
