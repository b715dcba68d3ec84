"""A scripted SMTP client on a raw socket: byte-exact, nothing added or hidden."""
import re
import socket


class Reply:
    """code (int), lines (texts without the code), raw (bytes as received)."""

    def __init__(self, raw):
        self.raw = raw
        rows = raw.decode("utf-8", "surrogateescape").splitlines()
        self.code = int(rows[-1][:3])
        self.lines = [row[4:] for row in rows]
        self.text = "\n".join(rows)

    def __repr__(self):
        return f"<{self.text}>"

    def __eq__(self, other):
        return self.text == other if isinstance(other, str) else NotImplemented

    __hash__ = None

    def __contains__(self, part):
        return part in self.text


class SmtpClient:
    """Connects at once. With read_banner=False the greeting is left to the test.
    source: local address to connect from, such as "192.0.2.7"."""

    def __init__(self, host="127.0.0.1", port=25, source=None, timeout=20,
                 read_banner=True, path=None):
        self.received, self.sent = b"", b""
        self._buffer = b""
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(path)
        else:
            self.sock = socket.create_connection(
                (host, port), timeout, (source, 0) if source else None)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.banner = self.reply() if read_banner else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """Send exactly these bytes (str: encoded as UTF-8, nothing appended)."""
        data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        self.sent += data
        self.sock.sendall(data)

    def line(self):
        """One line as received, with its line ending. b"" at end of file."""
        while b"\n" not in self._buffer:
            part = self.sock.recv(65536)
            if not part:
                rest, self._buffer = self._buffer, b""
                return rest
            self._buffer += part
            self.received += part
        row, _, self._buffer = self._buffer.partition(b"\n")
        return row + b"\n"

    def reply(self):
        """The next complete reply. Asserts its form, CRLF included."""
        raw = b""
        while True:
            row = self.line()
            assert row, f"connection closed; received so far: {self.received[-500:]!r}"
            assert re.match(rb"\d\d\d[ -].*\r\n\Z", row, re.S), f"not a reply line: {row!r}"
            raw += row
            if row[3:4] == b" ":
                return Reply(raw)

    def cmd(self, text, code=None):
        """Send a command line and return the reply; assert its code if given."""
        self.send(text + ("\r\n" if isinstance(text, str) else b"\r\n"))
        got = self.reply()
        assert code is None or got.code == code, f"{text!r}: {got.text}"
        return got

    def ehlo(self, name="client.test"):
        return self.cmd("EHLO " + name, 250)

    def mail(self, sender, recipients, data, ehlo=True):
        """A whole transaction; data as str or bytes with \\n or \\r\\n, dot-stuffed here.
        Returns the reply to end-of-data."""
        if ehlo:
            self.ehlo()
        self.cmd(f"MAIL FROM:<{sender}>", 250)
        for recipient in [recipients] if isinstance(recipients, str) else recipients:
            self.cmd(f"RCPT TO:<{recipient}>", 250)
        self.cmd("DATA", 354)
        return self.data(data)

    def data(self, data):
        """Content and final dot; returns the reply."""
        data = data.encode() if isinstance(data, str) else data
        rows = data.replace(b"\r\n", b"\n").split(b"\n")
        if rows and rows[-1] == b"":
            rows.pop()
        self.send(b"".join((b"." if row.startswith(b".") else b"") + row + b"\r\n"
                           for row in rows) + b".\r\n")
        return self.reply()

    def quit(self):
        got = self.cmd("QUIT", 221)
        assert self.at_eof(), "the server did not close after QUIT"
        self.close()
        return got

    def at_eof(self):
        """Wait until the server closes; False if it sends something first."""
        try:
            return self.line() == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.sock.close()

    def reset(self):
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


def converse(client, script):
    """Send each item of the script and collect the replies as text: the transcript
    that two servers can be compared by. Items: str (a command), bytes (sent as they
    are, then one reply is read), ("data", text)."""
    out = [client.banner.text] if client.banner else []
    for item in script:
        try:
            if isinstance(item, tuple):
                got = client.data(item[1])
            elif isinstance(item, bytes):
                client.send(item)
                got = client.reply()
            else:
                got = client.cmd(item)
            out.append(re.sub(r"queued as [0-9A-Za-z]+", "queued as QID", got.text))
        except (AssertionError, ConnectionError) as e:
            out.append("(closed)" if "closed" in str(e) or isinstance(e, ConnectionError)
                       else f"({e})")
            break
    return out
