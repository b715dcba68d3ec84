"""smtp-source and smtp-sink beside the peer's: replies, dialogue, dump files, counts and
exit codes."""
import glob
import os
import re
import socket
import subprocess
import threading
import time

import pytest

import gp

pytestmark = pytest.mark.root
CHAT = [b"EHLO x", b"HELO x", b"LHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>",
        b"RCPT TO:<e@f>", b"VRFY x", b"NOOP", b"AUTH PLAIN xxx", b"XCLIENT NAME=x",
        b"XFORWARD NAME=x", b"FOO", b"", b"DATA", b".", b"RSET", b"RCPT TO:<x@y>", b"DATA",
        b"MAIL foo", b"MAIL", b"RCPT", b"HELP", b"STARTTLS", b"BDAT 3 LAST", b"rset", b"QUIT"]
SINKS = ["", "-8", "-a", "-C", "-e", "-E", "-F", "-L", "-N", "-p", "-P", "-h foo.bar",
         "-f mail", "-f RCPT,data", "-r rcpt", "-r .", "-f .", "-q rcpt", "-q .", "-q connect",
         "-Q connect", "-Q data", "-E -Q mail", "-f connect", "-r connect", "-f ehlo",
         "-f quit", "-r rset,noop", "-f vrfy,auth,xclient", "-L -e", "-f lhlo -L", "-T 1000",
         "-E -r mail", "-w 1", "-W rcpt:1"]


def wait_port(port, process):
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=8)
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)


def talk(m, options, port):
    process = m.popen("smtp-sink", "-u", "postfix", *options, f"127.0.0.1:{port}", "10",
                      stderr=subprocess.DEVNULL)
    got = []
    with wait_port(port, process) as client, client.makefile("rb") as answers:
        def read():
            lines = []
            while not lines or lines[-1][3:4] == b"-":
                line = answers.readline()
                if not line:
                    return [*lines, "closed"]
                lines.append(line.rstrip(b"\r\n"))
            return lines

        got.append(read())
        for command in CHAT:
            if "closed" in got[-1]:
                break
            try:
                client.sendall(command + b"\r\n")
                got.append([command, *read()])
            except OSError:
                got.append([command, "closed"])
    process.terminate()
    process.wait()
    return got


def test_sink_answers_like_the_peer(gatepost, peer):
    both = gatepost(start=False), peer(start=False)
    wrong = []
    for port, options in enumerate(SINKS, 3000):
        ours, theirs = (talk(m, options.split(), port + 1000 * k) for k, m in enumerate(both))
        if ours != theirs:
            wrong.append(options + "\n" + gp.difference(theirs, ours))
    assert not wrong, "\n".join(wrong)


DUMPS = ["-d %Y/%m/", "-d %Y.", "-D all", "-D %Y.log -S START", "-L -d l.", "-D h -h foo"]


def dumped(m, options, port):
    folder = f"{m.dir}/dump{port}"
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    sink = m.popen("smtp-sink", "-u", "postfix", *options, f"127.0.0.1:{port}", "10",
                   cwd=folder)
    wait_port(port, sink).close()
    flags = ["-L"] if "-L" in options else []
    m.run("smtp-source", *flags, "-m", "2", "-r", "2", "-f", "s@x", "-t", "r@x", "-S", "subj",
          "-M", "helo", f"127.0.0.1:{port}")
    sink.terminate()
    sink.wait()
    found = []
    for path in sorted(glob.glob(folder + "/**", recursive=True)):
        if os.path.isfile(path):
            text = open(path).read()
            text = re.sub(r"\d\d:\d\d:\d\d", "TIME", re.sub(r"id [0-9a-f]{8};", "id X;", text))
            text = re.sub(r"Message-Id: <[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+", "Message-Id: <", text)
            found.append((re.sub("[0-9a-f]{8}$", "X", path[len(folder):]), text))
    return found


def test_dump_files_like_the_peer(gatepost, peer):
    both = gatepost(start=False), peer(start=False)
    for port, options in enumerate(DUMPS, 3000):
        ours, theirs = (dumped(m, options.split(), port + 1000 * k)
                        for k, m in enumerate(both))
        assert ours == theirs, options + "\n" + gp.difference(theirs, ours)
        assert sum(text.count("X-Mail-Args: <s@x>") for _, text in ours) == 2


def test_counts_end_the_sink(gatepost):
    m = gatepost(start=False)
    for option, port in (("-M", 3000), ("-n", 3001)):
        sink = m.popen("smtp-sink", "-c", option, "3", f"localhost:{port}", "10",
                       stdout=subprocess.PIPE, text=True)
        wait_port(port, sink).close() if option == "-M" else time.sleep(0.5)
        m.run("smtp-source", "-m", "3", f"127.0.0.1:{port}", check=False)
        out, _ = sink.communicate(timeout=10)
        assert sink.returncode == 0 and "mesg=3" in out.replace("\r", "\n").split("\n")[-2]


@pytest.mark.hosts("192.0.2.77 sink.test\n")
def test_sink_by_name(gatepost):
    m = gatepost(start=False)
    sink = m.popen("smtp-sink", "-n", "1", "sink.test:3000", "10")
    time.sleep(0.5)
    m.run("smtp-source", "sink.test:3000")
    assert sink.wait(10) == 0
    done = m.run("smtp-sink", "no.such.name.test:3000", "10", check=False)
    assert done.returncode == 1 and "no.such.name.test" in done.stderr


class Server:
    """Notes what a client says; answers: {verb: reply}, None hangs up."""

    def __init__(self, answers, lmtp):
        self.answers, self.lmtp, self.said = answers, lmtp, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.said.append("[connect]")
            with client, client.makefile("rb") as lines:
                try:
                    self.serve(client, lines)
                except OSError:
                    pass

    def answer(self, client, verb, usual):
        reply = self.answers.get(verb, usual)
        if reply is None:
            client.shutdown(socket.SHUT_RDWR)
            raise OSError
        client.sendall(reply.encode() + b"\r\n")

    def serve(self, client, lines):
        self.answer(client, "connect", "220 x ESMTP")
        content, rcpts = False, 0
        for line in lines:
            line = line.decode("latin1").rstrip("\r\n")
            self.said.append(line)
            if content:
                if line == ".":
                    content = False
                    for _ in range(rcpts if self.lmtp else 1):
                        self.answer(client, ".", "250 2.0.0 Ok")
                continue
            verb = line.split(" ")[0].lower()
            rcpts = 0 if verb == "mail" else rcpts + (verb == "rcpt")
            self.answer(client, verb, {"data": "354 go", "quit": "221 bye"}.get(verb, "250 ok"))
            content = verb == "data" and self.answers.get("data", "3")[0] == "3"
            if verb == "quit":
                return


SOURCES = [("", {}), ("-m 3 -d", {}), ("-r 3", {}), ("-r 3 -m 2 -N", {}), ("-l 1", {}),
           ("-l 80", {}), ("-l 161", {}), ("-l 2000", {}), ("-o", {}), ("-o -l 200", {}),
           ("-S subj", {}), ("-t b -r 2", {}), ("-M h", {}), ("-L -r 2", {}), ("-L -o", {}),
           ("-c -m 3", {}), ("-f a@b -t c@d", {}), ("-C 2", {}), ("-4", {}), ("-T 4096", {}),
           ("-m 0", {}), ("-m x", {}), ("-r 0", {}), ("-l 0", {}), ("-s 0", {}), ("-w 0", {}),
           ("-R x", {}), ("-C 0", {}), ("-T 0", {}), ("-F /nonexistent", {}),
           ("", {"connect": "421 no"}), ("-A", {"connect": "421 no"}), ("", {"connect": None}),
           ("", {"helo": "500 no"}), ("", {"mail": "450 no"}), ("-A -m 2", {"mail": "450 no"}),
           ("-A -m 2 -d", {"mail": "450 no"}), ("", {"rcpt": "550 no"}),
           ("-A -r 2", {"rcpt": "550 no"}), ("", {"data": "450 no"}), ("-A", {"data": "450 no"}),
           ("", {".": "450 no"}), ("-A -m 2", {".": "450 no"}), ("-A", {".": None}),
           ("", {"mail": None}), ("", {"quit": None}), ("", {"quit": "500 x"}),
           ("", {"mail": "xyz"}), ("", {"mail": "250-a\r\n250 b"})]


def sent(m, options, answers):
    server = Server(answers, "-L" in options)
    done = m.run("smtp-source", *options, f"127.0.0.1:{server.port}", check=False)
    time.sleep(0.05)
    server.listener.close()
    said = [re.sub(r"\d\d:\d\d:\d\d", "TIME", re.sub(r"<[0-9a-f]+\.[0-9a-f]{4}\.", "<PID.FD.", l))
            for l in server.said]
    complaints = re.sub(r"\S*smtp-source: ", "", done.stderr).splitlines()
    return [done.returncode, done.stdout, complaints, said]


def test_source_speaks_like_the_peer(gatepost, peer):
    both = gatepost(start=False), peer(start=False)
    wrong = []
    for options, answers in SOURCES:
        ours, theirs = (sent(m, options.split(), answers) for m in both)
        if ours != theirs:
            wrong.append(f"{options} {answers}\n" + gp.difference(theirs, ours))
    assert not wrong, "\n".join(wrong)


def test_source_sends_a_file(gatepost):
    m = gatepost(start=False)
    path = m.write("text", "Subject: f\n\n.dot\n\nend without line end")
    server = Server({}, False)
    m.run("smtp-source", "-F", path, f"127.0.0.1:{server.port}")
    start = server.said.index("DATA") + 1
    assert server.said[start:server.said.index(".")] == [
        "Subject: f", "", "..dot", "", "end without line end"]
