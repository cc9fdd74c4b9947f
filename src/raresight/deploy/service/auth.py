"""Bearer tokens, kept in a file; RFC 6750."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from pathlib import Path
from threading import Lock

from raresight.errors import OptionError

SHORTEST = 16
"""Characters of a token at least: fewer could be guessed."""


class Tokens:
    """The tokens of a file, one a line; blank lines and lines that start with # are none.

    The file is read again when it changes. One that can then no longer be read, or holds none, changes
    nothing: the tokens known before hold on.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OptionError
        If it cannot be read, holds no token, or one that is too short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._stamp = self._stat()
        self._digests = self._read()

    def accepts(self, authorization: bytes) -> bool:
        """Tell whether an ``Authorization`` header carries one of the tokens.

        Hashes are compared, each of them whole, so that the time taken tells nothing about a token.
        """
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        given = hashlib.sha256(token.strip()).digest()
        found = False
        for known in self._current():
            found |= hmac.compare_digest(given, known)
        return found

    def _current(self) -> list[bytes]:
        with self._lock:
            stamp = self._stat()
            if stamp != self._stamp:
                self._stamp = stamp
                with suppress(OptionError):
                    self._digests = self._read()
            return self._digests

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> list[bytes]:
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as error:
            raise OptionError(
                f"the token file {self.path} cannot be read ({error.strerror}); write a token a line into it"
            ) from None
        tokens = [line.strip() for line in lines if line.strip() and not line.strip().startswith(b"#")]
        if not tokens:
            raise OptionError(f"the token file {self.path} holds no token; write one a line into it")
        if min(map(len, tokens)) < SHORTEST:
            raise OptionError(
                f"the token file {self.path} holds a token of fewer than {SHORTEST} characters; "
                "make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        return [hashlib.sha256(token).digest() for token in tokens]
