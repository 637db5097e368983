"""Programs in assembly whose instructions and cycles can be counted by hand, assembled for a core."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tinycomp.cores import Core, load_core
from tinycomp.harness.counting import program
from tinycomp.harness.counting.firmware import Memory
from tinycomp.harness.counting.program import Elf

PLAIN = Memory(boot=0, code=0x1000, code_bytes=1 << 20, data=0x2000_0000, data_bytes=1 << 16)
# Start-up, the body, and the exit.
ARM = """
.syntax unified
.thumb
.section .boot, "a"
.global vectors
.type vectors, %object
vectors: .word 0x20010000, reset + 1, fault + 1, fault + 1
.size vectors, . - vectors
.text
.thumb_func
.type fault, %function
fault: b fault
.size fault, . - fault
.thumb_func
.global reset
.type reset, %function
reset:
{setup}
{body}
  ldr r1, =leave
  movs r0, #0x20
  bkpt 0xab
.size reset, . - reset
.align 2
leave: .word 0x20026, {status}
.pool
.data
cell: .space 16
"""
RISCV = """
.section .boot, "ax"
.option norvc
.global reset
reset: la t3, cell
{body}
  la a1, leave
  li a0, 0x20
  j host
.balign 16
host: slli x0, x0, 0x1f
  ebreak
  srai x0, x0, 7
leave: .word 0x20026, {status}
.data
cell: .space 16
"""
XTENSA = """
.section .boot, "ax"
.global reset
reset: j begin
.balign 4
at_cell: .word cell
begin: l32r a8, at_cell
{body}
  movi a2, 1
  movi a3, {status}
  simcall
.data
cell: .space 16
"""


def mark(window: int, opens: bool) -> str:
    """A mark here."""
    return f'9: .pushsection .marks, "a"\n  .word 9b, {window}, {int(opens)}\n  .popsection\n'


def between(window: int, body: str) -> str:
    """The body between two marks of a window."""
    return mark(window, True) + body + mark(window, False)


# Bodies that retire 501 instructions: a counter is set, and five instructions run 100 times.
ARM_LOOP = """
  movs r2, #100
1: ldr r3, [r4]
  adds r3, #1
  str r3, [r4]
  subs r2, #1
  bne 1b
"""
RISCV_LOOP = """
  li t2, 100
1: lw t0, 4(t3)
  addi t0, t0, 1
  sw t0, 4(t3)
  addi t2, t2, -1
  bnez t2, 1b
"""
XTENSA_LOOP = """
  movi a4, 100
1: l32i a5, a8, 4
  addi a5, a5, 1
  s32i a5, a8, 4
  addi a4, a4, -1
  bnez a4, 1b
"""
AT_CELL = "  ldr r4, =cell\n  b 2f\n.pool\n2:\n"  # what ARM_LOOP needs in r4
# CPACR, so that a core with a floating-point unit or Helium may use it.
COPROCESSORS = "  ldr r0, =0xE000ED88\n  ldr r1, =0x00F00000\n  str r1, [r0]\n  dsb\n  isb\n"


def core(name: str) -> Core:
    """A core of the database, the test being skipped where its compiler or the engine's packages are missing."""
    found = load_core(name)
    if not shutil.which(found.compiler):
        pytest.skip(f"{found.compiler} is not installed")
    for package in ("unicorn", "capstone", "elftools"):
        pytest.importorskip(package, reason=f"the Python package {package} is not installed")
    return found


def assemble(core: Core, body: str, folder: Path, *, status: int = 0, memory: Memory = PLAIN) -> Elf:
    """Assemble and link a body for the core; its exit is that status."""
    text, setup = ARM, (COPROCESSORS if "fpu" in core.features else "") + AT_CELL
    if "riscv" in core.features:
        text = RISCV
    elif "xtensa" in core.features:
        text = XTENSA
    (folder / "p.s").write_text(text.format(body=body, status=status, setup=setup))
    sections = (
        (".boot", memory.boot),
        (".text", memory.code),
        (".data", memory.data),
        (".marks", memory.data + 0x1000),
    )
    placed = " ".join(f"{name} {address:#x} : {{ KEEP(*({name})) }}" for name, address in sections)
    (folder / "p.ld").write_text(f"SECTIONS {{ {placed} }}")
    flags = [f for f in core.flags if not f.startswith("--specs")]
    link = ["-nostdlib", "-nostartfiles", "-Wl,-T,p.ld", "-Wl,--build-id=none", "-Wl,-e,reset"]
    command = [core.compiler, *flags, *link, "p.s", "-o", "p.elf"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program.read(folder / "p.elf")


def machine_code(core: Core, body: str, folder: Path) -> bytes:
    """The bytes of a few Arm instructions."""
    (folder / "c.s").write_text(f".syntax unified\n.thumb\n.text\n.thumb_func\nhere:\n{body}\n")
    flags = [f for f in core.flags if not f.startswith("--specs")]
    subprocess.run([core.compiler, *flags, "-c", "c.s", "-o", "c.o"], cwd=folder, check=True)
    subprocess.run([f"{core.tools}objcopy", "-O", "binary", "-j", ".text", "c.o", "c.bin"], cwd=folder, check=True)
    return (folder / "c.bin").read_bytes()
