"""The first command of the README: both messages delivered, nothing left behind."""
import os
import re

import pytest

import gp
from gp.mta import REPO

NEEDED = ("master", "postfix", "sendmail", "postdrop", "pickup", "local", "smtp-sink")
pytestmark = pytest.mark.skipif(
    "asan" in gp.mta.BUILD or gp.Gatepost.missing(NEEDED) is not None,
    reason="the normal build only")


def quickstart(sandbox, *args, user=None):
    env = {**os.environ, "HOME": sandbox.dir}
    for name in ("MAIL_CONFIG", "MAKEFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    return sandbox.run([f"{REPO}/quickstart", *args], user=user, env=env, timeout=240).stdout


def check_output(out):
    assert "to=<friend@far.example.test>" in out and "status=sent (250 " in out
    assert "status=sent (delivered to file: " in out
    assert not [row for row in out.splitlines() if "warning" in row
                and "not started by root" not in row]
    assert "Subject: by sendmail" in out and "Hello from your own mail system." in out


def test_once_leaves_nothing_behind(sandbox):
    out = quickstart(sandbox, "--once")
    check_output(out)
    (directory,) = set(re.findall(r"private instance in (/\S+?)(?:\x1b|\s)", out))
    assert not os.path.exists(directory)
    assert not sandbox.processes()


@pytest.mark.users("alice")
def test_as_an_ordinary_user(sandbox):
    check_output(quickstart(sandbox, "--once", user="alice"))
    assert not sandbox.processes()


def test_runs_on_until_stopped(sandbox):
    out = quickstart(sandbox)
    check_output(out)
    folder = out.rsplit("./quickstart --stop ", 1)[1].split()[0]
    assert sandbox.processes()
    env = {**os.environ, "MAIL_CONFIG": f"{folder}/etc"}
    queue = sandbox.run([f"{folder}/bin/postqueue", "-p"], env=env)
    assert queue.stdout == "Mail queue is empty\n"
    sandbox.run([f"{REPO}/quickstart", "--stop", folder])
    assert not os.path.exists(folder)
    assert not sandbox.processes()
