"""kill -9 of every service, and of master, while mail flows: nothing that was accepted
is lost, duplicates are few, the queue is empty in the end."""
import collections
import re
import signal
import socket
import threading
import time

import pytest


# Short back-off, so that what a crash deferred is tried again within the test.
MAIN = {"relayhost": "[127.0.0.2]:25", "queue_run_delay": "2s", "minimal_backoff_time": "1s",
        "maximal_backoff_time": "2s", "transport_retry_time": "1s",
        "service_throttle_time": "1s", "ipc_timeout": "20s"}
SCAN = {"qmgr/unix": "qmgr unix n - n 2 1 qmgr"}  # look at the queue every two seconds
EXPECTED = [r"killed by signal 9", r"exit status 1$", r"bad command startup",
            r"fatal: .*(connect|read|lost|unexpected)"]


class Load:
    """Threads that send numbered messages by SMTP, and remember which were accepted."""

    def __init__(self, m, threads=6):
        self.m, self.accepted, self.refused = m, [], 0
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.next = 0
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _number(self):
        with self.lock:
            self.next += 1
            return self.next

    def _run(self):
        while not self.stop.is_set():
            try:
                with self.m.smtp(timeout=60) as client:
                    client.ehlo()
                    for _ in range(10):
                        number = self._number()
                        reply = client.mail("a@client.test", "b@far.test",
                                            f"Subject: {number}\n\nx\n", ehlo=False)
                        if reply.code == 250:
                            with self.lock:
                                self.accepted.append(number)
                        else:
                            self.refused += 1
                        if self.stop.is_set():
                            break
            except (OSError, AssertionError, socket.timeout):
                self.refused += 1
                time.sleep(0.05)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(70)
        return self.accepted


def received(server):
    numbers = [int(re.search(r"^Subject: (\d+)", m.text, re.M).group(1))
               for m in list(server.messages)]
    return collections.Counter(numbers)


def complete(m):
    """Queue files that are whole: what a killed cleanup leaves half written was never
    accepted, and is removed by the next start."""
    return [file for file in m.queue() if file.mode & 0o100]


def settle(m, server, accepted, timeout=90):
    deadline = time.monotonic() + timeout
    while set(accepted) - set(received(server)) or complete(m):
        assert time.monotonic() < deadline, (
            f"lost: {sorted(set(accepted) - set(received(server)))[:20]}, queue: {complete(m)[:5]}\n"
            + m.log_text()[-2000:])
        time.sleep(0.2)


def check(m, server, accepted):
    settle(m, server, accepted)
    got = received(server)
    doubled = [n for n, count in got.items() if count > 1]
    assert len(doubled) <= 60, f"{len(doubled)} of {len(got)} messages came more than once"
    assert max(got.values()) <= 4


@pytest.mark.parametrize("service", ["smtpd", "cleanup", "qmgr", "smtp", "trivial-rewrite",
                                     "bounce", "postlogd", "anvil"])
def test_killed_service(gatepost, sink, service):
    server = sink("127.0.0.2", 25)
    m = gatepost(MAIN, SCAN)
    for pattern in EXPECTED:
        m.allow(pattern)
    load = Load(m)
    killed = 0
    for _ in range(3):
        time.sleep(0.7)
        killed += len(m.kill(service, signal.SIGKILL))
    time.sleep(1)
    accepted = load.finish()
    assert len(accepted) > 20, f"only {len(accepted)} accepted\n{m.log_text()[-2000:]}"
    assert killed or service in ("bounce", "anvil"), "nothing was killed"
    check(m, server, accepted)


def test_killed_master(gatepost, sink):
    """Its services end too; a new start finds everything."""
    server = sink("127.0.0.2", 25)
    m = gatepost(MAIN, SCAN)
    for pattern in EXPECTED:
        m.allow(pattern)
    load = Load(m)
    time.sleep(1)
    m.kill("master")
    deadline = time.monotonic() + 30
    while m.daemons() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not m.daemons(), "services outlive master"
    m.start()
    time.sleep(1)
    accepted = load.finish()
    check(m, server, accepted)


@pytest.mark.slow
def test_everything_killed_in_turn(gatepost, sink):
    """5,000 messages, a service killed every half second."""
    server = sink("127.0.0.2", 25)
    m = gatepost(MAIN, SCAN)
    for pattern in EXPECTED:
        m.allow(pattern)
    load = Load(m, threads=12)
    services = ["smtpd", "cleanup", "qmgr", "smtp", "trivial-rewrite"]
    deadline = time.monotonic() + 90
    turn = 0
    while len(load.accepted) < 5000 and time.monotonic() < deadline:
        time.sleep(0.5)
        m.kill(services[turn % len(services)])
        turn += 1
    accepted = load.finish()
    assert len(accepted) > 500
    settle(m, server, accepted, timeout=120)
    got = received(server)
    doubled = sum(count > 1 for count in got.values())
    assert doubled < 0.1 * len(got), f"{doubled} of {len(got)} messages came more than once"


def test_local_submission_survives(gatepost, sink):
    """sendmail while nothing runs; then start."""
    server = sink("127.0.0.2", 25)
    m = gatepost(MAIN, SCAN, start=False)
    m.run("postfix", "check", check=False)
    for number in range(5):
        m.sendmail("-f", "a@client.test", "b@far.test", input=f"Subject: {number}\n\nx\n")
    assert len(m.queue("maildrop")) == 5
    m.start()
    server.wait(5)
    m.wait_empty()
    assert sorted(received(server)) == list(range(5))
    assert {m.sender for m in server.messages} == {"a@client.test"}


def test_harness_sees_a_loss(sandbox):
    """settle() is able to fail."""
    class Nothing:
        messages = []
        queue = staticmethod(lambda: [])
        log_text = staticmethod(lambda: "")
    with pytest.raises(AssertionError, match="lost: .7."):
        settle(Nothing, Nothing, [7], timeout=0)
