"""A scripted SMTP server: records what it gets, answers as the test says."""
import socket
import threading
import time


class Message:
    """sender, recipients (addresses), data (bytes, dots removed, CRLF kept),
    mail_args and rcpt_args (what followed the address), session (a Session)."""

    def __init__(self, session):
        self.session = session
        self.sender, self.mail_args = None, ""
        self.recipients, self.rcpt_args = [], []
        self.data = b""

    @property
    def text(self):
        return self.data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")

    @property
    def headers(self):
        return self.text.split("\n\n", 1)[0]

    def header(self, name):
        """All values of a header, unfolded."""
        rows, found = self.headers.replace("\n ", " ").replace("\n\t", " "), []
        for row in rows.split("\n"):
            key, _, value = row.partition(":")
            if key.lower() == name.lower():
                found.append(value.strip())
        return found


class Session:
    def __init__(self, sock, peer, number):
        self.sock, self.peer, self.number = sock, peer, number
        self.commands, self.helo, self.messages = [], "", []
        self.began, self.ended = time.monotonic(), None
        self.batches = 0  # reads that returned something: shows pipelining


class SmtpServer:
    """Listens at once and until close().

    replies: verb -> what to answer instead of the default. Verbs are CONNECT, EHLO,
    HELO, MAIL, RCPT, DATA, "." (end of data), RSET, QUIT, VRFY, NOOP. A value is a
    text ("450 4.2.0 later"), a list of texts used up one by one and then the default,
    or a function (session, argument) -> text or None (default). "" closes the
    connection without an answer.
    delays: verb -> seconds to wait before the answer.
    ehlo: the keywords offered. lmtp: one reply a recipient after the dot.
    """

    def __init__(self, host="127.0.0.2", port=25, replies=None, delays=None,
                 ehlo=("PIPELINING", "SIZE 10240000", "8BITMIME", "ENHANCEDSTATUSCODES",
                       "DSN"), name="sink.test", lmtp=False, path=None, backlog=512):
        self.replies, self.delays = dict(replies or {}), dict(delays or {})
        self.ehlo, self.name, self.lmtp = list(ehlo), name, lmtp
        self.messages, self.sessions = [], []
        self._change = threading.Condition()
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.listener = socket.socket(family)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((host, port))
        self.listener.listen(backlog)
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    # -- for the test ------------------------------------------------------
    def wait(self, count=1, timeout=30):
        """Wait until so many messages have been accepted; returns them all."""
        return self.wait_for(lambda: len(self.messages) >= count, timeout,
                             f"{count} messages") and list(self.messages)

    def wait_for(self, condition, timeout=30, what="the condition"):
        with self._change:
            assert self._change.wait_for(condition, timeout), (
                f"{what} not seen within {timeout} s; have {len(self.messages)} messages, "
                f"{len(self.sessions)} sessions, last commands "
                f"{self.sessions[-1].commands[-8:] if self.sessions else []}")
        return True

    def close(self):
        self.closed = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for session in self.sessions:
            try:
                session.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- inside ------------------------------------------------------------
    def _accept(self):
        while not self.closed:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            session = Session(sock, peer, len(self.sessions) + 1)
            with self._change:
                self.sessions.append(session)
                self._change.notify_all()
            threading.Thread(target=self._serve, args=(session,), daemon=True).start()

    def _serve(self, session):
        try:
            if session.sock.family != socket.AF_UNIX:
                session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Dialogue(self, session).run()
        except (OSError, EOFError):
            pass
        finally:
            session.sock.close()
            with self._change:
                session.ended = time.monotonic()
                self._change.notify_all()

    def choose(self, verb, session, argument, default):
        time.sleep(self.delays.get(verb, 0))
        choice = self.replies.get(verb)
        if isinstance(choice, list):
            choice = choice.pop(0) if choice else None
        if callable(choice):
            choice = choice(session, argument)
        return default if choice is None else choice

    def record(self, message):
        with self._change:
            self.messages.append(message)
            message.session.messages.append(message)
            self._change.notify_all()

    def note(self, session, command):
        with self._change:
            session.commands.append(command)
            self._change.notify_all()


class _Dialogue:
    def __init__(self, server, session):
        self.server, self.session = server, session
        self.buffer = b""
        self.message = Message(session)

    def run(self):
        if not self.answer("CONNECT", "", f"220 {self.server.name} ESMTP sink"):
            return
        while self.command(self.line().decode("utf-8", "surrogateescape").rstrip("\r\n")):
            pass

    def line(self):
        while b"\n" not in self.buffer:
            part = self.session.sock.recv(65536)
            if not part:
                raise EOFError
            self.session.batches += 1
            self.buffer += part
        row, _, self.buffer = self.buffer.partition(b"\n")
        return row + b"\n"

    def answer(self, verb, argument, default):
        text = self.server.choose(verb, self.session, argument, default)
        if text == "":
            return None
        self.session.sock.sendall((text.replace("\n", "\r\n") + "\r\n").encode(
            "utf-8", "surrogateescape"))
        return text

    def command(self, row):
        self.server.note(self.session, row)
        verb, _, argument = row.partition(" ")
        verb = verb.upper()
        handler = getattr(self, "do_" + verb.lower(), None)
        if handler:
            return handler(verb, argument)
        return self.answer(verb, argument, "502 5.5.2 Error: command not recognized") is not None

    def do_helo(self, verb, argument):
        self.session.helo = argument
        return self.answer(verb, argument, "250 " + self.server.name) is not None

    def do_ehlo(self, verb, argument):
        self.session.helo = argument
        rows = [self.server.name, *self.server.ehlo]
        text = "\n".join(["250-" + row for row in rows[:-1]] + ["250 " + rows[-1]])
        return self.answer(verb, argument, text) is not None

    do_lhlo = do_ehlo

    def do_mail(self, verb, argument):
        text = self.answer(verb, argument, "250 2.1.0 Ok")
        if text and text.startswith("2"):
            self.message = Message(self.session)
            self.message.sender, self.message.mail_args = _address(argument)
        return text is not None

    def do_rcpt(self, verb, argument):
        text = self.answer(verb, argument, "250 2.1.5 Ok")
        if text and text.startswith("2"):
            address, args = _address(argument)
            self.message.recipients.append(address)
            self.message.rcpt_args.append(args)
        return text is not None

    def do_data(self, verb, argument):
        default = "354 go" if self.message.recipients else "554 5.5.1 no valid recipients"
        text = self.answer(verb, argument, default)
        if text is None or not text.startswith("3"):
            return text is not None
        rows = []
        while (row := self.line()) != b".\r\n":
            rows.append(row[1:] if row.startswith(b".") else row)
        self.message.data = b"".join(rows)
        return self.end_of_data()

    def end_of_data(self):
        message, self.message = self.message, Message(self.session)
        default = f"250 2.0.0 Ok: queued as {len(self.server.messages) + 1:05X}00"
        count = len(message.recipients) if self.server.lmtp else 1
        accepted = False
        for i in range(count):
            argument = message.recipients[i] if self.server.lmtp else message
            text = self.server.choose(".", self.session, argument, default)
            if text == "":
                return False
            if text.startswith("2") and not accepted:
                accepted = True
                self.server.record(message)
            self.session.sock.sendall((text.replace("\n", "\r\n") + "\r\n").encode())
        return True

    def do_rset(self, verb, argument):
        self.message = Message(self.session)
        return self.answer(verb, argument, "250 2.0.0 Ok") is not None

    def do_noop(self, verb, argument):
        return self.answer(verb, argument, "250 2.0.0 Ok") is not None

    def do_quit(self, verb, argument):
        self.answer(verb, argument, "221 2.0.0 Bye")
        return False


def _address(argument):
    """("a@b", "SIZE=9") from "FROM:<a@b> SIZE=9"."""
    begin, end = argument.find("<"), argument.rfind(">")
    return argument[begin + 1:end], argument[end + 1:].strip()


class ScriptServer:
    """For dialogues that SmtpServer cannot speak: each connection runs
    script(sock, number) in a thread of its own, and is closed when it returns."""

    def __init__(self, script, host="127.0.0.2", port=25):
        self.connections = 0
        self.listener = socket.create_server((host, port), backlog=512)
        self.script, self.closed = script, False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.closed:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, self.connections),
                             daemon=True).start()

    def _serve(self, sock, number):
        try:
            self.script(sock, number)
        except OSError:
            pass
        finally:
            sock.close()

    def close(self):
        self.closed = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
