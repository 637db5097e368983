"""`python -m tests.fuzz --seconds 60 --seed 1`: mutated models until the time is over; what goes wrong is kept.

Case n of a seed is the same in every run, so that `--seed S --case N` shows one again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from tests.fuzz import examine, seeds
from tests.fuzz.mutate import mutated

CRASHES = Path("build/fuzz")
Files = list[bytes]
Outcome = examine.Outcome | BaseException


def case(seed: int, number: int, files: Files, depth: examine.Depth) -> tuple[bytes, Outcome]:
    """One mutated file, and what came of it."""
    rng = random.Random(f"{seed}/{number}")
    data = mutated(rng, rng.choice(files), files)
    try:
        return data, examine.examine(data, examine.drawn(rng), rng, depth)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return data, error


def where(error: BaseException) -> str:
    """The innermost line of tinycomp: one fault is one place."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "tinycomp/" in f.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "checks"
    detail = str(error).splitlines()[0][:160] if str(error) else ""
    return f"{type(error).__name__} at {place}: {detail}"


class Log:
    """Distinct faults by the place where they show, the first file of each kept."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder, self.places = seed, folder, Counter[str]()

    def add(self, number: int, data: bytes, error: BaseException) -> None:
        """Count the fault; print and keep it where it is new."""
        told = where(error)
        place = told if "at checks" in told else told.split(": ")[0]
        self.places[place] += 1
        if self.places[place] == 1:
            self.folder.mkdir(parents=True, exist_ok=True)
            kept = self.folder / f"seed{self.seed}-case{number}.tflite"
            kept.write_bytes(data)
            print(f"case {number}: {told}\n  kept as {kept}", flush=True)


def fuzz(
    seconds: float, seed: int, numbers: Iterable[int], files: Files, depth: examine.Depth, folder: Path = CRASHES
) -> int:
    """Examine these cases of the seed until the time is over; returns the number of distinct faults."""
    end, outcomes, log = time.monotonic() + seconds, Counter[str](), Log(seed, folder)
    for number in numbers:
        if time.monotonic() > end:
            break
        data, outcome = case(seed, number, files, depth)
        if isinstance(outcome, BaseException):
            log.add(number, data, outcome)
        outcomes["fault" if isinstance(outcome, BaseException) else outcome] += 1
    told = ", ".join(f"{n} {what}" for what, n in sorted(outcomes.items()))
    print(f"seed {seed}: {outcomes.total()} files tried ({told}); {len(log.places)} distinct faults")
    return len(log.places)


def again(path: Path) -> int:
    """A kept file in every way of building; returns the number of ways that go wrong."""
    found = 0
    for options in examine.every_way():
        try:
            outcome = examine.examine(path.read_bytes(), options, random.Random(0), examine.ALL)
            print(f"{path.name}: {outcome} by {options}")
        except BaseException as error:
            traceback.print_exception(error)
            print(f"{path.name}: {where(error)} by {options}")
            found += 1
    return found


def main() -> int:
    """Parse and run; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="this case alone, with its traceback")
    parser.add_argument("--deep", action="store_true", help="interpret, compile and run far more of what builds")
    parser.add_argument("--shared", action="store_true", help="start from the shared reference models too")
    parser.add_argument("--file", type=Path, help="a file that was kept, in every way of building")
    given = parser.parse_args()
    if given.file:
        return 1 if again(given.file) else 0
    depth = examine.Depth(1000, 300, 150, 50) if given.deep else examine.Depth()
    numbers = count() if given.case is None else [given.case]
    return 1 if fuzz(given.seconds, given.seed, numbers, seeds.files(given.shared), depth) else 0


if __name__ == "__main__":
    sys.exit(main())
