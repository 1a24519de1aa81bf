#!/usr/bin/python3
"""What `kubectl exec` and `kubectl attach` do with the URL that the CRI answers: streams over a websocket (v4.channel.k8s.io).

cri_stream.py URL [COLUMNSxROWS] [LINE…]: resizes the terminal, types each line when something was printed, prints what comes, and
exits with the code of the program. Only the standard library.
"""

import base64
import json
import os
import socket
import struct
import sys
from urllib.parse import urlsplit

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


class Stream:
    def __init__(self, url):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self.buffer = b""
        self.socket.sendall(
            (
                f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
            ).encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        if b" 101 " not in head.splitlines()[0]:
            sys.exit(f"not a websocket: {head.splitlines()[0].decode()}")

    def read(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def send(self, channel, data):
        data = bytes([channel]) + data
        assert len(data) < 126
        mask = os.urandom(4)
        self.socket.sendall(bytes([0x82, 0x80 | len(data)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        """A channel and its data; None at the end."""
        first, length = self.read(2)
        length &= 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.read(8))
        data = self.read(length)
        if first & 0x0F == 8:
            return None
        return (data[0], data[1:]) if data else (None, b"")


def main(url, *lines):
    stream = Stream(url)
    lines = list(lines)
    if lines and lines[0].replace("x", "").isdigit():
        columns, rows = map(int, lines.pop(0).split("x"))
        stream.send(RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())
    status = b""
    try:
        while (message := stream.receive()) is not None:
            channel, data = message
            if channel in (STDOUT, STDERR) and data:
                (sys.stdout if channel == STDOUT else sys.stderr).buffer.write(data)
                if lines:
                    stream.send(STDIN, lines.pop(0).encode() + b"\n")
            elif channel == ERROR:
                status += data
    except EOFError:
        pass
    if not status:
        return 0
    status = json.loads(status)
    if status["status"] == "Success":
        return 0
    for cause in status.get("details", {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    print(status.get("message"), file=sys.stderr)
    return 255


sys.exit(main(*sys.argv[1:]))
