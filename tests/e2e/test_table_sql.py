"""mysql: and pgsql: tables beside real servers: quoting, templates, several rows, dead
and restarted servers, TLS; a slow query holds up nobody else."""
import os
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

import gp
from gp import sqlservers

POSTMAP = f"{gp.mta.BUILD}/bin/postmap"
# Each is also a row of the table, so that quoting too much shows, too.
HOSTILE = ["o'neil@x.test", "back\\slash", "back\\'quote", 'double"quote', "100%@x.test",
           "%s%u%d", "' or '1'='1", "\\' or 1=1 -- ", "x'; drop table m; --", "\u00bf' or 1=1#",
           "\u7e27'or'1'='1", "caf\u00e9@x.test", "a;b", "$$x$$", "e'\\101'", "_x_", "/*x*/"]


class Database:
    """A server with a table m (k, v) and what is needed to ask it."""
    def __init__(self, kind, cls):
        self.kind = kind
        self.dir = tempfile.mkdtemp(prefix="gpsql-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.server = cls(f"{self.dir}/server")
        self.server.start()
        self.rows = [("alice@example.com", "al@box.test"), ("list@example.com", "b@two.test"),
                     ("list@example.com", "a@one.test"), ("plain", "result"), ("empty", "")]
        self.rows += [(key, f"row{i}") for i, key in enumerate(HOSTILE)]

        def text(s):
            s = s.replace("'", "''")
            return "'" + (s.replace("\\", "\\\\") if kind == "mysql" else s) + "'"
        rows = ",".join(f"({text(k)},{text(v)})" for k, v in self.rows)
        if kind == "mysql":
            self.server.sql("create database mail character set utf8mb4; use mail;"
                            "create table m (k varchar(80) collate utf8mb4_bin, v varchar(80));"
                            f"insert into m values {rows};"
                            "create procedure find(x varchar(80)) select v from m where k=x;"
                            "create procedure none(x varchar(80)) set @y = x;"
                            "create user mail@localhost identified by 'secret#1';"
                            "create user mail@127.0.0.1 identified by 'secret#1' require ssl;"
                            "grant select, execute on mail.* to mail@localhost;"
                            "grant select, execute on mail.* to mail@127.0.0.1;")
        else:
            self.server.sql(f"create table m (k text, v text); insert into m values {rows};"
                            "create function find(x text) returns setof text language sql as "
                            "$$ select v from m where k=x $$;"
                            "create user mail password 'secret#1'; grant select on m to mail;")
        os.makedirs(f"{self.dir}/etc")
        self.config = gp_config(self.dir)

    def cf(self, **settings):
        """type:path of a client configuration."""
        base = {"hosts": f"unix:{self.server.socket}", "user": "mail", "password": "secret#1",
                "dbname": "mail" if self.kind == "mysql" else "postgres",
                "query": "SELECT v FROM m WHERE k = '%s' ORDER BY v"}
        path = f"{self.dir}/{self.kind}.cf"
        with open(path, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.writelines(f"{k} = {v}\n" for k, v in {**base, **settings}.items() if v is not None)
        return f"{self.kind}:{path}"

    def ask(self, table, *keys):
        """{key: value} and the warnings, all keys in one process."""
        done = subprocess.run([POSTMAP, "-c", self.config, "-q", "-", table], text=True,
                              input="".join(f"{k}\n" for k in keys), capture_output=True,
                              timeout=60, env=sqlservers.environment())
        assert "secret" not in done.stderr
        return dict(line.split("\t") for line in done.stdout.splitlines()), done.stderr


def gp_config(folder):
    with open(f"{folder}/etc/main.cf", "w") as f:
        f.write(f"compatibility_level = 3.6\nmeta_directory = {folder}/etc\n"
                f"shlib_directory = {gp.mta.BUILD}/plugins\nmaillog_file = {folder}/log\n")
    with open(f"{folder}/etc/dynamicmaps.cf", "w") as f:
        f.write("".join(f"{t} gatepost-{t}.so\n" for t in ("mysql", "pgsql", "sqlite", "cdb")))
    return f"{folder}/etc"


@pytest.fixture(scope="module", params=["mysql", "pgsql"])
def db(request):
    cls = {"mysql": sqlservers.MariaDb, "pgsql": sqlservers.Postgres}[request.param]
    if not os.path.exists(f"{gp.mta.BUILD}/plugins/gatepost-{request.param}.so"):
        pytest.skip(f"the {request.param} plug-in is not built")
    if cls.missing():
        pytest.skip(cls.missing())
    database = Database(request.param, cls)
    yield database
    database.server.stop()
    shutil.rmtree(database.dir, ignore_errors=True)


def test_hostile_keys_find_their_own_row_only(db):
    got, errors = db.ask(db.cf(), *HOSTILE, "nosuch", "' or v='result", "\\")
    assert got == {key: f"row{i}" for i, key in enumerate(HOSTILE)} and not errors
    assert db.server.sql("select count(*) from " + ("mail.m" if db.kind == "mysql" else "m")
                         ).strip() == str(len(db.rows))


def test_other_character_sets_are_no_way_out_of_the_quotes(db):
    name = {"mysql": ("charset", "gbk"), "pgsql": ("encoding", "SJIS")}[db.kind]
    got, _ = db.ask(db.cf(**{name[0]: name[1]}), "\u00bf' or 1=1#", "\u017f' or 1=1 -- ", "plain")
    assert got.get("plain") in ("result", None)
    assert set(got) <= {"plain", "\u00bf' or 1=1#"} and not \
        [v for v in got.values() if "," in v]


def test_results(db):
    got, errors = db.ask(db.cf(), "alice@example.com", "list@example.com", "empty")
    assert got == {"alice@example.com": "al@box.test", "list@example.com": "a@one.test,b@two.test"}
    assert 'empty lookup result for: "empty" -- ignored' in errors
    table = db.cf(result_format="<%s|%U|%d>", domain="example.com, other.test")
    got, _ = db.ask(table, "list@example.com", "plain", "@example.com", "alice@example.org")
    assert got == {"list@example.com": "<a@one.test|list|one.test>,<b@two.test|list|two.test>"}
    got, errors = db.ask(db.cf(expansion_limit=1), "list@example.com")
    assert not got and "Expansion limit exceeded for key 'list@example.com'" in errors
    got, errors = db.ask(db.cf(query="SELECT nosuch FROM m"), "x")
    assert not got and "query failed" in errors and "nosuch" in errors
    table = db.cf(query=None, table="m", select_field="v", where_field="k",
                  additional_conditions="and v <> 'b@two.test'")
    assert db.ask(table, "list@example.com")[0] == {"list@example.com": "a@one.test"}
    if db.kind == "pgsql":
        assert db.ask(db.cf(query=None, select_function="find"), "plain")[0] == {"plain": "result"}
        return
    assert db.ask(db.cf(query="call find('%s')"), "plain", "alice@example.com", "nosuch")[0] == \
        {"plain": "result", "alice@example.com": "al@box.test"}
    got, errors = db.ask(db.cf(query="call none('%s')"), "plain")
    assert not got and "did not return a result set" in errors
    assert db.ask(db.cf(query="call none('%s')", require_result_set="no"), "plain") == ({}, "")


def test_tls(db):
    folder, port = db.server.dir, db.server.port
    if db.kind == "mysql":
        def table(ca, **more):
            return db.cf(hosts=f"127.0.0.1:{port}", tls_CAfile=f"{folder}/{ca}",
                         tls_verify_cert="yes", **more)
    else:
        def table(ca, **more):
            return db.cf(hosts=f"postgresql://mail@127.0.0.1:{port}/postgres?sslmode=verify-full"
                               f"&sslrootcert={folder}/{ca}", dbname=None, **more)
    assert db.ask(table("ca.pem"), "plain") == ({"plain": "result"}, "")
    got, errors = db.ask(table("other-ca.pem"), "plain")
    assert not got and "certificate" in errors.lower()
    got, errors = db.ask(db.cf(password="secret#wrong"), "plain")
    assert not got and "connect to" in errors


def test_a_dead_server_is_replaced_by_another(db):
    dead = f"127.0.0.1:{sqlservers.free_port()}"
    began = time.monotonic()
    got, errors = db.ask(db.cf(hosts=dead), "plain", "x")
    assert not got and "fatal" in errors and time.monotonic() - began < 10
    gone = f"unix:{db.dir}/nothing.sock"
    for _ in range(3):  # whichever is chosen first
        assert db.ask(db.cf(hosts=f"{gone} unix:{db.server.socket}, {dead}"), "plain")[0] == \
            {"plain": "result"}


def test_a_restarted_server_is_asked_again(db):
    table = db.cf(retry_interval=1)
    process = subprocess.Popen([POSTMAP, "-c", db.config, "-q", "-", table], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1,
                               env=sqlservers.environment())
    # stdbuf does not reach it: the answers come at the end, the questions in between.
    process.stdin.write("plain\n")
    process.stdin.flush()
    time.sleep(0.5)
    db.server.stop()
    db.server.start()
    process.stdin.write("alice@example.com\n")
    out, _ = process.communicate(timeout=30)
    assert out.splitlines() == ["plain\tresult", "alice@example.com\tal@box.test"]


def test_a_slow_query_holds_up_nobody_else(db, gatepost):
    wait = {"mysql": "SELECT CASE WHEN '%u'='slow' THEN sleep(2) ELSE 'OK' END",
            "pgsql": "SELECT CASE WHEN '%u'='slow' THEN pg_sleep(2)::text || 'OK' ELSE 'OK' END"}
    table = db.cf(query=wait[db.kind])
    if gp.is_root():
        shutil.chown(table.split(":")[1], 0)
    m = gatepost({"meta_directory": db.config, "shlib_directory": f"{gp.mta.BUILD}/plugins",
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
    slow = threading.Thread(target=session, args=("slow",))
    slow.start()
    time.sleep(0.5)
    session("quick")
    slow.join()
    assert took["quick"] < 1.2 and took["slow"] > 1.8
