"""What is installed of all that tinycomp can use: compilers, emulators, PlatformIO, Python packages, serial ports."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tinycomp.errors import TinycompError
from tinycomp.harness import setup, tools, wire
from tinycomp.target import load_boards

EXTRAS = (
    ("unicorn", "profile on emulated Arm cores", "pip install 'tinycomp[emulate]'"),
    ("capstone", "profile on emulated Arm cores", "pip install 'tinycomp[emulate]'"),
    ("elftools", "profile in an emulator", "pip install 'tinycomp[emulate]'"),
    ("serial", "--on device", "pip install 'tinycomp[device]'"),
)
ESPRESSIF = "comes with PlatformIO's espressif32 platform at the first `pio run`; add its bin folder to PATH"


@dataclass(frozen=True)
class Check:
    """A tool: what needs it, where it is (None: missing), how to get it."""

    name: str
    needed_for: str
    found: str | None
    fix: str = ""


def checks() -> list[Check]:
    """Everything that is looked for, most needed first."""
    return [_native(), *_compilers(), *_emulators(), *_platformio(), *_packages(), _ports()]


def _native() -> Check:
    found = next((path for name in ("gcc", "clang", "cc") if (path := shutil.which(name))), None)
    return Check("C compiler", "verify, run", found, "apt-get install gcc libc6-dev")


def _compilers() -> Iterator[Check]:
    users: dict[str, list[str]] = {}
    for board in load_boards().values():
        users.setdefault(board.core.compiler, []).append(board.core.id)
    for program, cores in sorted(users.items()):
        needed = f"code size of {_some(cores)}, measured instead of estimated"
        yield Check(program, needed, shutil.which(program), _fix(program))


def _emulators() -> Iterator[Check]:
    users: dict[str, list[str]] = {}
    for board in load_boards().values():
        if board.emulator is not None:
            users.setdefault(board.emulator.program, []).append(board.core.id)
    for program, cores in sorted(users.items()):
        yield Check(program, f"--on emulator for {_some(cores)}", shutil.which(program), _fix(program))


def _some(cores: Sequence[str]) -> str:
    names = sorted(set(cores))
    return ", ".join(names) if len(names) < 4 else f"{names[0]} … {names[-1]}"


def _fix(program: str) -> str:
    packages = tools.PACKAGES.get(program)
    if packages:
        return f"tinycomp setup-emulators, or apt-get install {' '.join(packages)}"
    return ESPRESSIF if "esp32" in program else "install it and add it to PATH"


def _platformio() -> Iterator[Check]:
    try:
        pio = tools.platformio()
    except TinycompError as error:
        yield Check("PlatformIO", "pio run, flash", None, error.fix)
        return
    yield Check("PlatformIO", "pio run, flash", pio)
    try:
        core = setup.platformio_core()
        scons = str(core.folder / "packages" / "tool-scons") if setup.has_scons(core) else None
    except TinycompError:
        scons = None
    fix = "tinycomp setup-emulators; with a network PlatformIO fetches it by itself"
    yield Check("PlatformIO's SCons", "pio run", scons, fix)


def _packages() -> Iterator[Check]:
    for name, needed, fix in EXTRAS:
        spec = importlib.util.find_spec(name)
        yield Check(f"Python package {name}", needed, None if spec is None else spec.origin or name, fix)


def _ports() -> Check:
    fix = "connect the board by a USB cable that carries data; on Linux your user must be in the group dialout"
    try:
        found = wire.ports()
    except TinycompError:
        return Check("serial port", "--on device", None, "pip install 'tinycomp[device]', then connect the board")
    return Check("serial port", "--on device", ", ".join(found) or None, fix)
