"""Firmware in QEMU, for the cores that `unicorn` lacks: exact retired instructions, window by window; no cycles.

A small plugin counts, compiled with the host's C compiler.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tinycomp import resources
from tinycomp.cores import Core
from tinycomp.errors import OutputsDiffer, ToolMissing
from tinycomp.harness import native, tools
from tinycomp.harness.counting.firmware import Memory
from tinycomp.harness.counting.program import Elf
from tinycomp.harness.counting.window import FIRMWARE, Counted, Window


@dataclass(frozen=True)
class Machine:
    """A QEMU machine with room to spare, and the memory to link for."""

    program: str
    args: tuple[str, ...]
    memory: Memory


_HELIUM = Machine("qemu-system-arm", ("-M", "mps3-an547"), Memory(0, 0x7000_0000, 16 << 20, 0x7100_0000, 16 << 20))
_RISCV = Machine("qemu-system-riscv32", ("-M", "virt", "-m", "64M", "-bios", "none"),
                 Memory(0x8000_0000, 0x8000_0400, (32 << 20) - 0x400, 0x8200_0000, 32 << 20))  # fmt: skip
_XTENSA = Machine("qemu-system-xtensa", ("-M", "sim", "-cpu", "lx106", "-m", "64M"),
                  Memory(0x5000_0000, 0x6000_0000, 32 << 20, 0x6200_0000, 32 << 20))  # fmt: skip
# Cortex-M85 runs on the Cortex-M55 of this machine, whose instruction set is the same.
MACHINES: Mapping[str, Machine] = MappingProxyType({
    "cortex-m55": _HELIUM, "cortex-m85": _HELIUM, "rv32imc": _RISCV, "rv32imac": _RISCV, "xtensa-lx106": _XTENSA,
})  # fmt: skip
COMMON = ("-display", "none", "-monitor", "none", "-serial", "none", "-chardev", "stdio,id=host",
          "-semihosting-config", "enable=on,target=native,chardev=host")  # fmt: skip


def count(elf: Elf, core: Core, whole: int, *, timeout: float = 600) -> Counted:
    """Run to the semihosting exit and count the windows 0 to `whole`.

    Raises ToolMissing; OutputsDiffer where the firmware does not end in `timeout` seconds or leaves with a status
    other than 0.
    """
    machine = MACHINES[core.id]
    qemu = tools.find(machine.program)
    with tempfile.TemporaryDirectory() as folder:
        plugin, marks, out = _plugin(qemu, Path(folder)), Path(folder) / "marks", Path(folder) / "counts"
        lines = [f"{m.address} {m.window} {int(m.opens)}" for m in elf.marks]
        marks.write_text("\n".join([f"{len(lines)} {whole} {whole + 1}", *lines]) + "\n")
        # A comma ends a value of QEMU's options, a doubled one stands for itself.
        paths = [str(path).replace(",", ",,") for path in (plugin, marks, out)]
        options = f"{paths[0]},marks={paths[1]},out={paths[2]}"
        command = [qemu, *machine.args, *COMMON, "-plugin", options, "-kernel", str(elf.path)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise OutputsDiffer(f"it did not end in {timeout:g} s", where=FIRMWARE) from None
        console = done.stdout.decode("ascii", "replace")
        if done.returncode or not out.exists():
            said = (console[-200:] + done.stderr.decode(errors="replace")[-600:]).strip()
            raise OutputsDiffer(f"it left with status {done.returncode}: {said}", where=FIRMWARE)
        found = [int(line) for line in out.read_text().split()]
    return Counted(tuple(Window(n, None) for n in found), console)


def _plugin(qemu: str, folder: Path) -> Path:
    """The plugin, compiled for this QEMU. Raises ToolMissing without a host compiler."""
    source, plugin = resources.path("templates") / "harness" / "count_plugin.c", folder / "count_plugin.so"
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True).stdout
    major = int(found[1]) if (found := re.search(r"version (\d+)", version)) else 0
    # QEMU 9 dropped version 1 of its plugin interface; what is used here is the same in both.
    flags = ["-O2", "-shared", "-fPIC", f"-DPLUGIN_VERSION={2 if major >= 9 else 1}"]
    done = subprocess.run([native.compiler(), *flags, str(source), "-o", str(plugin)], capture_output=True, text=True)
    if done.returncode:
        raise ToolMissing(f"the host's C compiler cannot build QEMU's counting plugin: {done.stderr[:300]}",
                          fix="apt-get install gcc libc6-dev")  # fmt: skip
    return plugin
