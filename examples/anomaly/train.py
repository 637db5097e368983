"""Train on sound machines alone: `python -m examples.anomaly.train` writes anomaly.tflite beside this file."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from examples import bands, training
from examples.anomaly import data
from examples.example import as_int8


def network(batch: int | None) -> Any:
    """The levels through six numbers and back again."""
    layers = tf.keras.layers
    levels = layers.Input((bands.BANDS,), batch, name="levels")
    x = levels
    for units in (24, 6, 24):
        x = layers.Dense(units, activation="relu")(x)
    return tf.keras.Model(levels, layers.Dense(bands.BANDS, activation="sigmoid")(x), name="anomaly")


def main() -> None:
    """Train, convert, say how far sound machines and faulty ones lie apart."""
    training.seed(1)
    x = data.dataset(("sound",), 2_000, 1).astype(np.float32) / 255
    model = network(None)
    training.fit(model, x, x, epochs=200, rate=4e-3, loss="mse", metrics=[])
    made = training.from_bytes(network, model, x[:200])
    data.EXAMPLE.model.write_bytes(made)
    for states in (("sound",), data.FAULTS):
        unseen = as_int8(data.dataset(states, 200, 2))
        found = data.difference(unseen, training.answers(made, unseen))
        print(f"{', '.join(states)}: differences {found.min()} to {found.max()}, median {int(np.median(found))}; "
              f"{np.mean(found > data.THRESHOLD):.1%} above {data.THRESHOLD}")  # fmt: skip
    print(f"{data.EXAMPLE.model.name} {len(made):,} bytes")


if __name__ == "__main__":
    main()
