"""RAM over time as lines of text: bars of eighths, narrow enough for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HEIGHT = 3  # lines of a band of bars
EIGHTHS = " ▁▂▃▄▅▆▇█"


def bands(series: Mapping[str, Sequence[int]]) -> list[str]:
    """Each series as a band of bars with its name and its largest value, without empty lines above it.

    All are on one scale, which the largest value fills.
    """
    top = max((max(values, default=0) for values in series.values()), default=0)
    width = max((len(name) for name in series), default=0)
    lines: list[str] = []
    for name, values in series.items():
        drawn = [line for line in bars(values, top) if line.strip()] or [""]
        for k, line in enumerate(drawn):
            last = k + 1 == len(drawn)
            end = f"  {max(values, default=0):,}" if last else ""
            lines.append(f"{name if last else '':{width}}  {line}{end}".rstrip())
    return lines


def bars(values: Sequence[int], top: int, height: int = HEIGHT) -> list[str]:
    """Bars of `height` lines, the upper line first. What is not 0 shows an eighth at least."""
    eighths = [0 if v <= 0 else max(1, round(8 * height * v / top)) for v in values]
    return ["".join(EIGHTHS[min(max(n - 8 * row, 0), 8)] for n in eighths) for row in range(height - 1, -1, -1)]
