"""postfix start, stop, abort, reload, status, start-fg (also as process 1), logrotate."""
import os
import signal
import subprocess
import time

import pytest

RELAY = {"relayhost": "[127.0.0.2]:25"}


def wait_until(condition, timeout=20, what="the condition"):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} not seen"
        time.sleep(0.05)


def test_status_and_second_start(mta):
    m = mta(start=False)
    assert m.run("postfix", "status", check=False).returncode == 1
    m.start()
    pid = m.master_pid()
    assert m.run("postfix", "status").returncode == 0
    m.wait_log(rf"the Postfix mail system is running: PID: {pid}")
    m.allow("fatal: the Postfix mail system is already running")
    assert m.run("postfix", "start", check=False).returncode == 1
    m.wait_log("fatal: the Postfix mail system is already running")
    assert m.master_pid() == pid
    m.stop()
    assert m.run("postfix", "status", check=False).returncode == 1
    assert m.log()[-1].message == "the Postfix mail system is not running"
    m.allow("fatal: the Postfix mail system is not running")
    assert m.run("postfix", "stop", check=False).returncode == 1


def test_pid_file_format(mta):
    m = mta()
    raw = open(f"{m.spool}/pid/master.pid").read()
    assert raw == f"{m.master_pid():>32}\n"


@pytest.mark.parametrize("command", ["stop", "abort"])
def test_nothing_is_left_running(mta, command):
    m = mta(RELAY)
    with m.smtp() as client:
        client.ehlo()
        m.stop(command)
    assert not m.daemons()


def test_stop_lets_a_transaction_end(mta, sink):
    """An accepted message is in the queue after a stop in the middle of it, and goes
    out after the next start."""
    server = sink("127.0.0.2", 25, delays={".": 1})
    m = mta(RELAY)
    with m.smtp() as client:
        assert client.mail("a@client.test", "b@far.test", "Subject: x\n\nx\n").code == 250
    m.stop()
    m.start()
    m.wait_log("status=sent", timeout=60)
    m.wait_empty()
    assert 1 <= len(server.messages) <= 2


def test_reload_drops_no_session(mta, sink):
    server = sink("127.0.0.2", 25)
    m = mta({**RELAY, "smtpd_banner": "$myhostname ESMTP before"})
    with m.smtp() as client:
        assert client.banner == "220 mx.gate.test ESMTP before"
        client.ehlo()
        client.cmd("MAIL FROM:<a@client.test>", 250)
        m.configure({"smtpd_banner": "$myhostname ESMTP after"})
        m.reload()
        m.wait_log("reload -- version")
        client.cmd("RCPT TO:<b@far.test>", 250)
        client.cmd("DATA", 354)
        assert client.data("Subject: x\n\nx\n").code == 250
        client.quit()
    server.wait(1)
    with m.smtp() as client:
        assert client.banner == "220 mx.gate.test ESMTP after"


def test_reload_changes_services(mta):
    m = mta()
    m.configure(master={"2525/inet": "2525 inet n - n - - smtpd -o smtpd_banner=second"})
    m.reload()
    m.wait_ready()
    with m.smtp(port=2525) as client:
        assert client.banner == "220 second"
    m.configure(master={"2525/inet": None})
    m.reload()
    wait_until(lambda: not m._accepts(("127.0.0.1", 2525)), what="the end of the service")


def test_start_fg_logs_to_standard_output(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "maillog_file": "/dev/stdout"}, start=False)
    process = m.popen("postfix", "start-fg", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                      text=True)
    try:
        m.wait_ready()
        with m.smtp() as client:
            client.mail("a@client.test", "b@far.test", "Subject: x\n\nx\n")
        server.wait(1)
        wait_until(lambda: not m.queue(), what="an empty queue")
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=20)
    assert "daemon started -- version" in out and "status=sent (250 " in out
    assert not m.daemons()


@pytest.mark.root
def test_as_process_one(gatepost, sink):
    """As in a container: process 1 of a pid namespace; orphans are reaped; SIGTERM to it
    ends everything."""
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "maillog_file": "/dev/stdout"}, start=False)
    process = m.sandbox.popen(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", m.path("postfix"),
         "start-fg"], env=m.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    try:
        wait_until(lambda: m._accepts(("127.0.0.1", 25)), what="the SMTP server")
        with m.smtp() as client:
            client.mail("a@client.test", "b@far.test", "Subject: x\n\nx\n")
        server.wait(1)
        (child,) = (int(p) for p in open(
            f"/proc/{process.pid}/task/{process.pid}/children").read().split())
        os.kill(child, signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert "status=sent (250 " in out
    assert "terminating on signal 15" in out


def test_logrotate(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost(RELAY)
    with m.smtp() as client:
        client.mail("a@client.test", "b@far.test", "Subject: x\n\nx\n")
    server.wait(1)
    m.wait_log("removed")
    m.run("postfix", "logrotate")
    wait_until(lambda: [f for f in os.listdir(m.dir) if f.startswith("maillog.")],
               what="the rotated file")
    with m.smtp() as client:
        client.mail("a@client.test", "b@far.test", "Subject: x\n\nx\n")
    server.wait(2)
    m.wait_log("removed")
    assert len(m.log("qmgr", "removed")) == 1, "old lines are in the new file"


def test_services_drop_their_rights(gatepost, sink):
    """Only master is root; the others run as mail_owner with no further groups."""
    server = sink("127.0.0.2", 25)
    m = gatepost(RELAY)
    with m.smtp() as client:
        client.mail("a@client.test", "b@far.test", "Subject: x\n\nx\n")
    server.wait(1)
    owner = m.owner.uid if hasattr(m, "owner") else os.geteuid()
    for pid, line in m.daemons().items():
        fields = dict(row.rstrip("\n").split(":\t", 1)
                      for row in open(f"/proc/{pid}/status") if ":\t" in row)
        uids = set(map(int, fields["Uid"].split()))
        if "master" not in os.path.basename(line.split(" ")[0]):
            assert uids == {owner}, f"{line}: {fields['Uid']}"
            assert int(fields["CapEff"], 16) == 0, line
