"""Disk full and descriptors exhausted: mail is refused for now with a clear log; what was
accepted stays, and all goes on when there is room again."""
import time

import pytest

RELAY = {"relayhost": "[127.0.0.2]:25"}


def send(m, size=100):
    with m.smtp(timeout=60) as client:
        client.ehlo()
        reply = client.cmd("MAIL FROM:<a@client.test>")
        if reply.code == 250:
            client.cmd("RCPT TO:<b@far.test>", 250)
            client.cmd("DATA", 354)
            reply = client.data("Subject: x\n\n" + ("x" * 70 + "\n") * (size // 71))
        return reply


@pytest.mark.root
def test_disk_full(mta, sink):
    """The spool is a small file system of its own."""
    server = sink("127.0.0.2", 25, replies={"RCPT": "450 4.2.0 later"})
    m = mta({**RELAY, "queue_minfree": 0, "message_size_limit": 300000,
             "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
             "queue_run_delay": "1s"}, start=False)
    m.sandbox.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", m.spool])
    m.start(ready=False)
    time.sleep(2)
    replies = [send(m, 250000) for _ in range(12)]
    accepted = sum(reply.code == 250 for reply in replies)
    assert 2 <= accepted < 12
    assert {reply.code for reply in replies} <= {250, 452, 451}
    assert any("4.3.1" in r.text or "4.3.0" in r.text for r in replies if r.code != 250)
    m.wait_log("warning|Insufficient|No space|not enough free space", program=None)
    server.replies.clear()
    m.run("postqueue", "-f", check=False)
    server.wait(accepted, timeout=60)
    deadline = time.monotonic() + 30
    while send(m, 250000).code != 250:
        assert time.monotonic() < deadline, "still refused when there is room"
        time.sleep(0.5)
    server.wait(accepted + 1)
    assert len(server.messages) <= accepted + 2
    m.stop()
    m.allow("fatal: .*(No space|space)")
    m.sandbox.run(["umount", m.spool], check=False)


@pytest.mark.root
def test_descriptors_exhausted(gatepost, sink):
    """smtpd and cleanup with room for very few descriptors: no message lost, and all is
    well when the limit is raised."""
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "queue_run_delay": "2s", "minimal_backoff_time": "1s",
                  "maximal_backoff_time": "2s", "transport_retry_time": "1s"},
                 {"qmgr/unix": "qmgr unix n - n 2 1 qmgr"})
    assert send(m).code == 250
    pids = [*m.daemons("smtpd"), *m.daemons("cleanup"), *m.daemons("qmgr"), *m.daemons("smtp")]
    assert pids
    for pid in pids:
        m.sandbox.run(["prlimit", "--pid", pid, "--nofile=14:"], user="postfix")
    m.allow("fatal: |bad command startup|exit status 1$")
    accepted, socks = 1, []
    for _ in range(40):
        try:
            client = m.smtp(timeout=3, read_banner=False)
            socks.append(client)
        except OSError:
            break
    time.sleep(1)
    for client in socks:
        client.close()
    for _ in range(5):
        try:
            accepted += send(m).code == 250
        except (OSError, AssertionError):
            pass
    for pid in pids:
        m.sandbox.run(["prlimit", "--pid", pid, "--nofile=4096:"], user="postfix",
                      check=False)
    deadline = time.monotonic() + 40
    while True:
        try:
            if send(m).code == 250:
                accepted += 1
                break
        except (OSError, AssertionError):
            pass
        assert time.monotonic() < deadline, "no recovery\n" + m.log_text()[-2000:]
        time.sleep(0.5)
    server.wait(accepted, timeout=60)
    m.wait_log("Too many open files|file descriptor|descriptors")
