"""A small MongoDB server: hello, find with equal strings and regular expressions, cursors.
Debian has none. It records what it is asked; silent, broken and error make it misbehave."""
import os
import re
import socket
import struct
import threading


class ObjectId(bytes):
    """Twelve bytes."""


class Regex(tuple):
    """(pattern, options)"""


class Raw(tuple):
    """(type, bytes): any BSON value."""


def encode(doc):
    body = b"".join(_element(name, value) for name, value in doc.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<i", len(data) + 1) + data + b"\0"


def _element(name, value):
    if isinstance(value, Raw):
        kind, data = value
    elif isinstance(value, bool):
        kind, data = 8, bytes([value])
    elif value is None:
        kind, data = 10, b""
    elif isinstance(value, int):
        small = -2**31 <= value < 2**31
        kind, data = (16, struct.pack("<i", value)) if small else (18, struct.pack("<q", value))
    elif isinstance(value, float):
        kind, data = 1, struct.pack("<d", value)
    elif isinstance(value, ObjectId):
        kind, data = 7, bytes(value)
    elif isinstance(value, (str, bytes)):
        kind, data = 2, _string(value)
    elif isinstance(value, dict):
        kind, data = 3, encode(value)
    elif isinstance(value, list):
        kind, data = 4, encode({str(i): item for i, item in enumerate(value)})
    else:
        raise TypeError(value)
    return bytes([kind]) + name.encode() + b"\0" + data


FIXED = {1: ("<d", 8), 8: ("<?", 1), 16: ("<i", 4), 18: ("<q", 8), 9: ("<q", 8), 17: ("<Q", 8)}


def decode(data):
    """Of what a client sends; other types become Raw and end the document."""
    at, doc = 4, {}

    def cstring():
        nonlocal at
        end = data.index(b"\0", at)
        text, at = data[at:end].decode(), end + 1
        return text
    while data[at]:
        kind = data[at]
        at += 1
        name = cstring()
        if kind in FIXED:
            form, size = FIXED[kind]
            value, = struct.unpack_from(form, data, at)
            at += size
        elif kind == 2:
            size, = struct.unpack_from("<i", data, at)
            value = data[at + 4:at + 3 + size].decode()
            at += 4 + size
        elif kind in (3, 4):
            size, = struct.unpack_from("<i", data, at)
            value = decode(data[at:at + size])
            value = list(value.values()) if kind == 4 else value
            at += size
        elif kind == 5:
            size, = struct.unpack_from("<i", data, at)
            value = Raw((5, data[at:at + 5 + size]))
            at += 5 + size
        elif kind == 7:
            value = ObjectId(data[at:at + 12])
            at += 12
        elif kind == 10:
            value = None
        elif kind == 11:
            value = Regex((cstring(), cstring()))
        else:
            raise ValueError(f"type {kind} of {name}")
        assert name not in doc
        doc[name] = value
    return doc


def _matches(doc, query):
    for name, wanted in query.items():
        value = doc.get(name)
        if isinstance(wanted, Regex):
            if not isinstance(value, str) or not re.search(wanted[0], value):
                return False
        elif value != wanted:
            return False
    return True


def _project(doc, projection):
    kept = {n: v for n, v in doc.items() if projection.get(n) or
            any(p.startswith(n + ".") for p in projection)}
    if projection.get("_id", 1) and "_id" in doc:
        kept["_id"] = doc["_id"]
    return kept


class MongoServer:
    """On a port of 127.0.0.1, with TLS if there is a context, or on a UNIX socket."""
    def __init__(self, path=None, tls=None):
        self.path = path
        self.tls = tls
        self.rows = []
        self.finds = []         # the commands, as they came
        self.clients = []       # what clients said of themselves
        self.commands = []      # names
        self.batch = 100
        self.error = None       # (code, text) instead of an answer to find
        self.silent = None      # "hello", "find": no answer
        self.raw = None         # bytes of a document instead of the rows
        self.hang_up = 0        # so many finds are answered by closing the connection
        self.port = 0
        self.cursors = {}
        self.start()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.path:
            self.listener.bind(self.path)
            os.chmod(self.path, 0o666)
        else:
            self.listener.bind(("127.0.0.1", self.port))
            self.port = self.listener.getsockname()[1]
        self.listener.listen()
        self.open = []
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if self.path:
            os.unlink(self.path)
        for conn in self.open:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self, listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            self.open.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        stream = None
        try:
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            stream = conn.makefile("rb")
            while True:
                head = stream.read(16)
                if len(head) < 16:
                    return
                size, request, _, code = struct.unpack("<iiii", head)
                body = stream.read(size - 16)
                if code == 2004:  # OP_QUERY, the first hello of all
                    reply = self._command(decode(body[body.index(b"\0", 4) + 9:]))
                    code, front = 1, struct.pack("<iqii", 8, 0, 0, 1)
                else:  # OP_MSG with one section
                    assert code == 2013 and body[4] == 0, code
                    reply = self._command(decode(body[5:]))
                    front = struct.pack("<IB", 0, 0)
                if reply == "close":
                    return
                if reply is None:
                    continue
                data = front + encode(reply)
                conn.sendall(struct.pack("<iiii", 16 + len(data), 1, request, code) + data)
        except OSError:
            pass
        finally:
            if stream:
                stream.close()
            conn.close()

    def _command(self, command):
        name = next(iter(command))
        self.commands.append(name)
        if name in ("hello", "isMaster", "ismaster"):
            self.clients.append(command.get("client"))
            return None if self.silent == "hello" else {
                "ok": 1.0, "ismaster": True, "isWritablePrimary": True, "helloOk": True,
                "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000,
                "maxWriteBatchSize": 100000, "logicalSessionTimeoutMinutes": 30,
                "minWireVersion": 0, "maxWireVersion": 13, "readOnly": False}
        if name == "find":
            return self._find(command)
        if name == "getMore":
            return self._answer(command["collection"], "nextBatch",
                                self.cursors.pop(command["getMore"], []))
        return {"ok": 1.0}  # ping, endSessions, killCursors

    def _find(self, command):
        self.finds.append(command)
        if self.silent == "find":
            return None
        if self.hang_up:
            self.hang_up -= 1
            return "close"
        if self.error:
            return {"ok": 0.0, "errmsg": self.error[1], "code": self.error[0],
                    "codeName": "Error"}
        found = [Raw((3, self.raw))] if self.raw else [
            _project(row, command.get("projection", {})) for row in self.rows
            if _matches(row, command["filter"])]
        return self._answer(command["find"], "firstBatch", found)

    def _answer(self, collection, kind, docs):
        number = 0
        if len(docs) > self.batch:
            number = len(self.cursors) + 77
            self.cursors[number] = docs[self.batch:]
        return {"ok": 1.0, "cursor": {"id": Raw((18, struct.pack("<q", number))),
                                      "ns": f"mail.{collection}", kind: docs[:self.batch]}}
