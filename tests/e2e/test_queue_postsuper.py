"""postsuper: every action beside the peer's, and the repair of names after a queue was
copied to other inodes, interrupted wherever."""
import os
import random
import re
import shutil
import signal
import time

import pytest

import gp
from gp import queuefile
from gp.maillog import parse

pytestmark = pytest.mark.root
ACTIVE, HELD, LATER = "AAAAA1", "AAAAA2", "BAAAA3"


def fill(m):
    put = queuefile.put
    put(m, "active", ACTIVE, b"s@x", [b"a@y"])
    put(m, "hold", HELD, b"s@x", [b"b@y"])
    put(m, "deferred", LATER, b"s@x", [b"c@y"], delays=[(0, b"why")])
    put(m, "deferred", "BAAAA4", b"s@x", [b"d@y"], mode=0o710, delays=[(0, b"why")])
    put(m, "hold", "BAAAA5", b"s@x", [b"d@y"], mode=0o710)
    put(m, "maildrop", "BAAAA7", b"s@x", [b"f@y"], mode=0o744)


# Not with an unfinished message: with ALL the peer moves that, too.
USES = ["-d XYZ", "-d ../x", "-d all", f"-d {ACTIVE} -d {ACTIVE}", "-d ALL hold deferred",
        "-d BAAAA7", "-d BAAAA6", "-v -d " + LATER, "-d ALL maildrop", "-h ALL",
        f"-h {LATER} -h {HELD}", "-h BAAAA6", "-h ALL deferred", "-h ALL -H ALL", "-H ALL",
        f"-H {HELD} -H {LATER}", "-H ALL -h ALL", "-r " + HELD, "-r BAAAA6",
        "-r ALL maildrop", f"-e {LATER} -e {LATER}", "-e ALL", "-f ALL", f"-f {HELD}",
        "-f BAAAA5", f"-e {LATER} -f {HELD}", "-d - -h -", "-h -",
        f"-r {ACTIVE} -d {LATER} -h BAAAA4 -e ALL -f {HELD}", "-p", "-p hold",
        "-x", "-d", "-d XYZ corrupt", "-s nonsense", "-c etc -s", "-c /nonexistent -s",
        "-d XYZ deferred/"]
STDIN = f"XYZ\nbad id\n../x\n{LATER}\n{HELD}\n"


def cleared(m):
    for queue in ("maildrop", "incoming", "active", "deferred", "hold", "defer"):
        shutil.rmtree(f"{m.spool}/{queue}")
        os.mkdir(f"{m.spool}/{queue}")
        os.chown(f"{m.spool}/{queue}", m.owner.uid, m.owner.gid)
    open(m.logfile, "w").close()
    os.chown(m.logfile, m.owner.uid, m.owner.gid)  # the peer writes it as that user


def outcome(m, use):
    cleared(m)
    fill(m)
    if "BAAAA6" in use:
        queuefile.put(m, "incoming", "BAAAA6", b"s@x", [b"e@y"], mode=0o600)
    done = m.run("postsuper", *use.split(), input=STDIN, check=False)
    said = [line for line in re.sub(r"\S*/postsuper: ", "postsuper: ", done.stderr).splitlines()
            if not re.search("name_mask|inet_addr_local|usage:|open logfile", line)]
    files = sorted((file.queue, file.qid, oct(file.mode), int(file.mtime > time.time() - 60))
                   for file in m.queue("maildrop", "incoming", "active", "deferred", "hold"))
    logged = [line.text for line in parse(m.log_text()) if line.program == "postsuper"
              and "usage:" not in line.text and "open logfile" not in line.text]
    return [use, done.returncode, said, logged if logged else None, files]


def test_actions_like_the_peer(gatepost, peer):
    both = []
    for make in (gatepost, peer):
        m = make()
        m.stop()
        m.allow("fatal: ")
        both.append(m)
    wrong = []
    for use in USES:
        ours, theirs = (outcome(m, use) for m in both)
        if theirs[3] is None:  # it could not open the log
            ours[3] = None
        if ours != theirs:
            wrong.append(gp.difference(theirs, ours))
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong)


@pytest.mark.users("alice")
def test_for_the_superuser_only(mta):
    m = mta()
    done = m.run("postsuper", "-d", "ALL", user="alice", check=False)
    assert done.returncode == 1
    assert "use of this command is reserved for the superuser" in done.stderr


def test_requeued_mail_is_picked_up_now(gatepost, sink):
    """Though its next attempt was far away; with a new id, and its delay log gone."""
    server = sink("127.0.0.2", 25, replies={"RCPT": ["450 4.2.0 later"]})
    m = gatepost({"relayhost": "[127.0.0.2]:25"})
    m.sendmail("-f", "s@x.test", "a@far.test", input="Subject: x\n\nhi\n")
    m.wait_log("status=deferred")
    m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
    (file,) = m.queue("deferred")
    m.run("postsuper", "-r", file.qid)
    server.wait(1, timeout=10)
    m.wait_empty()
    assert not m.queue("defer")
    assert m.wait_log("status=sent").qid != file.qid


@pytest.mark.parametrize("tried", [True, False], ids=["tried", "never tried"])
def test_expired_mail_comes_back(like_peer, sink, tried):
    """No further attempt: the last reasons go back, or that somebody wanted it so."""
    server = sink("127.0.0.2", 25, replies={
        "RCPT": lambda _, argument: "450 4.2.0 later" if "<s@" not in argument else None})

    def scenario(m):
        before = len(server.messages)
        with m.smtp() as client:
            client.mail("s@far.test", ["a@far.test", "b@far.test"], "Subject: x\n\nhi\n")
            client.quit()
        m.wait_queue(lambda files: [f.queue for f in files] == ["deferred" if tried else "hold"])
        (file,) = m.queue("deferred", "hold")
        m.run("postsuper", "-h", file.qid)
        m.run("postsuper", "-f", file.qid)
        m.flush()
        m.wait_log(f"{file.qid}: from=<s@far.test>, status=force-expired, returned to sender")
        (report,) = server.wait(before + 1)[before:]
        m.wait_empty()
        return (report.recipients, sorted(re.findall(r"(?m)^(?:Final|Diag|Status).*", report.text)),
                [row for row in m.normal_log() if "status=" in row and "queued as" not in row])

    hold = {} if tried else {"smtpd_recipient_restrictions": "check_client_access static:hold"}
    like_peer(scenario, {"relayhost": "[127.0.0.2]:25", **hold})


# -- names that do not fit their inodes --------------------------------------------------

def restored(m, count, swapped=0):
    """A queue as from a backup: short ids with other inode numbers, each with its delay
    log, and pairs whose ids are each other's right names."""
    wanted = {}
    for n in range(count):
        qid = f"{n:05X}ABC{n:X}"
        queue = "deferred" if n % 3 else "hold"
        queuefile.put(m, queue, qid, b"s%d@x" % n, [b"r@x"], delays=[(0, b"reason %d" % n)])
        wanted[f"s{n}@x"] = f"reason {n}"
    for n in range(swapped):
        paths, inodes = [], []
        for k in range(2):
            path = queuefile.write(m, "hold", f"{n}{k}", queuefile.message(
                b"w%d-%d@x" % (n, k), [b"r@x"])[0], 0o700)
            paths.append(path)
            inodes.append(os.stat(path).st_ino)
        for k in range(2):
            qid = f"F{n:04X}{inodes[1 - k]:X}"
            os.rename(paths[k], f"{m.spool}/hold/{qid}")
            offset = queuefile.message(b"w%d-%d@x" % (n, k), [b"r@x"])[1][0]
            queuefile.write(m, "defer", qid, f"\nrecipient=r@x\noffset={offset}\nstatus=4.0.0\n"
                            f"action=delayed\nreason=swapped {n} {k}\n\n".encode(), 0o600)
            wanted[f"w{n}-{k}@x"] = f"swapped {n} {k}"
    return wanted


def reasons(m):
    return {entry["sender"]: entry["recipients"][0].get("delay_reason")
            for entry in m.postqueue()}


def misnamed(m):
    return [file.path for file in m.queue("deferred", "hold", "defer")
            if "#" in file.qid or file.queue != "defer"
            and not file.qid.endswith(f"{os.stat(file.path).st_ino:X}")]


def stopped(make):
    m = make()
    m.stop()
    return m


@pytest.mark.parametrize("args", [["-s"], [], ["-S"]], ids=["s", "bare", "S"])
def test_names_follow_inodes(gatepost, args):
    m = stopped(gatepost)
    wanted = restored(m, 30, swapped=10)
    assert len(misnamed(m)) == 50
    done = m.run("postsuper", *args)
    assert "Renamed to match inode number: 50 messages" in done.stderr
    assert "QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS" in done.stderr
    assert not misnamed(m)
    assert reasons(m) == wanted
    again = m.run("postsuper", *args)
    assert "Renamed" not in again.stderr and reasons(m) == wanted


def test_ids_that_were_given_before_the_repair(mta):
    m = stopped(mta)
    m.allow("CHECK YOUR QUEUE IDS")
    restored(m, 5)
    os.chown(m.logfile, m.owner.uid, m.owner.gid)
    done = m.run("postsuper", "-s", "-d", "00001ABC1", check=False)
    assert done.returncode == 1 and len(m.queue("deferred", "hold")) == 5
    assert "fatal: CHECK YOUR QUEUE IDS AND RE-ISSUE THE COMMAND" in done.stderr


@pytest.mark.nosan
def test_repair_survives_interruption(gatepost):
    """Killed anywhere, then run again: each message keeps its log."""
    m = stopped(gatepost)
    wanted = restored(m, 300, swapped=50)
    killed = 0
    for _ in range(40):
        process = m.popen("postsuper", "-s")
        time.sleep(random.uniform(0.002, 0.03))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed > 0
    m.run("postsuper", "-s")
    assert not misnamed(m)
    assert reasons(m) == wanted


def test_repair_of_a_run_of_the_peer(gatepost, peer):
    """A repair that the peer was killed in is finished by ours."""
    theirs = stopped(peer)
    wanted = restored(theirs, 200)
    for _ in range(3):
        process = theirs.popen("postsuper", "-s", stderr=-3)
        time.sleep(random.uniform(0.005, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
    ours = stopped(gatepost)
    for queue in ("deferred", "defer", "hold"):
        shutil.rmtree(f"{ours.spool}/{queue}")
        os.rename(f"{theirs.spool}/{queue}", f"{ours.spool}/{queue}")
        os.mkdir(f"{theirs.spool}/{queue}")
    ours.run("postsuper", "-s")
    assert not misnamed(ours)
    assert set(reasons(ours)) == set(wanted)


def test_wrong_hash_directory(gatepost):
    m = stopped(lambda: gatepost({"hash_queue_depth": "2"}))
    queuefile.put(m, "deferred", "BAAAA3", b"s@x", [b"c@y"], delays=[(0, b"why")])
    os.rename(f"{m.spool}/deferred/B/BAAAA3", f"{m.spool}/deferred/B/" + (
        name := f"BAAAA{os.stat(f'{m.spool}/deferred/B/BAAAA3').st_ino:X}"))
    os.rename(f"{m.spool}/defer/B/BAAAA3", f"{m.spool}/defer/{name}")
    m.run("postsuper", "-s")
    assert os.path.exists(f"{m.spool}/deferred/B/A/{name}")
    assert reasons(m) == {"s@x": "why"}


def test_old_temporary_files(gatepost):
    m = stopped(gatepost)
    for name, age in (("123456.777", 2), ("123456.778", 0), ("ABCDEF1", 2), ("12.x", 2)):
        path = queuefile.write(m, "incoming", name, b"x", 0o600)
        os.utime(path, (time.time() - age * 86400,) * 2)
    m.run("postsuper", "-p")
    assert sorted(os.listdir(f"{m.spool}/incoming")) == ["12.x", "123456.778", "ABCDEF1"]
