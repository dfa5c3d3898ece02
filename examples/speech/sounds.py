"""Synthetic sounds at 16 kHz: voices of pulses and formants, noise, and tones."""

from typing import Final

import numpy as np
import numpy.typing as npt

RATE_HZ: Final = 16_000
_FORMANTS: Final = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)
"""Formants of five vowels in Hz (Peterson and Barney's averages for men)."""
_BANDWIDTHS: Final = (80, 90, 120)

Samples = npt.NDArray[np.float32]


def speech(seconds: float, random: np.random.Generator) -> Samples:
    """Return a sequence of syllables with a little noise."""
    sound = np.zeros(int(seconds * RATE_HZ))
    start = 0
    while start < len(sound):
        length = min(int(random.uniform(0.12, 0.25) * RATE_HZ), len(sound) - start)
        sound[start : start + length] = _syllable(length, random)
        start += length + int(random.uniform(0.0, 0.06) * RATE_HZ)
    return (sound + random.normal(scale=1e-3, size=len(sound))).astype(np.float32)


def noise(seconds: float, random: np.random.Generator) -> Samples:
    """Return white noise."""
    return random.normal(scale=random.uniform(0.01, 0.2), size=int(seconds * RATE_HZ)).astype(np.float32)


def tones(seconds: float, random: np.random.Generator) -> Samples:
    """Return a chord of three steady tones."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    waves = [np.sin(2 * np.pi * frequency * time) for frequency in random.uniform(200, 2000, 3)]
    return (0.1 * np.sum(waves, axis=0)).astype(np.float32)


def _syllable(length: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    pitch = random.uniform(100, 160) * (1 + 0.1 * np.sin(np.linspace(0, 3, length)))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE_HZ), prepend=0.0)
    sound = pulses + random.normal(scale=0.02, size=length)
    for formant, bandwidth in zip(_FORMANTS[random.integers(5)], _BANDWIDTHS, strict=True):
        sound = _resonate(sound, formant, bandwidth)
    return 0.3 * np.hanning(length) ** 0.3 * sound / (np.abs(sound).max() + 1e-9)


def _resonate(sound: npt.NDArray[np.float64], frequency: float, bandwidth: float) -> npt.NDArray[np.float64]:
    """Filter with one resonance (a pair of poles), through its impulse response cut at 50 ms."""
    time = np.arange(int(0.05 * RATE_HZ)) / RATE_HZ
    response = np.exp(-np.pi * bandwidth * time) * np.cos(2 * np.pi * frequency * time)
    return np.convolve(sound, response)[: len(sound)]
