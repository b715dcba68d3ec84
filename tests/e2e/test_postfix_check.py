"""postfix check: every finding fires where its configuration is broken, and only there."""
import glob
import json
import os
import re
import shutil
import time

import pytest

import gp
from gp import config
from gp.mta import REPO

ROOT = gp.is_root()


def rules():
    """{code: (severity, refused by start and reload?)} as the sources have them."""
    found = {}
    for path in glob.glob(f"{REPO}/src/postfix/check_*.c"):
        for code, severity, when in re.findall(
                r'^    \{"([a-z0-9-]+)", CHECK_(ERROR|WARNING), ([^,]+),',
                open(path).read(), re.M):
            found[code] = (severity.lower(), "CHECK_FATAL" in when)
    return found


class Site:
    """A configuration of its own, with queue and data directories, that has no flaw."""

    def __init__(self, m, number):
        self.m = m
        self.dir = f"{m.dir}/{number}"
        self.etc, self.spool, self.data = (f"{self.dir}/{d}" for d in ("etc", "spool", "data"))
        for folder in (self.dir, self.etc, self.spool, self.data):
            os.mkdir(folder, 0o755)
        if ROOT:
            os.chown(self.data, m.owner.uid, m.owner.gid)
        os.chmod(self.data, 0o700)
        self.main = {**m._base_main(), "compatibility_level": "3.11",
                     "queue_directory": self.spool, "data_directory": self.data,
                     "maillog_file": f"{self.dir}/log", "inet_interfaces": "127.0.0.1"}
        self.tail = ""  # of main.cf, as it is
        self.services = {}
        self.without_network = False
        self.master_tail = ""

    def file(self, name, text="", mode=0o644):
        path = f"{self.dir}/{name}"
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def pipe(self, arguments):
        path = self.m.path("pipe")
        if not os.path.lexists(path):
            os.symlink("local", path)
        self.services["fax/unix"] = f"fax unix - n n - - pipe {arguments}"

    def write(self):
        with open(f"{self.etc}/main.cf", "w") as f:
            f.write(config.main_cf(self.main) + self.tail)
        with open(f"{self.etc}/master.cf", "w") as f:
            f.write(config.master_cf(self.services, self.m.available()) + self.master_tail)

    def check(self):
        command = [self.m.path("postfix"), "-c", self.etc, "check", "-j"]
        if self.without_network:
            user = [] if ROOT else ["--user", "--map-current-user"]
            command = ["unshare", *user, "--net", *command]
        done = self.m.sandbox.run(command, check=False,
                                  env={**self.m.environment(), "MAIL_CONFIG": self.etc})
        assert done.stderr == ""
        return done.returncode, [json.loads(row) for row in done.stdout.splitlines()]

    def line(self, name, text):
        """Number of the line that holds text; 0: of no line."""
        if text is None:
            return 0
        rows = open(f"{self.etc}/{name}").read().splitlines()
        return 1 + [text in row for row in rows].index(True)


# name -> what breaks it: (code, function, file, text of the line)
CASES = []


def case(code, file="main.cf", line=None, root=False):
    def add(fn):
        CASES.append((code, fn, file, line, root))
        return fn
    return add


def main(code, line=True, file="main.cf", **settings):
    """Settings of main.cf; the finding is at the first of them."""
    name = next(iter(settings))
    CASES.append((code, lambda s: s.main.update(settings), file,
                  f"{name} =" if line is True else line, False))


def service(code, key, text, line=None, settings=None):
    """An entry of master.cf; the finding is at its line."""
    def change(s):
        s.services[key] = text
        s.main.update(settings or {})
    CASES.append((code, change, "master.cf", line or text, False))


# -- settings --

@case("main-cf-syntax", line="no equals sign")
def _(s):
    s.tail = "no equals sign here\n"


@case("stray-continuation", line="mail_name")
def _(s):
    s.stray = True  # put in front by the test


main("bad-value", smtpd_timeout="forever")
main("bad-value", default_process_limit="-3")
service("override-syntax", "smtp/inet", "smtp inet n - n - - smtpd -o smtpd_timeout")
service("service-option", "smtp/inet", "smtp inet n - n - - smtpd -x")
service("service-option", "smtp/inet", "smtp inet n - n - - smtpd -o")
service("bad-override", "smtp/inet", "smtp inet n - n - - smtpd -v -o smtpd_timeout=never")
main("unknown-parameter", smtpd_helo_requird="yes")
service("unknown-override", "smtp/inet", "smtp inet n - n - - smtpd -o smtpd_helo_requird=yes")
main("deprecated-parameter", authorized_verp_clients="127.0.0.1")
main("readonly-parameter", process_id="4")


@case("duplicate-parameter", line="smtpd_timeout = 7s")
def _(s):
    s.tail = "smtpd_timeout = 5s\nsmtpd_timeout = 7s\n"


main("undefined-name", smtpd_banner="$myhostnam ESMTP")
@case("comment-in-value", line="relay_domains")
def _(s):
    s.main["relay_domains"] = "far.test # our customer"


# -- services --

@case("master-cf-unreadable", file="master.cf")
def _(s):
    s.no_master = True


@case("master-cf-syntax", file="master.cf", line="too few")
def _(s):
    s.master_tail = "too few fields\n"


@case("master-cf-warning", file="master.cf", line="slow")
def _(s):
    s.master_tail = "slow unix - - n - - smtp -o { smtp_helo_timeout = 5s\n"


@case("duplicate-service", file="master.cf", line="smtpd -v")
def _(s):
    s.master_tail = "smtp inet n - n - - smtpd -v\n"


service("missing-program", "new/unix", "new unix - - n - - newd")
service("single-process", "qmgr/unix", "qmgr unix n - n 300 2 qmgr")
service("process-limit", "cleanup/unix", "cleanup unix n - n - 5 cleanup")
service("needs-root", "local/unix", "local unix - - n - - local")
service("missing-service", "rewrite/unix", None, line=" ")
service("service-directory", "cleanup/unix", "cleanup unix - - n - 0 cleanup")
service("no-wakeup", "pickup/unix", "pickup unix n - n - 1 pickup")
main("missing-transport", default_transport="smpt")
main("log-file-prefix", maillog_file_prefixes="/var", line="maillog_file =")


@case("log-service", line="maillog_file =")
def _(s):
    s.services["postlog/unix-dgram"] = None


@case("pipe-arguments", file="master.cf", line="fax")
def _(s):
    s.pipe("flags=R argv=/bin/cat -o x")


@case("pipe-user", file="master.cf", line="fax")
def _(s):
    s.pipe("user=nosuchuser argv=/bin/cat -o x")


# -- listeners --
service("bad-port", "x/inet", "nosuchport inet n - n - - smtpd")
service("listener-clash", "x/inet", "127.0.0.1:25 inet n - n - - smtpd")
service("listener-clash", "x/inet", "0.0.0.0:25 inet n - n - - smtpd")
main("absent-interface", inet_interfaces="127.0.0.1, 203.0.113.77")
main("absent-ipv6-interface", inet_interfaces="127.0.0.1, 2001:db9::77",
     inet_protocols="all")
service("absent-listener", "x/inet", "203.0.113.77:26 inet n - n - - smtpd")
service("absent-listener", "x/inet", "[2001:db9::77]:26 inet n - n - - smtpd")
main("unknown-interface-host", proxy_interfaces="nosuch.invalid")


@case("no-ipv6", line="inet_protocols")
def _(s):
    s.main.update({"inet_protocols": "ipv6", "inet_interfaces": "loopback-only"})
    s.without_network = True


main("no-protocol", inet_protocols="")
main("proxy-interface", proxy_interfaces="127.0.0.5")


@case("port-in-use", file="master.cf", line="smtpd")
def _(s):
    s.busy = True


# -- directories and files --
main("mail-owner", mail_owner="nosuchuser") if ROOT else None
main("setgid-group", setgid_group="nosuchgroup") if ROOT else None


@case("missing-directory", file="spool/active")
def _(s):
    s.file("spool/active")


@case("missing-subdirectory", file="spool/corrupt")
def _(s):
    s.file("spool/corrupt")


@case("directory-owner", file="spool/hold", root=True)
def _(s):
    os.mkdir(f"{s.spool}/hold", 0o700)


@case("directory-group", file="spool/public", root=True)
def _(s):
    os.mkdir(f"{s.spool}/public", 0o710)
    os.chown(f"{s.spool}/public", s.m.owner.uid, 0)


@case("directory-mode", file="data", root=True)
def _(s):
    os.chmod(s.data, 0o777)


@case("file-owner", file="etc", root=True)
def _(s):
    os.chown(s.etc, s.m.owner.uid, 0)


@case("file-mode", file="etc", root=True)
def _(s):
    os.chmod(s.etc, 0o775)


@case("setgid-command", file="postdrop", root=True)
def _(s):
    s.main["command_directory"] = f"{s.dir}/bin"
    shutil.copytree(s.m.command_directory, f"{s.dir}/bin", symlinks=True)
    os.chmod(f"{s.dir}/bin/postdrop", 0o755)
    for name in ("postqueue", "postlog"):
        os.unlink(f"{s.dir}/bin/{name}")


main("missing-file", smtpd_tls_chain_files="/nosuch.pem")


@case("readable-key", line="smtpd_tls_key_file")
def _(s):
    key = s.file("key.pem", "-----BEGIN PRIVATE KEY-----\n")
    s.main["smtpd_tls_cert_file"] = s.file("cert.pem", "-----BEGIN CERTIFICATE-----\n")
    s.main["smtpd_tls_key_file"] = key


# -- chroot --

def chroot_files(s, names):
    os.mkdir(f"{s.spool}/etc")
    for name in names:
        if os.path.exists(f"/etc/{name}"):
            s.m.sandbox.run(["cp", f"/etc/{name}", f"{s.spool}/etc/{name}"])


@case("no-chroot", file="master.cf", line="proxymap unix")
def _(s):
    chroot_files(s, ("resolv.conf", "services", "hosts", "nsswitch.conf"))
    s.services["proxymap/unix"] = "proxymap unix - - y - - proxymap"


@case("chroot-file", file="master.cf", line="smtp unix")
def _(s):
    chroot_files(s, ("services", "hosts", "nsswitch.conf"))
    s.services["smtp/unix"] = "smtp unix - - y - - smtp"


@case("chroot-stale", file="spool/etc/hosts")
def _(s):
    chroot_files(s, ("resolv.conf", "services", "hosts", "nsswitch.conf"))
    s.file("spool/etc/hosts", "127.0.0.1 old\n")
    s.services["smtp/unix"] = "smtp unix - - y - - smtp"


# -- this host --
main("myhostname", myhostname="mx")
main("mydomain", mydomain="intern")
main("myorigin", myorigin="mx")
main("mynetworks-syntax", mynetworks="127.0.0.0/8, 10.0.0.300")
main("mynetworks-open", mynetworks="127.0.0.0/8, 0.0.0.0/0")
main("mynetworks-large", mynetworks="127.0.0.0/8, 20.0.0.0/8")
main("relayhost-loop", relayhost="[127.0.0.1]:25")
main("transport-loop", default_transport="smtp:[mx.gate.test]")
main("transport-loop", transport_maps="inline:{far.test=smtp:[127.0.0.1]:25}")
main("domain-classes", line="relay_domains", mydestination="$myhostname, far.test",
     relay_domains="far.test")

# -- relaying --
main("no-relay-control", smtpd_relay_restrictions="permit_mynetworks")
main("open-relay", smtpd_relay_restrictions="check_client_access static:ok, vip",
     smtpd_restriction_classes="vip", vip="permit_mynetworks, warn_if_reject reject")
main("restriction-class", smtpd_restriction_classes="vip")
main("unknown-restriction", smtpd_helo_restrictions="permit_mynetwork")
main("removed-restriction", smtpd_client_restrictions="reject_maps_rbl")
main("restriction-argument", smtpd_client_restrictions="check_client_access")
main("restriction-table", smtpd_data_restrictions="static:ok")
main("unreachable-restriction", smtpd_client_restrictions="permit, reject")
main("late-permit", smtpd_relay_restrictions="reject_unauth_destination, permit_mynetworks")

# -- limits --
main("mailbox-size", mailbox_size_limit="1000000")
main("virtual-mailbox-size", virtual_mailbox_limit="1000000",
     virtual_mailbox_domains="virtual.test", virtual_transport="local")
main("queue-minfree", queue_minfree="1000000")
main("queue-full", line="queue_directory", queue_minfree="9000000000000000")
main("bounce-lifetime", bounce_queue_lifetime="9d")
main("zero-lifetime", maximal_queue_lifetime="0", bounce_queue_lifetime="0")
main("backoff-order", minimal_backoff_time="2h")
main("lifetime-short", maximal_queue_lifetime="200s", bounce_queue_lifetime="200s")
main("delay-warning-late", delay_warning_time="9d")
main("soft-bounce", soft_bounce="yes")
service("soft-bounce", "smtp/unix", "smtp unix - - n - - smtp -o soft_bounce=yes")
main("debug-peers", debug_peer_list="127.0.0.1")
main("compatibility-unset", line=None, compatibility_level=None,
     smtpd_recipient_restrictions="reject_unauth_destination")
main("compatibility-old", compatibility_level="3.6")

# -- tables --
main("table-type", relay_domains="hsh:/nosuch")
main("missing-table", relay_domains="texthash:/nosuch")
main("missing-table", relay_domains="lmdb:/nosuch")
main("missing-table", relay_domains="proxy:lmdb:/nosuch")


@case("table-unusable", line="relay_domains")
def _(s):
    s.main["relay_domains"] = "lmdb:" + s.file("relay")
    s.file("relay.lmdb", "this is no database\n" * 1000)


@case("missing-index", line="relay_domains")
def _(s):
    s.main["relay_domains"] = "hash:" + s.file("relay", "far.test ok\n")


@case("stale-index", line="relay_domains")
def _(s):
    path = s.file("relay", "far.test ok\n")
    s.m.run("postmap", f"lmdb:{path}")
    os.utime(path, (time.time() + 60,) * 2)
    s.main["relay_domains"] = f"lmdb:{path}"


@case("table-syntax", line="header_checks")
def _(s):
    s.main["header_checks"] = "regexp:" + s.file("checks", "/good/ OK\nbad line\n")


main("table-server", relay_domains="tcp:127.0.0.1:9")


# -- the tests --

@pytest.fixture
def sites(gatepost):
    """Makes sites; all in one sandbox."""
    m = gatepost(start=False)
    made = []

    def make():
        made.append(Site(m, len(made)))
        return made[-1]
    make.m = m
    return make


def explain(code, rc, found):
    return f"{code}: exit status {rc}\n" + "\n".join(map(str, found))


def run_case(site, entry):
    code, change, file, text, _ = entry
    change(site)
    site.write()
    if getattr(site, "no_master", False):
        os.unlink(f"{site.etc}/master.cf")
    if getattr(site, "stray", False):
        path = f"{site.etc}/main.cf"
        body = open(path).read()
        open(path, "w").write("  mail_name = x\n" + body)
    sock = None
    if getattr(site, "busy", False):
        import socket
        sock = socket.create_server(("127.0.0.1", 25))
    rc, found = site.check()
    if sock:
        sock.close()
    severity, _ = rules()[code]
    assert [f["code"] for f in found] == [code], explain(code, rc, found)
    (finding,) = found
    assert finding["severity"] == severity
    assert rc == (severity == "error"), explain(code, rc, found)
    assert finding["file"].endswith(f"/{file}"), finding
    wanted = 0 if file not in ("main.cf", "master.cf") or text in (None, " ") or \
        getattr(site, "no_master", False) else site.line(file, text)
    assert finding.get("line", 0) == wanted, finding
    assert finding["message"] and finding["why"] and finding["action"]


def test_each_finding(sites):
    problems = []
    for entry in CASES:
        if entry[4] and not ROOT:
            continue
        try:
            run_case(sites(), entry)
        except AssertionError as e:
            problems.append(str(e).split("\nassert")[0])
    assert not problems, "\n\n".join(problems)


def test_every_rule_has_a_case_and_a_line_in_the_manual():
    page = open(f"{REPO}/man/man1/postfix.1").read()
    only_root = {"mail-owner", "setgid-group"} if not ROOT else set()
    assert set(rules()) - {entry[0] for entry in CASES} == only_root
    described = dict(re.findall(r"^\.It Li ([a-z0-9-]+)( \*)?$", page, re.M))
    assert {code: bool(star) for code, star in described.items()} == \
        {code: fatal for code, (_, fatal) in rules().items()}


def test_nothing_to_say(sites):
    """What looks odd and is not: none of it is reported, or refused."""
    site = sites()
    site.main.update({
        "mydestination": "$myhostname", "maillog_file": "", "inet_interfaces": "203.0.113.77",
        "smtpd_relay_restrictions": "", "smtpd_recipient_restrictions": "",
        "smtpd_restriction_classes": "unused", "master_service_disable": "off.inet 26.inet",
        "relay_domains": "inline:{b.test=ok}", "transport_maps": "unionmap:{static:a,static:b}"})
    site.services.update({
        # Every SMTP server has settings of its own, or is off; nobody uses inet_interfaces.
        "smtp/inet": None, "postlog/unix-dgram": None,
        "127.0.0.1:25/inet": "127.0.0.1:25 inet n - n - - smtpd -v "
                             "-o smtpd_restriction_classes= "
                             "-o { smtpd_relay_restrictions = permit_mynetworks, reject }",
        "off/inet": "off inet n - n - - smtpd -o nonsense",
        "26/inet": "26 inet n - n - - smtpd",
        "fax/unix": "fax unix - n n - - local -o mail_name=x -- -o nonsense -x"})
    # Queue and data on another disk.
    for name in ("spool", "data"):
        os.rename(f"{site.dir}/{name}", f"{site.dir}/{name}.real")
        os.symlink(f"{site.dir}/{name}.real", f"{site.dir}/{name}")
    site.write()
    rc, found = site.check()
    assert (rc, found) == (0, [])


def test_table_types_of_plugins(sites):
    """They are known while their file is there, and only then."""
    plugin = f"{gp.mta.BUILD}/plugins/gatepost-sqlite.so"
    if not os.path.exists(plugin):
        pytest.skip("no plug-in was built")
    site = sites()
    os.mkdir(f"{site.dir}/lib")
    site.main.update({"shlib_directory": f"{site.dir}/lib", "meta_directory": site.dir})
    site.file("dynamicmaps.cf", "sqlite postfix-sqlite.so dict_sqlite_open\n")
    site.main["relay_domains"] = "proxy:sqlite:" + site.file("relay.cf", "dbpath = /x\n")
    site.write()
    rc, found = site.check()
    assert [f["code"] for f in found] == ["table-type"]
    shutil.copy(plugin, f"{site.dir}/lib")
    assert site.check() == (0, [])
    os.unlink(f"{site.dir}/relay.cf")
    rc, found = site.check()
    assert [f["code"] for f in found] == ["missing-table"]
    site.file("dynamicmaps.cf", "sqlite\n")
    rc, (finding,) = site.check()
    assert finding["code"] == "table-type" and "dynamicmaps.cf, line 1" in finding["action"]


@pytest.mark.skipif("asan" in gp.mta.BUILD, reason="the normal build only")
def test_stock_configuration(sites, tmp_path):
    """What make install leaves behind, in other directories, with aliases built."""
    m, root = sites.m, tmp_path / "root"
    build = tmp_path / "build"
    os.makedirs(build)
    os.symlink(f"{REPO}/build/bin", build / "bin")
    shutil.copytree(f"{REPO}/build/gen", build / "gen")
    m.sandbox.run(["make", "-s", "-C", REPO, "-o", "all", f"BUILD={build}", "install",
                   "PROGRAMS=" + " ".join(os.listdir(f"{REPO}/build/bin")),
                   f"DESTDIR={root}"], timeout=120)
    etc = f"{root}/etc/postfix"
    places = {"queue_directory": "var/spool/postfix", "data_directory": "var/lib/postfix",
              "command_directory": "usr/sbin", "daemon_directory": "usr/libexec/postfix",
              "sendmail_path": "usr/sbin/sendmail"}
    settings = {name: f"{root}/{path}" for name, path in places.items()}
    settings["alias_maps"] = settings["alias_database"] = f"lmdb:{tmp_path}/aliases"
    if not ROOT:
        settings["mail_owner"] = m._base_main()["mail_owner"]
    with open(f"{etc}/main.cf", "a") as f:
        f.write(config.main_cf(settings))
    with open(tmp_path / "aliases", "w") as f:
        f.write("postmaster: root\n")
    env = {**m.environment(), "MAIL_CONFIG": etc}
    m.sandbox.run([f"{root}/usr/sbin/postalias", settings["alias_maps"]], env=env)
    done = m.sandbox.run([f"{root}/usr/sbin/postfix", "check", "-j"], env=env, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_reload_and_start_refuse_what_cannot_run(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost({"relayhost": "[127.0.0.2]:25"})

    def send(count):
        with m.smtp() as client:
            assert client.mail("a@client.test", "b@far.test", "Subject: x\n\nx\n").code == 250
        server.wait(count)

    def postfix(*args):
        return m.run("postfix", "-c", m.etc, *args, check=False)

    m.allow("fatal: reload refused|error: .*smtpd_timeout|fatal: Postfix integrity check")
    m.configure({"smtpd_timeout": "forever"})
    line = 1 + [row.startswith("smtpd_timeout") for row in open(f"{m.etc}/main.cf")].index(True)
    done = postfix("reload")
    assert done.returncode == 1
    assert f"error: {m.etc}/main.cf:{line}: " in done.stderr and "[bad-value]" in done.stderr
    assert "reload refused" in done.stderr
    send(1)
    # Warnings do not stand in the way.
    m.configure({"smtpd_timeout": "99s", "smtpd_helo_requird": "yes",
                 "smtpd_banner": "$myhostname ESMTP after"})
    assert postfix("reload").returncode == 0
    m.wait_log("reload -- version")
    with m.smtp() as client:
        assert client.banner == "220 mx.gate.test ESMTP after"
    send(2)
    # What services refuse, but master does not: -f hands it over.
    m.configure(master={"fax/unix": "fax unix - - n - - smtp -o smtp_helo_timeout=never"})
    assert postfix("reload").returncode == 1
    done = postfix("reload", "-f")
    assert done.returncode == 0 and "[bad-override]" in done.stderr
    m.wait_log("reload -- version", count=2)
    m.stop()
    shutil.rmtree(f"{m.spool}/hold")
    done = postfix("start")
    assert done.returncode == 1 and "[bad-override]" in done.stderr
    shutil.rmtree(f"{m.spool}/hold")
    done = postfix("start", "-f")
    m.running = True
    assert done.returncode == 0, done.stderr
    assert os.path.isdir(f"{m.spool}/hold")
    m.wait_ready()
    send(3)
