"""mongodb: tables beside a small server of our own: which filter it gets, what becomes of
documents, errors, and servers that are away, silent or restarted."""
import glob
import os
import shutil
import ssl
import struct
import subprocess
import tempfile
import threading
import time

import pytest

import gp
from gp import mongoserver, sqlservers
from gp.mongoserver import ObjectId, Raw, Regex

POSTMAP = f"{gp.mta.BUILD}/bin/postmap"
SO = f"{gp.mta.BUILD}/plugins/gatepost-mongodb.so"
pytestmark = pytest.mark.skipif(not os.path.exists(SO), reason="the mongodb plug-in is not built")

# Each is also a row, so that quoting too much shows, too.
HOSTILE = ['"', '\\"', "\\", 'x"}', '","k":{"$ne":"', '{"$ne":null}', '{"$gt":""}', "$ne", "$k",
           "[$ne]=1", "' || '1'=='1", "';return true;//", "\\u0022", "\\u0000", "{$where:'1'}",
           "%s%u%%", "a.b", ".*", "^.*$", "a|b", "caf\u00e9", "\u2028", "\u007f", "\x01",
           '{"$regex":".*"}', "]}", "/.*/", "null", "1", "true"]


class Bench:
    """The server, and commands that ask it."""
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="gpmongo-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.server = mongoserver.MongoServer()
        self.write("main.cf", f"compatibility_level = 3.6\nmeta_directory = {self.dir}\n"
                   f"shlib_directory = {gp.mta.BUILD}/plugins\nmaillog_file = {self.dir}/log\n")
        self.write("dynamicmaps.cf", "mongodb gatepost-mongodb.so\n")

    def write(self, name, text, mode=0o644):
        with open(f"{self.dir}/{name}", "w") as f:
            os.fchmod(f.fileno(), mode)
            f.write(text)
        return f"{self.dir}/{name}"

    def uri(self, options="", login=""):
        return f"mongodb://{login}127.0.0.1:{self.server.port}/{options}"

    def cf(self, **settings):
        base = {"uri": self.uri(), "dbname": "mail", "collection": "people",
                "query_filter": '{"k": "%s"}', "result_attribute": "v"}
        return "mongodb:" + self.write("m.cf", "".join(
            f"{k} = {v}\n" for k, v in {**base, **settings}.items() if v is not None), 0o600)

    def ask(self, table, *keys):
        """{key: value} and the warnings, all keys in one process."""
        data = b"".join(k if isinstance(k, bytes) else k.encode() + b"\n" for k in keys)
        done = subprocess.run([POSTMAP, "-c", self.dir, "-q", "-", table], input=data,
                              capture_output=True, timeout=30, env=sqlservers.environment())
        errors = done.stderr.decode()
        assert "pssst" not in errors and "mongoc:" not in errors
        return dict(line.split("\t", 1) for line in done.stdout.decode().split("\n")[:-1]), errors

    def filter(self):
        return self.server.finds[-1]["filter"]


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.server.stop()
    shutil.rmtree(made.dir)


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_key_never_changes_the_filter(bench):
    b, server = bench, bench.server
    server.rows = [{"k": key, "v": f"row{i}"} for i, key in enumerate(HOSTILE)]
    query = '{"k": "%s", "n": {"$in": ["<%s>", 7, {"x": "%u"}]}, "$or": [{"a": null}]}'
    got, errors = b.ask(b.cf(query_filter=query), *HOSTILE)
    assert not got and not errors  # the server has no such field
    assert [find["filter"] for find in server.finds] == [
        {"k": key.lower(), "n": {"$in": [f"<{key.lower()}>", 7, {"x": key.lower()}]},
         "$or": [{"a": None}]} for key in HOSTILE]
    assert b.ask(b.cf(), *HOSTILE) == ({k: f"row{i}" for i, k in enumerate(HOSTILE)}, "")
    # In a regular expression the key stands for itself.
    table = b.cf(query_filter='{"k": {"$regex": "^%s$", "$options": "i"}}')
    assert b.ask(table, *HOSTILE) == ({k: f"row{i}" for i, k in enumerate(HOSTILE)}, "")
    assert b.filter() == {"k": Regex(("^true$", "i"))}
    before = len(server.finds)
    assert b.ask(b.cf(), b"\xff\n", b"a\xc3\n", b"\xed\xa0\x80\n")[0] == {}
    assert len(server.finds) == before


def test_values(bench):
    b, server = bench, bench.server
    server.batch = 2
    server.rows = [
        {"_id": ObjectId(b"x" * 12), "k": "alice@example.com", "v": "al@box.test"},
        *({"k": "many", "v": f"v{i}"} for i in range(5)),
        {"k": "kinds", "v": [1, -2**40, 1.5, 0.1, True, False, None, "t", ["in", {"x": "ner"}],
                             ObjectId(bytes(range(12)))]},
        {"k": "odd", "v": [Raw((5, b"\x01\0\0\0\0x")), Raw((9, bytes(8))), "left"]},
        {"k": "bad", "v": [b"\xff", b"a\0b", "good"]},
        {"k": "tree", "v": "no", "a": {"b": {"c": "deep"}, "d": "other"},
         "l": [{"m": "m1", "n": "n1"}, {"m": ["m2", "m3"]}, "text", [{"m": "m4"}]]},
        {"k": "empty", "v": ""}, {"k": "none"}]
    got, errors = b.ask(b.cf(), "alice@example.com", "many", "kinds", "none", "nosuch")
    assert not errors and got == {
        "alice@example.com": "al@box.test", "many": "v0,v1,v2,v3,v4",
        "kinds": "1,-1099511627776,1.5,0.1,true,false,t,in,ner,000102030405060708090a0b"}
    assert server.commands.count("getMore") == 2
    find = server.finds[0]
    assert find["projection"] == {"v": 1, "_id": 0} and find["maxTimeMS"] == 15000
    assert find["find"] == "people" and find["$db"] == "mail"
    assert server.clients[0]["application"] == {"name": "gatepost"}
    got, errors = b.ask(b.cf(), "odd", "bad", "empty")
    assert got == {"odd": "left", "bad": "good"}
    assert 'value of field "1" is of an unusable type' in errors
    assert 'value of field "1" is not UTF-8' in errors
    assert 'empty lookup result for: "empty" -- ignored' in errors
    for fields, answer in [("a.b.c", "deep"), ("a", "deep,other"), ("l.m", "m1,m2,m3,m4"),
                           ("a.d, l.n v", "other,n1,no"), ("a.x l.m.z k.x", None)]:
        assert b.ask(b.cf(result_attribute=fields), "tree")[0].get("tree") == answer, fields
    table = b.cf(result_attribute=None, projection='{"v": 1, "a.d": true}')
    assert b.ask(table, "tree", "alice@example.com")[0] == {
        "tree": "no,deep,other", "alice@example.com": "al@box.test"}
    assert server.finds[-1]["projection"] == {"v": 1, "a.d": True, "_id": 0}
    assert b.ask(b.cf(projection='{"v": 1, "_id": 1}', result_attribute=None),
                 "alice@example.com")[0] == {"alice@example.com": "78" * 12 + ",al@box.test"}
    table = b.cf(projection='{"a": 1, "v": 1}', result_attribute="v")  # both: of what is left
    assert b.ask(table, "tree")[0] == {"tree": "no"}
    table = b.cf(result_format="<%s|%U|%d>", domain="example.com")
    before = len(server.finds)
    assert b.ask(table, "alice@example.com", "many", "x@other.test")[0] == {
        "alice@example.com": "<al@box.test|alice|box.test>"}
    assert len(server.finds) == before + 1
    assert b.ask(b.cf(query_filter='{"k": "%d"}'), "many") == ({}, "")  # has no such part
    assert len(server.finds) == before + 1
    assert b.ask(b.cf(expansion_limit=5), "many")[0] == {"many": "v0,v1,v2,v3,v4"}
    got, errors = b.ask(b.cf(expansion_limit=4), "many")
    assert not got and "Expansion limit exceeded for key 'many'" in errors


def test_configuration(bench):
    b = bench
    for settings, why in [
            ({"uri": None}, "uri"), ({"dbname": ""}, "dbname"), ({"collection": None}, "collection"),
            ({"query_filter": None}, "query_filter"),
            ({"result_attribute": None}, "neither this nor projection"),
            ({"uri": "http://x/"}, "bad value of: uri: Invalid URI Schema"),
            ({"uri": "mongodb://u:pssst@h/?tls=pssst"}, "bad value of: uri: Unsupported value for"),
            ({"uri": "mongodb://u:pss/st@h:99999/"}, "bad value of: uri: "),
            ({"projection": '{"a"'}, "bad value of: projection: "),
            ({"projection": "{'a': 1}"}, "bad value of: projection: "),
            ({"query_filter": '["%s"]'}, "not a JSON object"),
            ({"query_filter": '{"k": "%s"} {}'}, "text after the JSON object"),
            ({"query_filter": '{"k": "%s"'}, "bad value of: query_filter: "),
            ({"query_filter": '{"k": %s}'}, "bad value of: query_filter: "),
            ({"query_filter": '{"k": "%x"}'}, '"%x" means nothing'),
            ({"query_filter": '{"%s": 1}'}, 'in the name of a field: "%s"'),
            ({"query_filter": '{"k": {"x.%u": 1}}'}, 'in the name of a field: "x.%u"'),
            ({"query_filter": '{"$where": "this.k == \'%s\'"}'}, "in program text"),
            ({"query_filter": '{"$where": {"$code": "this.k == \'%s\'"}}'}, "in program text"),
            ({"query_filter": '{"$expr": {"$eq": ["$k", "%s"]}}'}, "must be inside $literal"),
            ({"query_filter": '{"$expr": {"$function": {"body": {"$literal": "%s"}}}}'},
             "in program text")]:
        got, errors = b.ask(b.cf(**settings), "x")
        assert not got and why in errors and "fatal" in errors, (settings, errors)
        assert not b.server.commands
    b.ask(b.cf(query_filter='{"$expr": {"$eq": ["$k", {"$literal": "%s"}]}}'), "$k")
    assert b.filter() == {"$expr": {"$eq": ["$k", {"$literal": "$k"}]}}
    table = b.cf(uri=b.uri("?socketTimeoutMS=777&appName=mine&w=1&readConcernLevel=local"))
    assert b.ask(table, "x") == ({}, "")
    assert b.server.finds[-1]["maxTimeMS"] == 777
    assert b.server.clients[-1]["application"] == {"name": "mine"}
    os.chmod(table.split(":")[1], 0o644)
    assert "can be read by every user" not in b.ask(table, "x")[1]
    table = b.cf(uri=b.uri(login="user:pssst@"))
    os.chmod(table.split(":")[1], 0o644)
    assert "can be read by every user" in b.ask(table, "x")[1]


def test_tls(bench):
    b = bench
    sqlservers.certificates(b.dir)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{b.dir}/server.pem", f"{b.dir}/server.key")
    server = mongoserver.MongoServer(tls=context)
    server.rows = [{"k": "x", "v": "y"}]

    def table(ca):
        return b.cf(uri=f"mongodb://127.0.0.1:{server.port}/?tls=true&tlsCAFile={b.dir}/{ca}")
    try:
        assert b.ask(table("ca.pem"), "x") == ({"x": "y"}, "")
        got, errors = b.ask(table("other-ca.pem"), "x")
        assert not got and "No suitable servers found" in errors and len(server.finds) == 1
    finally:
        server.stop()
    got, errors = b.ask(b.cf(uri=b.uri("?tl=true", "u:?a=b&pssst@")), "x")
    assert not got and 'unknown option in uri: "tl" -- ignored' in errors


def test_errors_are_for_later(bench):
    b, server = bench, bench.server
    server.rows = [{"k": "x", "v": "y"}]
    shared = glob.glob("/dev/shm/mongoc-*")

    def failed(why, most=3.0, **settings):
        began = time.monotonic()
        got, errors = b.ask(b.cf(**settings), "x")
        assert not got and "fatal" in errors and why in errors, errors
        assert time.monotonic() - began < most
    server.error = (2, "unknown operator: $nosuch")
    failed("mongodb query failed: unknown operator: $nosuch")
    server.error = None
    deep = b"\x05\0\0\0\0"
    for _ in range(200):
        deep = struct.pack("<i", len(deep) + 8) + b"\x03v\0" + deep + b"\0"
    server.raw = deep
    failed("malformed document")
    server.raw = b"\x0f\0\0\0\x02v\0\x99\0\0\0xx\0\0"  # a string longer than the document
    failed("malformed document")
    server.raw = None
    server.hang_up = 99
    failed("mongodb query failed: ")
    server.hang_up = 1
    assert b.ask(b.cf(), "x")[0] == {"x": "y"}
    short = b.uri("?socketTimeoutMS=300&connectTimeoutMS=300&serverSelectionTimeoutMS=300")
    server.silent = "find"
    failed("mongodb query failed: ", uri=short)
    server.silent = "hello"
    failed("No suitable servers found", uri=short)
    server.silent = None
    failed("", uri=b.uri(login="user:pssst@"))  # the server knows no passwords
    server.stop()
    failed("connection refused")
    server.start()
    assert b.ask(b.cf(), "x") == ({"x": "y"}, "")
    assert not set(glob.glob("/dev/shm/mongoc-*")) - set(shared)  # the library's


def test_a_server_that_hangs_or_goes_away(bench, gatepost):
    """A look-up that waits holds up nobody else; a server that comes back is asked."""
    b = bench
    server = mongoserver.MongoServer(f"{b.dir}/m.sock")
    server.rows = [{"k": f"{user}@mx.gate.test", "v": f"REJECT for {user}"}
                   for user in ("slow", "quick")]
    uri = f"mongodb://{b.dir.replace('/', '%2F')}%2Fm.sock/?socketTimeoutMS=1000" \
        "&retryReads=false"  # what repeats a question then is not the library
    m = gatepost({"meta_directory": b.dir, "shlib_directory": f"{gp.mta.BUILD}/plugins",
                  "smtpd_recipient_restrictions":
                      f"check_recipient_access {b.cf(uri=uri)}, permit_mynetworks, reject"})
    took, said = {}, []

    def rcpt(user):
        with m.smtp() as c:
            c.cmd("HELO c.test")
            c.cmd("MAIL FROM:<>")
            began = time.monotonic()
            reply = c.cmd(f"RCPT TO:<{user}@mx.gate.test>").text
            took[user] = time.monotonic() - began
            said.append(reply)
            return reply
    try:
        assert "for quick" in rcpt("quick")
        server.silent = "find"
        slow = threading.Thread(target=rcpt, args=("slow",))
        slow.start()
        wait_for(lambda: len(server.finds) == 2)
        server.silent = None
        assert "for quick" in rcpt("quick") and took["quick"] < 0.7
        slow.join()
        assert took["slow"] > 0.8 and "for slow" in said[-1]  # asked again
        server.stop()
        server.start()
        assert "for quick" in rcpt("quick")
        server.stop()
        assert "451 4.3.5" in rcpt("quick") and took["quick"] < 4.0
        server.start()
        wait_for(lambda: "for quick" in rcpt("quick"))
    finally:
        server.stop()
