"""A server on this machine that serves small files as badly as real ones do."""

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlp_jax.data.sources import download


@dataclass
class Answer:
    """What the server says to a request: how many bytes of the body it really sends, and how."""

    body: bytes = b""
    status: int = 200
    sent: int | None = None
    ranges: bool = True
    range_offset: int = 0
    pause: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """Answers by path: each request takes the next answer, the last answer stays."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def serve(self, path: str, *answers: Answer | bytes) -> str:
        """Serve answers (bytes: that body, properly) at a path; its address."""
        self.answers[path] = [a if isinstance(a, Answer) else Answer(a) for a in answers]
        return self.url + path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server: Server = self.server.state  # type: ignore[attr-defined]
        asked = self.headers.get("Range")
        path = self.path.partition("?")[0]
        server.requests.append((path, asked))
        answers = server.answers.get(path, [Answer(status=404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        body, status, extra = answer.body, answer.status, dict(answer.headers)
        start = re.match(r"bytes=(\d+)-", asked or "")
        if start and answer.ranges and status == 200:
            first = int(start[1]) + answer.range_offset
            if first >= len(body):
                status, body = 416, b""
            else:
                status = 206
                extra["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
                body = body[first:]
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body if answer.sent is None else body[: answer.sent]
        try:
            for i in range(0, len(sent), max(1, len(sent) // 4)):
                time.sleep(answer.pause)
                self.wfile.write(sent[i : i + max(1, len(sent) // 4)])
                self.wfile.flush()
        except OSError:
            pass
        if len(sent) < len(body):
            self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, and a short patience with it."""
    monkeypatch.setattr(download, "TIMEOUT", (2.0, 0.5))
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    httpd.handle_error = lambda *_: None  # who hangs up meets no complaint
    state = Server(f"http://127.0.0.1:{httpd.server_port}")
    httpd.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def answer() -> type[Answer]:
    """What the server can be told to answer."""
    return Answer


@pytest.fixture
def nobody() -> str:
    """The address of a server that is not there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as httpd:
        return f"http://127.0.0.1:{httpd.server_port}"
