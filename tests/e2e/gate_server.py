"""Serves a clip that cannot be had before the gate is opened. Runs in a pod, on Python alone.

Whoever asks for /clip.mp4 gets its first half, and then a byte a second, so that the connection is not idle, until the
file OPEN is there; then the rest. A render of it runs for as long as a test wants, on any machine.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CLIP = Path("/gate/clip.mp4")
OPEN = Path("/tmp/open")
PORT = 8080
BYTE_SECONDS = 1.0


class Gate(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/clip.mp4":
            self.send_error(404)
            return
        clip = CLIP.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(len(clip)))
        self.end_headers()
        sent = len(clip) // 2
        self.wfile.write(clip[:sent])
        while not OPEN.exists() and sent < len(clip) - 1:
            threading.Event().wait(BYTE_SECONDS)
            self.wfile.write(clip[sent : sent + 1])
            sent += 1
        self.wfile.write(clip[sent:])


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Gate).serve_forever()
