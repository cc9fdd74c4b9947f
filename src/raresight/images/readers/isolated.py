"""Compressed DICOM pixels are decoded in helper processes.

GDCM ends the whole process (``std::terminate``) on some damaged JPEG and JPEG-LS data, and one bad image
must never stop a set. So a helper decodes; when it dies or hangs, the image is refused and the next one
gets a new helper. Each thread that decodes at the same moment has a helper of its own, which also lets
them decode in parallel. Helpers live until the process that started them ends.

Messages are one line of JSON and then raw bytes, on the helper's standard input and output.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import ImageError
from raresight.images.readers.base import Source

STARTING = 60.0
"""Seconds that a helper may take until it is ready."""

SECONDS = 4.0
PIXELS_A_SECOND = 1_000_000
"""How long one image may take: some seconds, and one more for so many pixels. GDCM needs a tenth of it."""


def seconds_for(pixels: int) -> float:
    """Give how long an image of so many pixels may take."""
    return SECONDS + pixels / PIXELS_A_SECOND


def read_isolated(source: Source, frame: int, max_pixels: int, seconds: float) -> NDArray[Any]:
    """Decode a frame's stored values in a helper; raises `ImageError`, also when that crashes or is late."""
    helper = _POOL.take()
    try:
        pixels = helper.ask(source, frame, max_pixels, seconds)
    except ImageError:
        _POOL.give_back(helper)  # which closes it if it is the helper that failed
        raise
    except BaseException:
        helper.close()  # interrupted half-way: whatever it says next belongs to this image
        raise
    _POOL.give_back(helper)
    return pixels


class _Helper:
    """One helper process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where GDCM writes what it thinks of the data
            env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
        )
        self.works = True
        self.ready = False

    def ask(self, source: Source, frame: int, max_pixels: int, seconds: float) -> NDArray[Any]:
        request = {"frame": frame, "max_pixels": max_pixels, "bytes": 0, "path": ""}
        content = b""
        if isinstance(source, bytes):
            content, request["bytes"] = source, len(source)
        else:
            request["path"] = str(source.absolute())
        assert self.process.stdin and self.process.stdout
        if not self.ready:
            self._wait()
        watch = Timer(seconds, self.process.kill)
        watch.start()
        try:
            _send(self.process.stdin, request, content)
            answer, pixels = _receive(self.process.stdout, lambda head: _size(head))
        except (OSError, EOFError, ValueError) as error:
            self.works = False
            late = not watch.is_alive()
            raise ImageError(
                f"decoding it took more than {seconds:g} seconds" if late else "its data crash the decoder"
            ) from error
        finally:
            watch.cancel()
        if "reason" in answer:
            raise ImageError(str(answer["reason"]))
        found: NDArray[Any] = np.frombuffer(pixels, answer["dtype"]).reshape(answer["shape"])
        return found

    def _wait(self) -> None:
        """Wait until it has imported what it needs: that is none of an image's time."""
        assert self.process.stdout
        watch = Timer(STARTING, self.process.kill)
        watch.start()
        try:
            _receive(self.process.stdout, lambda head: 0)
            self.ready = True
        except (OSError, EOFError, ValueError) as error:
            self.works = False
            raise ImageError("the helper that decodes such data does not start") from error
        finally:
            watch.cancel()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with suppress(OSError):  # it may have died with something still on its way to it
                    pipe.close()
        self.process.kill()
        self.process.wait()


class _Pool:
    """Helpers that wait for work."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: list[_Helper] = []

    def take(self) -> _Helper:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Helper()

    def give_back(self, helper: _Helper) -> None:
        if helper.works:
            with self._lock:
                self._idle.append(helper)
        else:
            helper.close()

    def close(self) -> None:
        with self._lock:
            helpers, self._idle = self._idle, []
        for helper in helpers:
            helper.close()


_POOL = _Pool()
_OF_PARENT: list[_Pool] = []
atexit.register(lambda: _POOL.close())


def _start_afresh() -> None:
    """Leave a forking parent's helpers to it: two processes must not talk into one pipe."""
    global _POOL
    _OF_PARENT.append(_POOL)
    _POOL = _Pool()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_start_afresh)


def _size(answer: dict[str, Any]) -> int:
    return 0 if "reason" in answer else math.prod(answer["shape"]) * np.dtype(answer["dtype"]).itemsize


def _send(stream: IO[bytes], head: dict[str, Any], content: bytes | memoryview) -> None:
    stream.write(json.dumps(head).encode() + b"\n")
    stream.write(content)
    stream.flush()


def _receive(stream: IO[bytes], size_of: Any) -> tuple[dict[str, Any], bytearray]:
    line = stream.readline()
    if not line:
        raise EOFError
    head: dict[str, Any] = json.loads(line)
    content = bytearray(size_of(head))
    at = 0
    while at < len(content):
        count = stream.readinto(memoryview(content)[at:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        at += count
    return head, content


def _serve() -> None:
    """Answer requests until standard input closes."""
    from raresight.images.readers.dicom import decode_dicom

    incoming, outgoing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what GDCM prints must not get among the answers
    for name in ("pydicom.pixels.decoders", "gdcm"):
        with suppress(ImportError):  # who asks has looked whether they are there
            import_module(name)
    _send(outgoing, {}, b"")
    while True:
        try:
            request, content = _receive(incoming, lambda head: head["bytes"])
        except EOFError:
            return
        source = bytes(content) if request["bytes"] else Path(request["path"])
        try:
            pixels = np.ascontiguousarray(
                decode_dicom(source, request["frame"], max_pixels=request["max_pixels"])
            )
        except ImageError as error:
            _send(outgoing, {"reason": str(error)}, b"")
        except Exception as error:
            _send(outgoing, {"reason": f"its data are damaged ({type(error).__name__})"}, b"")
        else:
            _send(outgoing, {"dtype": pixels.dtype.str, "shape": pixels.shape}, pixels.data.cast("B"))


if __name__ == "__main__":
    _serve()
