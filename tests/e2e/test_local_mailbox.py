"""Mailboxes and maildirs: content, rights, locks, limits, hostile files."""
import fcntl
import os
import re
import stat
import threading

import pytest

import gp

MAILBOX = "sent 2.0.0 delivered to mailbox"
MAILDIR = "sent 2.0.0 delivered to maildir"
BODY = "hello\nFrom here\n>From there\nFromage\n.dot\n"
MESSAGE = gp.localmail.HEADERS + BODY


def normal_text(text):
    """Ids, dates and client ids out of a mailbox."""
    text = re.sub(r"(\bid )\w+", r"\1QID", text)
    text = re.sub(r"<\d+\.\w+@", "<QID@", text)
    return re.sub(r"\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d \S+ \(\w+\)"
                  r"|\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}", "DATE", text)


def rights(path):
    info = os.stat(path)
    return stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid


@pytest.mark.users("alice", "bob")
def test_same_bytes_as_the_peer(gatepost, peer):
    boxes = []
    for make in (gatepost, peer):
        local = gp.Local(make, {"recipient_delimiter": "+"}, aliases="list: alice\n")
        local.outcome("alice", message=MESSAGE)
        local.outcome("Alice+Ext", sender="", message=MESSAGE)
        local.outcome("list", sender='"odd name"@client.test', message=MESSAGE)
        local.reconfigure(home_mailbox="Mail/dir/")
        local.outcome("bob", message=MESSAGE)
        (bob,) = gp.maildir(local.home("bob") + "/Mail/dir")
        boxes.append([normal_text(open(local.spool("alice")).read()), normal_text(bob)])
        local.m.stop()
        os.rename(local.home("bob") + "/Mail", f"{local.work}/Mail")
    assert boxes[0] == boxes[1], gp.difference(boxes[1], boxes[0])
    assert "\n>From here\n>From there\nFromage\n.dot\n\nFrom MAILER-DAEMON  DATE\n" \
        in boxes[0][0]


@pytest.mark.users("alice", "bob")
def test_whose_mailbox_it_is(mta):
    local = gp.Local(mta)
    alice = local.box.users["alice"]
    assert local.outcome("alice") == ["alice " + MAILBOX]
    assert rights(local.spool("alice")) == (0o600, alice.uid, alice.gid)
    assert local.outcome("root") == ["root " + MAILBOX]
    assert rights(local.spool("root")) == (0o600, 0, 0)
    local.reconfigure(home_mailbox="Maildir/")
    assert local.outcome("alice") == ["alice " + MAILDIR]
    for folder in ("", "/tmp", "/new", "/cur"):
        assert rights(local.home("alice") + "/Maildir" + folder) == \
            (0o700, alice.uid, alice.gid)
    (name,) = os.listdir(local.home("alice") + "/Maildir/new")
    assert re.fullmatch(r"\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\.mx\.gate\.test", name)
    assert rights(local.home("alice") + "/Maildir/new/" + name) == \
        (0o600, alice.uid, alice.gid)
    assert not os.listdir(local.home("alice") + "/Maildir/tmp")


@pytest.mark.users("alice")
def test_spool_that_only_root_can_write(mta):
    local = gp.Local(mta)
    os.chmod(local.m.dir + "/mail", 0o755)
    assert local.outcome("alice") == ["alice " + MAILBOX]
    assert local.outcome("alice") == ["alice " + MAILBOX]
    assert len(gp.mbox(local.spool("alice"))) == 2
    alice = local.box.users["alice"]
    assert rights(local.spool("alice")) == (0o600, alice.uid, alice.gid)
    assert os.listdir(local.m.dir + "/mail") == ["alice"]


@pytest.mark.users("alice", "bob")
def test_what_is_no_mailbox(mta):
    local = gp.Local(mta)
    box, uid = local.spool("alice"), local.box.users["alice"].uid
    victim = local.m.dir + "/victim"

    def refused(why, code="bounced 5.2.0"):
        assert local.outcome("alice") == \
            [f"alice {code} cannot update mailbox DIR/mail/alice for user alice. {why}"]

    os.symlink("/etc/passwd", box)
    refused("cannot open file: Permission denied")
    os.remove(box)
    for name in (victim, box):
        open(name, "a").close() if name == victim else os.link(victim, box)
    os.chown(victim, uid, -1)
    refused("file has 2 hard links")
    assert os.path.getsize(victim) == 0
    os.remove(box)
    os.mkdir(box)
    refused("cannot open file: Is a directory")
    os.rmdir(box)
    os.mkfifo(box)
    os.chown(box, uid, -1)
    refused("cannot open file: No such device or address")
    os.remove(box)
    open(box, "w").close()
    refused("cannot open file: Permission denied")
    os.chmod(box, 0o666)
    refused("destination DIR/mail/alice is not owned by recipient", "deferred 4.2.0")
    local.m.wait_log('warning: specify "strict_mailbox_ownership = no" to ignore '
                     "mailbox ownership mismatch")
    local.reconfigure(strict_mailbox_ownership=False)
    assert local.outcome("alice") == ["alice " + MAILBOX]


@pytest.mark.users("alice")
def test_links_of_users_are_not_followed(gatepost):
    local = gp.Local(gatepost)
    uid = local.box.users["alice"].uid
    target = local.m.dir + "/target"
    open(target, "w").close()
    os.chown(target, uid, -1)
    os.symlink(target, local.spool("alice"))
    os.lchown(local.spool("alice"), uid, -1)
    (text,) = local.outcome("alice")
    assert text.startswith("alice bounced 5.2.0 cannot update mailbox")
    assert os.path.getsize(target) == 0


@pytest.mark.users("alice")
def test_locked_mailbox(mta):
    local = gp.Local(mta, {"deliver_lock_attempts": 2, "mailbox_delivery_lock":
                           "fcntl, flock, dotlock"})
    assert local.outcome("alice") == ["alice " + MAILBOX]
    trouble = "alice deferred 4.2.0 cannot update mailbox DIR/mail/alice for user alice. "
    open(local.spool("alice") + ".lock", "w").close()
    assert local.outcome("alice") == [trouble + "unable to create lock file "
                                      "DIR/mail/alice.lock: File exists"]
    os.remove(local.spool("alice") + ".lock")
    for lock in (fcntl.lockf, fcntl.flock):
        with open(local.spool("alice"), "r+") as f:
            lock(f, fcntl.LOCK_EX)
            (text,) = local.outcome("alice")
            assert text.startswith(trouble + "unable to lock for exclusive access"), text
    assert len(gp.mbox(local.spool("alice"))) == 1
    assert not os.path.exists(local.spool("alice") + ".lock")


@pytest.mark.users("alice")
def test_deliveries_at_once_do_not_mix(gatepost):
    local = gp.Local(gatepost, {"local_destination_concurrency_limit": 20})
    body = "".join(f"{n:06d} " + "x" * 60 + "\n" for n in range(3000))
    message = "Subject: big\n\n" + body
    threads = [threading.Thread(target=local.send, args=("alice",),
                                kwargs={"message": message}) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    local.m.wait_log("status=sent", count=12)
    found = gp.mbox(local.spool("alice"))
    assert len(found) == 12
    assert all(one.get_payload().rstrip("\n") == body.rstrip("\n") for one in found)


@pytest.mark.users("alice", "bob")
def test_size_limit(mta):
    local = gp.Local(mta, {"mailbox_size_limit": 6000, "message_size_limit": 6000})
    big = "Subject: big\n\n" + "x" * 70 * 50 + "\n"
    assert local.outcome("alice", message=big) == ["alice " + MAILBOX]
    size = os.path.getsize(local.spool("alice"))
    assert local.outcome("alice", message=big) == [
        "alice bounced 5.2.2 cannot update mailbox DIR/mail/alice for user alice. "
        "error writing message: File too large"]
    assert os.path.getsize(local.spool("alice")) == size
    local.reconfigure(home_mailbox="Maildir/")
    assert local.outcome("alice", message=big) == ["alice " + MAILDIR]
    assert local.outcome("alice", message=big) == ["alice " + MAILDIR]


@pytest.mark.users("alice")
def test_size_limit_below_message_limit(mta):
    m = mta({"mailbox_size_limit": 6000, "local_recipient_maps": ""})
    m.allow("mailbox_size_limit|bad command startup")
    with m.smtp() as client:
        client.mail("s@client.test", "alice@mx.gate.test", MESSAGE)
    line = m.wait_log("mailbox_size_limit is smaller")
    assert line.severity == "fatal" and line.text == \
        "configuration error: mailbox_size_limit is smaller than message_size_limit"


@pytest.mark.users("alice", "bob")
def test_home_mailbox_problems(mta):
    local = gp.Local(mta, {"home_mailbox": "a/b/mbox"})
    home = local.home("alice")
    short = home.replace(local.m.dir, "DIR")
    assert local.outcome("alice") == [
        f"alice bounced 5.2.0 cannot update mailbox {short}/a/b/mbox for user alice. "
        f"unable to create lock file {short}/a/b/mbox.lock: No such file or directory"]
    local.reconfigure(home_mailbox="a/b/md/")
    assert local.outcome("alice") == ["alice " + MAILDIR]
    os.rename(home, home + ".away")
    (text,) = local.outcome("alice")
    assert re.match(r"alice bounced 5\.2\.0 maildir delivery failed: create maildir file "
                    r".*/a/b/md/tmp/\S+: Permission denied$", text)
    local.m.wait_log("warning: maildir access problem for UID/GID=")
    local.m.wait_log("warning: perhaps you need to create the maildirs in advance")
    local.reconfigure(require_home_directory=True)
    assert local.outcome("alice") == ["alice deferred 4.3.0 cannot access home directory "
                                      f"{short}: No such file or directory"]


@pytest.mark.users("alice")
def test_spool_of_maildirs(mta):
    local = gp.Local(mta)
    local.reconfigure(mail_spool_directory=f"{local.work}/")
    assert local.outcome("alice") == ["alice " + MAILDIR]
    assert len(gp.maildir(f"{local.work}/alice")) == 1


@pytest.mark.users("alice", "bob")
def test_headers_that_settings_leave_out(mta):
    local = gp.Local(mta, {"prepend_delivered_header": "", "enable_original_recipient":
                           False}, aliases="f: WORK/file\nc: |\"cat >WORK/cmd\"\n"
                     "r: x@far.test\n".replace('|"cat', '"|cat'))
    local.outcome("f"), local.outcome("c"), local.outcome("alice"), local.outcome("r")
    for text in (local.read("file"), local.read("cmd")):
        assert re.match("From s@client.test  .*\nReturn-Path: <s@client.test>\nReceived: ",
                        text)
    (message,) = gp.mbox(local.spool("alice"))
    assert message["Delivered-To"] is message["X-Original-To"] is None
    fwd = local.forwarded("to=<r@")
    (path,) = [f.path for f in local.m.queue() if f.qid == fwd]
    assert not any(b"Delivered-To" in data for _, data in gp.records(path))


@pytest.mark.users("alice", "bob")
def test_without_root(gatepost):
    """Started by an ordinary user: that user's mail is delivered, other mail waits."""
    m = gatepost({"mail_owner": "alice", "setgid_group": "alice", "home_mailbox":
                  "Maildir/", "local_recipient_maps": ""},
                 {"smtp/inet": "2525 inet n - n - - smtpd"}, start=False)
    for folder, names, files in os.walk(m.dir):
        for name in ["", *files]:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chown(path, m.sandbox.users["alice"].uid, m.sandbox.users["alice"].gid)
    m.run("postfix", "-c", m.etc, "start", user="alice")
    m.running = True
    m.wait_ready()
    for rcpt in ("alice", "bob"):
        with m.smtp(port=2525) as client:
            client.mail("", f"{rcpt}@mx.gate.test", MESSAGE)
    assert m.wait_log("to=<alice@.*status=sent").reason == "delivered to maildir"
    assert len(m.wait_maildir("alice")) == 1
    line = m.wait_log("to=<bob@.*status=deferred")
    assert line.dsn == "4.3.0" and "the mail system was not started by root" in line.reason
