"""The image size that compressed data themselves declare, read without decoding them."""

from __future__ import annotations

_JPEG_START = b"\xff\xd8"
_JPEG2000_START = b"\xff\x4f\xff\x51"
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""SOF0 … SOF15 without tables and reserved codes (ITU-T T.81 B.1.1.3), and JPEG-LS's SOF55 (T.87)."""


def size_in_codestream(data: bytes | memoryview) -> tuple[int, int] | None:
    """Give (width, height) of JPEG, JPEG-LS or JPEG 2000 data; None for anything else."""
    data = memoryview(data)
    if bytes(data[:2]) == _JPEG_START:
        return _jpeg_size(data)
    start = bytes(data[:1024]).find(_JPEG2000_START)
    return _jpeg2000_size(data[start:]) if start >= 0 else None


def _jpeg_size(data: memoryview) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may precede any marker
            at += 1
            continue
        if marker in _FRAME_MARKERS:
            return _number(data, at + 7, 2), _number(data, at + 5, 2)
        at += 2 + max(2, _number(data, at + 2, 2))
    return None


def _jpeg2000_size(data: memoryview) -> tuple[int, int] | None:
    """Read the SIZ marker segment (ITU-T T.800 A.5.1): the reference grid less its offset."""
    if len(data) < 24:
        return None
    x, y, x_offset, y_offset = (_number(data, at, 4) for at in (8, 12, 16, 20))
    return x - x_offset, y - y_offset


def _number(data: memoryview, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "big")
