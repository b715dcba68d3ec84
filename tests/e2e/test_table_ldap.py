"""ldap: tables beside a real slapd: results, groups, hostile keys, limits, logging in, TLS,
dead, silent and restarted servers; a silent server holds up nobody else."""
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import gp
from gp import ldapserver, sqlservers

POSTMAP = f"{gp.mta.BUILD}/bin/postmap"
SUFFIX = ldapserver.SUFFIX
LDIF = f"""dn: {SUFFIX}
objectClass: domain
dc: example

dn: ou=mail,{SUFFIX}
objectClass: organizationalUnit
ou: mail

dn: ou=closed,{SUFFIX}
objectClass: organizationalUnit
ou: closed
"""
# Entries: place, name, attributes.
ENTRIES = [
    ("ou=mail", "alice", "mailacceptinggeneralid: alice@x.test|maildrop: al@box.test|"
     "mailbox: x/alice/|userPassword: secret-alice"),
    ("ou=mail", "list", "mailacceptinggeneralid: list@x.test|maildrop: a@one.test|"
     "maildrop: b@two.test|mailbox: list/"),
    ("ou=mail", "nothing", "mailacceptinggeneralid: nothing@x.test"),
    ("ou=mail", "bob", "mailacceptinggeneralid: bob@x.test|maildrop: bob@box.test"),
    # Groups of groups; one refers to itself, and one to what is not there.
    ("ou=mail", "group", "mailacceptinggeneralid: group@x.test|maildrop: group@own.test|"
     f"mailbox: leafless|memberdn: cn=alice,ou=mail,{SUFFIX}|memberdn: cn=inner,ou=mail,{SUFFIX}|"
     f"memberdn: cn=gone,ou=mail,{SUFFIX}"),
    ("ou=mail", "inner", f"memberdn: cn=bob,ou=mail,{SUFFIX}|memberdn: cn=group,ou=mail,{SUFFIX}"),
    ("ou=mail", "byurl", "mailacceptinggeneralid: byurl@x.test|memberurl: "
     f"ldap:///ou=mail,{SUFFIX}?maildrop?sub?(mailacceptinggeneralid=list@x.test)|"
     f"memberurl: ldap:///cn=bob,ou=mail,{SUFFIX}??base"),
    ("ou=mail", "badurl", "mailacceptinggeneralid: badurl@x.test|memberurl: no dn, no url"),
    ("ou=mail", "final", "mailacceptinggeneralid: final@x.test|maildrop: not@this.test|"
     f"final: end@x.test|memberdn: cn=bob,ou=mail,{SUFFIX}"),
    ("ou=mail", "huge", "mailacceptinggeneralid: huge@x.test|maildrop: huge@own.test|"
     f"memberdn;range=0-1499: cn=bob,ou=mail,{SUFFIX}"),
    ("ou=mail", "odd", "mailacceptinggeneralid: o(d*d)\\\\@x.test|maildrop: odd@box.test"),
    ("ou=closed", "carol", "mailacceptinggeneralid: carol@x.test|maildrop: carol@box.test"),
    ("ou=mail", "deep", "mailacceptinggeneralid: deep@x.test|maildrop: deep@box.test"),
]
LDIF += "".join(f"\ndn: cn={name},{place},{SUFFIX}\nobjectClass: mailThing\ncn: {name}\n" +
                attributes.replace("|", "\n").replace("\\\\", "\\") + "\n"
                for place, name, attributes in ENTRIES)
LDIF += f"""
dn: dc=sub,{SUFFIX}
objectClass: domain
dc: sub

dn: cn=dave,dc=sub,{SUFFIX}
objectClass: mailThing
cn: dave
mailacceptinggeneralid: dave@sub
maildrop: dave@box.test
"""


class Directory:
    """A slapd and the configuration that commands need to ask it."""
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="gpldap-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.server = ldapserver.Slapd(f"{self.dir}/server", LDIF)
        self.server.start()
        self.config = f"{self.dir}/etc"
        os.mkdir(self.config)
        self.write("etc/main.cf", "compatibility_level = 3.6\nmaillog_file_prefixes = /\n"
                   f"meta_directory = {self.config}\nmaillog_file = {self.dir}/log\n"
                   f"shlib_directory = {gp.mta.BUILD}/plugins\n")
        self.write("etc/dynamicmaps.cf", "ldap gatepost-ldap.so\n")

    def write(self, name, text, mode=0o644):
        path = f"{self.dir}/{name}"
        with open(path, "w") as f:
            os.fchmod(f.fileno(), mode)
            f.write(text)
        return path

    def cf(self, **settings):
        """ldap:path of a client configuration."""
        base = {"server_host": self.server.url, "search_base": SUFFIX, "bind": "no",
                "timeout": "5"}
        text = "".join(f"{k} = {v}\n" for k, v in {**base, **settings}.items() if v is not None)
        return "ldap:" + self.write("ldap.cf", text, 0o600)

    def ask(self, *keys, **settings):
        """{key: value} and the warnings, all keys in one process."""
        done = subprocess.run([POSTMAP, "-c", self.config, "-q", "-", self.cf(**settings)],
                              input=b"".join((k if isinstance(k, bytes) else k.encode()) + b"\n"
                                             for k in keys),
                              capture_output=True, timeout=60, env=sqlservers.environment())
        errors = done.stderr.decode(errors="replace")
        assert "secret-" not in errors and "ERROR: " not in errors
        return dict(line.split("\t") for line in done.stdout.decode().splitlines()), errors

    def one(self, key, **settings):
        """The value (None: not found), with no warning."""
        got, errors = self.ask(key, **settings)
        assert not errors
        return got.get(key)

    def trouble(self, key, **settings):
        """The error of a look-up that must fail for the time being."""
        got, errors = self.ask(key, **settings)
        assert not got and "fatal: " in errors, (settings, got, errors)
        return errors


@pytest.fixture(scope="module")
def ldap():
    if not os.path.exists(f"{gp.mta.BUILD}/plugins/gatepost-ldap.so"):
        pytest.skip("the ldap plug-in is not built")
    if ldapserver.Slapd.missing():
        pytest.skip(ldapserver.Slapd.missing())
    made = Directory()
    yield made
    made.server.stop()
    shutil.rmtree(made.dir, ignore_errors=True)


def test_results(ldap):
    got, errors = ldap.ask("alice@x.test", "ALICE@X.test", "list@x.test", "nothing@x.test",
                           "nosuch@x.test")
    assert not errors and got == {"alice@x.test": "al@box.test", "ALICE@X.test": "al@box.test",
                                  "list@x.test": "a@one.test,b@two.test"}
    # In the order in which the entry has them.
    got, _ = ldap.ask("alice@x.test", "list@x.test", result_attribute="MAILBOX, maildrop",
                      result_format="<%s|%U>")
    assert got == {"alice@x.test": "<al@box.test|alice>,<x/alice/|alice>",
                   "list@x.test": "<a@one.test|list>,<b@two.test|list>,<list/|list>"}
    # Parts that a value does not have leave it out.
    got, _ = ldap.ask("alice@x.test", result_attribute="mailbox maildrop", result_filter="%d")
    assert got == {"alice@x.test": "box.test"}
    got, _ = ldap.ask("alice", "bob", query_filter="(&(cn=%u)(maildrop=%s@box.test))")
    assert got == {"bob": "bob@box.test"}
    got, _ = ldap.ask("alice@x.test", "alice@y.test", "alice", domain="y.test, x.test",
                      query_filter="(mailacceptinggeneralid=%u@x.test)")
    assert set(got) == {"alice@x.test", "alice@y.test"}
    assert "Expansion limit exceeded for key 'list@x.test'" in \
        ldap.trouble("list@x.test", expansion_limit=1)
    assert ldap.one("list@x.test", expansion_limit=2) == "a@one.test,b@two.test"
    assert ldap.one("list@x.test", expansion_limit=-1) == "a@one.test,b@two.test"
    for limit in ("size_limit", "expansion_limit"):
        assert "Size limit exceeded" in ldap.trouble("x", query_filter="(maildrop=*)", **{limit: 2})


def test_where_to_search(ldap):
    assert ldap.one("dave@sub") == "dave@box.test"
    assert ldap.one("dave@sub", scope="one") is None
    assert ldap.one("dave@sub", scope="base") is None
    below = f"dc=sub,{SUFFIX}"
    assert ldap.one("dave@sub", scope="one", search_base=below) == "dave@box.test"
    assert ldap.one("dave@sub", scope="base", search_base=f"cn=dave,{below}") == "dave@box.test"
    got, errors = ldap.ask("dave@sub", "dave@other", "dave", "dave@", "dave@a..b",
                           "dave@x,dc=sub", "dave@sub,dc=example", "dave@\u00e9.test",
                           search_base=f"dc=%d,{SUFFIX}")
    assert got == {"dave@sub": "dave@box.test"} and not errors
    assert ldap.one("dave@sub.test", search_base="dc=%2,dc=example,dc=%1",
                    query_filter="(&(objectClass=mailThing)\n   (|(cn=x)(cn=%u) ))") == \
        "dave@box.test"
    # A base that is always the same and is not there is a mistake, and no mail bounces.
    assert "No such object" in ldap.trouble("dave@sub", search_base=f"ou=gone,{SUFFIX}")
    assert "Invalid DN syntax" in ldap.trouble("dave@sub", search_base="not a dn")
    assert "Bad search filter" in ldap.trouble("dave@sub", query_filter="(((")


def test_groups(ldap):
    group = {"special_result_attribute": "memberdn"}
    # Members in order; one that is gone is left out; a group in itself is used once.
    assert ldap.one("group@x.test", **group) == "group@own.test,al@box.test,bob@box.test"
    assert ldap.one("alice@x.test", **group) == "al@box.test"
    assert ldap.one("group@x.test", leaf_result_attribute="mailbox", **group) == \
        "group@own.test,al@box.test,x/alice/,bob@box.test"
    assert ldap.one("group@x.test", leaf_result_attribute="maildrop", result_attribute="",
                    **group) == "al@box.test,bob@box.test"
    got, _ = ldap.ask("final@x.test", "alice@x.test", terminal_result_attribute="final", **group)
    assert got == {"final@x.test": "end@x.test", "alice@x.test": "al@box.test"}
    assert ldap.one("final@x.test", **group) == "not@this.test,bob@box.test"
    # The group is level 1, alice and inner are 2, bob is 3, and group again is 4.
    assert ldap.one("final@x.test", recursion_limit=2, **group)
    for limit in (1, 2):
        assert f"recursion_limit ({limit}) exceeded" in \
            ldap.trouble("group@x.test", recursion_limit=limit, **group)
    assert ldap.one("group@x.test", recursion_limit=3, **group)
    assert "Expansion limit exceeded" in ldap.trouble("group@x.test", expansion_limit=2, **group)
    # As Active Directory has large groups.
    assert "has more values of memberdn;range=0-1499" in ldap.trouble(
        "huge@x.test", result_attribute="", leaf_result_attribute="maildrop", **group)
    url = {"special_result_attribute": "memberurl"}
    assert ldap.one("byurl@x.test", **url) == "a@one.test,b@two.test,bob@box.test"
    assert "Invalid DN syntax" in ldap.trouble("badurl@x.test", **url)


def test_hostile_keys_find_their_own_entry_only(ldap):
    odd = "o(d*d)\\@x.test"
    got, errors = ldap.ask(odd, "*", "*)(uid=*", "\\", "(", ")", "*)(mailacceptinggeneralid=*",
                           "alice@x.tes*", "\\2a", "a\0b", b"\xff\xfe@x.test", b"al\xc3@x.test",
                           "alice@x.test)(cn=*", "\u00e9" * 3000, "x" * 50000, "bob@x.test")
    assert got == {odd: "odd@box.test", "bob@x.test": "bob@box.test"}
    assert len(errors.splitlines()) == errors.count("non-UTF-8 key") == 2
    got, errors = ldap.ask("cn=dave,dc=sub", "dave,dc=sub", "dave+dc=sub", " ", "#", '"', "dave",
                           "\\", ";", search_base=f"cn=%s,dc=sub,{SUFFIX}",
                           query_filter="(objectClass=*)", scope="base")
    assert got == {"dave": "dave@box.test"} and not errors
    got, errors = ldap.ask("dave,dc=sub,dc=example", 'dave+cn="dave",dc=sub,dc=example',
                           search_base="cn=%s,dc=test", query_filter="(objectClass=*)")
    assert not got and not errors


def test_logging_in(ldap):
    login = {"bind": "simple", "bind_dn": f"cn=alice,ou=mail,{SUFFIX}", "bind_pw": "secret-alice"}
    assert ldap.one("carol@x.test") is None  # closed to strangers
    assert ldap.one("carol@x.test", **login) == "carol@box.test"
    assert ldap.one("alice@x.test", bind=None) == "al@box.test"  # nobody's name, no password
    errors = ldap.trouble("carol@x.test", **{**login, "bind_pw": "secret-wrong"})
    assert "cannot bind: Invalid credentials" in errors
    assert "historical protocol version" in ldap.trouble("carol@x.test", version=2, **login)
    assert ldap.one("alice@x.test", version=2) == "al@box.test"  # without bind
    sasl = {"server_host": ldap.server.ldapi, "bind": "sasl", "sasl_mechs": "EXTERNAL"}
    assert ldap.one("carol@x.test", **sasl) == "carol@box.test"
    assert "cannot bind" in ldap.trouble("carol@x.test", **{
        **login, "bind": "sasl", "sasl_mechs": "PLAIN", "bind_dn": "alice"})


def test_settings(ldap):
    port = ldap.server.port
    for server in ({"server_host": "127.0.0.1", "server_port": port},
                   {"server_host": f"127.0.0.1:{port}", "server_port": 1},
                   {"server_host": ldap.server.ldapi}):
        assert ldap.one("bob@x.test", **server) == "bob@box.test"
    for settings, why in [({"search_base": None}, "bad string length 0 < 1: search_base"),
                          ({"bind": "maybe"}, 'bad value of: bind: "maybe"'),
                          ({"version": 4}, "bad numerical configuration: version = 4"),
                          ({"server_host": "a/b"}, '"a/b" is not host, host:port or an LDAP URL'),
                          ({"server_host": ","}, "no server"),
                          ({"recursion_limit": 0}, "recursion_limit = 0"),
                          ({"query_filter": "%x"}, "Invalid template"),
                          ({"version": 2, "start_tls": "yes"}, "need version 3")]:
        assert why in ldap.trouble("x", **settings)
    for name in ("scope", "dereference"):
        got, errors = ldap.ask("bob@x.test", **{name: "odd"})
        assert got and f'unrecognized value of {name}: "odd"' in errors
    # Two of them in one process, with different notions of trust.
    with open(f"{ldap.config}/main.cf", "a") as f:
        for name, ca in (("good", "ca"), ("bad", "other-ca")):
            f.write(f"{name}_server_host = {ldap.server.tls_url}\n{name}_tls_require_cert = yes\n"
                    f"{name}_search_base = {SUFFIX}\n{name}_bind = no\n"
                    f"{name}_tls_ca_cert_file = {ldap.server.dir}/{ca}.pem\n")
    for names, found in ((("good",), True), (("bad",), False), (("good", "bad"), False)):
        maps = "unionmap:{" + ", ".join(f"ldap:{n}" for n in names) + "}"
        done = subprocess.run([POSTMAP, "-c", ldap.config, "-q", "bob@x.test", maps], text=True,
                              capture_output=True, env=sqlservers.environment())
        assert (done.stdout == "bob@box.test\n") == found, (names, done.stderr)
        assert ("ldap:bad" in done.stderr) == (not found)


def test_tls(ldap):
    trust = {"tls_require_cert": "yes", "tls_ca_cert_file": f"{ldap.server.dir}/ca.pem"}
    other = {**trust, "tls_ca_cert_file": f"{ldap.server.dir}/other-ca.pem"}
    ldaps, start = {"server_host": ldap.server.tls_url}, {"start_tls": "yes"}
    for way, what in ((ldaps, "cannot connect"), (start, "cannot start TLS")):
        assert ldap.one("bob@x.test", **way) == "bob@box.test"
        assert ldap.one("bob@x.test", **way, **trust) == "bob@box.test"
        assert what in ldap.trouble("bob@x.test", **way, **other)
        named = {k: v.replace("127.0.0.1", "127.0.0.2") for k, v in way.items()}
        assert what in ldap.trouble("bob@x.test", **{"server_host": f"127.0.0.2:{ldap.server.port}",
                                                     **named, **trust})  # another name
    assert ldap.one("bob@x.test", **ldaps, **start, **trust) == "bob@box.test"  # already
    # Trust does not matter where nothing is encrypted.
    assert ldap.one("bob@x.test", start_tls="no", **other) == "bob@box.test"


class Silent:
    """Accepts connections and says nothing; with "start" it says yes to StartTLS first."""
    def __init__(self, path=None, start=False):
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.sock.bind(path or ("127.0.0.1", 0))
        if path:
            os.chmod(path, 0o666)
        self.sock.listen(50)
        self.where = path or self.sock.getsockname()[1]
        self.start, self.kept = start, []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.sock.accept()
            except OSError:
                return
            self.kept.append(peer)
            if self.start:  # BER: message 1, extendedResp, success
                peer.recv(1000)
                peer.send(bytes.fromhex("300c02010178070a010004000400"))

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for peer in self.kept:
            peer.close()


def test_servers_that_are_dead_or_silent(ldap):
    dead = f"127.0.0.1:{sqlservers.free_port()}"
    got, errors = ldap.ask("bob@x.test", server_host=f"{dead} ldap://{dead}0 {ldap.server.url}")
    assert got == {"bob@x.test": "bob@box.test"}
    began = time.monotonic()
    assert "cannot connect: Can't contact LDAP server" in ldap.trouble("x", server_host=dead)
    assert time.monotonic() - began < 2
    silent, start, local = Silent(), Silent(start=True), Silent(f"{ldap.dir}/quiet")
    cases = [{}, {"bind": "yes"}, {"start_tls": "yes"},
             {"server_host": f"ldaps://127.0.0.1:{silent.where}"},
             {"start_tls": "yes", "server_host": f"127.0.0.1:{start.where}"},
             {"bind": "sasl"},
             {"bind": "sasl", "sasl_mechs": "EXTERNAL",
              "server_host": f"ldapi://{local.where.replace('/', '%2F')}"}]
    took, threads = {}, []

    def measure(i, case):
        path = ldap.write(f"silent{i}.cf", "".join(f"{k} = {v}\n" for k, v in {
            "server_host": f"127.0.0.1:{silent.where}", "search_base": SUFFIX, "bind": "no",
            "timeout": "1", **case}.items()))
        began = time.monotonic()
        done = subprocess.run([POSTMAP, "-c", ldap.config, "-q", "x", f"ldap:{path}"], text=True,
                              capture_output=True, timeout=20, env=sqlservers.environment())
        took[i] = time.monotonic() - began, done.returncode, done.stderr

    for i, case in enumerate(cases):  # together, because each waits
        threads.append(threading.Thread(target=measure, args=(i, case)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    for i, case in enumerate(cases):
        seconds, code, errors = took[i]
        assert 0.9 < seconds < 2.5 and code == 1 and "query error" in errors, (case, took[i])
    # The next one is asked.
    got, _ = ldap.ask("bob@x.test", "alice@x.test", timeout=1,
                      server_host=f"127.0.0.1:{silent.where} {ldap.server.url}")
    assert got == {"bob@x.test": "bob@box.test", "alice@x.test": "al@box.test"}
    for server in (silent, start, local):
        server.close()


def test_a_restarted_server_is_asked_again(ldap):
    for way in ({}, {"start_tls": "yes"}):
        process = subprocess.Popen([POSTMAP, "-c", ldap.config, "-q", "-", ldap.cf(**way)],
                                   text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   bufsize=1, env=sqlservers.environment())
        process.stdin.write("bob@x.test\n")
        process.stdin.flush()
        time.sleep(0.3)
        ldap.server.stop()
        ldap.server.start()
        process.stdin.write("alice@x.test\n")
        out, _ = process.communicate(timeout=30)
        assert out.splitlines() == ["bob@x.test\tbob@box.test", "alice@x.test\tal@box.test"]


def test_a_silent_server_holds_up_nobody_else(ldap, gatepost):
    path = f"{ldap.dir}/silent"
    silent = Silent(path)
    base = f"search_base = {SUFFIX}\nbind = no\ntimeout = 3\nquery_filter = (cn=%u)\n"
    slow = ldap.write("slow.cf", f"server_host = ldapi://{path.replace('/', '%2F')}\n"
                      f"domain = slow.test\n{base}")
    quick = ldap.write("quick.cf", f"server_host = {ldap.server.ldapi}\n"
                       f"result_format = REJECT go to %s\n{base}")
    m = gatepost({"meta_directory": ldap.config, "shlib_directory": f"{gp.mta.BUILD}/plugins",
                  "smtpd_recipient_restrictions":
                      f"check_recipient_access ldap:{slow}, check_recipient_access ldap:{quick}, "
                      "permit_mynetworks, reject"})
    took, replies = {}, {}

    def session(address):
        with m.smtp() as c:
            c.cmd("HELO c.test")
            c.cmd("MAIL FROM:<>")
            began = time.monotonic()
            replies[address] = c.cmd(f"RCPT TO:<{address}>")
            took[address] = time.monotonic() - began
    waits = threading.Thread(target=session, args=("x@slow.test",))
    waits.start()
    time.sleep(0.4)
    session("bob@mx.gate.test")
    waits.join()
    silent.close()
    assert took["bob@mx.gate.test"] < 1.5 and "go to bob@box.test" in \
        replies["bob@mx.gate.test"].text
    assert 2.5 < took["x@slow.test"] < 5 and replies["x@slow.test"].code == 451
