"""DNS for a sandbox: nsd with zones written by the test, on 127.0.0.1:53, and
scripted answers (ScriptDns) for what nsd cannot be made to do."""
import os
import shutil
import socket
import struct
import threading
import time

NSD = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin:/sbin")
DIG = shutil.which("dig")


def available():
    return NSD is not None


class Dns:
    """zones: {"example.test": zone text without SOA and NS, ...}; names relative to
    the zone. A value of None makes a zone that answers SERVFAIL. Names outside every
    zone are refused; give a zone "." to have NXDOMAIN for the rest (default)."""

    def __init__(self, sandbox, zones, address="127.0.0.1", port=53, ttl=60, root=True):
        self.sandbox, self.address, self.port, self.ttl = sandbox, address, port, ttl
        self.dir = f"{sandbox.dir}/dns-{address}"
        os.makedirs(self.dir)
        self.zones = {"." : ""} if root else {}
        self.zones.update(zones)
        self.process = None
        self._serial = 1
        self.start()

    def _zone_text(self, zone, text):
        self._serial += 1
        origin = zone.rstrip(".") + "."
        return (f"$ORIGIN {origin}\n$TTL {self.ttl}\n"
                f"@ IN SOA ns.nic.invalid. host.nic.invalid. {self._serial} 60 60 600 {self.ttl}\n"
                f"@ IN NS ns.nic.invalid.\n" + text.strip() + "\n")

    def _write(self):
        conf = (f"server:\n  ip-address: {self.address}@{self.port}\n  username: \"\"\n"
                f"  zonesdir: {self.dir}\n  database: \"\"\n  pidfile: {self.dir}/nsd.pid\n"
                f"  xfrdfile: {self.dir}/xfrd\n  zonelistfile: {self.dir}/zonelist\n"
                f"  hide-version: yes\n  server-count: 1\n  reuseport: no\n"
                f"  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n")
        for number, (zone, text) in enumerate(self.zones.items()):
            file = f"{self.dir}/zone{number}"
            conf += f"zone:\n  name: \"{zone}\"\n  zonefile: {file}\n"
            if text is not None:
                with open(file, "w") as f:
                    f.write(self._zone_text(zone, text))
            elif os.path.exists(file):
                os.unlink(file)
        with open(f"{self.dir}/nsd.conf", "w") as f:
            f.write(conf)

    def start(self):
        self._write()
        with open(f"{self.dir}/log", "w") as log:
            self.process = self.sandbox.popen([NSD, "-d", "-c", f"{self.dir}/nsd.conf"],
                                              stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, \
                "nsd did not start: " + open(f"{self.dir}/log").read()[-2000:]
            time.sleep(0.02)

    def _answers(self):
        query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\0\0\2\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            try:
                s.sendto(query, (self.address, self.port))
                return s.recv(512)[:2] == b"\x12\x34"
            except OSError:
                return False

    def update(self, zones):
        """Change or add zones; the server is restarted."""
        self.zones.update(zones)
        self.close()
        self.start()

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None


def _name(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return ".".join(labels), at + 1


class ScriptDns:
    """A UDP server whose every answer is chosen by answer(name, type number): an rcode
    number (2 is SERVFAIL, 3 NXDOMAIN, 5 REFUSED), a list of (type, ttl, rdata bytes)
    records, raw bytes to send as the whole packet after the id, or None: silence.
    Queries seen are in .queries as (name, type)."""

    def __init__(self, answer, address="127.0.0.1", port=53):
        self.answer, self.queries = answer, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            name, end = _name(query, 12)
            qtype = struct.unpack("!H", query[end:end + 2])[0]
            self.queries.append((name.lower(), qtype))
            packet = self._packet(query[:2], query[12:end + 4], self.answer(name, qtype))
            if packet:
                self.sock.sendto(packet, peer)

    @staticmethod
    def _packet(ident, question, choice):
        if choice is None or isinstance(choice, bytes):
            return choice and ident + choice
        rows = [] if isinstance(choice, int) else choice
        rcode = choice if isinstance(choice, int) else 0
        answer = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data
                          for kind, ttl, data in rows)
        return ident + struct.pack("!HHHHH", 0x8180 | rcode, 1, len(rows), 0, 0) + question + answer

    def close(self):
        self.sock.close()
