"""Several mail systems on one host: postmulti, and postfix start with its wrapper. The
expected texts were observed on the peer, which only works in /etc/postfix."""
import json
import os
import stat
import subprocess

import pytest

INIT = {"multi_instance_wrapper": "${command_directory}/postmulti -p --",
        "multi_instance_enable": "yes"}


class Host:
    """A primary instance as the default one (/etc/postfix inside the sandbox)."""

    def __init__(self, mta):
        self.mta, self.dir = mta, mta.dir
        mta.sandbox.run(["ln", "-s", mta.etc, "/etc/postfix"])

    def run(self, program, *args, **options):
        """As an operator does: without MAIL_CONFIG."""
        env = {k: v for k, v in self.mta.environment().items() if k != "MAIL_CONFIG"}
        return self.mta.sandbox.run([self.mta.path(program), *args], check=False,
                                    env={**env, **options.pop("env", {})}, **options)

    def multi(self, *args, **options):
        done = self.run("postmulti", *args, **options)
        return done.returncode, done.stdout, done.stderr

    def ok(self, *args):
        code, out, err = self.multi(*args)
        assert code == 0, (args, out, err)
        return out

    def fails(self, text, *args):
        code, out, err = self.multi(*args)
        assert code == 1 and text in err and out == "", (args, code, out, err)
        self.mta.allow("postmulti.*fatal: ")

    def listing(self, *args):
        return [tuple(line.split()) for line in self.ok("-l", *args).splitlines()]

    def create(self, name, *args):
        return self.ok("-I", name, *args, "-e", "create",
                       *(f"{kind}_directory={self.dir}/{name}/{kind}"
                         for kind in ("config", "queue", "data")))

    def etc(self, name):
        return f"{self.dir}/{name}/config"

    def main_cf(self, name):
        with open(f"{self.etc(name)}/main.cf") as f:
            rows = [line.split("=", 1) for line in f if "=" in line and line[0] != "#"]
        return {name.strip(): value.strip() for name, value in rows}


@pytest.fixture
def host(gatepost):
    def make(**options):
        made = Host(gatepost(start=False, needs=("postmulti", "postconf", "postfix"), **options))
        for name in ("postfix-a", "postfix-b"):
            os.mkdir(f"{made.dir}/{name}")
        return made
    return make


def test_life_of_an_instance(host):
    h = host()
    h.fails("multi_instance_wrapper is empty, run 'postmulti -e init' first.",
            "-I", "postfix-a", "-e", "create")
    h.ok("-e", "init")
    primary = ("-", "-", "y", "/etc/postfix")
    assert h.listing() == [primary]
    assert h.mta.run("postconf", "-hx", *INIT).stdout.split("\n")[:2] == \
        [f"{h.mta.command_directory}/postmulti -p --", "yes"]

    h.create("postfix-a", "-G", "mta")
    h.create("postfix-b")
    a = ("postfix-a", "mta", "n", h.etc("postfix-a"))
    b = ("postfix-b", "-", "n", h.etc("postfix-b"))
    assert h.listing() == [primary, a, b]
    assert h.listing("-R") == [b, a, primary]
    assert h.listing("-g", "mta") == h.listing("-i", "postfix-a") == [a]
    assert h.listing("-i", "-") == [primary] and h.listing("-i", "none") == []
    rows = [json.loads(line) for line in h.ok("-l", "-j").splitlines()]
    assert rows[0]["primary"] and not rows[1]["primary"]
    assert rows[1] == {"name": "postfix-a", "group": "mta", "enabled": False, "primary": False,
                       "config_directory": h.etc("postfix-a"),
                       "queue_directory": f"{h.dir}/postfix-a/queue",
                       "data_directory": f"{h.dir}/postfix-a/data"}
    main = h.main_cf("postfix-a")
    assert main["master_service_disable"] == "inet" and main["authorized_submit_users"] == ""
    assert main["multi_instance_name"] == "postfix-a" and main["multi_instance_group"] == "mta"
    for name in ("command_directory", "daemon_directory", "mail_owner", "setgid_group"):
        assert main[name] == h.mta.postconf(name), name
    if os.geteuid() == 0:
        owner = h.mta.owner.uid
        for name, mode, uid, gid in (("queue", 0o755, 0, 0), ("queue/maildrop", 0o730, owner, 18001),
                                     ("queue/public", 0o710, owner, 18001),
                                     ("queue/active", 0o700, owner, None),
                                     ("queue/pid", 0o755, 0, None), ("data", 0o700, owner, None)):
            st = os.stat(f"{h.dir}/postfix-a/{name}")
            assert (stat.S_IMODE(st.st_mode), st.st_uid) == (mode, uid), name
            assert gid is None or st.st_gid == gid, name

    # Names, groups, enabled or not.
    h.ok("-i", "postfix-b", "-I", "postfix-c", "-G", "out", "-e", "assign")
    h.ok("-i", "postfix-a", "-G", "-", "-e", "assign")
    h.ok("-i", "postfix-a", "-e", "enable")
    assert h.listing() == [primary, ("postfix-a", "-", "y", a[3]), ("postfix-c", "out", "n", b[3])]

    # Out of the list and into it again.
    h.fails("Cannot remove enabled instances", "-i", "postfix-a", "-e", "deport")
    h.ok("-i", "postfix-c", "-e", "deport")
    assert len(h.listing()) == 2 and os.path.exists(f"{b[3]}/main.cf")
    h.ok("-I", "postfix-d", "-e", "import", f"config_directory={b[3]}")
    assert h.listing()[2] == ("postfix-d", "out", "n", b[3])

    # An end, but not of mail.
    held = f"{h.dir}/postfix-b/queue/hold/ABCDE"
    open(held, "w").close()
    h.fails("mail queue is not empty", "-i", "postfix-d", "-e", "destroy")
    assert os.path.exists(held) and len(h.listing()) == 3
    os.unlink(held)
    h.ok("-i", "postfix-d", "-e", "destroy")
    assert os.listdir(f"{h.dir}/postfix-b") == [] and len(h.listing()) == 2


def test_what_is_refused(host):
    h = host(main=INIT)
    h.create("postfix-a")
    etc, before = h.etc("postfix-a"), open(f"{h.mta.etc}/main.cf").read()
    queue, data = f"{h.dir}/postfix-a/queue", f"{h.dir}/postfix-a/data"
    create, of_a = ("-I", "postfix-n", "-e", "create"), ("-i", "postfix-a", "-e")
    one_of = "Specify exactly one of '-e', '-l', '-p', '-x'"
    for text, *args in [
            (one_of,), (one_of, "-l", "-p", "x"), (one_of, "-e", "init", "-e", "enable"),
            ("Specify no more than one of '-a', '-g', '-i'", "-a", "-i", "-", "-l"),
            ("Command not allowed with '-l'", "-l", "x"),
            ("Command required with '-p' or '-x' option", "-p"),
            ("The '-p' and '-e' options preclude the use of '-R'", "-R", "-p", "start"),
            ("Invalid '-e' edit action 'foo'. Specify 'create', 'destroy',", "-e", "foo"),
            ("Cannot assign instance name or group without '-e assign'", "-I", "x", "-l"),
            ("Cannot assign instance name or group with '-e enable'", "-I", "x", *of_a, "enable"),
            ("Parameter overrides not valid with '-e init'", "-e", "init", "x"),
            ("Parameter overrides not valid with '-e destroy'", *of_a, "destroy", "x=y"),
            ("Select an instance via '-i name'", "-a", "-e", "enable"),
            ("No instance named postfix-z", "-i", "postfix-z", "-e", "enable"),
            ("No matching instances", "-g", "none", "-p", "status"),
            ("No matching instances", "-i", "postfix-a", "-p", "stop"),
            ("Specify new instance name or group with '-e assign'", *of_a, "assign"),
            ("New instance name must start with 'postfix-'", "-I", "x", "-e", "create"),
            ("Missing config_directory parameter value", "-I", "-", "-e", "create"),
            ("Unsafe characters in new instance name: 'postfix-a b'",
             "-I", "postfix-a b", "-e", "create"),
            ("Illegal '/' character in new instance name: 'postfix-/../r'",
             "-I", "postfix-/../r", "-e", "create"),
            ("Unsafe characters in '-G a b'", "-G", "a b", *of_a, "assign"),
            ("Missing config_directory parameter value", "-e", "create"),
            ("Missing queue_directory parameter value", "-e", "create", "config_directory=/etc/n"),
            ("Malformed parameter setting 'queue_directory'", *create, "queue_directory"),
            ("Parameter setting 'queue_directory' is not an absolute path",
             *create, "queue_directory="),
            ("Parameter 'mail_name' not valid with action create", *create, "mail_name = x"),
            ("Parameter 'queue_directory' not valid with action import",
             "-e", "import", f"config_directory={etc}", "queue_directory=/x"),
            (f"new config_directory={etc} is already in use by instance {etc}, "
             f"config_directory={etc}", *create, f"config_directory={etc}/"),
            (f"instance /etc/postfix-n, data_directory={queue} conflicts with instance {etc}, "
             f"queue_directory={queue}", *create, f"data_directory={queue}"),
            (f"instance {etc}n, multi_instance_name=postfix-a conflicts with instance {etc}, "
             "multi_instance_name=postfix-a",
             "-I", "postfix-a", "-e", "create", f"config_directory={etc}n"),
            ("Failed to obtain all required /etc/postfix-n/main.cf parameters",
             "-I", "postfix-n", "-e", "import"),
            ("Cannot remove the primary instance", "-i", "-", "-e", "destroy")]:
        h.fails(text, *args)
    assert open(f"{h.mta.etc}/main.cf").read() == before
    assert os.path.isdir(data) and len(h.listing()) == 2
    h.mta.allow("Non-default configuration directory")
    code, out, err = h.multi("-l", env={"MAIL_CONFIG": etc})
    assert code == 1 and f"Non-default configuration directory: MAIL_CONFIG={etc}" in err
    code, out, err = h.multi("-l", env={"MAIL_CONFIG": h.mta.etc})  # a primary elsewhere
    assert code == 0 and out.splitlines()[0].split()[-1] == h.mta.etc


def test_edits_at_the_same_time(host):
    h = host(main=INIT)
    names = [f"postfix-{i}" for i in range(6)]
    env = {k: v for k, v in h.mta.environment().items() if k != "MAIL_CONFIG"}
    for process in [h.mta.sandbox.popen(
            [h.mta.path("postmulti"), "-I", name, "-e", "create",
             *(f"{kind}_directory={h.dir}/{kind}-{name}" for kind in ("config", "queue", "data"))],
            env=env, stderr=subprocess.DEVNULL) for name in names]:
        assert process.wait(30) == 0
    assert {row[0] for row in h.listing()} == {"-", *names}


def test_commands_for_each_instance(host):
    h = host(main=INIT)
    h.create("postfix-a", "-G", "mta")
    h.create("postfix-b")
    h.ok("-i", "postfix-a", "-e", "enable")
    show = ("sh", "-c", "echo $MAIL_CONFIG $config_directory $multi_instance_name "
            "$multi_instance_enable $queue_directory; echo \"$0\"", "a  b; c")
    out = h.ok("-x", *show).splitlines()
    a, b = h.etc("postfix-a"), h.etc("postfix-b")
    assert out[2] == f"{a} {a} postfix-a yes {h.dir}/postfix-a/queue" and out[3] == "a  b; c"
    assert [line.split()[0] for line in out[::2]] == ["/etc/postfix", a, b]
    assert h.ok("-R", "-g", "mta", "-x", "postconf", "-h", "multi_instance_name") == "postfix-a\n"
    assert h.multi("-x", "sh", "-c", "echo x; exit 3")[:2] == (1, "x\n" * 3)
    h.mta.allow("execvp /nosuch")
    assert h.multi("-x", "/nosuch")[0] == 1

    # Another postfix, which tells how it is run.
    fake = f"{h.dir}/bin/postfix"
    os.unlink(fake)
    with open(fake, "w") as f:
        f.write('#!/bin/sh\necho "$2 $MAIL_CONFIG" $4 $5\n')
    os.chmod(fake, 0o755)
    every = ["/etc/postfix", a, b]
    for command, dirs in (("status", every), ("check", every), ("reload", every[:2]),
                          ("flush", every[:2]), ("stop", every[1::-1]), ("drain", every[1::-1])):
        assert h.ok("-p", "--", command, "-j").splitlines() == \
            [f"{d} {d} {command} -j" for d in dirs], command
    assert h.ok("-p", "start").splitlines() == \
        [f"{d} {d} start" for d in every[:2]] + [f"{b} {b} check"]


def test_postfix_start_runs_all_instances(host):
    h = host(main=INIT)
    h.create("postfix-a")
    h.create("postfix-b")
    h.ok("-i", "postfix-a", "-e", "enable")
    h.run("postconf", "-c", h.etc("postfix-a"), "-e", f"maillog_file={h.mta.logfile}",
          f"maillog_file_prefixes={h.dir}",
          f"import_environment={h.mta.postconf('import_environment')}")
    pids = [f"{h.mta.spool}/pid/master.pid", f"{h.dir}/postfix-a/queue/pid/master.pid"]

    def running():
        alive = []
        for path in pids:
            try:
                os.readlink(f"/proc/{int(open(path).read())}/exe")  # none: dead, unreaped
                alive.append(path)
            except (OSError, ValueError):
                pass
        return alive

    h.mta.running = True
    try:
        assert h.run("postfix", "start").returncode == 0
        assert running() == pids
        h.mta.wait_log("daemon started -- version", count=2)
        tags = {line.raw.split("/master[")[0].split()[-1]
                for line in h.mta.log("master", "daemon started")}
        assert tags == {"postfix", "postfix-a"}
        assert h.run("postfix", "status").returncode == 1  # postfix-b does not run
        h.mta.allow("fatal: Instance .* is not stopped")
        h.ok("-i", "postfix-a", "-e", "disable")
        h.fails("is not stopped", "-i", "postfix-a", "-e", "destroy")
        h.ok("-i", "postfix-a", "-e", "enable")
        # With -c it is about one instance.
        assert h.run("postfix", "-c", h.etc("postfix-a"), "stop").returncode == 0
        assert running() == pids[:1]
        assert h.run("postfix", "-c", h.etc("postfix-a"), "start").returncode == 0
        assert running() == pids
    finally:
        stopped = h.run("postfix", "stop")
    assert stopped.returncode == 0 and running() == []
    h.mta.running = False
