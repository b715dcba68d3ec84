"""make install: where things go, their modes, and what is never overwritten."""
import os
import shutil
import stat
import subprocess

import pytest

import gp
from gp.mta import REPO

pytestmark = pytest.mark.skipif("asan" in gp.mta.BUILD, reason="the normal build only")
QUEUE = {"active": 0o700, "bounce": 0o700, "corrupt": 0o700, "defer": 0o700,
         "deferred": 0o700, "flush": 0o700, "hold": 0o700, "incoming": 0o700,
         "saved": 0o700, "trace": 0o700, "private": 0o700, "maildrop": 0o730,
         "public": 0o710, "pid": 0o755}


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
def install(sandbox, tmp_path):
    """install(target, **variables): make in the sandbox, where the accounts exist."""
    if not os.path.isdir(f"{REPO}/build/bin"):
        pytest.skip("not built")
    build = tmp_path / "build"
    built = " ".join(os.listdir(f"{REPO}/build/bin"))
    shutil.copytree(f"{REPO}/build/bin", build / "bin")
    shutil.copytree(f"{REPO}/build/gen", build / "gen")

    def run(target="install", **variables):
        # -o: what is built is installed as it is; nothing is compiled here.
        return sandbox.run(["make", "-s", "-C", REPO, "-o", "all", f"BUILD={build}", target,
                            f"PROGRAMS={built}",
                            f"DESTDIR={tmp_path}/root",
                            *(f"{k}={v}" for k, v in variables.items())], timeout=120)
    run.root = tmp_path / "root"
    return run


def test_default_places(install):
    done = install()
    root = install.root
    built = set(os.listdir(f"{REPO}/build/bin"))
    for name in built & {"postqueue", "postconf", "postfix", "postsuper", "smtp-source"}:
        assert os.access(root / "usr/sbin" / name, os.X_OK)
        assert not (root / "usr/libexec/postfix" / name).exists()
    for name in built & {"master", "smtpd", "qmgr", "cleanup", "smtp"}:
        assert os.access(root / "usr/libexec/postfix" / name, os.X_OK)
        assert not (root / "usr/sbin" / name).exists()
    if "smtp" in built:
        assert os.readlink(root / "usr/libexec/postfix/lmtp") == "smtp"
    if "sendmail" in built:
        assert os.access(root / "usr/sbin/sendmail", os.X_OK)
        for name in ("mailq", "newaliases"):
            assert os.readlink(root / "usr/bin" / name) == "/usr/sbin/sendmail"
    for name, want in QUEUE.items():
        assert mode(root / "var/spool/postfix" / name) == want, name
    assert mode(root / "var/lib/postfix") == 0o700
    assert not gp.is_root() or "warning" not in done.stderr


@pytest.mark.root
def test_owners_and_setgid(install, sandbox):
    install()
    root, owner = install.root, sandbox.users["postfix"].uid
    for name in set(os.listdir(f"{REPO}/build/bin")) & {"postdrop", "postqueue", "postlog"}:
        info = os.stat(root / "usr/sbin" / name)
        assert (info.st_uid, info.st_gid, mode(root / "usr/sbin" / name)) == (0, 18001, 0o2755)
    spool = root / "var/spool/postfix"
    for name in QUEUE:
        assert os.stat(spool / name).st_uid == (0 if name == "pid" else owner), name
    assert {os.stat(spool / n).st_gid for n in ("maildrop", "public")} == {18001}
    assert os.stat(root / "var/lib/postfix").st_uid == owner


def test_configuration_is_kept(install):
    install()
    root = install.root / "etc/postfix"
    if not (root / "main.cf").exists():
        pytest.skip("no stock main.cf yet")
    (root / "main.cf").write_text("myhostname = mine.test\n")
    (root / "master.cf").unlink()
    done = install()
    assert (root / "main.cf").read_text() == "myhostname = mine.test\n"
    assert (root / "master.cf").exists()
    assert f"kept {root}/main.cf" in done.stdout


def test_other_places(install):
    install(sysconfdir="/opt/gp/etc", command_directory="/opt/gp/sbin",
            daemon_directory="/opt/gp/libexec", queue_directory="/opt/gp/spool",
            data_directory="/opt/gp/data", sendmail_path="/opt/gp/lib/sendmail",
            mailq_path="/opt/gp/bin/mailq", newaliases_path="/opt/gp/bin/newaliases",
            manpage_directory="/opt/gp/man")
    assert os.listdir(install.root) == ["opt"]
    assert (install.root / "opt/gp/spool/maildrop").is_dir()


def test_uninstall_leaves_configuration_and_mail(install):
    install()
    root = install.root
    (root / "etc/postfix/main.cf").write_text("")
    mail = root / "var/spool/postfix/deferred/ABC"
    mail.write_text("mail")
    install("uninstall")
    left = [os.path.join(folder, f) for folder, _, files in os.walk(root) for f in files]
    assert set(left) >= {str(mail), str(root / "etc/postfix/main.cf")}
    assert not [f for f in left if "/sbin/" in f or "/libexec/" in f or "/man/" in f]


def test_paths_are_compiled_in():
    """The variables of make become the defaults of the programs."""
    out = subprocess.run(["make", "-s", "-n", "-C", REPO, "BUILD=/nonexistent",
                          "sysconfdir=/opt/gp/etc", "/nonexistent/obj/src/global/config.o"],
                         capture_output=True, text=True)
    assert "-DSYSCONFDIR='\"/opt/gp/etc\"'" in out.stdout, out.stderr
