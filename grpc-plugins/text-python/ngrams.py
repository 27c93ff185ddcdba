"""What a model sees of a text: how often each n-gram of its characters is in it, hashed.

wasm-plugins/text/src/ngrams.rs counts the same; docs/text-plugin.md has the rules.
"""

from __future__ import annotations

import numpy as np

LONGEST = 3
"""N-grams have 1 to so many characters."""
SPACE = 0x20
FIRST_KEPT = 0xC0
"""Below it only the letters of ASCII are kept."""
FOLDED = 0x590
"""Letters below it are made small: Latin, Greek, Cyrillic and Armenian, where Unicode has long settled how."""
MARKS = [(0x2000, 0x2070), (0x3000, 0x3004), (0x3008, 0x3021), (0xFF00, 0xFF10)]
"""Punctuation, the first of each range and the one behind its last."""
BLOCK_BITS = 10
"""Characters of one script mostly agree in the bits above these."""
BLOCK_SEED = np.uint32(0x9E3779B9)
FNV_OFFSET = 0x811C9DC5
FNV_PRIME = np.uint32(0x01000193)


def count(text: str, buckets: np.ndarray) -> bool:
    """Adds to each bucket how many n-grams of the text fall into it. Gives False, and adds nothing, where the text has no letters."""
    codes = _normalized(text)
    if len(codes) == 1:
        return False
    parts = [((codes[codes != SPACE] >> BLOCK_BITS) ^ BLOCK_SEED) * FNV_PRIME]
    hashes = np.full(len(codes), FNV_OFFSET, dtype=np.uint32)
    for longer in range(min(LONGEST, len(codes))):
        hashes = (hashes[: len(codes) - longer] ^ codes[longer:]) * FNV_PRIME
        parts.append(hashes)
    found, times = np.unique(_mixed(np.concatenate(parts)) % np.uint32(len(buckets)), return_counts=True)
    buckets[found] += times
    return True


def _normalized(text: str) -> np.ndarray:
    """The text in small letters, with one space before, between and behind its words, as Unicode scalar values."""
    codes = np.frombuffer(f" {text} ".encode("utf-32-le"), dtype="<u4").astype(np.uint32)
    is_low = codes < FOLDED
    codes[is_low] = LETTERS[codes[is_low]]
    for first, end in MARKS:
        codes[(codes >= first) & (codes < end)] = SPACE
    is_space = codes == SPACE
    is_space[1:] &= is_space[:-1]
    is_space[0] = False
    return codes[~is_space]


def _letter(code: int) -> int:
    """The small form of a letter; a space where it is none."""
    letter = chr(code)
    is_mark = code in (0xD7, 0xF7) or (code < FIRST_KEPT and not (letter.isascii() and letter.isalpha()))
    return SPACE if is_mark else ord(letter.lower()[0])


LETTERS = np.array([_letter(code) for code in range(FOLDED)], dtype=np.uint32)


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """The finish of lowbias32, which spreads what FNV leaves in the upper bits."""
    hashes = (hashes ^ (hashes >> 15)) * np.uint32(0x2C1B3C6D)
    hashes = (hashes ^ (hashes >> 12)) * np.uint32(0x297A2D39)
    return hashes ^ (hashes >> 15)
