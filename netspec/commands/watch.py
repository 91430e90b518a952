"""`netspec show --watch`: the picture on a page that follows the spec's files."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from netspec.analysis.analyse import Analysis
from netspec.drawing.page import page_html
from netspec.reporting.terminal import tell

HOST = "127.0.0.1"  # nobody but this machine


class Watched:
    """The page of a spec, made again once one of the files that it depends on is another one."""

    def __init__(self, analyse: Callable[[], Analysis], own: Iterable[Path]) -> None:
        self._analyse = analyse
        self._files = tuple(own)
        self._lock = threading.Lock()
        self._version = self._page = ""

    def version(self) -> str:
        """What differs once a file is another one, has come, or has gone."""
        with self._lock:
            return self._state()

    def page(self) -> str:
        with self._lock:
            version = self._state()
            if version != self._version or not self._page:
                found = self._analyse()
                self._files = tuple(dict.fromkeys((*self._files, *found.asked_files)))
                # As it was before: a file that changes meanwhile has the page made once more, and
                # so has one that was not known to matter.
                self._version = version
                self._page = page_html(found, self._version)
                tell(found.diagnostics, sys.stderr)
            return self._page

    def _state(self) -> str:
        digest = sha256()
        for file in self._files:
            stamp: object = None
            with suppress(OSError, ValueError):
                stat = os.stat(file)
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            digest.update(f"{file}\0{stamp}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()


def serve(watched: Watched, opens: bool) -> int:
    """Serve the page until Ctrl-C; gives the exit status."""
    watched.page()
    try:
        server = ThreadingHTTPServer((HOST, 0), _handler(watched))
    except OSError as error:
        sys.stderr.write(f"no port of {HOST} can be had: {(error.strerror or '').lower()}\n")
        return 2
    server.daemon_threads = True
    address = f"http://{HOST}:{server.server_address[1]}/"
    sys.stdout.write(f"{address} shows it, and follows its files; Ctrl-C ends\n")
    sys.stdout.flush()
    if opens:
        webbrowser.open(address)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever(poll_interval=0.1)
    return 0


def _handler(watched: Watched) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Another site's name that leads here (DNS rebinding) must not read the page.
            host = self.headers.get("Host", "").rpartition(":")[0]
            if host not in (HOST, "localhost"):
                self._send(HTTPStatus.FORBIDDEN, "text/plain", "this page is for this machine\n")
            elif self.path == "/version":
                self._send(HTTPStatus.OK, "text/plain", watched.version())
            elif self.path == "/":
                self._send(HTTPStatus.OK, "text/html", watched.page())
            else:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", "there is one page here: /\n")

        def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
            body = text.encode()
            with suppress(ConnectionError):  # the page was closed
                self.send_response(status)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A terminal shows the spec's mistakes, not requests."""

    return Handler
