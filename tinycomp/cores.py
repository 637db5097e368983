"""Processor cores: their instructions, compilers and timing.

The data are `boards/cores.toml`, read strictly: a typo is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

from tinycomp import resources
from tinycomp.errors import BadInput
from tinycomp.strict_toml import Table, nearest

CORES_FILE = "cores.toml"

FEATURES: Mapping[str, str] = MappingProxyType({
    "arm": "Arm instruction set",
    "div": "integer division in hardware",
    "dsp": "Armv7E-M DSP: SMLAD, SXTB16, SSAT, SMMULR",
    "dual_issue": "two independent instructions a cycle",
    "fpu": "single-precision floating point in hardware",
    "loops": "zero-overhead loops",
    "mac16": "Xtensa MAC16: 16-bit multiply-add",
    "mul64": "32x32->64-bit multiplication in hardware",
    "mve": "Helium: 128-bit integer and float vectors",
    "pie": "ESP32-S3 vector instructions, 128-bit",
    "riscv": "RISC-V instruction set",
    "thumb": "Thumb instructions",
    "thumb1": "nothing but 16-bit Thumb instructions, which use eight registers",
    "thumb2": "Thumb-2 instructions",
    "unaligned": "loads of words at any address",
    "xtensa": "Xtensa instruction set",
})  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """Cycles of one instruction with zero-wait-state memory. None: the core has no such instruction.

    `published` is False where the vendor gives no table and the figures are the assumption that `source` explains.
    """

    alu: int
    mul: int
    mla: int
    mul_long: int
    mla_long: int
    div: int
    load: int
    load_next: int
    store: int
    branch: int
    branch_taken: int
    call: int
    simd_mac: int | None
    vector_op: int | None
    published: bool
    source: str


@dataclass(frozen=True)
class Pipeline:
    """What counting cycles needs of an Arm core beyond its Timing, in cycles. None: the core has no such instruction.

    exchange: BX, BLX. table_branch: TBB, TBH. pop_pc: added where a POP or LDM loads the program counter. pair: LDRD,
    STRD. multiple: LDM, STM, PUSH, POP besides their registers, of which `registers` go in one cycle. system: MSR,
    MRS. barrier: DMB, DSB, ISB. load_use: the wait of an instruction that reads what the one before has loaded.
    float_op, float_mac, float_div (VDIV, VSQRT), float_memory (VLDR, VSTR), float_pair (VMOV of two registers);
    float_wait: the wait of an instruction that reads the floating-point result of the one before.
    """

    exchange: int
    table_branch: int | None
    pop_pc: int
    pair: int | None
    multiple: int
    registers: int
    system: int
    barrier: int
    load_use: int
    float_op: int | None
    float_mac: int | None
    float_div: int | None
    float_memory: int | None
    float_pair: int | None
    float_wait: int | None
    source: str


@dataclass(frozen=True)
class Core:
    """A processor core. `flags` select it in `compiler`; `optimise` are the flags that the figures assume.

    `pipeline`: None where cycles cannot be modelled, so that figures stay instruction counts.
    """

    id: str
    title: str
    features: frozenset[str]
    compiler: str
    flags: tuple[str, ...]
    optimise: tuple[str, ...]
    timing: Timing
    pipeline: Pipeline | None = None

    @property
    def tools(self) -> str:
        """The prefix of the compiler's companions: `arm-none-eabi-` of `arm-none-eabi-gcc`."""
        return self.compiler.removesuffix("gcc")


def load_core(core_id: str, folder: Path | None = None) -> Core:
    """The core of that id from `cores.toml`. Raises BadInput, with the nearest names where it is unknown."""
    cores = load_cores(folder)
    if core_id not in cores:
        raise BadInput(f"unknown core {core_id!r}", fix=nearest(core_id, cores) or f"known: {', '.join(cores)}")
    return cores[core_id]


def load_cores(folder: Path | None = None) -> dict[str, Core]:
    """Every core by id, sorted. Raises BadInput where the file is faulty."""
    top = Table.read((folder or resources.path("boards")) / CORES_FILE)
    cores = {core_id: _core(core_id, top.table(core_id)) for core_id in sorted(top.keys)}
    top.done()
    return cores


def _core(core_id: str, table: Table) -> Core:
    features = table.texts("features")
    unknown = [name for name in features if name not in FEATURES]
    if unknown:
        raise table.error(f"unknown feature {unknown[0]!r}", "features", fix=nearest(unknown[0], FEATURES))
    core = Core(
        id=core_id,
        title=table.text("title"),
        features=frozenset(features),
        compiler=table.text("compiler"),
        flags=table.texts("flags"),
        optimise=table.texts("optimise"),
        timing=_timing(table.table("timing")),
        pipeline=_pipeline(table.table("pipeline")) if "pipeline" in table else None,
    )
    table.done()
    return core


def _timing(table: Table) -> Timing:
    optional = ("simd_mac", "vector_op")
    every = (f.name for f in fields(Timing) if f.name not in (*optional, "published", "source"))
    cycles = {name: table.integer(name, least=1) for name in every}
    simd_mac, vector_op = (table.integer(name, least=1) if name in table else None for name in optional)
    timing = Timing(**cycles, simd_mac=simd_mac, vector_op=vector_op, published=table.flag("published"),
                    source=table.text("source"))  # fmt: skip
    table.done()
    return timing


def _pipeline(table: Table) -> Pipeline:
    def optional(name: str) -> int | None:
        return table.integer(name) if name in table else None

    pipeline = Pipeline(
        exchange=table.integer("exchange"), table_branch=optional("table_branch"), pop_pc=table.integer("pop_pc"),
        pair=optional("pair"), multiple=table.integer("multiple"), registers=table.integer("registers", least=1),
        system=table.integer("system"), barrier=table.integer("barrier"), load_use=table.integer("load_use"),
        float_op=optional("float_op"), float_mac=optional("float_mac"), float_div=optional("float_div"),
        float_memory=optional("float_memory"), float_pair=optional("float_pair"), float_wait=optional("float_wait"),
        source=table.text("source"),
    )  # fmt: skip
    table.done()
    return pipeline
