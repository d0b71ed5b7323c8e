"""A bucket in memory: as much of Google Cloud Storage's JSON interface as checkpoints need."""

import base64
import contextlib
import hashlib
import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PATH = re.compile(r"(/upload|/download)?/storage/v1/b/([^/]+)(?:/o(?:/(.*))?)?")


class Bucket:
    """``with Bucket("lab") as bucket``: objects is {name: bytes}, url where they are served.

    refuse: from a request's method and path the status of the error that it gets, 0 for none.
    """

    def __init__(self, name):
        self.name, self.objects, self.generations, self.clock = name, {}, {}, 1_000
        self.refuse, self.lock = lambda method, path: 0, threading.RLock()
        handler = type("Handler", (_Handler,), {"bucket": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def put(self, name, data):
        self.clock += 1
        self.objects[name], self.generations[name] = data, self.clock
        return self.told(name)

    def told(self, name):
        """What the interface says of an object."""
        data, day = self.objects[name], "2024-01-01T00:00:00.000Z"
        return {
            **{"name": name, "bucket": self.name, "size": str(len(data)), "metageneration": "1"},
            **{
                "generation": str(self.generations.setdefault(name, 1)),
                "timeCreated": day,
                "updated": day,
            },
            "md5Hash": base64.b64encode(hashlib.md5(data).digest()).decode(),
        }


class _Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(ConnectionError):
            super().handle()

    def _do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.bucket.lock:
            status, headers, data = self._answered(self.command, self.path, self.headers, body)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _do

    def _answered(self, method, path, headers, body):
        """Status, headers and body of the answer."""
        url = urllib.parse.urlsplit(path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        if status := self.bucket.refuse(method, path):
            return _error(status)
        if url.path.startswith("/batch/"):
            return self._batch(headers, body)
        found = _PATH.fullmatch(url.path)
        if not found or found[2] != self.bucket.name:
            return _error(404)
        name = urllib.parse.unquote(found[3] or asked.get("name", ""))
        if found[1] == "/upload":
            return self._upload(name, asked, headers, body)
        if not name:
            return _json(self._list(asked) if url.path.endswith("/o") else {"name": found[2]})
        if name not in self.bucket.objects:
            return _error(404)
        if method == "DELETE":
            del self.bucket.objects[name]
            return 204, {}, b""
        if asked.get("alt") != "media":
            return _json(self.bucket.told(name))
        return self._media(name, headers.get("Range"))

    def _media(self, name, part):
        data = self.bucket.objects[name]
        headers = {"x-goog-generation": str(self.bucket.generations.setdefault(name, 1))}
        if not part:
            return 200, headers, data
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", part).groups()
        begin, end = int(first), min(int(last or len(data)) + 1, len(data))
        if begin >= len(data):
            return _error(416)
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
        return 206, headers, data[begin:end]

    def _upload(self, name, asked, headers, body):
        if asked["uploadType"] == "resumable" and not headers.get("Content-Range"):
            return 200, {"Location": f"{self.bucket.url}{self.path}"}, b""
        if asked["uploadType"] == "multipart":
            first, body = _parts(headers, body)
            name = json.loads(first)["name"]
        there = self.bucket.generations.setdefault(name, 1) if name in self.bucket.objects else 0
        if int(asked.get("ifGenerationMatch", there)) != there:
            return _error(412)
        return _json(self.bucket.put(name, body))

    def _list(self, asked):
        prefix, mark = asked.get("prefix", ""), asked.get("delimiter")
        first, end = asked.get("startOffset", ""), asked.get("endOffset", "\uffff")
        items, folders = [], set()
        for name in sorted(self.bucket.objects):
            if name.startswith(prefix) and first <= name < end:
                before, found, _ = name[len(prefix) :].partition(mark or "\0")
                if found:
                    folders.add(prefix + before + found)
                else:
                    items.append(self.bucket.told(name))
        return {"items": items, "prefixes": sorted(folders)}

    def _batch(self, headers, body):
        """Several requests in one: so a folder is deleted."""
        answers = b""
        for part in _parts(headers, body):
            method, path, _ = part.decode().split(" ", 2)
            status, _, data = self._answered(method, path, {}, b"")
            answers += b"--mark\r\nContent-Type: application/http\r\n\r\n"
            answers += f"HTTP/1.1 {status} -\r\n\r\n".encode() + data + b"\r\n"
        return 200, {"Content-Type": "multipart/mixed; boundary=mark"}, answers + b"--mark--"


def _parts(headers, body):
    """The parts of a multipart body, each without its headers."""
    mark = re.search(r'boundary="?([^";]+)', headers["Content-Type"])[1].encode()
    parts = [part for part in body.split(b"--" + mark)[1:-1]]
    parts = [re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1] for part in parts]
    return [re.sub(rb"\r?\n\Z", b"", part) for part in parts]


def _json(told):
    return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()


def _error(status):
    told = {"error": {"code": status, "message": f"status {status}"}}
    return status, {"Content-Type": "application/json"}, json.dumps(told).encode()
