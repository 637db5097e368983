"""Instructions and cycles against programs that were counted by hand from the manuals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.assembly import ARM_LOOP, RISCV_LOOP, XTENSA_LOOP, assemble, core, hooks, machine_code
from tests.support import needs_cc
from tinycomp.errors import OutputsDiffer
from tinycomp.harness import counts_qemu, counts_unicorn
from tinycomp.harness.counts_cycles import Cost, Coster
from tinycomp.harness.counts_window import Window

# ARM_LOOP: MOVS; 100 times LDR, ADDS, STR, SUBS; BNE taken 99 times and once not; MOVS; BL.
LOOP_CYCLES = {
    "cortex-m0": 1 + 100 * (2 + 1 + 2 + 1) + 99 * 3 + 1 + 1 + 4,
    "cortex-m0plus": 1 + 100 * (2 + 1 + 2 + 1) + 99 * 2 + 1 + 1 + 3,
    "cortex-m3": 1 + 100 * (2 + 1 + 1 + 1) + 99 * 3 + 1 + 1 + 3,
    "cortex-m4": 1 + 100 * (2 + 1 + 1 + 1) + 99 * 3 + 1 + 1 + 3,
    "cortex-m33": 1 + 100 * (2 + 1 + 1 + 1) + 99 * 3 + 1 + 1 + 3,
    # MOVS+LDR; ADDS, which waits for the load; STR+SUBS; BNE: five cycles, the same in later rounds; MOVS+BL.
    "cortex-m7": 100 * 5 + 1,
}


@pytest.mark.parametrize("python", [False, True], ids=["in C", "in Python"])
@pytest.mark.parametrize("name", LOOP_CYCLES)
def test_a_loop_costs_what_the_manual_says(name: str, python: bool, tmp_path: Path):
    elf = assemble(core(name), ARM_LOOP, tmp_path)
    counted = counts_unicorn.count(elf, core(name), hooks(elf), 3, python=python)
    assert counted.windows == (Window(0, 0, 0), Window(503, LOOP_CYCLES[name], 1), Window(0, 0, 0))


@needs_cc
@pytest.mark.parametrize(("name", "body"), [
    ("cortex-m55", ARM_LOOP), ("rv32imc", RISCV_LOOP), ("xtensa-lx106", XTENSA_LOOP),
])  # fmt: skip
def test_a_loop_in_qemu_retires_what_was_counted_by_hand(name: str, body: str, tmp_path: Path):
    memory = counts_qemu.MACHINES[name].memory
    elf = assemble(core(name), body, tmp_path, boot=memory.boot, code=memory.code, data=memory.data)
    counted = counts_qemu.count(elf, core(name), (*hooks(elf), elf["windows"]), 3, timeout=60)
    assert counted.windows == (Window(0, None, 0), Window(503, None, 1), Window(0, None, 0))


def test_windows_that_open_often_add_up_and_what_lies_between_counts_nowhere(tmp_path: Path):
    body = "  movs r7, #5\n2:\n" + ARM_LOOP + "  nop\n  nop\n  subs r7, #1\n  bne 2b\n"
    elf = assemble(core("cortex-m4"), body, tmp_path)
    counted = counts_unicorn.count(elf, core("cortex-m4"), hooks(elf), 3)
    assert counted.windows[1] == Window(5 * 503, 5 * LOOP_CYCLES["cortex-m4"], 5)


def test_more_blocks_than_the_table_begins_with_are_all_counted(tmp_path: Path):
    branches = "  b . + 2\n" * 40_000
    body = f"  movs r0, #1\n  bl open\n{branches}  movs r0, #0\n  bl close\n"
    elf = assemble(core("cortex-m4"), body, tmp_path, code=0x1000)
    counted = counts_unicorn.count(elf, core("cortex-m4"), hooks(elf), 3)
    assert counted.windows[1].instructions == 40_002


@pytest.mark.parametrize("python", [False, True], ids=["in C", "in Python"])
@pytest.mark.parametrize("window", [1, 7], ids=["inside another", "past the last"])
def test_a_window_that_cannot_be_counted_is_refused(window: int, python: bool, tmp_path: Path):
    body = f"  movs r0, #1\n  bl open\n  movs r0, #{window}\n  bl open\n"
    elf = assemble(core("cortex-m4"), body, tmp_path)
    with pytest.raises(OutputsDiffer, match="a layer begins inside another"):
        counts_unicorn.count(elf, core("cortex-m4"), hooks(elf), 3, python=python)


def test_an_undefined_instruction_is_reported_with_its_function(tmp_path: Path):
    elf = assemble(core("cortex-m4"), "  udf #1\n", tmp_path)
    with pytest.raises(OutputsDiffer, match="in reset"):
        counts_unicorn.count(elf, core("cortex-m4"), hooks(elf), 1)


def test_a_write_to_where_there_is_no_memory_is_reported(tmp_path: Path):
    elf = assemble(core("cortex-m4"), "  ldr r0, =0x70000000\n  str r0, [r0]\n", tmp_path)
    with pytest.raises(OutputsDiffer, match="in reset"):
        counts_unicorn.count(elf, core("cortex-m4"), hooks(elf), 1)


def test_firmware_that_hangs_is_stopped(tmp_path: Path):
    elf = assemble(core("cortex-m4"), "1: b 1b\n", tmp_path)
    with pytest.raises(OutputsDiffer, match="did not end in 0 s"):
        counts_unicorn.count(elf, core("cortex-m4"), hooks(elf), 1, timeout=0.2)


@needs_cc
def test_firmware_that_hangs_in_qemu_is_stopped(tmp_path: Path):
    memory = counts_qemu.MACHINES["rv32imc"].memory
    elf = assemble(core("rv32imc"), "1: j 1b\n", tmp_path, boot=memory.boot, code=memory.code, data=memory.data)
    with pytest.raises(OutputsDiffer, match="did not end in 1 s"):
        counts_qemu.count(elf, core("rv32imc"), (*hooks(elf), elf["windows"]), 1, timeout=1)


def test_an_exit_status_other_than_zero_is_an_error(tmp_path: Path):
    elf = assemble(core("cortex-m4"), "", tmp_path, status=3)
    with pytest.raises(OutputsDiffer, match="status 3"):
        counts_unicorn.count(elf, core("cortex-m4"), hooks(elf), 1)


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
    ("name", "code", "instructions", "cycles", "taken"), BLOCKS, ids=[f"{b[0]} {b[1]}".replace("\n", ";") for b in BLOCKS]
)
def test_a_block_costs_what_the_table_says(name, code, instructions, cycles, taken, tmp_path: Path):
    cost = Coster(core(name)).block(machine_code(core(name), code, tmp_path), 0x1000)
    assert cost == Cost(instructions, cycles, taken)


def test_what_the_disassembler_does_not_know_still_counts(tmp_path: Path):
    cost = Coster(core("cortex-m4")).block(b"\xff\xff\xff\xff\x00\xbf", 0x1000)
    assert cost == Cost(2, 2, 0)
