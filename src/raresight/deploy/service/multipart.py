"""Multipart bodies (RFC 7578), parsed while they come in, in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from raresight.deploy.service.problems import Problem

FIELD = "file"
"""The field that holds an image; others are passed over."""

FIELDS = 64
"""Fields that are no images, at most."""

LONGEST_NAME = 200


class Multipart:
    """The files of one body.

    Parameters
    ----------
    content_type : str
        Of the request.
    images : int
        Files at most.

    Raises
    ------
    Problem
        400 where the type names no boundary.
    """

    def __init__(self, content_type: str, images: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise Problem(400, "the body is not multipart/form-data with a boundary")
        self._images, self._others = images, 0
        self._files: list[tuple[str, BytesIO]] = []
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._taking = False
        self._ended = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise Problem(400, "the boundary of the multipart body is malformed") from None

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        Problem
            400 where they are malformed, 413 where there are too many files.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise Problem(400, "the multipart body is malformed") from None

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Give each file's name and content, once all was written.

        Raises
        ------
        Problem
            400 where the body broke off, or has no file.
        """
        if not self._ended:
            raise Problem(400, "the multipart body breaks off before its end")
        if not self._files:
            raise Problem(400, f"the multipart body has no file in a field named {FIELD}")
        for name, content in self._files:
            yield name, content.getvalue()

    def _begin(self) -> None:
        self._disposition = b""

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._taking = options.get(b"name") == FIELD.encode()
        if not self._taking:
            self._others += 1
            if self._others > FIELDS:
                raise Problem(413, f"the request has more than {FIELDS} fields that are no images")
            return
        if len(self._files) == self._images:
            raise Problem(413, f"the request has more than {self._images} images")
        self._files.append((plain_name(options.get(b"filename", b"")), BytesIO()))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._taking:
            self._files[-1][1].write(memoryview(data)[start:end])

    def _end(self) -> None:
        self._ended = True


def plain_name(name: bytes) -> str:
    """Give a file's name back without its folders and without control characters.

    Parameters
    ----------
    name : bytes
        As a client sent it, in UTF-8.
    """
    text = name.decode("utf-8", "replace")
    base = re.split(r"[/\\]", text)[-1]
    kept = "".join(letter for letter in base if letter.isprintable())[:LONGEST_NAME].strip()
    return kept or "image"
