"""Machine code of a basic block -> instructions and modelled cycles, by the core's tables in `boards/cores.toml`.

The model: memory without wait states, no cache miss, no interrupt, nothing overlaps across branches. Instructions
are exact; a predicated one inside an IT block counts whether or not its condition holds, as it does on the core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from tinycomp.cores import Core, Pipeline, Timing
from tinycomp.harness.counting.tools import package


@dataclass(frozen=True)
class Cost:
    """A block. pieces: instructions and cycles of what lies before the first cut, between cuts, after the last.

    taken, falls: cycles more (of the last piece) where control leaves by the branch, or falls into the next block.
    """

    pieces: tuple[tuple[int, int], ...]
    taken: int
    falls: int


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction. Registers are the disassembler's numbers.

    target: what its first operand names, where that is a register. pointers: the registers of its memory operand.
    words: registers of an LDM's list, a double-precision one being two. to_pc: it may load the program counter.
    """

    address: int
    kind: str
    target: int | None
    named: frozenset[int]
    pointers: frozenset[int]
    reads: frozenset[int]
    writes: frozenset[int]
    words: int
    to_pc: bool


UNKNOWN = Instruction(0, "other", None, frozenset(), frozenset(), frozenset(), frozenset(), 0, False)

# Thumb mnemonics, without conditions and widths. What is not listed costs what an ALU instruction does.
_TABLE: tuple[tuple[str, str], ...] = (
    ("load", "ldr ldrb ldrh ldrsb ldrsh ldrt ldrbt ldrht ldrsbt ldrsht lda ldab ldah ldaex ldrex ldrexb ldrexh"),
    ("store", "str strb strh strt strbt strht stl stlb stlh strex strexb strexh stlex"),
    ("pair", "ldrd strd"),
    ("multiple", "ldm ldmdb stm stmdb push pop vldmia vldmdb vstmia vstmdb vpush vpop"),
    ("branch", "b cbz cbnz"),
    ("call", "bl"),
    ("exchange", "bx blx"),
    ("table_branch", "tbb tbh"),
    ("mul", "mul smulbb smulbt smultb smultt smulwb smulwt smmul smmulr smuad smuadx smusd smusdx"),
    ("simd_mac", "smlad smladx smlsd smlsdx smlabb smlabt smlatb smlatt smlawb smlawt smmla smmlar smmls smmlsr"),
    ("mla", "mla mls"),
    ("mul_long", "smull umull"),
    ("mla_long", "smlal umlal umaal smlald smlaldx smlsld smlsldx smlalbb smlalbt smlaltb smlaltt"),
    ("div", "udiv sdiv"),
    ("system", "msr mrs"),
    ("barrier", "dmb dsb isb"),
    ("float_op", "vadd vsub vmul vnmul vcvt vcvtr vneg vabs"),
    ("float_mac", "vmla vmls vnmla vnmls vfma vfms vfnma vfnms"),
    ("float_div", "vdiv vsqrt"),
    ("float_memory", "vldr vstr"),
    ("move", "vmov"),
)  # fmt: skip
KINDS: Mapping[str, str] = MappingProxyType({name: kind for kind, names in _TABLE for name in names.split()})

_MULTIPLIES = frozenset({"mul", "mla", "mul_long", "mla_long", "simd_mac"})
_BRANCHES = frozenset({"branch", "call", "exchange", "table_branch"})
_FLOATS = frozenset({"float_op", "float_mac", "float_div"})
# Float instructions that wait for the result of the one before; loads and stores have a path of their own.
_WAITS = frozenset({*_FLOATS, "float_pair", "other"})
# These issue alone on a core that issues two.
_ALONE = frozenset({"multiple", "pair", "div", "float_div"})


class Coster:
    """Costs of blocks on one core. Raises ToolMissing without the disassembler."""

    def __init__(self, core: Core) -> None:
        if core.pipeline is None:
            raise ValueError(f"{core.id} has no table of cycles")
        self._timing, self._pipeline = core.timing, core.pipeline
        self._dual = "dual_issue" in core.features
        self._capstone = package("capstone")
        cs = self._capstone
        self._decoder: Any = cs.Cs(cs.CS_ARCH_ARM, cs.CS_MODE_THUMB | cs.CS_MODE_MCLASS | cs.CS_MODE_V8)
        self._decoder.detail = True
        self._pc: int = package("capstone.arm").ARM_REG_PC

    def block(self, code: bytes, address: int, cuts: Sequence[int] = (), beyond: bytes = b"") -> Cost:
        """The cost of the block of `code` at that address.

        cuts: ascending addresses in it. beyond: the code after it; an engine may end a block in mid-stream, at the end
        of a page of memory, and what that seems to cost depends on where the program lies. `falls` makes up for it.
        """
        block, following = list(self.decode(code, address)), list(self.decode(beyond, address + len(code)))[:1]
        ends = [*(sum(1 for i in block if i.address < cut) for cut in cuts), len(block)]
        cycles = [self._cycles(block[:end]) for end in ends]
        pieces = zip(ends, [0, *ends], cycles, [0, *cycles], strict=False)
        last = block[-1] if block else UNKNOWN
        goes_on = bool(following) and last.kind not in _BRANCHES and not last.to_pc
        falls = self._cycles([*block, *following]) - self._cycles(following) - cycles[-1] if goes_on else 0
        taken = 0 if self._dual else _taken(last, self._timing, self._pipeline)
        return Cost(tuple((end - start, c - before) for end, start, c, before in pieces), taken, falls)

    def _cycles(self, block: Sequence[Instruction]) -> int:
        if self._dual:
            return dual(block, self._timing, self._pipeline)
        before = [None, *block]
        return sum(single(i, b, self._timing, self._pipeline) for i, b in zip(block, before, strict=False))

    def decode(self, code: bytes, address: int) -> Iterator[Instruction]:
        """The instructions of a block; one that the disassembler does not know costs as an ALU instruction does."""
        at = 0
        while at + 2 <= len(code):
            size = 4 if code[at + 1] >> 3 >= 0b11101 else 2
            found = next(self._decoder.disasm(code[at : at + size], address + at, 1), None)
            yield replace(UNKNOWN, address=address + at) if found is None else self._instruction(found)
            at += size

    def _instruction(self, i: Any) -> Instruction:
        arm = self._capstone.arm
        kind = KINDS.get(i.insn_name(), "other")
        registers: list[int] = [o.reg for o in i.operands if o.type == arm.ARM_OP_REG]
        memory: list[int] = [r for o in i.operands if o.type == arm.ARM_OP_MEM for r in (o.mem.base, o.mem.index)]
        target = registers[0] if i.operands and i.operands[0].type == arm.ARM_OP_REG else None
        reads, writes = i.regs_access()
        if kind == "move":
            kind = "float_pair" if len(registers) >= 3 else "other"
        listed = registers if i.insn_name() in ("push", "pop", "vpush", "vpop") else registers[1:]
        words = sum(2 if i.reg_name(r).startswith("d") else 1 for r in listed) if kind == "multiple" else 0
        to_pc = self._pc in listed if kind == "multiple" else target == self._pc
        flags = frozenset({arm.ARM_REG_CPSR})
        return Instruction(i.address, kind, target, frozenset(registers), frozenset(memory), frozenset(reads),
                           frozenset(writes) - flags, words, to_pc)  # fmt: skip


def single(i: Instruction, before: Instruction | None, t: Timing, p: Pipeline) -> int:
    """Cycles of an instruction after the one `before` it, no branch taken, on a core that issues one at a time."""
    match i.kind:
        case "load":
            follows = before is not None and before.kind == "load" and before.target not in i.pointers
            return t.load_next if follows else t.load
        case "multiple":
            return p.multiple + -(-i.words // p.registers)
        case "branch" | "call" | "exchange":
            return t.branch
        case "table_branch":
            return _or(p.table_branch, t.branch_taken) - (t.branch_taken - t.branch)
        case "store":
            return t.store
        case kind:
            waits = before is not None and before.kind in _FLOATS and before.target in i.named and kind in _WAITS
            return _plain(kind, t, p) + (_or(p.float_wait, 0) if waits else 0)


def _plain(kind: str, t: Timing, p: Pipeline) -> int:
    """Cycles of an instruction whose time depends on nothing else."""
    costs: Mapping[str, int | None] = {
        "mul": t.mul, "mla": t.mla, "mul_long": t.mul_long, "mla_long": t.mla_long, "div": t.div,
        "simd_mac": t.simd_mac, "pair": p.pair, "system": p.system, "barrier": p.barrier,
        "float_op": p.float_op, "float_mac": p.float_mac, "float_div": p.float_div,
        "float_memory": p.float_memory, "float_pair": p.float_pair,
    }  # fmt: skip
    return _or(costs.get(kind), t.alu)


def _taken(last: Instruction, t: Timing, p: Pipeline) -> int:
    """Cycles more where control leaves by the block's last instruction."""
    if last.kind == "multiple":
        return p.pop_pc if last.to_pc else 0
    whole = {"branch": t.branch_taken, "table_branch": t.branch_taken, "call": t.call, "exchange": p.exchange}
    if last.kind in whole:
        return whole[last.kind] - t.branch
    return t.branch_taken - t.branch if last.to_pc and last.kind != "store" else 0


def dual(block: Sequence[Instruction], t: Timing, p: Pipeline) -> int:
    """Cycles of a block on an in-order core that issues two neighbours together where `pairs` lets it."""
    cycles, at = 0, 0
    loaded: frozenset[int] = frozenset()
    while at < len(block):
        first = block[at]
        cycles += _alone(first, t, p) + (p.load_use if loaded & first.reads else 0)
        loaded = first.writes if first.kind == "load" else frozenset()
        at += 1
        if at < len(block) and pairs(first, block[at]):
            loaded |= block[at].writes if block[at].kind == "load" else frozenset()
            at += 1
    return cycles


def _alone(i: Instruction, t: Timing, p: Pipeline) -> int:
    if i.kind == "multiple":
        return max(1, p.multiple + -(-i.words // p.registers))
    return {"load": t.load, "store": t.store}.get(i.kind) or _plain(i.kind, t, p)


def pairs(first: Instruction, second: Instruction) -> bool:
    """Whether two neighbours issue in one cycle."""
    if first.kind in _ALONE | _BRANCHES or second.kind in _ALONE:
        return False
    if first.writes & (second.reads | second.writes):
        return False
    return not any(first.kind in unit and second.kind in unit for unit in (_MULTIPLIES, frozenset({"store"})))


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
