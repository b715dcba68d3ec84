"""tcp: and socketmap: tables against small servers, good and bad ones."""
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

TCP = {"nf": b"500 no\n", "tmp": b"400 try%20later\n", "bad": b"hello\n", "nospace": b"200\n",
       "enc": b"200 a%zz\n", "enc2": b"200 a%20b%20c d\n", "big": b"200 " + b"x" * 5000 + b"\n",
       "crlf": b"200 abc\r\n", "odd": b"300 foo\n", "long": b"200 " + b"x" * 4000 + b"\n",
       "pct": b"200 a%\n", "a%20b": b"200 space\n", "caf%C3%A9": b"200 drink\n", "two": b"200 a\n200 b\n"}


def netstring(data):
    return b"%d:%s," % (len(data), data)


MAP = {"nf": netstring(b"NOTFOUND "), "nf2": netstring(b"NOTFOUND"), "tmp": netstring(b"TEMP x"),
       "to": netstring(b"TIMEOUT slow"), "perm": netstring(b"PERM no"), "junk": b"hello world\n",
       "big": netstring(b"OK " + b"x" * 100000), "max": netstring(b"OK " + b"x" * 99997),
       "unk": netstring(b"WHAT is"), "lead0": b"06:OK abc,", "nocomma": b"6:OK abc;",
       "hugelen": b"99999999999999999999:x", "spaces": netstring(b"OK a  b")}


def serve(port, handle):
    """Every connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", port))

    def loop():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=run, args=(client,), daemon=True).start()

    def run(client):
        try:
            with client, client.makefile("rwb") as f:
                handle(f)
        except OSError:
            pass
    threading.Thread(target=loop, daemon=True).start()


def tcp(f):
    for line in f:
        key = line.decode().strip().split(" ", 1)[1]
        if key == "close":
            return
        f.write(TCP.get(key, b"200 found-" + key.encode() + b"\n"))
        f.flush()


def socketmap(f):
    while size := b"".join(iter(lambda: f.read(1).rstrip(b":"), b"")):
        name, key = f.read(int(size)).decode().split(" ", 1)
        f.read(1)
        if key == "close":
            return
        f.write(MAP.get(key, netstring(f"OK {name}={key}".encode())))
        f.flush()


def test_answers_like_the_peer(like_peer):
    serve(2601, tcp)
    serve(2602, socketmap)
    asked = [("tcp:127.0.0.1:2601", k) for k in ["foo", "a b", "FoO", "café", "nf", "tmp", "bad",
             "nospace", "enc", "enc2", "crlf", "odd", "long", "pct"]]
    asked += [("socketmap:inet:127.0.0.1:2602:m", k) for k in ["foo", "a b", "close", *MAP]]

    def scenario(m):
        m.allow("fatal: ")

        def ask(case):
            done = m.run("postmap", "-q", case[1], case[0], check=False)
            return *case, done.returncode, done.stdout
        with ThreadPoolExecutor(8) as pool:  # the peer sleeps before it gives up
            return list(pool.map(ask, asked))

    found = {(table[:3], key): out for table, key, _, out in like_peer(scenario)}
    assert found["tcp", "enc2"] == "a b c d\n" and found["soc", "foo"] == "m=foo\n"


def test_trouble_means_later_with_a_reason(gatepost):
    serve(2601, tcp)
    m = gatepost({}, start=False)
    m.allow("fatal: ")
    for table, key, text in [("tcp:127.0.0.1:2601", "close", "unexpected disconnect"),
                             ("tcp:127.0.0.1:2601", "big", "longer than 4096"),
                             ("tcp:127.0.0.1:2601", "two", "more than one reply"),
                             ("tcp:127.0.0.1:2609", "x", "Connection refused"),
                             ("socketmap:unix:/nonexistent/x:m", "x", "No such file"),
                             ("socketmap:foo", "x", "requires server:socketmap")]:
        done = m.run("postmap", "-q", key, table, check=False)
        assert done.returncode == 1 and text in done.stderr, (table, key, done.stderr)


def test_a_slow_answer_stalls_nobody_else(gatepost):
    go_on = threading.Event()

    def slow(f):
        for line in f:
            if b"slow@" in line:
                go_on.wait(20)
            f.write(b"500 no\n" if b"slow" in line else b"200 OK\n")
            f.flush()
    serve(2601, slow)
    m = gatepost({"smtpd_sender_restrictions": "check_sender_access tcp:127.0.0.1:2601",
                  "smtpd_delay_reject": "no"})
    with m.smtp() as stuck:
        stuck.cmd("EHLO x")
        stuck.send(b"MAIL FROM:<slow@b.test>\r\n")
        for _ in range(3):
            with m.smtp(timeout=10) as c:
                c.cmd("EHLO x")
                assert c.cmd("MAIL FROM:<fast@b.test>").code == 250
        go_on.set()
        assert stuck.reply().code == 250
