"""hash: tables without an index, or with an old one: who builds it, and who may."""
import os
import re
import stat
import time

import pytest

import gp

pytestmark = [pytest.mark.users("alice"),
              pytest.mark.skipif(not gp.is_root(), reason="owners of files need root")]

SERVICE = {"nbdb_reindex/unix": "nbdb_reindex unix y n n - 1 nbdb_reindexd"}
REBUILT, REFUSED = "rebuilt hash:", "not building the index of"


def start(gatepost, aliases, allowed=True, service=True, prepare=None, main=None):
    """A system whose alias table is a source text; returns it and the text's path."""
    m = gatepost({"home_mailbox": "Maildir/", **(main or {})}, SERVICE if service else {},
                 start=False)
    path = f"{m.etc}/aliases"
    with open(path, "w") as f:
        f.write(aliases)
    os.chmod(path, 0o644)
    m.configure({"alias_maps": f"hash:{path}",
                 "non_bdb_migration_allow_root_prefixes": m.etc if allowed else "/nonexistent"})
    if prepare:
        prepare(m, path)
    m.start()
    return m, path


def deliver(m, address="sales"):
    """The message is for alice, by the alias table."""
    before = len(m.maildir("alice"))
    m.sendmail(address, input="Subject: x\n\nhi\n")
    m.wait_maildir("alice", before + 1)


def owner_and_mode(path):
    st = os.stat(path)
    return st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)


def test_a_missing_index_is_built(gatepost):
    m, path = start(gatepost, "sales: alice\n")
    deliver(m)
    with m.smtp() as c:  # another program that has the table
        c.cmd("HELO x", 250)
        c.cmd("MAIL FROM:<>", 250)
        c.cmd("RCPT TO:<sales@mx.gate.test>", 250)
        c.cmd("RCPT TO:<nosuch@mx.gate.test>", 550)
    (line,) = m.log(pattern=REBUILT)
    assert line.raw.endswith(f"rebuilt hash:{path} as {path}.lmdb: the index was missing")
    assert owner_and_mode(f"{path}.lmdb") == owner_and_mode(path)
    keys = m.run("postmap", "-s", f"lmdb:{path}").stdout
    assert "sales\talice" in keys and "@\t@" in keys  # the work of postalias
    assert not m.log(pattern="using the source text|older than")
    assert not m.log("nbdb_reindexd", "warning")


def test_an_old_index_is_built_again(gatepost):
    def prepare(m, path):
        m.run("postalias", f"hash:{path}")
        past = time.time() - 100
        os.utime(f"{path}.lmdb", (past, past))
        os.chmod(path, 0o640)
        with open(path, "w") as f:
            f.write("info: alice\n")
        assert m.run("postmap", "-q", "sales", f"lmdb:{path}").stdout == "alice\n"

    m, path = start(gatepost, "sales: alice\n", prepare=prepare)
    deliver(m, "info")
    (line,) = m.log(pattern=REBUILT)
    assert line.raw.endswith("the index was older than its source")
    assert owner_and_mode(f"{path}.lmdb")[2] == 0o640
    assert m.run("postmap", "-q", "sales", f"lmdb:{path}", check=False).stdout == ""


def test_the_table_of_a_user_is_built_by_that_user(gatepost):
    def prepare(m, path):
        alice = m.sandbox.users["alice"]
        folder = f"{m.dir}/lists"
        os.mkdir(folder)
        path = m.lists = f"{folder}/lists"
        with open(path, "w") as f:
            f.write("team: alice\nteam: root\n")
        for name in (folder, path):
            os.chown(name, alice.uid, alice.gid)
        os.chmod(path, 0o664)  # the group of a user is not everyone
        m.configure({"alias_maps": f"hash:{path}",
                     "non_bdb_migration_allow_user_prefixes": folder})

    m, _ = start(gatepost, "", prepare=prepare)
    deliver(m, "team")
    (line,) = m.log(pattern=REBUILT)
    assert line.raw.endswith(f"{m.lists}.lmdb: the index was missing")
    assert owner_and_mode(f"{m.lists}.lmdb")[:2] == owner_and_mode(m.lists)[:2]
    (line,) = m.log("nbdb_reindexd", "warning")  # what the command said, no more
    assert "duplicate entry" in line.raw


def test_what_is_refused_is_read_as_text(gatepost):
    """One warning for each table that says what would help; mail goes on."""
    m, _ = start(gatepost, "sales: alice\n", allowed=False, prepare=add_refused_tables,
                 main={"virtual_alias_domains": "v.test"})
    deliver(m)
    deliver(m, "sales@v.test")
    for kind, name in [("hash", "aliases"), ("btree", "theirs/table"), ("hash", "good/link")]:
        m.run("postmap", "-q", "x", f"{kind}:{m.etc}/{name}", check=False)  # asks, too
    warnings = [re.sub(r".*?: warning: not building the index of ", "", line.raw)
                .replace(m.etc, "ETC") for line in m.log("nbdb_reindexd", "warning")]
    assert sorted(warnings) == sorted([
        "hash:ETC/aliases: ETC/aliases is owned by root and is not below a directory of "
        "non_bdb_migration_allow_root_prefixes",
        "hash:ETC/open/table: directory ETC/open is writable by everyone",
        "hash:ETC/good/link: ETC/good/link is not a regular file",
        "hash:ETC/good/group: ETC/good/group is writable by its group",
        "hash:ETC/good/../dots: this is not a clean absolute path",
        "btree:ETC/theirs/table: directory ETC/theirs is owned by uid "
        f"{m.sandbox.users['alice'].uid}, the source by uid 0"])
    assert not m.log(pattern=REBUILT)
    found = [name for _, _, names in os.walk(m.etc) for name in names if ".lmdb" in name]
    assert not found


def add_refused_tables(m, _):
    alice = m.sandbox.users["alice"]
    for folder in ("open", "good", "theirs"):
        os.mkdir(f"{m.etc}/{folder}")
    for name in ("open/table", "good/table", "good/group", "theirs/table", "dots"):
        m.write(name, f"{name.replace('/', '-')}@v.test alice\n")
    m.write("good/group", "sales@v.test alice\n")
    os.chmod(f"{m.etc}/good/group", 0o664)
    os.chmod(f"{m.etc}/open", 0o777)
    os.chown(f"{m.etc}/theirs", alice.uid, alice.gid)
    os.symlink(f"{m.etc}/good/table", f"{m.etc}/good/link")
    tables = ["hash:ETC/open/table", "hash:ETC/good/link", "hash:ETC/good/group",
              "hash:ETC/good/../dots", "btree:ETC/theirs/table"]
    m.configure({"virtual_alias_maps": [t.replace("ETC", m.etc) for t in tables],
                 "non_bdb_migration_allow_root_prefixes":
                     [f"{m.etc}/{folder}" for folder in ("open", "good", "theirs")]})


def test_without_the_service_the_text_is_used(gatepost):
    m, path = start(gatepost, "sales: alice\n", service=False)
    deliver(m)
    assert m.log(pattern=f"there is no index {path}.lmdb: using the source text")
    assert not m.log(pattern="cannot have the") and not os.path.exists(f"{path}.lmdb")


def test_a_build_that_fails_is_not_tried_at_once_again(gatepost):
    def prepare(m, path):
        tool = f"{m.command_directory}/postalias"
        os.unlink(tool)
        with open(tool, "w") as f:
            f.write(f"#!/bin/sh\nenv >> {m.dir}/runs\necho 'no way\x01' >&2\nexit 3\n")
        os.chmod(tool, 0o755)

    m, path = start(gatepost, "sales: alice\n", prepare=prepare)
    deliver(m)
    assert m.run("postmap", "-q", "sales", f"hash:{path}").stdout == "alice\n"
    (line,) = m.log("nbdb_reindexd", "warning")
    assert line.raw.endswith(f"hash:{path}: exit status 3 of postalias: no way?")
    with open(f"{m.dir}/runs") as f:
        names = sorted(row.split("=")[0] for row in f)
    assert names.count("MAIL_CONFIG") == 1 and len(set(names) - {
        "MAIL_CONFIG", "PATH", "LANG", "TZ", "PWD", "OLDPWD", "SHLVL", "_"}) == 0


def test_requests_at_once_build_once(gatepost):
    """A source of the future is always newer than its index: that is no reason either."""
    def prepare(m, path):
        tool = f"{m.command_directory}/postalias"
        os.rename(tool, tool + ".real")
        with open(tool, "w") as f:
            f.write(f"#!/bin/sh\nsleep 0.5\necho >> {m.dir}/runs\n"
                    f"exec {m.path('postmap')} \"$@\"\n")
        os.chmod(tool, 0o755)
        future = time.time() + 1000
        os.utime(path, (future, future))

    m, path = start(gatepost, "sales alice\n", prepare=prepare)
    asking = [m.popen("postmap", "-q", "sales", f"{kind}:{path}")
              for kind in ("hash", "hash", "btree", "hash")]
    assert [p.wait(30) for p in asking] == [0] * 4
    assert m.run("postmap", "-q", "sales", f"hash:{path}").stdout == "alice\n"
    with open(f"{m.dir}/runs") as f:
        assert f.read() == "\n"
    assert len(m.log(pattern="rebuilt (hash|btree):")) == 1
    assert not m.log(pattern="using the source text")
    assert m.log(pattern="is older than source file")
