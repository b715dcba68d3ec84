"""Fast flush: which deferred mail waits for which site (postqueue -s), one message
(postqueue -i), and the care of the logs."""
import glob
import os
import time

import gp

SITES = {"relayhost": "[127.0.0.2]:25", "fast_flush_domains": "far.test, [192.0.2.9]"}


def defer(m, *recipients):
    """One message each; returns their ids."""
    qids = []
    for rcpt in recipients:
        before = {file.qid for file in m.queue()}
        m.sendmail("-f", "s@x.test", rcpt, input="Subject: x\n\nhi\n")
        m.wait_log(f"to=<{rcpt}>.*status=deferred".replace("[", r"\["))
        m.wait_queue(lambda files: {f.queue for f in files} == {"deferred"})
        (qid,) = {file.qid for file in m.queue()} - before
        qids.append(qid)
    return qids


def logs(m):
    return {os.path.basename(path): open(path).read().split()
            for path in glob.glob(f"{m.spool}/flush/*")}


def wait_logs(m, wanted):
    deadline = time.monotonic() + 20
    while logs(m) != wanted:
        assert time.monotonic() < deadline, (logs(m), wanted)
        time.sleep(0.05)


def later(count):
    return {"RCPT": ["450 4.2.0 later"] * count}


def test_one_site(mta, sink):
    server = sink("127.0.0.2", 25, replies=later(3))
    m = mta(SITES)
    a, b, c = defer(m, "a@far.test", "b@FAR.test", "c@other.test")
    wait_logs(m, {"far_test": [a, b]})
    m.run("postqueue", "-s", "Far.Test")
    server.wait(2)
    time.sleep(0.5)
    assert sorted(rcpt for msg in server.messages for rcpt in msg.recipients) == \
        ["a@far.test", "b@FAR.test"]
    m.wait_queue(lambda files: [file.qid for file in files] == [c])
    m.flush()
    m.wait_empty()


def test_site_that_is_an_address(gatepost, sink):
    server = sink("127.0.0.2", 25, replies=later(1))
    m = gatepost(SITES)
    (a,) = defer(m, "a@[192.0.2.9]")
    wait_logs(m, {"_192_0_2_9_": [a]})
    m.run("postqueue", "-s", "[192.0.2.9]")
    server.wait(1)
    m.wait_empty()


def test_still_deferred_is_noted_again(mta, sink):
    sink("127.0.0.2", 25, replies=later(9))
    m = mta(SITES)
    (qid,) = defer(m, "a@far.test")
    wait_logs(m, {"far_test": [qid]})
    m.run("postqueue", "-s", "far.test")
    m.wait_log("status=deferred", count=2)
    m.wait_queue(lambda files: {f.queue for f in files} == {"deferred"})
    wait_logs(m, {"far_test": [qid]})


def test_not_a_fast_flush_site(mta):
    m = mta(SITES)
    m.allow("not configured for destination")
    done = m.run("postqueue", "-s", "other.test", check=False)
    assert done.returncode == 69
    assert 'Flush service is not configured for destination "other.test"' in done.stderr


def test_one_message_to_a_dead_destination(mta, sink):
    """Nobody listens, so the destination is held for dead; -i tries nevertheless."""
    m = mta(SITES)
    a, b = defer(m, "a@far.test", "b@far.test")
    server = sink("127.0.0.2", 25)
    m.run("postqueue", "-i", b)
    (message,) = server.wait(1)
    assert message.recipients == ["b@far.test"]
    m.wait_queue(lambda files: [(file.qid, file.queue) for file in files] == [(a, "deferred")])


def test_message_that_is_not_deferred(gatepost, sink):
    m = gatepost(SITES)
    m.run("postqueue", "-i", "ABCDEF1")
    (a,) = defer(m, "a@far.test")
    m.run("postsuper", "-h", a)
    sink("127.0.0.2", 25)
    m.run("postqueue", "-i", a)
    time.sleep(0.5)
    assert [(file.qid, file.queue) for file in m.queue()] == [(a, "hold")]


def test_wake_up_cleans_the_logs(gatepost, sink):
    """What is no longer deferred is forgotten, an id stands once, old logs go."""
    sink("127.0.0.2", 25, replies=later(9))
    m = gatepost(SITES)
    (a,) = defer(m, "a@far.test")
    wait_logs(m, {"far_test": [a]})
    with open(f"{m.spool}/flush/far_test", "a") as f:
        f.write(f"{a}\nGONE99999\n../../etc/passwd\n{a}\n\n")
    for name, age in (("old_test", 8), ("empty_test", 0)):
        path = f"{m.spool}/flush/{name}"
        with open(path, "w") as f:
            f.write("GONE99999\n")
        os.chmod(path, 0o600)
        if gp.is_root():
            os.chown(path, m.owner.uid, m.owner.gid)
        os.utime(path, (time.time() - age * 86400,) * 2)
    m.run("postkick", "public", "flush", "W")
    wait_logs(m, {"far_test": [a]})


def test_neglected_mail_is_tried(gatepost, sink):
    server = sink("127.0.0.2", 25, replies=later(1))
    m = gatepost(SITES)
    (a,) = defer(m, "a@far.test")
    wait_logs(m, {"far_test": [a]})
    m.run("postkick", "public", "flush", "W")
    time.sleep(0.5)
    assert not server.messages
    os.utime(f"{m.spool}/flush/far_test", (time.time() - 13 * 3600,) * 2)
    m.run("postkick", "public", "flush", "W")
    server.wait(1)
    m.wait_empty()
