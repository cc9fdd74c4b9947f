"""A client of HTTP/1.1 that costs next to nothing: raw sockets, one thread, requests written beforehand."""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from dataclasses import dataclass, field


def multipart(path: str, files: list[tuple[str, bytes]]) -> bytes:
    """Give the bytes of a POST with files in the field ``file``."""
    mark = b"raresight-load"
    parts = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n'
        % (mark, name.encode(), content)
        for name, content in files
    )
    body = parts + b"--%b--\r\n" % mark
    return _head(path, b"multipart/form-data; boundary=" + mark, len(body)) + body


def raw(path: str, content: bytes) -> bytes:
    """Give the bytes of a POST with an image as its body."""
    return _head(path, b"image/jpeg", len(content)) + content


def _head(path: str, kind: bytes, length: int) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\nContent-Length: %d\r\nAccept: */*\r\n\r\n"
        % (path.encode(), kind, length)
    )


@dataclass
class Connection:
    """One client: a request, its answer, the next request."""

    port: int
    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""

    def send(self, request: bytes) -> None:
        self.got, self.start = b"", time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there; True when the answer is whole."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError("the server hung up")
        self.got += part
        head, found, body = self.got.partition(b"\r\n\r\n")
        if not found:
            return False
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        if len(body) < length:
            return False
        self.seconds.append(time.perf_counter() - self.start)
        self.statuses.append(int(head[9:12]))
        asked = [line for line in head.lower().split(b"\r\n") if line.startswith(b"retry-after:")]
        self.retry_after = float(asked[0].split(b":")[1]) if asked else 0.0
        self.body = body
        return True

    def ask(self, request: bytes) -> bytes:
        """Send one request and wait for its answer."""
        self.send(request)
        while not self.receive():
            pass
        return self.body


def saturate(
    port: int, requests: list[bytes], clients: int, seconds: float
) -> tuple[list[Connection], float]:
    """Keep so many clients busy for so long; give them, and the seconds until the last answer.

    Who is told 429 waits for as long as the server asks before it comes again.
    """
    connections = [Connection(port) for _ in range(clients)]
    waiting = selectors.DefaultSelector()
    start = time.perf_counter()
    for number, each in enumerate(connections):
        waiting.register(each.socket, selectors.EVENT_READ, each)
        each.send(requests[number % len(requests)])
    sent, open_ones, pausing = clients, clients, []
    while open_ones:
        now = time.perf_counter()
        while pausing and (pausing[0][0] <= now or now - start >= seconds):
            _, number = heapq.heappop(pausing)
            if now - start < seconds:
                connections[number].send(requests[sent % len(requests)])
                sent += 1
            else:
                _leave(waiting, connections[number])
                open_ones -= 1
        for key, _ in waiting.select(timeout=0.05 if pausing else 30):
            each: Connection = key.data
            if not each.receive():
                continue
            if time.perf_counter() - start >= seconds:
                _leave(waiting, each)
                open_ones -= 1
            elif each.statuses[-1] == 429:
                heapq.heappush(pausing, (time.perf_counter() + each.retry_after, connections.index(each)))
            else:
                each.send(requests[sent % len(requests)])
                sent += 1
    return connections, time.perf_counter() - start


def _leave(waiting: selectors.BaseSelector, one: Connection) -> None:
    waiting.unregister(one.socket)
    one.socket.close()
