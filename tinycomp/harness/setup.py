"""What the emulated boards need, installed: compilers and QEMU through apt, PlatformIO's SCons from PyPI.

PlatformIO takes its build tool from its own registry, as the package `tool-scons`, which is SCons and nothing more. The
same SCons from PyPI, laid out as PlatformIO lays out a package, serves as well and needs no registry.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinycomp.errors import ToolMissing
from tinycomp.harness import tools

Say = Callable[[str], None]

_SCONS = """import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
from SCons.Script import main  # noqa: E402

main()
"""


@dataclass(frozen=True)
class Core:
    """A PlatformIO installation. folder: where it keeps packages. scons: the version of tool-scons that it wants."""

    folder: Path
    scons: str


def setup(say: Say) -> None:
    """Install what is missing; every command is shown before it runs. Raises ToolMissing where that cannot be done."""
    install_packages(missing_packages(), say)
    core = platformio_core()
    if has_scons(core):
        say(f"PlatformIO has its build tool: {core.folder / 'packages' / 'tool-scons'}")
    else:
        folder = provision_scons(core, say)
        say(f"PlatformIO has SCons {scons_version(core.scons)} from PyPI as its build tool: {folder}")
    say("The emulated boards are ready.")


def missing_packages() -> list[str]:
    """The distribution's packages whose programs are not on PATH, sorted."""
    return sorted({p for program, packages in tools.PACKAGES.items() if not shutil.which(program) for p in packages})


def install_packages(packages: Sequence[str], say: Say) -> None:
    """`apt-get install`, where there is one and we are root. Raises ToolMissing with the command otherwise."""
    if not packages:
        say("Compilers and QEMU are installed.")
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not shutil.which("apt-get"):
        raise ToolMissing("compilers or emulators are missing, and there is no apt-get",
                          fix=f"install what your system calls {' '.join(packages)}")  # fmt: skip
    if not root:
        raise ToolMissing("compilers or emulators are missing, and only root may install them",
                          fix=f"sudo {' '.join(command)}")  # fmt: skip
    for step in (["apt-get", "update"], command):
        say("$ " + " ".join(step))
        if subprocess.run(step, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}).returncode:
            raise ToolMissing(f"`{' '.join(step)}` failed", fix="see its output above")


def platformio_core() -> Core:
    """The installation that `pio` belongs to. Raises ToolMissing."""
    pio = tools.platformio()
    facts = json.loads(_output([pio, "system", "info", "--json-output"]))
    code = "from platformio.dependencies import get_core_dependencies as d; print(d()['tool-scons'])"
    wanted = _output([facts["python_exe"]["value"], "-c", code]).strip().removeprefix("~")
    return Core(Path(facts["core_dir"]["value"]), wanted)


def scons_version(package: str) -> str:
    """SCons's own version in that of PlatformIO's package: `4.41101.0` is 4.11.1. Raises ToolMissing."""
    match = re.fullmatch(r"\d+\.(\d)(\d\d)(\d\d)\.\d+", package)
    if match is None:
        raise ToolMissing(f"this PlatformIO wants tool-scons {package}, which names no version of SCons",
                          fix="pip install 'platformio>=6.1,<7'")  # fmt: skip
    return ".".join(str(int(number)) for number in match.groups())


def has_scons(core: Core) -> bool:
    """Whether a fitting tool-scons is there, from wherever."""
    try:
        found = json.loads((core.folder / "packages" / "tool-scons" / "package.json").read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return str(found).rpartition(".")[0] == core.scons.rpartition(".")[0]


def provision_scons(core: Core, say: Say = lambda text: None) -> Path:
    """Put SCons from PyPI where PlatformIO looks for its package; it appears whole or not at all.

    Returns the folder. Raises ToolMissing where pip fails.
    """
    packages = core.folder / "packages"
    target = packages / "tool-scons"
    packages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages, prefix="_tmp_installing-") as folder:
        staging = Path(folder) / "tool-scons"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--target", str(staging / "lib"), f"scons=={scons_version(core.scons)}"]
        say("$ " + " ".join(command))
        _output(command)
        (staging / "scons.py").write_text(_SCONS)
        facts = {"name": "tool-scons", "version": core.scons}
        (staging / "package.json").write_text(json.dumps({**facts, "description": "SCons from PyPI"}))
        # Without the owner PlatformIO does not take the package for the one that it wants.
        spec = {"owner": "platformio", "id": None, "name": "tool-scons", "requirements": None, "uri": None}
        (staging / ".piopm").write_text(json.dumps({"type": "tool", **facts, "spec": spec}))
        if target.exists():
            target.rename(Path(folder) / "old")
        staging.rename(target)
    return target


def quiet_environment() -> dict[str, str]:
    """The environment for `pio`: no telemetry, no check for updates, whatever its version."""
    return {
        **os.environ,
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true",
        "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "36500",
    }


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=quiet_environment())
    if done.returncode:
        lines = "\n".join(done.stderr.strip().splitlines()[-6:])
        raise ToolMissing(f"`{' '.join(command[:4])} …` failed\n{lines}", fix="is the network there?")
    return done.stdout
