"""redis: tables beside a real server: hostile keys, kinds of values, logins, TLS, changes
and walks, dead, silent and restarted servers; redirects and trouble from scripted ones."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import gp
from gp import sqlservers

POSTMAP = f"{gp.mta.BUILD}/bin/postmap"
BINARY = shutil.which("redis-server") or shutil.which("valkey-server")
PASSWORD = "secret#1"
HOSTILE = [b"a b@x.test", b"cr\rlf", b"*3\\r\\n$3\\r\\nset\\r\\n$1\\r\\na\\r\\n", b"o'neil@x.test",
           b'double"quote', b"back\\slash", b"100%@x.test", b"%s%u%d", b"{tag}x", b"[a-z]*?",
           "caf\u00e9@x.test".encode(), b"flushall", b"-err", b"$-1", b" lead", b"tail\t"]


def encode(args):
    """A command or an array of strings in RESP."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


def decode(f):
    line = f.readline()
    kind, rest = line[:1], line[1:-2]
    if kind == b"$":
        return None if rest == b"-1" else f.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return [decode(f) for _ in range(int(rest))]
    assert kind in (b"+", b":"), line
    return int(rest) if kind == b":" else rest.decode()


class Redis(sqlservers.Server):
    @staticmethod
    def missing():
        return None if BINARY else "redis-server is not installed"

    def __init__(self, folder):
        super().__init__(folder)
        self.socket = f"{folder}/sock"
        self.tls_port = sqlservers.free_port()

    def command(self):
        d = self.dir
        options = {"port": self.port, "bind": "127.0.0.1", "unixsocket": self.socket,
                   "unixsocketperm": "777", "tls-port": self.tls_port,
                   "tls-cert-file": f"{d}/server.pem", "tls-key-file": f"{d}/server.key",
                   "tls-ca-cert-file": f"{d}/ca.pem", "tls-auth-clients": "optional",
                   "dir": d, "dbfilename": "dump", "requirepass": PASSWORD}
        return [BINARY, *(a for k, v in options.items() for a in (f"--{k}", str(v))),
                "--save", "", "--user", "mail", "on", f">{PASSWORD}u", "~m:*", "+get", "+hget"]

    def answers(self):
        return self("PING") == "PONG"

    def __call__(self, *command):
        """A command as the default user."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            f = s.makefile("rwb")
            f.write(encode(["AUTH", PASSWORD]) + encode(command))
            f.flush()
            assert decode(f) == "OK"
            return decode(f)


class Script:
    """A server whose replies a function makes: reply(command) -> bytes, or None: never."""
    def __init__(self, reply, address=("127.0.0.1", 0)):
        self.reply, self.commands = reply, []
        self.listener = socket.socket(socket.AF_UNIX if isinstance(address, str)
                                      else socket.AF_INET)
        self.listener.bind(address)
        self.listener.listen()
        self.address = address if isinstance(address, str) else \
            "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        with conn, conn.makefile("rb") as f:
            try:
                while True:
                    command = [arg.decode() for arg in decode(f)]
                    self.commands.append(command)
                    reply = self.reply(command)
                    if reply is None:
                        f.read()
                        return
                    conn.sendall(reply)
            except (OSError, AssertionError, ValueError):
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


class Table:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="gpredis-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.count = 0
        self.server = Redis(f"{self.dir}/server")
        self.server.start()
        os.mkdir(f"{self.dir}/etc")
        self.write("etc/main.cf", f"compatibility_level = 3.6\nmeta_directory = {self.dir}/etc\n"
                   f"shlib_directory = {gp.mta.BUILD}/plugins\nmaillog_file = {self.dir}/log\n")
        self.write("etc/dynamicmaps.cf", "redis gatepost-redis.so\n")

    def write(self, name, text, mode=0o644):
        with open(f"{self.dir}/{name}", "w") as f:
            os.fchmod(f.fileno(), mode)
            f.write(text)
        return f"{self.dir}/{name}"

    def cf(self, **settings):
        """type:path of a client configuration."""
        base = {"hosts": f"unix:{self.server.socket}", "password": PASSWORD, "key_prefix": "m:",
                "timeout": "5s"}
        self.count += 1
        return "redis:" + self.write(f"{self.count}.cf", "".join(
            f"{k} = {v}\n" for k, v in {**base, **settings}.items() if v is not None), 0o600)

    def postmap(self, *args, data=b""):
        done = subprocess.run([POSTMAP, "-c", f"{self.dir}/etc", *args], input=data,
                              capture_output=True, timeout=30, env=sqlservers.environment())
        text = done.stderr.decode(errors="replace")
        assert "secret" not in text
        return done.stdout, text

    def ask(self, table, *keys):
        """{key: value} and the warnings, all keys in one process."""
        keys = [k if isinstance(k, bytes) else k.encode() for k in keys]
        out, errors = self.postmap("-q", "-", table, data=b"".join(k + b"\n" for k in keys))
        found = {}
        for line in out.splitlines() if b"\r" not in out else out.split(b"\n")[:-1]:
            key, value = line.rsplit(b"\t", 1)
            found[key if not key.isascii() or key in HOSTILE else key.decode()] = value.decode()
        return found, errors


@pytest.fixture(scope="module")
def t():
    if not os.path.exists(f"{gp.mta.BUILD}/plugins/gatepost-redis.so"):
        pytest.skip("the redis plug-in is not built")
    if Redis.missing():
        pytest.skip(Redis.missing())
    table = Table()
    yield table
    table.server.stop()
    shutil.rmtree(table.dir, ignore_errors=True)


@pytest.fixture
def server(t):
    t.server("FLUSHALL")
    return t.server


def test_hostile_keys_find_their_own_value_only(t, server):
    for i, key in enumerate(HOSTILE):
        server("SET", b"m:" + key, f"row{i}")
    server("SET", "m:plain", "result")
    server("SET", "outside", "not ours")
    server("SET", b"m:\xff\xfe", "not UTF-8")
    server("SET", b"m:nul\0l", "nul")
    server("SET", b"m:crlf\r\nget m:plain", "two lines")
    got, errors = t.ask(t.cf(), *HOSTILE, "plain", "PLAIN", "nosuch", "outside", "m:plain",
                        b"\xff\xfe", "row1", "*", "m:*")
    expected = {key: f"row{i}" for i, key in enumerate(HOSTILE)}
    assert got == {**expected, "plain": "result", "PLAIN": "result"}
    assert errors.count("\n") == 1 and "non-UTF-8 key" in errors
    assert t.postmap("-q", "crlf\r\nget m:plain", t.cf()) == (b"two lines\n", "")
    assert t.postmap("-q", "nosuch\r\nGET m:plain", t.cf()) == (b"", "")
    assert t.postmap("-q", "-", t.cf(), data=b"nul\0l\n")[0] in (b"nul\0l\tnul\n", b"")
    assert server("DBSIZE") == len(HOSTILE) + 5


def test_kinds_of_values(t, server):
    server("SET", "s", "text")
    server("HSET", "m:h", "alice", "al@box.test", "empty", "")
    server("RPUSH", "m:list@example.com", "b@two.test", "a@one.test", "bare")
    server("SADD", "m:set", "x")
    server("HSET", "m:example.com", "list", "field")
    for settings, key, value in [
            ({"key_prefix": None}, "s", "text"),
            ({"key_prefix": "m:", "query": "HGET h %s"}, "alice", "al@box.test"),
            ({"query": "hget h %s"}, "empty", None),
            ({"query": 'HGET "%d" %u'}, "list@example.com", "field"),
            ({"query": "HGET %d %u"}, "plain", None),
            ({"query": "LRANGE %s 0 -1"}, "list@example.com", "b@two.test,a@one.test,bare"),
            ({"query": "LRANGE %s 0 -1", "result_format": "<%u|%D>"}, "list@example.com",
             "<b|example.com>,<a|example.com>,<bare|example.com>"),
            ({"query": "LRANGE %s 0 -1", "domain": "other.test"}, "list@example.com", None),
            ({"query": "SMEMBERS %s"}, "set", "x"),
            ({"query": "SMEMBERS %s"}, "nosuch", None),
            ({"query": "SISMEMBER set %s"}, "x", "1"),
            ({"query": "SISMEMBER set %s"}, "y", None),
            ({"query": "HEXISTS h %s", "result_format": "OK"}, "alice", "OK"),
            ({"query": 'HGET "h" "%s"'}, "alice", "al@box.test")]:
        got, errors = t.ask(t.cf(**settings), key)
        assert got == ({key: value} if value else {}), (settings, errors)
        assert bool(errors) == (key == "empty"), errors
    for settings, why in [
            ({"query": "SMEMBERS h"}, "WRONGTYPE"),
            ({"query": "LRANGE %s 0 -1", "expansion_limit": 2}, "Expansion limit exceeded"),
            ({"query": "LRANGE %s"}, "wrong number of arguments"),
            ({"db": "99"}, "cannot select the data base"),
            ({"query": "SET %s 1"}, "command SET is not one of those that only read"),
            ({"query": "GETDEL %s"}, "command GETDEL is not one of those"),
            ({"query": "EVAL %s 0"}, "command EVAL is not one of those"),
            ({"query": "GET"}, "GET has no key"),
            ({"query": ""}, "no command"),
            ({"query": 'GET "%s'}, "unbalanced double quote"),
            ({"query": "GET %x"}, "Invalid template"),
            ({"hosts": "a:b:c"}, "hosts: \"a:b:c\" is not host"),
            ({"timeout": "0"}, "timeout"), ({"ttl": "x"}, "ttl"),
            ({"tls": "yes", "tls_ca_cert_file": "/nonexistent"}, "tls_ca_cert_file /nonexistent"),
            ({"user": "x", "password": None}, "there is no password")]:
        got, errors = t.ask(t.cf(**settings), "list@example.com")
        assert not got and why in errors and "fatal" in errors, (settings, errors)


def test_logins(t, server):
    server("SET", "m:key", "value")
    server("SET", "other", "value")
    good, inet = {"key": "value"}, f"127.0.0.1:{server.port}"
    file = t.write("pass", f"{PASSWORD}\nsecond line\n", 0o600)
    for settings in ({"hosts": inet}, {"hosts": f"localhost:{server.port}"},
                     {"password": None, "password_file": file},
                     {"user": "mail", "password": f"{PASSWORD}u"},
                     {"user": "default"}):
        assert t.ask(t.cf(**settings), "key") == (good, ""), settings
    got, errors = t.ask(t.cf(password=None, password_file=t.write("open", PASSWORD)), "key")
    assert got == good and f"{t.dir}/open holds a password and can be read by every" in errors
    for settings, why in [
            ({"password": "secret#wrong"}, "authentication failed: WRONGPASS"),
            ({"user": "nobody"}, "authentication failed: WRONGPASS"),
            ({"password": None}, "NOAUTH"),
            ({"user": "mail", "password": f"{PASSWORD}u", "key_prefix": None,
              "query": "GET other"}, "NOPERM"),
            ({"password_file": file}, "password_file: there is a password already"),
            ({"password": None, "password_file": "/nonexistent"}, "/nonexistent"),
            ({"password": None, "password_file": t.write("none", "\n", 0o600)},
             "no password in the first line")]:
        got, errors = t.ask(t.cf(**settings), "key")
        assert not got and why in errors and "fatal" in errors, (settings, errors)


def test_example_of_the_guide(t, server):
    server("SET", "valias:info@example.com", "alice@example.com, bob@example.com")
    server("SADD", "vdomains", "example.com")
    server("ACL", "SETUSER", "guide", "on", f">{PASSWORD}g", "~valias:*", "~vdomains", "+get",
           "+sismember")
    login = {"user": "guide", "password": f"{PASSWORD}g"}
    domains = t.cf(**login, key_prefix=None, query="SISMEMBER vdomains %s")
    table = t.cf(**login, key_prefix="valias:", domain=domains)
    assert t.ask(domains, "example.com", "example.org") == ({"example.com": "1"}, "")
    server("CONFIG", "RESETSTAT")
    keys = ["info@example.com", "info", "@example.com", "info@example.org", "x@example.com"]
    assert t.ask(table, *keys) == \
        ({"info@example.com": "alice@example.com, bob@example.com"}, "")
    assert b"cmdstat_get:calls=2," in server("INFO", "commandstats")
    server("ACL", "DELUSER", "guide")


def test_tls(t, server):
    server("SET", "m:key", "value")
    at = f"127.0.0.1:{server.tls_port}"

    def table(ca="ca.pem", **more):
        settings = {"hosts": at, "tls": "yes", "tls_ca_cert_file": f"{server.dir}/{ca}"}
        return t.cf(**{**settings, **more})
    good = {"key": "value"}, ""
    assert t.ask(table(), "key") == good
    assert t.ask(table(hosts=f"localhost:{server.tls_port}"), "key") == good
    assert t.ask(table(tls_server_name="localhost"), "key") == good
    assert t.ask(table("other-ca.pem", tls_require_cert="no"), "key") == good
    assert t.ask(table(tls_cert=f"{server.dir}/server.pem", tls_key=f"{server.dir}/server.key"),
                 "key") == good
    for table_name, why in [(table("other-ca.pem"), "TLS certificate: "),
                            (table(tls_server_name="other.test"), "ostname mismatch"),
                            (table(tls_server_name="127.0.0.2"), "IP address mismatch"),
                            (table(hosts=f"127.0.0.1:{server.port}", timeout=1),
                             "TLS handshake: timeout"),
                            (t.cf(hosts=at), "redis server 127.0.0.1:")]:
        began = time.monotonic()
        got, errors = t.ask(table_name, "key")
        assert not got and why in errors and time.monotonic() - began < 3, errors
    server("CONFIG", "SET", "tls-auth-clients", "yes")
    got, errors = t.ask(table(), "key")
    server("CONFIG", "SET", "tls-auth-clients", "optional")
    assert not got and "TLS" in errors
    assert "tls_key" in t.ask(table(tls_cert=f"{server.dir}/server.pem",
                                    tls_key=f"{server.dir}/ca.key"), "key")[1]


def test_changes_and_walks(t, server):
    server("SET", "other", "x")
    for i in range(3):
        server("SET", f"m:k{i}", f"v{i}")
    table = t.cf()
    assert t.postmap("-i", table, data=b"New a value\nk0 changed\n") == (b"", "")
    assert server("GET", "m:new") == b"a value" and server("TTL", "m:new") == -1
    assert server("GET", "m:k0") == b"changed"
    assert t.postmap("-i", t.cf(ttl="1h"), data=b"brief x\n") == (b"", "")
    assert 3500 < server("TTL", "m:brief") <= 3600
    server("SADD", "m:set", "not a string")
    out, errors = t.postmap("-s", t.cf())
    assert sorted(out.decode().splitlines()) == sorted(
        ["k0\tchanged", "k1\tv1", "k2\tv2", "new\ta value", "brief\tx"]) and not errors
    assert t.postmap("-d", "NEW", table) == (b"", "") and server("GET", "m:new") is None
    done = subprocess.run([POSTMAP, "-c", f"{t.dir}/etc", "-d", "new", table])
    assert done.returncode == 1
    script = "for i=1,2000 do redis.call('set', 'm:n' .. i, i) end"
    server("EVAL", script, 0)  # several pages
    out, _ = t.postmap("-s", table)
    assert len(set(out.splitlines())) == 2004
    server("SET", "m*:x", "star")
    assert t.postmap("-s", t.cf(key_prefix="m*:")) == (b"x\tstar\n", "")
    for option in (("-s",), ("-d", "x")):
        _, errors = t.postmap(*option, t.cf(query="HGET h %s"))
        assert "only" in errors and "fatal" in errors
    _, errors = t.postmap("-i", t.cf(user="mail", password=f"{PASSWORD}u"), data=b"a b\n")
    assert "NOPERM" in errors and "fatal" in errors


def test_a_dead_server_is_replaced_by_another(t, server):
    server("SET", "m:key", "value")
    dead = f"127.0.0.1:{sqlservers.free_port()}"
    for _ in range(3):  # whichever is chosen first
        assert t.ask(t.cf(hosts=f"{dead}, 127.0.0.1:{server.port}"), "key")[0] == \
            {"key": "value"}
    gone = f"unix:{t.dir}/nothing"
    got, errors = t.ask(t.cf(hosts=f"{gone} unix:{server.socket}"), "key")
    assert got == {"key": "value"}
    for hosts, why in ((dead, "connect: Connection refused"), (gone, "No such file"),
                       ("nosuch.invalid", "nosuch.invalid")):
        began = time.monotonic()
        got, errors = t.ask(t.cf(hosts=hosts), "key")
        assert not got and "no server can be asked: redis server" in errors and why in errors
        assert time.monotonic() - began < 5


def test_a_restarted_server_is_asked_again(t, server):
    server("SET", "m:key", "value")
    asking = subprocess.Popen([POSTMAP, "-c", f"{t.dir}/etc", "-q", "-", t.cf()], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1,
                              env=sqlservers.environment())
    server("CONFIG", "RESETSTAT")
    asking.stdin.write("key\n")
    asking.stdin.flush()
    deadline = time.monotonic() + 5
    while b"cmdstat_get" not in server("INFO", "commandstats"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    asking.send_signal(signal.SIGPIPE)  # libraries cause it when a connection is lost
    server.stop()
    server.start()
    server("SET", "m:key", "again")
    out, _ = asking.communicate("key\n", timeout=10)
    assert out == "key\tvalue\nkey\tagain\n"


def test_a_silent_server_costs_no_more_than_the_timeout(t):
    with Script(lambda command: None) as silent:
        for password, why in ((None, ": timeout"), (PASSWORD, "authentication failed: timeout")):
            began = time.monotonic()
            got, errors = t.ask(t.cf(hosts=silent.address, timeout=1, password=password), "key")
            assert not got and why in errors and 0.9 < time.monotonic() - began < 2.5, errors
    with socket.socket() as full:  # connects, but nobody accepts
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with Script(lambda c: b"$2\r\nok\r\n") as other:
            hosts = f"127.0.0.1:{full.getsockname()[1]} {other.address}"
            got, _ = t.ask(t.cf(hosts=hosts, timeout=1, password=None), "key")
            assert got == {"key": "ok"}


def test_redirects_of_a_cluster(t):
    with Script(lambda c: b"$5\r\nthere\r\n") as second, \
            Script(lambda c: b"$5\r\nasked\r\n" if c[0] == "GET" else b"+OK\r\n") as third:
        port = second.address.split(":")[1]
        replies = {"m:moved": b"-MOVED 11 %s\r\n" % second.address.encode(),
                   "m:same-host": b"-MOVED 12 :%s\r\n" % port.encode(),
                   "m:ask": b"-ASK 13 %s\r\n" % third.address.encode(),
                   "m:wild": b"-MOVED 16384 127.0.0.1:1\r\n",
                   "m:odd": b"-MOVED 1 a,b;c:1\r\n",
                   "cluster": b"$17\r\ncluster_enabled:1\r\n",
                   "m:down": b"-CLUSTERDOWN Hash slot not served\r\n"}
        with Script(lambda c: replies.get(c[1], b"$4\r\nhere\r\n")) as first:
            table = t.cf(hosts=first.address, password=None)
            got, errors = t.ask(table, "plain", "moved", "same-host", "ask", "plain", "ask")
            assert got == {"plain": "here", "moved": "there", "same-host": "there",
                           "ask": "asked"} and not errors
            assert third.commands == 2 * [["ASKING"], ["GET", "m:ask"]]
            for key, why in (("wild", "MOVED 16384"), ("odd", "MOVED 1"),
                             ("down", "CLUSTERDOWN Hash slot not served")):
                got, errors = t.ask(table, key)
                assert not got and f"redis server {first.address}: {why}" in errors
            assert "a cluster cannot be walked through" in t.postmap("-s", table)[1]
            replies["m:loop"] = b"-MOVED 14 %s\r\n" % first.address.encode()
            assert "more than 5 redirects" in t.ask(table, "loop")[1]
            replies["m:gone"] = b"-MOVED 15 127.0.0.1:%d\r\n" % sqlservers.free_port()
            assert "connect: Connection refused" in t.ask(table, "gone")[1]


def test_replies_that_are_not_answers(t):
    for reply, why in [(b"-LOADING Redis is loading\r\n", "LOADING"),
                       (b"-MASTERDOWN Link with MASTER is down\r\n", "MASTERDOWN"),
                       (b"-ERR max number of clients reached\r\n", "max number of clients"),
                       (b"-ERR \x1b[2J\xff\r\n", "ERR ?[2J?"),
                       (b"HTTP/1.1 200 OK\r\n\r\n", "protocol error"),
                       (b"*2147483647\r\n", "protocol error"),
                       (b"*100001\r\n", "more than 100000 elements"),
                       (b"$9999999999\r\n", "timeout"),
                       (b"*1\r\n" * 20, "protocol error"),
                       (b"$2\r\nok\r\n$5\r\nextra\r\n", "more than one reply"),
                       (b"*1\r\n-ERR inside\r\n", "unexpected kind of reply")]:
        with Script(lambda c, reply=reply: reply) as script:
            got, errors = t.ask(t.cf(hosts=script.address, timeout=1, password=None), "key")
            assert not got and why in errors, (reply, errors)


def test_a_slow_server_holds_up_nobody_else(t, gatepost):
    def reply(command):
        if "slow" in command[1]:
            time.sleep(1.5)
        return b"$2\r\nOK\r\n"
    with Script(reply, f"{t.dir}/slow") as slow:
        os.chmod(slow.address, 0o777)
        table = t.cf(hosts=f"unix:{slow.address}", password=None)
        m = gatepost({"meta_directory": f"{t.dir}/etc",
                      "shlib_directory": f"{gp.mta.BUILD}/plugins",
                      "smtpd_recipient_restrictions":
                          f"check_recipient_access {table}, permit_mynetworks, reject"})
        took = {}

        def session(name):
            with m.smtp() as c:
                c.cmd("HELO c.test")
                c.cmd("MAIL FROM:<>")
                began = time.monotonic()
                assert c.cmd(f"RCPT TO:<{name}@mx.gate.test>").code in (250, 451, 550)
                took[name] = time.monotonic() - began
        thread = threading.Thread(target=session, args=("slow",))
        thread.start()
        time.sleep(0.5)
        session("quick")
        thread.join()
        assert took["quick"] < 0.8 and took["slow"] > 1.4, took


def test_through_the_proxy_services(t, server, gatepost):
    server("SET", "m:old", "1")
    table = t.cf()
    os.chmod(table.split(":")[1], 0o644)  # the services open it with the rights they have
    m = gatepost({"meta_directory": f"{t.dir}/etc", "shlib_directory": f"{gp.mta.BUILD}/plugins",
                  "proxy_read_maps": f"proxy:{table}", "proxy_write_maps": f"proxy:{table}"})
    server("MSET", "m:new", "2", "m:other", "3")
    m.run("postmap", "-d", "old", f"proxy:{table}")
    assert server("GET", "m:new") == b"2" and server("GET", "m:old") is None
    assert m.run("postmap", "-q", "new", f"proxy:{table}").stdout == "2\n"
    rows = m.run("postmap", "-s", f"proxy:{table}").stdout.splitlines()
    assert sorted(rows) == ["new\t2", "other\t3"]
