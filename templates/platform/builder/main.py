"""Builds firmware for a board in QEMU with the system's cross compiler. To upload it is to run it."""

import shutil
import subprocess
import sys
from pathlib import Path

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
tools = board.get("emulator.tools")
flags = board.get("emulator.compile")
folder = Path(env.PioPlatform().get_dir())

if not shutil.which(f"{tools}gcc"):
    sys.stderr.write(f"{tools}gcc is not installed: apt-get install {board.get('emulator.tools_package')}\n")
    env.Exit(4)

env.Replace(
    AR=f"{tools}gcc-ar",
    AS=f"{tools}gcc",
    CC=f"{tools}gcc",
    CXX=f"{tools}g++",
    GDB=f"{tools}gdb",
    OBJCOPY=f"{tools}objcopy",
    RANLIB=f"{tools}gcc-ranlib",
    SIZETOOL=f"{tools}size",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
    ARFLAGS=["rc"],
    LDSCRIPT_PATH=str(folder / "link.ld"),
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
    SIZEPROGREGEXP=r"^(?:\.reset|\.vectors|\.text|\.ARM\.exidx|\.data)\s+(\d+)",
    SIZEDATAREGEXP=r"^(?:\.stack|\.handlers|\.data|\.bss)\s+(\d+)",
)
env.Append(
    ASFLAGS=flags,
    CCFLAGS=[*flags, "-Os", "-g", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections"],
    CFLAGS=["-std=gnu99"],
    CXXFLAGS=["-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics"],
    CPPPATH=["$PROJECT_SRC_DIR"],
    LINKFLAGS=[*flags, *board.get("emulator.link")],
    LIBS=["m", "c", "gcc"],
)
env.BuildSources(str(Path("$BUILD_DIR") / "emulator"), str(folder), src_filter=["-<*>", "+<*.c>"])


def run(target, source, env):
    """Show what the firmware prints; its exit status becomes PlatformIO's."""
    del target, env
    qemu = board.get("emulator.qemu")
    if not shutil.which(qemu):
        sys.stderr.write(f"{qemu} is not installed: apt-get install {board.get('emulator.qemu_package')}\n")
        return 4
    command = [qemu, *board.get("emulator.arguments"), "-kernel", str(source[0])]
    return subprocess.run(command, stdin=subprocess.DEVNULL).returncode


program = env.BuildProgram()
size = env.VerboseAction("$SIZEPRINTCMD", "Calculating size $SOURCE")
env.AddPlatformTarget("size", program, size, "Program size")
env.AddPlatformTarget("upload", program, env.VerboseAction(run, "Running $SOURCE in QEMU"), "Run in QEMU")
AlwaysBuild(env.Alias("nobuild", program))
Default(env.Alias("buildprog", program, program))
