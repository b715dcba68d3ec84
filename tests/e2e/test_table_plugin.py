"""Plug-ins and dynamicmaps.cf; cdb: and sqlite: tables."""
import os
import shutil
import sqlite3
import subprocess
import tempfile

import pytest

import gp
from gp import sqlservers

PLUGINS = f"{gp.mta.BUILD}/plugins"


class Commands:
    """A configuration directory and the commands that read it."""
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="gpplug-", dir="/tmp")
        self.write("main.cf", f"compatibility_level = 3.6\nmeta_directory = {self.dir}\n"
                   f"shlib_directory = {PLUGINS}\nmaillog_file = {self.dir}/log\n"
                   f"mine_dbpath = {self.dir}/x.db\nmine_query = SELECT '%s,$mail_name'\n"
                   "mail_name = Gate\n")
        self.list("cdb gatepost-cdb.so\n# comment\nsqlite postfix-sqlite.so dict_sqlite_open\n")

    def write(self, name, text, mode=0o644):
        path = f"{self.dir}/{name}"
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def list(self, text):
        self.write("dynamicmaps.cf", text)

    def run(self, program, *args, **options):
        done = subprocess.run([f"{gp.mta.BUILD}/bin/{program}", "-c", self.dir, *args],
                              text=True, capture_output=True, timeout=30,
                              env=sqlservers.environment(), **options)
        return done.stdout, done.stderr

    def postmap(self, *args, **options):
        return self.run("postmap", *args, **options)

    def ask(self, table, *keys):
        out, err = self.postmap("-q", "-", table, input="".join(f"{k}\n" for k in keys))
        return dict(line.split("\t") for line in out.splitlines()), err


@pytest.fixture
def commands():
    made = Commands()
    yield made
    shutil.rmtree(made.dir)


def needs(kind):
    return pytest.mark.skipif(not os.path.exists(f"{PLUGINS}/gatepost-{kind}.so"),
                              reason=f"the {kind} plug-in is not built")


@needs("sqlite")
def test_list_of_plugins(commands):
    c = commands
    types = c.run("postconf", "-m")[0].split()
    assert types == sorted(types) and {"cdb", "sqlite", "lmdb", "cidr"} <= set(types)
    c.list("sqlite /nonexistent.so\n")
    assert "sqlite" not in c.run("postconf", "-m")[0].split()
    c.list("sqlite /nonexistent.so\nsqlite gatepost-sqlite.so\n")  # the first one counts
    assert c.postmap("-q", "x", "sqlite:/x")[1] == "postmap: fatal: unsupported dictionary " \
        "type: sqlite (/nonexistent.so: No such file or directory)\n"
    c.list("short\n")
    assert f"{c.dir}/dynamicmaps.cf, line 1: Expected \"dict-type .so-name" in \
        c.run("postconf", "-m")[1]
    c.list("")
    assert c.postmap("-q", "x", "sqlite:/x")[1] == \
        "postmap: fatal: unsupported dictionary type: sqlite\n"
    os.mkdir(f"{c.dir}/dynamicmaps.cf.d")
    c.write("dynamicmaps.cf.d/more", "sqlite gatepost-sqlite.so\n")
    assert "open /x: No such file" in c.postmap("-q", "x", "sqlite:/x")[1]


@needs("sqlite")
def test_what_is_not_to_be_loaded(commands):
    c = commands
    so = shutil.copy(f"{PLUGINS}/gatepost-sqlite.so", f"{c.dir}/s.so")
    libc = next(line.split()[-1] for line in open("/proc/self/maps") if "/libc" in line)
    cases = [("sqlite", so, 0o775, "writable by group or others"),
             ("mine", so, 0o755, "a plug-in for type sqlite"),
             ("mine", libc, None, "not a plug-in of this program"),
             ("mine", c.write("text.so", "text"), 0o644, "file too short"),
             ("mine", c.dir, None, "not a regular file")]
    for kind, path, mode, why in cases:
        c.list(f"{kind} {path}\n")
        if mode:
            os.chmod(path, mode)
        assert why in c.postmap("-q", "x", f"{kind}:x")[1], path
    if shutil.which("cc"):  # another version of the interface
        source = c.write("v.c", "const unsigned gatepost_table_plugin[8] = {77};\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", so, source], check=True)
        os.chmod(so, 0o755)
        c.list(f"sqlite {so}\n")
        assert "a plug-in for version 77 of the interface" in \
            c.postmap("-q", "x", "sqlite:x")[1]
    c.list("cdb gatepost-cdb.so\n")
    os.chmod(f"{c.dir}/dynamicmaps.cf", 0o666)
    assert "writable by group or others" in c.postmap("-q", "x", "cdb:x")[1]
    if gp.is_root():
        os.chmod(f"{c.dir}/dynamicmaps.cf", 0o644)
        os.chown(f"{c.dir}/dynamicmaps.cf", 65534, 0)
        assert "owned by another user" in c.postmap("-q", "x", "cdb:x")[1]


@needs("cdb")
def test_cdb(commands):
    c = commands
    path = c.write("t", "a 1\nb 2\na 3\nC d\n")
    assert c.postmap(f"cdb:{path}")[1] == f'postmap: warning: {path}: duplicate entry: "a"\n'
    assert not os.path.exists(f"{path}.cdb.tmp")
    assert c.ask(f"cdb:{path}", "a", "b", "C", "x")[0] == {"a": "1", "b": "2", "C": "d"}
    assert c.postmap("-s", f"cdb:{path}")[0] == "a\t1\nb\t2\nc\td\n"
    before = os.stat(f"{path}.cdb").st_ino
    assert c.postmap("-r", f"cdb:{path}") == ("", "")
    assert os.stat(f"{path}.cdb").st_ino != before
    assert c.ask(f"cdb:{path}", "a")[0] == {"a": "3"}
    for option in (("-d", "a"), ("-i",)):
        assert "inappropriate open flags for cdb database" in \
            c.postmap(*option, f"cdb:{path}", input="x y\n")[1]
    c.write("bad.cdb", "junk")
    assert "unable to init" in c.postmap("-q", "a", f"cdb:{c.dir}/bad")[1]
    if shutil.which("cdb"):
        dump = subprocess.run(["cdb", "-d", f"{path}.cdb"], capture_output=True, text=True)
        assert sorted(dump.stdout.split()) == ["+1,1:a->3", "+1,1:b->2", "+1,1:c->d"]
        subprocess.run(["cdb", "-c", f"{c.dir}/theirs.cdb"], check=True,
                       input=b"+1,2:k->vv\n+2,3:n\0->ww\0\n\n")
        assert c.ask(f"cdb:{c.dir}/theirs", "k", "n")[0] == {"k": "vv", "n": "ww"}


# Template, key, answer: as the peer gives them.
TEMPLATES = [
    ("<%u>", {"a@b.c": "<a>", "plain": "<plain>", "@b.c": None, "a@": "<a>", "a@b@c": "<a@b>"}),
    ("<%d>", {"a@b.c": "<b.c>", "plain": None, "@b.c": "<b.c>", "a@": None, "a@b@c": "<c>"}),
    ("<%U|%D|%S>", {"a@b.c": "<a|b.c|a@b.c>", "plain": None}),
    ("<%1|%2|%3>", {"a@mail.example.com": "<com|example|mail>", "a@example.com": None,
                    "mail.example.com": None, "@mail.example.com": "<com|example|mail>",
                    "a@b..c.d": "<d|c|b>", "a@b.c.d.": "<d|c|b>", "@": None}),
    ("<%1>", {"plain": None, "a@localhost": "<localhost>", "a.b": None, "@.": None}),
    ("<%s %%>", {"o'neil": "<o'neil %>", 'x"y': '<x"y %>', "%u": "<%u %>", "a\\": "<a\\ %>"}),
]


@needs("sqlite")
def test_sqlite_templates(commands):
    c = commands
    db = sqlite3.connect(f"{c.dir}/x.db")
    db.executescript("create table m(k text, v text, w text);"
                     "insert into m values('list@x.test','a@one.test','w'),"
                     "('list@x.test','b@two.test',null),('list@x.test','',null),"
                     "('null','', null), ('bare','result', null), ('at','@dom.test', null)")
    db.close()

    def cf(**settings):
        base = {"dbpath": f"{c.dir}/x.db", "query": "SELECT v, w FROM m WHERE k = '%s'"}
        return "sqlite:" + c.write("q.cf", "".join(
            f"{k} = {v}\n" for k, v in {**base, **settings}.items() if v is not None))
    for template, answers in TEMPLATES:
        got, err = c.ask(cf(query=f"SELECT '{template}'"), *answers)
        assert got == {k: v for k, v in answers.items() if v is not None} and not err, template
    got, err = c.ask(cf(), "list@x.test", "null", "bare", "LIST@X.test")
    assert got == {"list@x.test": "a@one.test,b@two.test", "bare": "result",
                   "LIST@X.test": "a@one.test,b@two.test"}
    assert err.count("empty lookup result for") == 3
    got, _ = c.ask(cf(result_format="[%u %D]"), "list@x.test", "bare", "at")
    assert got == {"list@x.test": "[a x.test],[b x.test]"}
    c.write("doms", "# c\nf.test\n")
    c.write("th", "h.test x\n")
    got, _ = c.ask(cf(query="SELECT '<%s>'", domain=f"E.test !no.test, {c.dir}/doms "
                      f"texthash:{c.dir}/th .sub.test"),
                   "a@e.test", "a@f.test", "a@h.test", "a@no.test", "a@x.sub.test", "e.test",
                   "@e.test", "a@other.test")
    assert set(got) == {"a@e.test", "a@f.test", "a@h.test"}
    assert c.ask("sqlite:mine", "key")[0] == {"key": "key,Gate"}
    for settings, why in [
            ({"query": "SELECT '%x'"}, "Invalid template"),
            ({"query": None}, "bad string length 0 < 1: table = "),
            ({"dbpath": ""}, "bad string length 0 < 1: dbpath = "),
            ({"dbpath": "/nonexistent/x"}, "open database /nonexistent/x"),
            ({"expansion_limit": "abc"}, "bad numerical configuration: expansion_limit = abc"),
            ({"query": "SELECT nosuch FROM m"}, "SQL prepare failed: no such column: nosuch"),
            ({"query": "SELECT v FROM m", "expansion_limit": 2}, "Expansion limit exceeded"),
            ({"domain": "fail:x"}, "table lookup problem"),
            ({"domain": "/nonexistent"}, "/nonexistent: No such file"),
            ({"query": "DELETE FROM m"}, "readonly database")]:
        out, err = c.postmap("-q", "a@b.test", cf(**settings))
        assert not out and why in err and "fatal" in err, (settings, err)
    assert "use 'single' quotes" in c.ask(cf(query='SELECT "%s"'), "x")[1]
    c.write("secret.cf", f"password = pssst\npassword = pssst2\ndbpath = {c.dir}/x.db\n"
            "query = SELECT 1\n")
    _, err = c.ask(f"sqlite:{c.dir}/secret.cf", "x")
    assert "overriding earlier entry: password" in err and "pssst" not in err
    assert "holds a password and can be read by every user" in err
    c.write("line.cf", "password pssst\n")
    _, err = c.ask(f"sqlite:{c.dir}/line.cf", "x")
    assert "line 1: missing '=' after attribute name" in err and "pssst" not in err


@needs("sqlite")
@pytest.mark.root
@pytest.mark.nosan  # leak checks need /proc
def test_sqlite_in_a_chrooted_service(gatepost, sandbox):
    etc = f"{sandbox.dir}/plug"
    os.mkdir(etc)
    for name, text in [("dynamicmaps.cf", "sqlite gatepost-sqlite.so\n"),
                       ("q.cf", f"dbpath = {etc}/x.db\nquery = SELECT a FROM m WHERE k='%s'\n")]:
        with open(f"{etc}/{name}", "w") as f:
            f.write(text)
    with sqlite3.connect(f"{etc}/x.db") as db:
        db.execute("create table m(k text, a text)")
        db.execute("insert into m values('no@mx.gate.test','REJECT by sqlite')")
    m = gatepost({"meta_directory": etc, "shlib_directory": PLUGINS,
                  "smtpd_recipient_restrictions":
                      f"check_recipient_access sqlite:{etc}/q.cf, permit_mynetworks, reject"},
                 {"smtp/inet": "smtp inet n - y - - smtpd"})
    with m.smtp() as c:
        c.cmd("HELO c.test")
        c.cmd("MAIL FROM:<>")
        assert "by sqlite" in c.cmd("RCPT TO:<no@mx.gate.test>").text
