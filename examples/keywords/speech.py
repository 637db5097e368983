"""Four words, spoken by formulas: harmonics of a voice shaped by two moving formants, and hisses for consonants.

Crude as speech, but enough to train and to run the example without a data set. D. Klatt, Software for a
cascade/parallel formant synthesizer, 1980, has the idea.
"""

from __future__ import annotations

import numpy as np

from examples.bands import RATE
from examples.example import Floats

# A word's course: milliseconds from its start, loudness of the voice, first and second formant in Hz, loudness and
# centre in Hz of the hiss. Straight lines between.
Course = tuple[tuple[float, float, float, float, float, float], ...]
WORDS: dict[str, Course] = {
    "go": ((0, 0, 350, 1500, 0, 1500), (10, 0, 350, 1400, 0.6, 1500), (35, 0.5, 400, 1200, 0, 1500),
           (100, 1, 520, 900, 0, 1500), (260, 0.8, 380, 750, 0, 1500), (330, 0, 350, 700, 0, 1500)),
    "stop": ((0, 0, 500, 1500, 0, 3600), (20, 0, 500, 1500, 0.7, 3600), (110, 0, 600, 1300, 0.7, 3600),
             (125, 0, 650, 1200, 0, 3000), (160, 0, 650, 1200, 0, 3000), (168, 0, 650, 1200, 0.8, 3000),
             (190, 0.8, 680, 1150, 0, 900), (310, 1, 700, 1050, 0, 900), (340, 0, 500, 900, 0, 900),
             (380, 0, 500, 900, 0, 900), (386, 0, 500, 900, 0.5, 900), (410, 0, 500, 900, 0, 900)),
    "left": ((0, 0, 350, 1000, 0, 2500), (25, 0.6, 350, 1050, 0, 2500), (80, 0.7, 380, 1150, 0, 2500),
             (120, 1, 560, 1800, 0, 2500), (220, 0.9, 550, 1850, 0, 2500), (250, 0.1, 500, 1700, 0.35, 2500),
             (320, 0, 500, 1700, 0.35, 2500), (335, 0, 500, 1700, 0, 3300), (370, 0, 500, 1700, 0, 3300),
             (376, 0, 500, 1700, 0.8, 3300), (405, 0, 500, 1700, 0, 3300)),
    "right": ((0, 0, 320, 1000, 0, 3300), (40, 0.7, 330, 1050, 0, 3300), (100, 1, 740, 1250, 0, 3300),
              (190, 1, 720, 1350, 0, 3300), (290, 0.8, 340, 2150, 0, 3300), (320, 0, 330, 2200, 0, 3300),
              (360, 0, 330, 2200, 0, 3300), (366, 0, 330, 2200, 0.8, 3300), (400, 0, 330, 2200, 0, 3300)),
}  # fmt: skip


def spoken(course: Course, rng: np.random.Generator) -> Floats:
    """A word by a random speaker: samples of about unit loudness at 8 kHz. Pitch, size, tempo and loudness vary."""
    points = np.array(course)
    points[:, 0] *= rng.uniform(0.8, 1.15)
    points[:, 2:4] *= rng.uniform(0.85, 1.2) * (1 + rng.normal(0, 0.03, (len(points), 2)))
    points[:, 5] *= rng.uniform(0.85, 1.1)
    t = np.arange(int(points[-1, 0] * RATE / 1000)) / RATE
    voice, first, second, hiss, centre = (np.interp(1000 * t, points[:, 0], column) for column in points[:, 1:].T)
    pitch = rng.uniform(90, 230) * (1 + rng.uniform(-0.15, 0.15) * t / t[-1])
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    found = np.zeros(len(t))
    for k in range(1, 3_800 // int(pitch.min()) + 1):
        found += voice * _formants(k * pitch, first, second) * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
    return found + hiss * _hiss(centre, rng)


def _formants(frequency: Floats, first: Floats, second: Floats) -> Floats:
    """Loudness of a harmonic: resonances of 90, 130 and 250 Hz width, the third formant fixed; none from 3.8 kHz."""
    formants = ((first, 90.0, 1.0), (second, 130.0, 0.6), (2_700.0, 250.0, 0.2))
    shape = sum(gain / np.hypot(1.0, (frequency - at) / width) for at, width, gain in formants)
    return np.where(frequency < 3_800, shape, 0.0)


def _hiss(centre: Floats, rng: np.random.Generator) -> Floats:
    """Noise around a frequency: slow noise moved there."""
    slow = np.convolve(rng.normal(0, 1, len(centre) + 7), np.full(8, 8**-0.5), "valid")
    return 1.4 * slow * np.sin(2 * np.pi * np.cumsum(centre) / RATE)
