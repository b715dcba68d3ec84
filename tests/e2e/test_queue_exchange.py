"""A queue filled by one system is delivered by the other; each one's tools read the
other's files."""
import os
import shutil

import pytest

import gp

RELAY = {"relayhost": "[127.0.0.2]:25", "defer_transports": "smtp", "smtp_line_length_limit": 0}
TEXT = "Subject: exchanged\n\nLong line: " + "x" * 5000 + "\n.\nend\n"


def fill(m):
    """Three messages: by SMTP with DSN options, by sendmail, to several recipients."""
    with m.smtp() as client:
        client.ehlo()
        client.cmd("MAIL FROM:<a@client.test> RET=HDRS ENVID=env1 BODY=8BITMIME", 250)
        client.cmd("RCPT TO:<one@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o@far.test", 250)
        client.cmd("DATA", 354)
        assert client.data(TEXT).code == 250
        client.mail("", ["two@far.test", "three@far.test"], TEXT, ehlo=False)
        client.quit()
    m.sendmail("-i", "-f", "c@client.test", "four@far.test", input=TEXT)
    m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"] * 3)
    m.stop()


def move(source, target):
    """The mail and the status logs go from one stopped system to another. The files
    stay the same files: a short queue id contains the inode number."""
    target.run("postfix", "-c", target.etc, "check", check=False)
    for queue in ("deferred", "defer"):
        shutil.rmtree(f"{target.spool}/{queue}")
        os.rename(f"{source.spool}/{queue}", f"{target.spool}/{queue}")


@pytest.mark.root
@pytest.mark.parametrize("order", [(gp.Gatepost, gp.Peer), (gp.Peer, gp.Gatepost)],
                         ids=["ours-to-peer", "peers-to-ours"])
@pytest.mark.parametrize("long_ids", [False, True], ids=["short", "long"])
def test_queue_is_taken_over(_systems, sink, order, long_ids):
    server = sink("127.0.0.2", 25)
    main = {**RELAY, "enable_long_queue_ids": long_ids}
    first = _systems(order[0], main)
    fill(first)
    second = _systems(order[1], {**main, "defer_transports": ""}, start=False)
    move(first, second)
    second.start()
    second.flush()
    server.wait(3, timeout=40)
    second.wait_empty()
    envelopes = sorted((m.sender, tuple(sorted(m.recipients))) for m in server.messages)
    assert envelopes == [("", ("three@far.test", "two@far.test")),
                         ("a@client.test", ("one@far.test",)),
                         ("c@client.test", ("four@far.test",))]
    for message in server.messages:
        assert message.text.split("\n\n", 1)[1] == TEXT.split("\n\n", 1)[1]
    dsn = next(m for m in server.messages if m.sender == "a@client.test")
    assert "RET=HDRS" in dsn.mail_args and "ENVID=env1" in dsn.mail_args
    assert dsn.rcpt_args == ["ORCPT=rfc822;o@far.test NOTIFY=SUCCESS,FAILURE"]


@pytest.mark.root
def test_postcat_and_listing_agree(gatepost, peer):
    """postcat and postqueue -p of the peer and ours, on the same files."""
    ours = gatepost(RELAY)
    fill(ours)
    qids = [file.qid for file in ours.queue("deferred")]

    def outputs(m):
        texts = [m.run("postcat", "-q", qid).stdout.replace(m.spool, "") for qid in qids]
        return [m.run("postqueue", "-p").stdout, *texts]

    got = outputs(ours)
    theirs = peer(RELAY, start=False)
    move(ours, theirs)
    unlike = gp.difference(outputs(theirs), got)
    assert not unlike, "\n" + unlike
    assert "3 Requests" in got[0] and "*** MESSAGE CONTENTS deferred/" in got[1]


@pytest.mark.root
def test_same_records_as_the_peer(gatepost, peer):
    """The same mail makes the same records in the same order."""
    kinds = {}
    for make in (gatepost, peer):
        m = make(RELAY)
        fill(m)
        kinds[m.name] = sorted(
            [(kind, data.split(b"=")[0] if kind == "A" else b"")
             for kind, data in gp.records(file.path) if kind not in "wp"]
            for file in m.queue("deferred"))
    assert kinds["gatepost"] == kinds["peer"]


@pytest.mark.root
@pytest.mark.parametrize("order", [(gp.Gatepost, gp.Peer), (gp.Peer, gp.Gatepost)],
                         ids=["ours-to-peer", "peers-to-ours"])
def test_states_are_taken_over(_systems, sink, order):
    """Held, expired and requeued by the other system; then delivered, or returned."""
    first = _systems(order[0], RELAY)
    fill(first)
    second = _systems(order[1], {**RELAY, "defer_transports": ""}, start=False)
    move(first, second)
    by_sender = {entry["sender"]: entry["queue_id"] for entry in second.postqueue()}
    held, expired, again = (by_sender[s] for s in ("a@client.test", "c@client.test",
                                                   "MAILER-DAEMON"))
    first_tools = lambda *args: first.run("postsuper", *args)  # noqa: E731
    for queue in ("deferred", "defer", "hold", "maildrop"):
        shutil.rmtree(f"{first.spool}/{queue}", ignore_errors=True)
        os.symlink(f"{second.spool}/{queue}", f"{first.spool}/{queue}")
    os.chown(first.logfile, first.owner.uid, first.owner.gid)  # or the peer cannot log
    first_tools("-h", held)
    first_tools("-e", expired)
    first_tools("-r", again)
    marks = {entry["queue_id"]: (entry["queue_name"], entry["forced_expire"])
             for entry in second.postqueue()}
    assert marks == {held: ("hold", False), expired: ("deferred", True),
                     again: ("maildrop", False)}
    second.start()
    second.flush()
    second.wait_log(f"{expired}: from=<c@client.test>, status=force-expired")
    second.wait_queue(lambda files: expired not in [file.qid for file in files])
    assert [file.qid for file in second.queue("hold")] == [held]
    server = sink("127.0.0.2", 25)
    second.run("postsuper", "-H", held)
    second.flush()
    server.wait(3)  # with the report of the expired one
    second.wait_empty()
    assert sorted(tuple(sorted(message.recipients)) for message in server.messages) == [
        ("c@client.test",), ("one@far.test",), ("three@far.test", "two@far.test")]


@pytest.mark.root
@pytest.mark.skipif(not shutil.which("perl"), reason="needs perl")
def test_qshape_of_the_peer_reads_our_queue(gatepost, peer):
    ours = gatepost(RELAY)
    fill(ours)
    theirs = peer(RELAY, start=False)
    done = theirs.run("qshape", "-c", ours.etc, "-s", "deferred", check=False)
    rows = [line.split()[:2] for line in done.stdout.splitlines()]
    assert ["client.test", "2"] in rows and ["MAILER-DAEMON", "1"] in rows, done
    rows = theirs.run("qshape", "-c", ours.etc, "deferred").stdout
    assert ["far.test", "4"] in [line.split()[:2] for line in rows.splitlines()]
