"""Spoken digits, synthesised by espeak-ng in several voices, accents and speeds, in splits that share no voice.

Run as a script, this module writes WAV files into the given folder. espeak-ng must be installed.
"""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VOICES = {
    "train": ("m1", "m3", "m4", "m5", "m7", "f1", "f3", "f5"),
    "val": ("m2", "f2"),
    "test": ("m6", "m8", "f4", "Andy"),
}
ACCENTS = ("en-us", "en-gb-scotland", "en-gb-x-rp")
SPEEDS = (130, 160, 190)  # words per minute


def speak(
    folder: Path,
    digits: Sequence[str] = DIGITS,
    accents: Sequence[str] = ACCENTS,
    speeds: Sequence[int] = SPEEDS,
) -> str:
    """Write FOLDER/SPLIT/DIGIT/VOICE_ACCENT_SPEED.wav for each combination.

    Args:
        folder: Output folder.
        digits: Words, which are the classes.
        accents: Accents of espeak-ng.
        speeds: Speeds in words per minute.

    Returns:
        The value of `data.source`.
    """
    spoken = [
        (folder / split / digit / f"{voice}_{accent}_{speed}.wav", digit, f"{accent}+{voice}", speed)
        for split, voices in VOICES.items()
        for digit in digits
        for voice in voices
        for accent in accents
        for speed in speeds
    ]
    for path, *_ in spoken:
        path.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda each: _write(*each), spoken))
    return f"audio:{folder}"


def _write(path: Path, word: str, voice: str, speed: int) -> None:
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", path, word], check=True)


if __name__ == "__main__":
    print(speak(Path(sys.argv[1])))
