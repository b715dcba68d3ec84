"""Commands and files: whose rights, environment, input, exit status."""
import os
import re

import pytest

import gp

CODES = {
    "exit 64": "bounced 5.3.0 command line usage error",
    "echo 5.2.3 custom; exit 65": "bounced 5.2.3 custom ",
    "echo hi there; echo more; exit 66":
        "bounced 5.3.0 cannot open input. Command output: hi there more ",
    "exit 67": "bounced 5.1.1 user unknown",
    "exit 68": "bounced 5.1.2 host name unknown",
    "exit 71": "deferred 4.3.0 system resource problem",
    "exit 73": "bounced 5.2.0 can't create user output file",
    "echo later; exit 75": "deferred 4.3.0 temporary failure. Command output: later ",
    "exit 77": "bounced 5.7.0 permission denied",
    "exit 78": "bounced 5.3.5 local configuration error",
    "exit 1": 'bounced 5.3.0 Command died with status 1: "exit 1"',
    "exit 99": 'bounced 5.3.0 Command died with status 99: "exit 99"',
    "nosuchcmd arg": 'bounced 5.3.0 Command died with status 127: "nosuchcmd arg". '
                     "Command output: sh: 1: nosuchcmd: not found ",
    "echo output": "sent 2.0.0 delivered to command: echo output",
    "kill -9 $$": 'deferred 4.3.0 Command died with signal 9: "kill -9 $$"',
    "sleep 30": 'bounced 5.3.0 Command time limit exceeded: "sleep 30"',
    "echo 4.7.9 no; exit 67": "deferred 4.7.9 no ",
    "/bin/true": "sent 2.0.0 delivered to command: /bin/true",
    "exec <&-; sleep 1": "sent 2.0.0 delivered to command: exec <&-; sleep 1",
}


def environment(text):
    found = dict(line.split("=", 1) for line in text.splitlines())
    found.pop("PWD", None), found.pop("_", None), found.pop("SHLVL", None)
    return found


@pytest.mark.users("alice")
def test_exit_status(mta):
    names = [f"c{n}" for n in range(len(CODES))]
    local = gp.Local(mta, {"command_time_limit": "2s"}, aliases="".join(
        f'{name}: "|{command}"\n' for name, command in zip(names, CODES)))
    found = {command: local.outcome(name) for name, command in zip(names, CODES)}
    for name, (command, outcome) in zip(names, CODES.items()):
        assert found[command] == [f"{name} {outcome}"], command


@pytest.mark.users("alice")
def test_program_that_is_missing_defers(mta):
    local = gp.Local(mta, aliases="missing: |/no/such/program\n")
    local.m.allow("fatal: execvp")
    (text,) = local.outcome("missing")
    assert text.startswith("missing deferred 4.3.0 temporary failure. Command output: ")


@pytest.mark.users("alice", "bob")
def test_whose_rights(mta):
    local = gp.Local(mta, {"allow_mail_to_commands": "alias, forward, include",
                           "allow_mail_to_files": "alias, forward, include"},
                     aliases='rootcmd: "|id -un >WORK/rootcmd; umask >>WORK/rootcmd"\n'
                     "rootfile: WORK/rootfile\nincbob: :include:WORK/inc\n")
    local.aliases('bobcmd: "|id -un >WORK/bobcmd"\nbobfile: WORK/bobfile\n', "of-bob", "bob")
    local.reconfigure()
    local.put("bob", f"{local.work}/inc", '"|id -un >WORK/inccmd"\nWORK/incfile\n')
    local.put("alice", ".forward", '"|id -un >WORK/fwdcmd"\nWORK/fwdfile\n')
    for rcpt in ("rootcmd", "rootfile", "incbob", "bobcmd", "bobfile", "alice"):
        assert all(" sent " in text for text in local.outcome(rcpt)), rcpt
    assert local.read("rootcmd") == "nobody\n0077\n"
    assert local.read("bobcmd") == local.read("inccmd") == "bob\n"
    assert local.read("fwdcmd") == "alice\n"
    uid = {name: user.uid for name, user in local.box.users.items()}
    uid["nobody"] = 65534
    for name, owner in (("rootfile", "nobody"), ("bobfile", "bob"), ("incfile", "bob"),
                        ("fwdfile", "alice")):
        info = os.stat(f"{local.work}/{name}")
        assert (info.st_uid, info.st_mode & 0o777) == (uid[owner], 0o600), name


@pytest.mark.users("alice", "bob")
def test_environment(gatepost, peer):
    found = []
    for make in (gatepost, peer):
        local = gp.Local(make, {"recipient_delimiter": "+"},
                         aliases='cmd: "|env >WORK/cmd"\nlist: "|env >WORK/list"\n'
                         "owner-list: bob\n")
        local.put("alice", ".forward", '"|env >WORK/alice; cat >WORK/input"\n')
        local.outcome("cmd", sender="a`b$c@client.test")
        local.outcome("list")
        local.outcome("alice+some$thing", sender="")
        found.append([environment(local.read(name).replace(local.m.dir, "DIR"))
                      for name in ("cmd", "list", "alice")])
        local.m.stop()
    assert found[0] == found[1], gp.difference(found[1], found[0])
    cmd, owned, alice = found[0]
    assert cmd["SENDER"] == "a_b_c@client.test" and "HOME" not in cmd
    assert owned["SENDER"] == "owner-list@mx.gate.test"
    assert "ORIGINAL_RECIPIENT" not in owned
    assert alice["EXTENSION"] == "some_thing" and alice["HOME"].endswith("/alice")


@pytest.mark.users("alice")
def test_what_a_command_reads(mta):
    local = gp.Local(mta, aliases='cmd: "|cat >WORK/out"\n')
    local.outcome("cmd", message="Subject: x\n\n" + gp.localmail.MESSAGE)
    text = local.read("out")
    assert re.match("From s@client.test  .*\nReturn-Path: <s@client.test>\n"
                    "X-Original-To: cmd@mx.gate.test\nDelivered-To: cmd@mx.gate.test\n"
                    "Received: ", text)
    assert text.endswith("\nhello\nFrom here\n>From there\n.dot\n")


@pytest.mark.users("alice")
def test_long_message_to_a_slow_reader(gatepost):
    local = gp.Local(gatepost, aliases='cmd: "|sleep 1; cat >WORK/out"\n')
    body = "".join(f"{n:07d}\n" for n in range(200000))
    assert local.outcome("cmd", message="Subject: x\n\n" + body) == [
        f"cmd sent 2.0.0 delivered to command: sleep 1; cat >WORK/out"]
    assert local.read("out").endswith("\n\n" + body)


@pytest.mark.users("alice", "bob")
def test_mailbox_command(mta):
    local = gp.Local(mta, {"mailbox_command": 'id -un >"$HOME/ran"',
                           "mailbox_command_maps": "inline:{bob=/bin/true}"})
    assert local.outcome("alice") == [
        'alice sent 2.0.0 delivered to command: id -un >"$HOME/ran"']
    assert open(local.home("alice") + "/ran").read() == "alice\n"
    assert local.outcome("bob") == ["bob sent 2.0.0 delivered to command: /bin/true"]
    assert local.outcome("root") == [
        'root bounced 5.3.0 Command died with status 2: "id -un >"$HOME/ran"". '
        "Command output: sh: 1: cannot create /root/ran: Permission denied "]


@pytest.mark.users("alice")
def test_directory_and_shell(mta):
    local = gp.Local(mta, {"command_execution_directory": "$home"})
    local.put("alice", ".forward", '"|pwd >WORK/pwd"')
    local.outcome("alice")
    assert local.read("pwd") == local.home("alice") + "\n"
    local.put("alice", "shell", f'#!/bin/sh\necho "$@" >{local.work}/args\n', mode=0o755)
    local.reconfigure(local_command_shell=local.home("alice") + "/shell -x")
    local.outcome("alice")
    assert local.read("args") == f"-x pwd >{local.work}/pwd\n"


@pytest.mark.users("alice")
def test_restricted_places(mta):
    local = gp.Local(mta, {"allow_mail_to_commands": "alias", "allow_mail_to_files": ""},
                     aliases='c: "|/bin/true"\nf: WORK/f\n')
    local.put("alice", ".forward", '"|/bin/true"\nWORK/f')
    assert local.outcome("c") == ["c sent 2.0.0 delivered to command: /bin/true"]
    assert local.outcome("f") == ["f bounced 5.7.1 mail to file is restricted"]
    assert local.outcome("alice") == ["alice bounced 5.7.1 mail to command is restricted",
                                      "alice bounced 5.7.1 mail to file is restricted"]


@pytest.mark.users("alice", "bob")
def test_files(mta):
    local = gp.Local(mta, aliases='f: WORK/file\nspace: "WORK/a file"\nnull: /dev/null\n'
                     "nodir: WORK/none/file\nlink: WORK/link\ndir: WORK\n")
    os.symlink(f"{local.work}/target", f"{local.work}/link")
    assert local.outcome("f") == ["f sent 2.0.0 delivered to file: WORK/file"]
    assert local.outcome("f") == ["f sent 2.0.0 delivered to file: WORK/file"]
    assert len(gp.mbox(f"{local.work}/file")) == 2
    assert local.outcome("space") == ["space sent 2.0.0 delivered to file: WORK/a file"]
    assert local.outcome("null") == ["null sent 2.0.0 delivered to file: /dev/null"]
    failure = "bounced 5.2.0 cannot append message to file"
    assert local.outcome("nodir") == [
        f"nodir {failure} WORK/none/file: cannot create file exclusively: "
        "No such file or directory"]
    assert local.outcome("link") == [
        f"link {failure} WORK/link: cannot open file: No such file or directory"]
    assert local.outcome("dir") == [f"dir {failure} WORK: cannot open file: Is a directory"]
    assert not os.path.exists(f"{local.work}/target")
