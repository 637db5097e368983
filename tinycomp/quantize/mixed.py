"""Which layers get weights of four bits: the least loss for the bytes that have to go.

Each layer's loss is measured alone, as the noise that it adds to the logits relative to their power; noises of several
layers are taken to add up. Layers go by loss for each byte saved, least first; what is left over of the bytes at the
end brings back those of most loss that still fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinycomp.errors import DoesNotFit
from tinycomp.ir import Graph
from tinycomp.quantize.precision import Precision, precisions


@dataclass(frozen=True)
class Ceiling:
    """The most bytes of all weights, biases left out; with `share`, that part of what they take as int8."""

    bytes: int = 0
    share: float | None = None

    def of(self, int8_bytes: int) -> int:
        """In bytes."""
        return self.bytes if self.share is None else int(self.share * int8_bytes)


class Choice(NamedTuple):
    """What a layer computes in. bytes: of its weights. loss: what it alone adds to the logits' noise as int4, relative
    to their power; None where it was not measured."""

    layer: str
    precision: Precision
    bytes: int
    int8_bytes: int
    loss: float | None

    def facts(self) -> dict[str, Any]:
        """Plain data for report.json."""
        return {**self._asdict(), "loss": None if self.loss is None else float(f"{self.loss:.3g}")}


def weight_bytes(graph: Graph) -> dict[str, int]:
    """Bytes of each layer's weights as int8, by node name: of those that have an int4 form."""
    narrow = precisions(graph, {}, "int4")
    return {n.name: graph.ins(n)[1].elements for n in graph.nodes if narrow.get(n.name) == "int4"}


def choose(losses: Mapping[str, float], sizes: Mapping[str, int], most: int) -> tuple[Choice, ...]:
    """A precision for each layer, in the order of `sizes`, so that all weights take `most` bytes at most.

    losses: of each layer alone as int4; a layer without one stays int8. sizes: `weight_bytes`. Raises DoesNotFit where
    int4 is not enough.
    """
    saved = {name: sizes[name] // 2 for name in losses}
    over = sum(sizes.values()) - most
    if sum(saved.values()) < over:
        least = sum(sizes.values()) - sum(saved.values())
        raise DoesNotFit(f"the weights take {least:,} bytes even as int4, and {most:,} are allowed",
                         where="weights", fix="allow more, or make the model smaller: `tinycomp fit`")  # fmt: skip
    narrow: list[str] = []
    for name in sorted(losses, key=lambda n: (losses[n] / max(saved[n], 1), n)):
        if over > 0:
            narrow.append(name)
            over -= saved[name]
    for name in sorted(narrow, key=lambda n: (-losses[n], n)):
        if over + saved[name] <= 0:
            narrow.remove(name)
            over += saved[name]
    return tuple(
        Choice(name, "int4" if name in narrow else "int8", size - (saved[name] if name in narrow else 0), size,
               losses.get(name))
        for name, size in sizes.items()
    )  # fmt: skip
