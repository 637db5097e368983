"""Instructions and cycles against programs that were counted by hand from the manuals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.assembly import ARM_LOOP, RISCV_LOOP, XTENSA_LOOP, assemble, between, core, machine_code, mark
from tests.support import needs_cc
from tinycomp.cores import load_cores
from tinycomp.errors import OutputsDiffer
from tinycomp.harness.counting import arm, plugin
from tinycomp.harness.counting.cycles import Cost, Coster
from tinycomp.harness.counting.window import Window

# MOVS; 100 times LDR, ADDS, STR, SUBS; BNE taken 99 times and once not.
LOOP_CYCLES = {
    "cortex-m0": 1 + 100 * (2 + 1 + 2 + 1) + 99 * 3 + 1,
    "cortex-m0plus": 1 + 100 * (2 + 1 + 2 + 1) + 99 * 2 + 1,
    "cortex-m3": 1 + 100 * (2 + 1 + 1 + 1) + 99 * 3 + 1,
    "cortex-m4": 1 + 100 * (2 + 1 + 1 + 1) + 99 * 3 + 1,
    "cortex-m33": 1 + 100 * (2 + 1 + 1 + 1) + 99 * 3 + 1,
    # MOVS with LDR; ADDS, which waits for the load; STR with SUBS; BNE: five cycles, and the same in later rounds.
    "cortex-m7": 100 * 5,
}
NOTHING = Window(0, 0)
in_c_and_python = pytest.mark.parametrize("python", [False, True], ids=["in C", "in Python"])


@in_c_and_python
@pytest.mark.parametrize("name", LOOP_CYCLES)
def test_a_loop_costs_what_the_manual_says(name: str, python: bool, tmp_path: Path):
    elf = assemble(core(name), between(1, ARM_LOOP), tmp_path)
    counted = arm.count(elf, core(name), 1, python=python)
    assert counted.windows == (NOTHING, Window(501, LOOP_CYCLES[name]))


@needs_cc
@pytest.mark.parametrize(("name", "body"), [
    ("cortex-m55", ARM_LOOP), ("cortex-m85", ARM_LOOP), ("rv32imc", RISCV_LOOP), ("xtensa-lx106", XTENSA_LOOP),
])  # fmt: skip
def test_a_loop_in_qemu_retires_what_was_counted_by_hand(name: str, body: str, tmp_path: Path):
    memory = plugin.MACHINES[name].memory
    elf = assemble(core(name), between(1, body), tmp_path, memory=memory)
    counted = plugin.count(elf, core(name), 1, timeout=60)
    assert counted.windows == (Window(0, None), Window(501, None))


# Window 2 is the whole; of its 2 + 5 x (1 + 501 + 1 + 2) instructions 5 x 501 and 5 x 1 lie in windows 0 and 1.
ROUND = "3: nop\n" + between(0, ARM_LOOP) + between(1, "  nop\n") + "  subs r7, #1\n  bne 3b\n"
LAYERS = between(2, f"  movs r7, #5\n{ROUND}  nop\n")


@in_c_and_python
def test_layers_that_come_often_add_up_and_the_rest_is_the_whole_s(python: bool, tmp_path: Path):
    m4 = core("cortex-m4")
    found = arm.count(assemble(m4, LAYERS, tmp_path), m4, 2, python=python).windows
    assert [w.instructions for w in found] == [5 * 501, 5, 2 + 5 * 3]
    assert found[0].cycles == 5 * LOOP_CYCLES["cortex-m4"]
    assert sum(w.cycles or 0 for w in found) == 5 * LOOP_CYCLES["cortex-m4"] + 5 + 2 + 5 * 3 + 4 * 2


@needs_cc
def test_layers_in_qemu_add_up_in_the_same_way(tmp_path: Path):
    m55 = core("cortex-m55")
    elf = assemble(m55, LAYERS, tmp_path, memory=plugin.MACHINES[m55.id].memory)
    assert [w.instructions for w in plugin.count(elf, m55, 2, timeout=60).windows] == [5 * 501, 5, 2 + 5 * 3]


@in_c_and_python
def test_a_mark_at_the_head_of_a_loop_may_be_met_in_every_round(python: bool, tmp_path: Path):
    loop = mark(0, False) + mark(1, True) + "4: subs r7, #1\n  bne 4b\n" + mark(1, False)
    body = mark(2, True) + "  movs r7, #9\n" + between(0, "  nop\n") + loop + mark(2, False)
    m4 = core("cortex-m4")
    found = arm.count(assemble(m4, body, tmp_path), m4, 2, python=python).windows
    assert [w.instructions for w in found] == [1, 18, 1]


@pytest.mark.parametrize("name", ["cortex-m3", "cortex-m4"])
def test_cycles_do_not_depend_on_where_the_code_lies(name: str, tmp_path: Path):
    loads = "  movs r2, #100\n1:" + "  ldr r3, [r4]\n" * 20 + "  subs r2, #1\n  bne 1b\n"
    found = {
        arm.count(
            assemble(core(name), f".balign 4096\n.space {4096 - gap}\n" + between(0, loads), tmp_path), core(name), 0
        ).windows
        for gap in (0, 8, 16, 24, 32)
    }
    assert len(found) == 1


def test_more_blocks_than_the_table_begins_with_are_all_counted(tmp_path: Path):
    m4 = core("cortex-m4")
    elf = assemble(m4, between(0, "  b . + 2\n" * 3_000), tmp_path)
    assert arm.count(elf, m4, 0).windows[0].instructions == 3_000


def test_an_undefined_instruction_is_reported_with_its_function(tmp_path: Path):
    elf = assemble(core("cortex-m4"), "  udf #1\n", tmp_path)
    with pytest.raises(OutputsDiffer, match="in reset"):
        arm.count(elf, core("cortex-m4"), 0)


def test_a_write_to_where_there_is_no_memory_is_reported(tmp_path: Path):
    elf = assemble(core("cortex-m4"), "  ldr r0, =0x70000000\n  str r0, [r0]\n", tmp_path)
    with pytest.raises(OutputsDiffer, match="in reset"):
        arm.count(elf, core("cortex-m4"), 0)


def test_firmware_that_hangs_is_stopped(tmp_path: Path):
    elf = assemble(core("cortex-m4"), "1: b 1b\n", tmp_path)
    with pytest.raises(OutputsDiffer, match=r"did not end in 0\.2 s"):
        arm.count(elf, core("cortex-m4"), 0, timeout=0.2)


@needs_cc
def test_firmware_that_hangs_in_qemu_is_stopped(tmp_path: Path):
    memory = plugin.MACHINES["rv32imc"].memory
    elf = assemble(core("rv32imc"), "1: j 1b\n", tmp_path, memory=memory)
    with pytest.raises(OutputsDiffer, match="did not end in 1 s"):
        plugin.count(elf, core("rv32imc"), 0, timeout=1)


def test_an_exit_status_other_than_zero_is_an_error(tmp_path: Path):
    elf = assemble(core("cortex-m4"), "", tmp_path, status=3)
    with pytest.raises(OutputsDiffer, match="status 3"):
        arm.count(elf, core("cortex-m4"), 0)


# Core, code, instructions, cycles where it falls through, cycles more where the last branch is taken.
BLOCKS = [
    ("cortex-m0", "ldr r0, [r1]\n ldr r2, [r3]", 2, 4, 0),
    ("cortex-m0", "muls r0, r1", 1, 1, 0),
    ("cortex-m0", "push {r4-r7, lr}", 1, 6, 0),
    ("cortex-m0", "pop {r4, pc}", 1, 3, 3),
    ("cortex-m0", "bl here", 1, 1, 3),
    ("cortex-m0", "bx lr", 1, 1, 2),
    ("cortex-m0", "b here", 1, 1, 2),
    ("cortex-m0", "mov pc, lr", 1, 1, 2),
    ("cortex-m0", "mrs r0, primask", 1, 4, 0),
    ("cortex-m0plus", "pop {r4, pc}", 1, 3, 2),
    ("cortex-m0plus", "bl here", 1, 1, 2),
    ("cortex-m0plus", "bx lr", 1, 1, 1),
    ("cortex-m0plus", "b here", 1, 1, 1),
    ("cortex-m3", "mla r0, r1, r2, r3", 1, 2, 0),
    ("cortex-m3", "smull r0, r1, r2, r3", 1, 4, 0),
    ("cortex-m3", "smlal r0, r1, r2, r3", 1, 6, 0),
    ("cortex-m3", "udiv r0, r1, r2", 1, 6, 0),
    ("cortex-m4", "ldr r0, [r1]\n ldr r2, [r3]\n ldrb r4, [r3, r5]", 3, 4, 0),
    ("cortex-m4", "ldr r0, [r1]\n ldr r2, [r0]", 2, 4, 0),
    ("cortex-m4", "ldr r0, [r1]\n ldr r2, [r3, r0]", 2, 4, 0),
    ("cortex-m4", "ldr r0, [r1]\n adds r0, #1\n ldr r2, [r3]", 3, 5, 0),
    ("cortex-m4", "ldrd r0, r1, [r2]\n strd r0, r1, [r2]", 2, 6, 0),
    ("cortex-m4", "ldm r0!, {r1-r4}", 1, 5, 0),
    ("cortex-m4", "pop {r4-r7, pc}", 1, 6, 2),
    ("cortex-m4", "ldr pc, [r0]", 1, 2, 2),
    ("cortex-m4", "tbb [pc, r0]", 1, 2, 2),
    ("cortex-m4", "cbz r0, 1f\n nop\n1:", 2, 2, 0),
    ("cortex-m4", "smlal r0, r1, r2, r3\n mla r0, r1, r2, r3\n smlad r0, r1, r2, r3\n smmulr r0, r1, r2", 4, 4, 0),
    ("cortex-m4", "cmp r0, #0\n it eq\n moveq r0, r1", 3, 3, 0),
    ("cortex-m4", "vadd.f32 s0, s1, s2\n vmul.f32 s3, s4, s5", 2, 2, 0),
    ("cortex-m4", "vadd.f32 s0, s1, s2\n vmul.f32 s3, s0, s5", 2, 3, 0),
    ("cortex-m4", "vfma.f32 s0, s1, s2", 1, 3, 0),
    ("cortex-m4", "vdiv.f32 s0, s1, s2\n vsqrt.f32 s3, s4", 2, 28, 0),
    ("cortex-m4", "vldr s0, [r0]\n vstr s0, [r1]", 2, 4, 0),
    ("cortex-m4", "vmov r0, r1, d0", 1, 2, 0),
    ("cortex-m4", "vpush {d8-d9}", 1, 5, 0),
    ("cortex-m4", "msr primask, r0\n dsb", 2, 6, 0),
    ("cortex-m33", "ldr r0, [r1]\n ldr r2, [r3]", 2, 3, 0),
    ("cortex-m7", "adds r0, r1, r2\n adds r3, r4, r5", 2, 1, 0),
    ("cortex-m7", "adds r0, r1, r2\n adds r3, r0, r5", 2, 2, 0),
    ("cortex-m7", "mul r0, r1, r2\n mul r3, r4, r5", 2, 2, 0),
    ("cortex-m7", "str r0, [r1]\n str r2, [r3]", 2, 2, 0),
    ("cortex-m7", "ldr r0, [r1]\n adds r0, #1", 2, 3, 0),
    ("cortex-m7", "subs r0, #1\n bne here", 2, 1, 0),
    ("cortex-m7", "push {r4-r7, lr}\n adds r0, r1, r2", 2, 4, 0),
    ("cortex-m7", "sdiv r0, r1, r2\n adds r3, r4, r5", 2, 7, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code", "instructions", "cycles", "taken"),
    BLOCKS,
    ids=[f"{b[0]} {b[1]}".replace("\n", ";") for b in BLOCKS],
)
def test_a_block_costs_what_the_table_says(name, code, instructions, cycles, taken, tmp_path: Path):
    cost = Coster(core(name)).block(machine_code(core(name), code, tmp_path), 0x1000)
    assert cost == Cost(((instructions, cycles),), taken, 0)


def test_every_core_that_the_engine_runs_has_a_table_of_cycles_and_no_other_core_claims_one():
    cores = load_cores()
    assert {name for name, found in cores.items() if found.pipeline is not None} == set(arm.MODELS)
    assert not set(arm.MODELS) & set(plugin.MACHINES)
    same = ("alu", "mul", "mla", "mul_long", "mla_long", "div", "load", "load_next", "store", "branch_taken", "call")
    m4, m33 = cores["cortex-m4"], cores["cortex-m33"]
    assert [getattr(m4.timing, n) for n in same] == [getattr(m33.timing, n) for n in same]
    assert m4.pipeline is not None
    assert m33.pipeline == replace(m4.pipeline, source=m33.timing.source)


def test_what_the_disassembler_does_not_know_still_counts(tmp_path: Path):
    cost = Coster(core("cortex-m4")).block(b"\xff\xff\xff\xff\x00\xbf", 0x1000)
    assert cost == Cost(((2, 2),), 0, 0)


@pytest.mark.parametrize(("name", "code", "beyond", "falls"), [
    ("cortex-m4", "ldr r0, [r1]", "ldr r2, [r3]", -1),  # the second load of two in a row
    ("cortex-m4", "ldr r0, [r1]", "ldr r2, [r0]", 0),
    ("cortex-m4", "ldr r0, [r1]\n bne here", "ldr r2, [r3]", 0),  # nothing overlaps across a branch
    ("cortex-m4", "vadd.f32 s0, s1, s2", "vmul.f32 s3, s0, s0", 1),
    ("cortex-m7", "adds r0, r1, r2", "adds r3, r4, r5", -1),
    ("cortex-m0", "ldr r0, [r1]", "ldr r2, [r3]", 0),
])  # fmt: skip
def test_a_block_that_was_cut_in_mid_stream_costs_as_if_it_went_on(name, code, beyond, falls, tmp_path: Path):
    first, second = (machine_code(core(name), text, tmp_path) for text in (code, beyond))
    assert Coster(core(name)).block(first, 0x1000, (), second).falls == falls


def test_cuts_divide_a_block_without_changing_its_cost(tmp_path: Path):
    code = machine_code(core("cortex-m4"), "ldr r0, [r1]\n ldr r2, [r3]\n adds r0, r2\n b here", tmp_path)
    coster = Coster(core("cortex-m4"))
    assert coster.block(code, 0x1000).pieces == ((4, 5),)
    assert coster.block(code, 0x1000, [0x1000, 0x1002, 0x1002, 0x1006]).pieces == (
        (0, 0),
        (1, 2),
        (0, 0),
        (2, 2),
        (1, 1),
    )
