"""Damages bytes in the ways that break readers: bits, blocks, lengths, and words of the format.

Own code because the libraries for it (atheris, pyradamsa) have no wheels for 64-bit ARM, on which
the tests of the device half run too; structured text comes from hypothesis instead.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

MORE = 0.6
"""Chance of one more change after each: on average two and a half, seldom more than ten."""

LARGEST_BLOCK = 512
"""Bytes that are moved, doubled or dropped at once."""

GROWTH = 65536
"""Bytes that a case may have more than its sample."""

EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000)
"""Numbers at which lengths, counts and indices go wrong; as negative numbers too."""

SMALL = 256
"""A number below this, at a multiple of its size, is probably a count, an index or a type."""

LAYOUTS = ("<I", ">I", "<H", ">H", "<Q", ">Q", "<B")


class Mutator:
    """Makes damaged copies of samples.

    Args:
        samples: Whole files.
        words: Byte strings that mean something in the format.
    """

    def __init__(self, samples: Sequence[bytes], words: Sequence[bytes] = ()) -> None:
        self._samples = samples
        self._words = words or (b"\0",)
        self._ways: tuple[Callable[[random.Random, bytearray], None], ...] = (
            self._flip_bits,
            self._set_bytes,
            self._cut_off,
            self._drop_block,
            self._double_block,
            self._swap_blocks,
            self._zero_block,
            self._put_number,
            self._put_number,
            self._change_small_number,
            self._change_small_number,
            self._put_word,
            self._insert_word,
            self._splice,
            self._append,
        )

    def damage(self, chance: random.Random, sample: bytes | None = None) -> bytes:
        """A damaged copy of a sample, by default of one of those that are known."""
        sample = chance.choice(self._samples) if sample is None else sample
        content = bytearray(sample)
        while True:
            chance.choice(self._ways)(chance, content)
            if chance.random() > MORE:
                return bytes(content[: len(sample) + GROWTH])

    def _flip_bits(self, chance: random.Random, content: bytearray) -> None:
        for _ in range(chance.choice((1, 1, 1, 2, 8)) if content else 0):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)

    def _set_bytes(self, chance: random.Random, content: bytearray) -> None:
        start, end = _block(chance, content)
        content[start:end] = chance.randbytes(end - start)

    def _cut_off(self, chance: random.Random, content: bytearray) -> None:
        del content[chance.randint(0, len(content)) :]

    def _drop_block(self, chance: random.Random, content: bytearray) -> None:
        start, end = _block(chance, content)
        del content[start:end]

    def _double_block(self, chance: random.Random, content: bytearray) -> None:
        start, end = _block(chance, content)
        at = chance.choice((start, chance.randint(0, len(content))))
        content[at:at] = content[start:end] * chance.choice((1, 1, 2, 16))

    def _swap_blocks(self, chance: random.Random, content: bytearray) -> None:
        (start, end), (other, other_end) = sorted(
            (_block(chance, content), _block(chance, content))
        )
        if end <= other:
            first, second = content[start:end], content[other:other_end]
            content[other:other_end], content[start:end] = first, second

    def _zero_block(self, chance: random.Random, content: bytearray) -> None:
        start, end = _block(chance, content)
        content[start:end] = bytes([chance.choice((0, 0, 255))]) * (end - start)

    def _put_number(self, chance: random.Random, content: bytearray) -> None:
        layout = chance.choice(LAYOUTS)
        size = struct.calcsize(layout)
        number = chance.choice((*EXTREMES, len(content), len(content) + 1))
        number = (number * chance.choice((1, -1)) + chance.choice((0, 0, 1, -1))) % (1 << 8 * size)
        at = _aligned(chance, content, chance.choice((1, size)))
        content[at : at + size] = struct.pack(layout, number)

    def _change_small_number(self, chance: random.Random, content: bytearray) -> None:
        """Another small number, or an extreme one, where a small one stands."""
        layout = chance.choice(LAYOUTS[:4])
        size = struct.calcsize(layout)
        for _ in range(64):
            at = _aligned(chance, content, size)
            if len(content) < at + size:
                return
            if struct.unpack_from(layout, content, at)[0] < SMALL:
                number = chance.choice((chance.randrange(16), chance.randrange(SMALL), -1, -2))
                struct.pack_into(layout, content, at, number % (1 << 8 * size))
                return

    def _put_word(self, chance: random.Random, content: bytearray) -> None:
        word = chance.choice(self._words)
        at = chance.randint(0, len(content))
        content[at : at + len(word)] = word

    def _insert_word(self, chance: random.Random, content: bytearray) -> None:
        at = chance.randint(0, len(content))
        content[at:at] = chance.choice(self._words) * chance.choice((1, 1, 1, 100))

    def _splice(self, chance: random.Random, content: bytearray) -> None:
        """From some point on, another sample."""
        other = chance.choice(self._samples)
        content[chance.randint(0, len(content)) :] = other[chance.randint(0, len(other)) :]

    def _append(self, chance: random.Random, content: bytearray) -> None:
        content += chance.randbytes(chance.randint(1, LARGEST_BLOCK))


def _block(chance: random.Random, content: bytearray) -> tuple[int, int]:
    start = chance.randint(0, len(content))
    return start, min(
        len(content), start + chance.randint(1, chance.choice((4, 32, LARGEST_BLOCK)))
    )


def _aligned(chance: random.Random, content: bytearray, size: int) -> int:
    return chance.randint(0, len(content) // size) * size
