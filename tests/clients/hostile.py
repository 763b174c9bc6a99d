"""What no client should send: the right 4xx each time, and the server goes on."""
import base64
import json
import socket
import struct
import sys
import time
import zlib
from urllib.parse import urlparse

import httpx

SERVER = sys.argv[1]
url = urlparse(SERVER)
http = httpx.Client(base_url=SERVER, timeout=60)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header_of(width, height):
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def post(body, kind="application/json"):
    return http.post("/v1/jobs", content=body, headers={"content-type": kind}).status_code


def order(**more):
    return post(json.dumps({"prompt": "a", "steps": 1, "width": 64, "height": 64} | more))


def gigabyte():
    """Sends until the server has had enough."""
    stream = socket.create_connection((url.hostname, url.port))
    stream.settimeout(30)
    stream.sendall(b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    block = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    sent = 0
    try:
        for _ in range(1024):
            stream.sendall(block)
            sent += 1
    except OSError:
        pass
    try:
        answer = stream.recv(100)
    except OSError:
        answer = b""
    return sent, int(answer.split()[1]) if answer else "connection closed"


def slow(count=50):
    """Heads that never end: how long until the server hangs up."""
    streams = [socket.create_connection((url.hostname, url.port)) for _ in range(count)]
    begun = time.time()
    for stream in streams:
        stream.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: ")
    worst = 0.0
    open_ones = list(streams)
    while open_ones and time.time() - begun < 60:
        for stream in list(open_ones):
            stream.settimeout(0.02)
            try:
                stream.send(b"y")
                if not stream.recv(1000):
                    open_ones.remove(stream)
            except TimeoutError:
                continue
            except OSError:
                open_ones.remove(stream)
        begin = time.perf_counter()
        assert http.get("/health").status_code == 200
        worst = max(worst, time.perf_counter() - begin)
        time.sleep(0.5)
    return time.time() - begun, len(open_ones), worst


picture = lambda data: base64.b64encode(data).decode()
expected = {
    "malformed JSON": (post(b'{"prompt": '), 400),
    "no object": (post(b"[]"), 422),
    "another type": (post(b"a=b", "application/x-www-form-urlencoded"), 415),
    "unknown field": (order(promt="x"), 422),
    "bad base64": (order(init_image="%%%"), 422),
    "a path": (order(init_image="/etc/passwd"), 422),
    "30000x30000 PNG header": (order(init_image=picture(header_of(30000, 30000))), 422),
    "no picture": (order(init_image=picture(b"hello")), 422),
    "huge number": (order(seed=10**30), 422),
    "a million pictures": (order(count=10**6), 422),
}
for name, (status, wanted) in expected.items():
    assert status == wanted, (name, status)
sent, answer = gigabyte()
assert sent < 200 and answer in (413, "connection closed"), (sent, answer)
seconds, left, worst = slow()
assert left == 0, f"{left} slow connections are still open"
assert http.get("/health").json()["status"] == "healthy"
print({name: status for name, (status, _) in expected.items()})
print(f"gigabyte: {answer} after {sent} MiB; slow heads: closed after {seconds:.0f} s, /health took at most {1000 * worst:.0f} ms")
