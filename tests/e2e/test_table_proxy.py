"""proxy: tables through the proxymap and proxywrite services."""
import os
import re
import time

import pytest

import gp


def query(m, table, key, *options):
    done = m.run("postmap", *options, "-q", key, table, check=False)
    return done.returncode, done.stdout.strip()


def test_commands_ask_the_service_like_the_peer(like_peer):
    """Which tables are approved, what they answer, and what is logged about others."""
    def scenario(m):
        one, two = m.table("one", {"a": "one", "b": "two"}), m.table("two", {"x": "y"})
        three, four = m.table("three", {"t": "3"}), m.table("four", {"f": "4"})
        pattern = f"regexp:{m.write('re', '/^z(.*)/ got $1')}"
        union = f"unionmap:{{{one}, {two}}}"
        m.configure({"virtual_alias_maps": f"proxy:{one}, {{ proxy:{pattern} }} proxy:{union}",
                     "transport_maps": f"unionmap:{{proxy:{three}}}",
                     "relay_recipient_maps": two,
                     "relocated_maps": "proxy:texthash:/nonexistent/file proxy:nosuch:x"})
        m.reload()
        cases = [(one, "a"), (one, "A"), (one, "none"), (pattern, "zfoo"), (pattern, "Zfoo"),
                 (union, "a"), (union.replace(", ", ","), "a"), (two, "x"), (three, "t"),
                 (four, "f"), ("texthash:/nonexistent/file", "x"), ("nosuch:x", "x")]
        found = [(query(m, f"proxy:{table}", key)) for table, key in cases]
        log = [re.sub(r"texthash:/\S*/(?!nonex)(?=\w+)", "texthash:",
                      re.sub(r".*?\]: ", "", line.raw)).replace(m.dir, "")
               for line in m.log("proxymap", "unapproved|to approve")]
        m.allow("fatal: ")
        return found, log

    found, log = like_peer(scenario)
    assert found[0] == (0, "one") and found[3] == (0, "got foo")
    assert len(log) == 6


def test_writes_go_through_proxywrite(gatepost):
    m = gatepost({"address_verify_map": "proxy:internal:cache"}, start=False)
    cache = f"lmdb:{m.data}/cache"
    m.configure({"address_verify_map": f"proxy:{cache}", "virtual_alias_maps": f"proxy:{cache}"})
    m.run("postmap", "-i", cache, input="".join(f"key{i} value{i}\n" for i in range(3)))
    if gp.is_root():
        os.chown(f"{m.data}/cache.lmdb", m.owner.uid, m.owner.gid)
    m.start()
    assert query(m, f"proxy:{cache}", "key1") == (0, "value1")
    m.run("postmap", "-d", "key1", f"proxy:{cache}")
    assert query(m, f"proxy:{cache}", "key1")[0] == 1
    rows = m.run("postmap", "-s", f"proxy:{cache}").stdout.splitlines()
    assert sorted(rows) == ["key0\tvalue0", "key2\tvalue2"]
    refused = m.run("postmap", "-d", "a", "proxy:lmdb:/tmp/other", check=False)
    assert refused.returncode == 1 and "proxy_write_maps" in refused.stderr
    m.allow("fatal: ")


def test_large_table_is_walked_in_batches(gatepost):
    m = gatepost({"virtual_alias_maps": None}, start=False)
    rows = {f"key{i}": "v" * 50 for i in range(5000)}
    table = m.table("big", rows)
    m.configure({"virtual_alias_maps": f"proxy:{table}"})
    m.start()
    out = m.run("postmap", "-s", f"proxy:{table}").stdout.splitlines()
    assert dict(line.split("\t") for line in out) == rows
    answers = m.run("postmap", "-q", "-", f"proxy:{table}",
                    input="".join(f"key{i}\nno{i}\n" for i in range(2000))).stdout.splitlines()
    assert len(answers) == 2000


def test_without_the_service(gatepost):
    m = gatepost({}, {"proxymap/unix": None}, start=False)
    table = m.table("users", {"alice": "x"})
    m.configure({"local_recipient_maps": f"proxy:{table}"})
    down = m.run("postmap", "-q", "alice", f"proxy:{table}", check=False)
    assert down.returncode == 1 and "connect to subsystem" in down.stderr
    m.start()
    with m.smtp() as c:
        c.cmd("EHLO x")
        c.cmd("MAIL FROM:<a@b.test>")
        assert rcpt(c, "alice") == 451
    m.wait_log("service proxymap is not configured in master.cf")
    m.allow("fatal: ")


def rcpt(c, user):
    return c.cmd(f"RCPT TO:<{user}@mx.gate.test>").code


@pytest.mark.root
def test_chrooted_smtpd_and_a_service_that_dies(gatepost):
    """2000 recipients while proxymap is killed: never a wrong answer."""
    m = gatepost({"smtpd_recipient_limit": "5000", "service_throttle_time": "1s",
                  "smtpd_recipient_overshoot_limit": "5000", "smtpd_hard_error_limit": "5000",
                  "smtpd_soft_error_limit": "5000", "smtpd_error_sleep_time": "0"},
                 {"smtp/inet": "smtp inet n - y - - smtpd"}, start=False)
    table = m.table("users", {f"user{i}": "x" for i in range(1000)}, "lmdb")
    m.configure({"local_recipient_maps": f"proxy:{table}"})
    m.start()
    m.allow("killed by signal|process .* exit status")
    with m.smtp(timeout=60) as c:
        c.cmd("EHLO x")
        c.cmd("MAIL FROM:<a@b.test>")
        assert (rcpt(c, "user1"), rcpt(c, "other")) == (250, 550)
        wrong = []
        for i in range(1000):
            if i in (300, 600):
                assert m.kill("proxymap")
            good, bad = rcpt(c, f"user{i}"), rcpt(c, f"other{i}")
            if good not in (250, 451) or bad not in (550, 451):
                wrong.append((i, good, bad))
        assert not wrong
        time.sleep(0.1)
        assert (rcpt(c, "user2"), rcpt(c, "other")) == (250, 550)
        m.table("users", {"other": "x"}, "lmdb")
        deadline = time.monotonic() + 10
        while (rcpt(c, "user2"), rcpt(c, "other")) != (550, 250):
            assert time.monotonic() < deadline
            time.sleep(0.1)
