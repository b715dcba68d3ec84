"""250 after end of data, and sendmail's exit 0, come after the message is safe: file
synced, complete by its mode, and its directory entry in place."""
import os
import re
import shutil
import time

import pytest

import gp

RELAY = {"relayhost": "[127.0.0.2]:25"}
MESSAGE = "Subject: durable\n\nhello\n"
CALLS = ("openat,open,rename,renameat,renameat2,linkat,link,fchmod,fsync,fdatasync,syncfs,"
         "sendto,sendmsg,write,writev")


class Trace:
    """strace of the given processes and their children, as rows (pid, call text)."""

    def __init__(self, m, pids):
        self.path = f"{m.sandbox.dir}/strace"
        targets = [arg for pid in pids for arg in ("-p", pid)]
        self.process = m.sandbox.popen(["strace", "-f", "-ttt", "-y", "-s", "200", "-e",
                                        f"trace={CALLS}", "-o", self.path, *targets])
        self.m = m

    def wait_attached(self, pids):
        deadline = 200
        while any("TracerPid:\t0" in open(f"/proc/{pid}/status").read() for pid in pids):
            deadline -= 1
            assert deadline, "strace does not attach"
            assert self.process.poll() is None, "strace ended"
            time.sleep(0.05)

    def rows(self):
        """Finished calls in order of their return; resumed parts are joined."""
        self.process.terminate()
        self.process.wait()
        begun, out = {}, []
        for line in open(self.path, errors="replace"):
            pid, _, call = line.rstrip("\n").split(None, 2)
            if call.endswith("<unfinished ...>"):
                begun[pid] = call[:-len("<unfinished ...>")]
                continue
            resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", call)
            if resumed:
                call = begun.pop(pid, "") + resumed.group(1)
            out.append(call)
        return out


def first(rows, pattern, after=-1):
    for number, row in enumerate(rows):
        if number > after and re.search(pattern, row):
            return number
    raise AssertionError(f"no call like {pattern!r}\n" + "\n".join(rows[-200:]))


@pytest.mark.root
@pytest.mark.nosan
def test_smtp_reply_comes_after_the_syncs(gatepost, sink):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    sink("127.0.0.2", 25)
    m = gatepost(RELAY)
    with m.smtp() as client:  # have the services running
        client.mail("a@client.test", "b@far.test", MESSAGE)
        client.quit()
    m.wait_empty()
    pids = [m.master_pid(), *m.daemons("cleanup"), *m.daemons("smtpd")]
    trace = Trace(m, pids)
    trace.wait_attached(pids)
    with m.smtp() as client:
        reply = client.mail("a@client.test", "b@far.test", MESSAGE)
        qid = reply.text.rsplit(" ", 1)[1]
        client.quit()
    m.wait_empty()
    rows = trace.rows()
    answer = first(rows, rf"(write|send\w*)\(.*250 2\.0\.0 Ok: queued as {qid}")
    synced = first(rows, r"f(data)?sync\(\d+<[^>]*/spool/incoming/[^>]*>\) += 0")
    complete = first(rows, r"fchmod\(\d+<[^>]*/spool/incoming/[^>]*>, 0700\) += 0")
    assert complete < synced < answer, "complete, then synced, then answered"
    # The name is safe too: the directory is synced, or the sync of the file came
    # after the last change of its name (which journaled file systems carry along).
    named = [n for n, row in enumerate(rows) if re.search(r"(rename|link)\w*\(.*incoming/", row)
             and qid in row]
    named += [n for n, row in enumerate(rows[:synced])
              if re.search(rf"open\w*\(.*incoming/.*{qid}.*O_CREAT", row)]
    assert named and max(named) < answer
    directory = [n for n, row in enumerate(rows[:answer])
                 if re.search(r"f(data)?sync\(\d+<[^>]*/spool/incoming(/[0-9A-F])?>\) += 0", row)]
    assert max(named) < synced or any(n > max(named) for n in directory)


@pytest.mark.root
@pytest.mark.nosan
def test_sendmail_exits_after_the_sync(gatepost):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    m = gatepost({"defer_transports": "smtp"}, {"pickup/unix": None})
    path = f"{m.sandbox.dir}/strace"
    m.sandbox.run(["strace", "-f", "-ttt", "-y", "-e", f"trace={CALLS},exit_group", "-o", path,
                   m.path("sendmail"), "-f", "a@client.test", "b@far.test"],
                  env=m.environment(), input=MESSAGE)
    rows = [line.split(None, 2)[2] for line in open(path) if len(line.split(None, 2)) == 3]
    synced = first(rows, r"f(data)?sync\(\d+<[^>]*/maildrop/[^>]*>\) += 0")
    done = [n for n, row in enumerate(rows) if row.startswith("exit_group(0")]
    assert synced < min(n for n in done if n > synced)
    (file,) = m.queue("maildrop")
    assert file.mode & 0o700 == 0o700
    assert gp.records(file.path)[-1][0] == "E"
    assert os.path.basename(file.path) == file.qid
