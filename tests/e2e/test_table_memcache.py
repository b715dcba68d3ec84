"""memcache: tables beside a real memcached server, and servers that misbehave."""
import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("memcached"), reason="memcached is not installed")
PORT = 2611


class Memcached:
    def __init__(self, port=PORT):
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        self.address = "127.0.0.1", port
        self.process = subprocess.Popen(["memcached", *user, "-l", "127.0.0.1", "-p", str(port),
                                         "-U", "0", "-m", "8", "-t", "1"],
                                        stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                self.ask("version")
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("memcached does not start")

    def ask(self, command, data=None):
        with socket.create_connection(self.address, 5) as s, s.makefile("rwb") as f:
            f.write(f"{command}\r\n".encode() + (b"" if data is None else data.encode() + b"\r\n"))
            f.write(b"quit\r\n")
            f.flush()
            return f.read().decode()

    def set(self, key, value):
        assert self.ask(f"set {key} 0 0 {len(value)}", value) == "STORED\r\n"

    def get(self, key):
        lines = self.ask(f"get {key}").split("\r\n")
        return lines[1] if len(lines) > 2 else None

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(sandbox):
    memcached = Memcached()
    yield memcached
    memcached.stop()


def config(m, name, **settings):
    settings = {"memcache": f"inet:127.0.0.1:{PORT}", "max_try": 1, **settings}
    return "memcache:" + m.write(name, "".join(f"{k} = {v}\n" for k, v in settings.items()))


def postmap(m, *args):
    done = m.run("postmap", *args, check=False)
    return done.returncode, done.stdout


def test_answers_like_the_peer(like_peer, server):
    def scenario(m):
        m.allow("fatal: ")
        server.ask("flush_all")
        for key, value in [("foo", "value"), ("p:foo", "with blanks "), ("caf\u00e9", "drink"),
                           ("u:joe", "user"), ("x%y", "percent"), ("big", "x" * 3000)]:
            server.set(key, value)
        backup = m.table("backup", {"foo": "older", "kept": "in backup", "joe@x.test": "whole"})
        plain, prefix = config(m, "plain"), config(m, "prefix", key_format="p:%s")
        domain = config(m, "domain", key_format="u:%u", domain="x.test")
        both = config(m, "both", backup=backup, ttl=100, flags=3)
        small = config(m, "small", data_size_limit=2000)
        away = config(m, "away", memcache="inet:127.0.0.1:2619")
        away_both = config(m, "away_both", memcache="inet:127.0.0.1:2619", backup=backup)
        failing = config(m, "failing", backup="fail:x")
        asked = [(plain, k) for k in ["foo", "Foo", "none", "a b", "a\tb", "caf\u00e9", "x%y", "big"]]
        asked += [(prefix, "foo"), (prefix, "p:foo"), (domain, "joe@x.test"), (domain, "joe"),
                  (domain, "joe@y.test"), (both, "foo"), (both, "kept"), (both, "Joe@x.test"),
                  (both, "none"), (both, "none" * 70), (small, "big"), (away, "foo"), (away_both, "kept"),
                  (away_both, "none"), (failing, "foo"), (failing, "none")]
        asked += [(config(m, f"bad{i}", **{name: value}), "foo") for i, (name, value) in enumerate(
                  [("ttl", "2d"), ("key_format", "%z"), ("memcache", "foo:bar")])]
        with ThreadPoolExecutor(8) as pool:  # the peer sleeps before it gives up
            answers = pool.map(lambda case: postmap(m, "-q", case[1], case[0]), asked)
            found = [(os.path.basename(t), k, *a) for (t, k), a in zip(asked, answers)]
        found += [postmap(m, "-d", k, plain) for k in ("foo", "foo", "a b")]
        found.append(sorted(postmap(m, "-s", both)[1].splitlines()))
        return found, server.ask("get kept"), server.get("joe@x.test")

    found, kept, _ = like_peer(scenario)
    assert found[0][2:] == (0, "value\n") and kept.startswith("VALUE kept 3 9\r\nin backup")


def test_what_the_server_cannot_hold_is_never_sent(gatepost):
    received, replies = [], {}
    listener = socket.create_server(("127.0.0.1", PORT))

    def serve():
        while True:
            client, _ = listener.accept()
            with contextlib.suppress(OSError), client, client.makefile("rwb") as f:
                for line in f:
                    received.append(line)
                    f.write(replies.get(line.split()[1], b"END\r\n"))
                    f.flush()
    threading.Thread(target=serve, daemon=True).start()
    m = gatepost({}, start=False)
    m.allow("fatal: ")
    table = config(m, "mc", backup="static:kept", timeout=1)
    for key in ["a b", "x\r\nflush_all\r\n", "a\tb", "\x01", "x\x7f", "k" * 251]:
        assert postmap(m, "-q", key, table) == (0, "kept\n")
    assert not received
    alone = config(m, "alone", timeout=1)
    for key, reply, text in [("k1", b"VALUE other 0 1\r\nx\r\nEND\r\n", "unexpected reply"),
                             ("k2", b"VALUE k2 0 99999\r\n", "a value of 99999 bytes"),
                             ("k3", b"VALUE k3 0 1\r\nxyz", "unexpected reply"),
                             ("k4", b"x" * 5000, "a reply line of more than"),
                             ("k5", b"SERVER_ERROR \x1b[2Jno\r\n", "SERVER_ERROR ?[2Jno"),
                             ("k6", b"END\r\nEND\r\n", "more than one reply"), ("k7", b"", "timeout")]:
        replies[key.encode()] = reply
        done = m.run("postmap", "-q", key, alone, check=False)
        assert done.returncode == 1 and f"memcache server inet:127.0.0.1:{PORT}: " in done.stderr
        assert text in done.stderr, done.stderr


def test_service_survives_the_server(gatepost, server):
    m = gatepost(start=False)
    backup = m.table("backup", {"b@x.test": "554 in backup"})
    m.configure({"smtpd_sender_restrictions": "check_sender_access "
                 + config(m, "alone") + ", check_sender_access "
                 + config(m, "both", key_format="b/%s", backup=backup), "smtpd_delay_reject": "no"})
    server.set("a@x.test", "554 in cache")
    m.start()

    def mail(c, sender):
        c.cmd("RSET")
        return c.cmd(f"MAIL FROM:<{sender}>").code

    with m.smtp() as c:
        c.cmd("EHLO x")
        assert [mail(c, s) for s in ("a@x.test", "b@x.test", "c@x.test")] == [554, 554, 250]
        assert server.get("b/b@x.test") == "554 in backup"
        server.stop()
        assert mail(c, "c@x.test") == 451
        m.wait_log("warning: .*memcache server inet:127.0.0.1:2611: connect to .*refused")
        again = Memcached()
        try:
            assert [mail(c, s) for s in ("c@x.test", "a@x.test", "b@x.test")] == [250, 250, 554]
        finally:
            again.stop()
