"""Windows for presentation states, where highdicom finds none in the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from raresight.deploy.dicom.source import is_colour


def plain_frames(head: Any) -> bool:
    """Tell whether an object has frames and no functional groups: ultrasound, captures, angiography."""
    return int(head.get("NumberOfFrames") or 1) > 1 and "SharedFunctionalGroupsSequence" not in head


def window_for(file: Path, head: Any, frame: int) -> tuple[float, float] | None:
    """Give centre and width of a window (PS3.3 C.11.2.1.2) that shows a frame as the reader shows it.

    Parameters
    ----------
    file : Path
    head : Dataset
    frame : int
        Counted from 0.

    Returns
    -------
    (float, float) or None
        None for colour, and where the image's own window or lookup table will be found, or where it is stored
        with up to 8 bits, which are shown as they are.
    """
    if is_colour(head):
        return None
    groups = [
        *list(head.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1],
        *list(head.get("SharedFunctionalGroupsSequence") or [])[:1],
    ]
    own = "WindowCenter" in head or "VOILUTSequence" in head or "ModalityLUTSequence" in head
    if not plain_frames(head) and (own or any("FrameVOILUTSequence" in group for group in groups)):
        return None
    if "WindowCenter" in head and "WindowWidth" in head:
        return _first(head.WindowCenter), _first(head.WindowWidth)
    bits = int(head.BitsStored)
    if bits <= 8 and not plain_frames(head):
        return None
    # A codec may end the process that it runs in, so compressed pixels are not looked at here.
    if bits <= 8 or head.file_meta.TransferSyntaxUID.is_encapsulated:
        lowest = -(2 ** (bits - 1)) if head.get("PixelRepresentation") == 1 else 0
        return _around(head, lowest, lowest + 2**bits - 1)
    return _around(head, *_range(file, head, frame))


def _range(file: Path, head: Any, frame: int) -> tuple[float, float]:
    from pydicom.pixels.utils import pixel_array

    values = pixel_array(file, index=frame)
    padding = head.get("PixelPaddingValue")
    shown = values[values != padding] if padding is not None else values
    shown = shown if shown.size else values
    return float(np.min(shown)), float(np.max(shown))


def _around(head: Any, low: float, high: float) -> tuple[float, float]:
    slope, intercept = float(head.get("RescaleSlope", 1)), float(head.get("RescaleIntercept", 0))
    low, high = sorted((slope * low + intercept, slope * high + intercept))
    return (low + high + 1) / 2, high - low + 1


def _first(value: Any) -> float:
    return float(value) if isinstance(value, int | float | str) else float(value[0])
