"""Builds firmware for a board in QEMU with the system's cross compiler. Uploading it means running it."""

import shutil
import subprocess
import sys
from pathlib import Path

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
tools = board.get("build.tools")
flags = board.get("build.flags")
folder = Path(env.PioPlatform().get_dir())

if not shutil.which(f"{tools}gcc"):
    sys.exit(f"{tools}gcc is missing: apt-get install {' '.join(board.get('build.packages'))}")

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
    ASPPFLAGS=["-x", "assembler-with-cpp"],
    CCFLAGS=[*flags, "-Os", "-g", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections"],
    CFLAGS=["-std=gnu99"],
    CXXFLAGS=["-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics"],
    LINKFLAGS=[*flags, "-nostartfiles", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments"],
    LIBS=["m", "c", "gcc"],
)
if "--specs=picolibc.specs" not in flags and "arm" in tools:
    env.Append(LINKFLAGS=["--specs=nano.specs"])

env.Append(CPPPATH=["$PROJECT_SRC_DIR"])
env.BuildSources(str(Path("$BUILD_DIR") / "emulator"), str(folder), src_filter=["-<*>", "+<*.c>"])


def run(target, source, env):
    """Run the firmware in QEMU and hand on its exit status; what it prints is shown."""
    del target
    program = board.get("qemu.program")
    if not shutil.which(program):
        print(f"{program} is missing: apt-get install {board.get('qemu.package')}", file=sys.stderr)
        return 4
    done = subprocess.run([program, *board.get("qemu.args"), "-kernel", str(source[0])], stdin=subprocess.DEVNULL)
    return done.returncode


program = env.BuildProgram()
size = env.AddPlatformTarget("size", program, env.VerboseAction("$SIZEPRINTCMD", "Calculating size $SOURCE"), "Program size")
env.AddPlatformTarget("upload", program, env.VerboseAction(run, "Running $SOURCE in QEMU"), "Run in QEMU")
AlwaysBuild(env.Alias("nobuild", program))
Default([env.Alias("buildprog", program, program), size])
