"""Programs in assembly whose instructions and cycles can be counted by hand, assembled for a core."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tinycomp.harness import counts_elf
from tinycomp.harness.counts_elf import Elf, Symbol
from tinycomp.target import Core, load_core

# Start-up, the hooks, and the exit; the body goes between. `windows` is what the opening hook writes to.
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
.type open, %function
open: ldr r3, =windows
  strb r0, [r3, r0]
  bx lr
.size open, . - open
.thumb_func
.type close, %function
close: nop
  bx lr
.size close, . - close
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
.global windows
.type windows, %object
windows: .space 16
.size windows, 16
"""
RISCV = """
.section .boot, "ax"
.option norvc
.global reset
reset: la t3, windows
{body}
  la a1, leave
  li a0, 0x20
  j host
.balign 16
host: slli x0, x0, 0x1f
  ebreak
  srai x0, x0, 7
leave: .word 0x20026, {status}
.text
.type open, @function
open: add t4, t3, a0
  sb a0, 0(t4)
  ret
.size open, . - open
.type close, @function
close: nop
  ret
.size close, . - close
.data
.global windows
.type windows, @object
windows: .space 16
.size windows, 16
"""
XTENSA = """
.section .boot, "ax"
.global reset
reset: j begin
.balign 4
array: .word windows
begin: l32r a8, array
{body}
  movi a2, 1
  movi a3, {status}
  simcall
.balign 4
.global open
.type open, @function
open: add a9, a8, a2
  s8i a2, a9, 0
  ret
.size open, . - open
.balign 4
.type close, @function
close: nop
  ret
.size close, . - close
.data
.global windows
.type windows, @object
windows: .space 16
.size windows, 16
"""
# Each body opens window 1, runs 100 times five instructions, and closes it; 503 instructions with the setting of the
# counter before, and the argument and the call of `close` after.
ARM_LOOP = """
  ldr r4, =windows
  movs r0, #1
  bl open
  movs r2, #100
1: ldr r3, [r4]
  adds r3, #1
  str r3, [r4]
  subs r2, #1
  bne 1b
  movs r0, #0
  bl close
"""
RISCV_LOOP = """
  li a0, 1
  jal open
  li t2, 100
1: lw t0, 4(t3)
  addi t0, t0, 1
  sw t0, 4(t3)
  addi t2, t2, -1
  bnez t2, 1b
  li a0, 0
  jal close
"""
XTENSA_LOOP = """
  movi a2, 1
  call0 open
  movi a4, 100
1: l32i a5, a8, 4
  addi a5, a5, 1
  s32i a5, a8, 4
  addi a4, a4, -1
  bnez a4, 1b
  movi a2, 0
  call0 close
"""
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


def assemble(core: Core, body: str, folder: Path, *, status: int = 0, boot: int = 0, code: int = 0x1000, data: int = 0x20000000) -> Elf:
    """Assemble and link a body for the core."""
    text, setup = ARM, COPROCESSORS if "fpu" in core.features else ""
    if "riscv" in core.features:
        text = RISCV
    elif "xtensa" in core.features:
        text = XTENSA
    (folder / "p.s").write_text(text.format(body=body, status=status, setup=setup))
    (folder / "p.ld").write_text(
        f"SECTIONS {{ .boot {boot:#x} : {{ KEEP(*(.boot)) }} .text {code:#x} : {{ *(.text) }} .data {data:#x} : {{ *(.data) }} }}"
    )
    flags = [f for f in core.flags if not f.startswith("--specs")]
    command = [core.compiler, *flags, "-nostdlib", "-nostartfiles", "-Wl,-T,p.ld", "-Wl,--build-id=none", "-Wl,-e,reset", "p.s", "-o", "p.elf"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return counts_elf.read(folder / "p.elf")


def machine_code(core: Core, body: str, folder: Path) -> bytes:
    """The bytes of a few Arm instructions."""
    (folder / "c.s").write_text(f".syntax unified\n.thumb\n.text\n.thumb_func\nhere:\n{body}\n")
    flags = [f for f in core.flags if not f.startswith("--specs")]
    subprocess.run([core.compiler, *flags, "-c", "c.s", "-o", "c.o"], cwd=folder, check=True)
    subprocess.run([f"{core.tools}objcopy", "-O", "binary", "-j", ".text", "c.o", "c.bin"], cwd=folder, check=True)
    return (folder / "c.bin").read_bytes()


def hooks(elf: Elf) -> tuple[Symbol, Symbol]:
    """What opens and closes windows."""
    return elf["open"], elf["close"]
