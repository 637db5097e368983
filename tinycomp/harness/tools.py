"""Programs that have to be installed: cross compilers, QEMU, PlatformIO. Found, or named with their packages."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tinycomp.errors import ToolMissing

# Program to the packages of Debian and Ubuntu that hold it and what it needs, such as a C library.
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "arm-none-eabi-gcc": ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi"),
    "riscv64-unknown-elf-gcc": ("gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf"),
    "xtensa-lx106-elf-gcc": ("gcc-xtensa-lx106", "picolibc-xtensa-lx106-elf"),
    "qemu-system-arm": ("qemu-system-arm",),
    "qemu-system-riscv32": ("qemu-system-misc",),
    "qemu-system-xtensa": ("qemu-system-misc",),
})  # fmt: skip


def find(program: str) -> str:
    """The program's path. Raises ToolMissing with the package to install."""
    if path := shutil.which(program):
        return path
    packages = " ".join(PACKAGES.get(program, ()))
    fix = f"apt-get install {packages} (or: tinycomp setup-emulators)" if packages else "install it and add it to PATH"
    raise ToolMissing(f"{program} is not installed", fix=fix)


def platformio() -> str:
    """PlatformIO's command line, beside this Python or on PATH. Raises ToolMissing."""
    for name in ("pio", "platformio"):
        beside = Path(sys.executable).with_name(name)
        if path := shutil.which(str(beside)) or shutil.which(name):
            return path
    raise ToolMissing("PlatformIO is not installed", fix="pip install 'tinycomp[emulate]', or pip install platformio")
