"""Helpers of the tests of local delivery: users' files, aliases, and what became of a
message in terms that two systems share."""
import os
import re
import time

HEADERS = ("From: s@client.test\nTo: list@client.test\nSubject: t\n"
           "Message-Id: <1@client.test>\nDate: Mon, 23 Nov 2026 06:00:00 +0000\n\n")
MESSAGE = HEADERS + "hello\nFrom here\n>From there\n.dot\n"


class Local:
    """A mail system (class Mta, not started) seen as local delivery."""

    def __init__(self, make, main=None, master=None, aliases="", users=()):
        main = {"local_recipient_maps": "", "defer_transports": "smtp", **(main or {})}
        self.m = m = make(main, master, start=False)
        self.box = m.sandbox
        self.work = f"{m.dir}/work"  # where commands and files of the tests go
        os.makedirs(self.work)
        os.chmod(self.work, 0o1777)
        if aliases:
            self.aliases(aliases)
        m.start()

    def aliases(self, text, name="aliases", owner=None):
        """Build an alias database and use it, with those built before."""
        path = self.m.write(name, text.replace("WORK", self.work))
        self.m.run("postalias", f"lmdb:{path}")
        if owner:
            for file in (path, path + ".lmdb"):
                os.chown(file, self.box.users[owner].uid, self.box.users[owner].gid)
        maps = [t for t in [self.m.main.get("alias_maps")] if t] + [f"lmdb:{path}"]
        self.m.configure({"alias_maps": ", ".join(maps)})

    def home(self, user):
        return self.box.users[user].home

    def put(self, user, name, text, mode=0o644, owner=None):
        """A file in the home directory of a user."""
        path = name if name.startswith("/") else f"{self.home(user)}/{name}"
        with open(path, "w") as f:
            f.write(text.replace("WORK", self.work).replace("HOME", self.home(user)))
        os.chmod(path, mode)
        owner = self.box.users[owner or user]
        os.chown(path, owner.uid, owner.gid)
        return path

    def spool(self, user):
        return f"{self.m.dir}/mail/{user}"

    def read(self, name):
        """A file that a command or delivery made in the work directory."""
        with open(f"{self.work}/{name}") as f:
            return f.read()

    def reconfigure(self, **main):
        """Change settings while it runs."""
        count = len(self.m.log("master", "reload -- version")) + 1
        self.m.configure(main)
        self.m.reload()
        self.m.wait_log("reload -- version", count=count, program="master")
        time.sleep(0.4)  # services of before are still ending

    def send(self, rcpt, sender="s@client.test", message=MESSAGE):
        """One message to one recipient. Returns its queue id."""
        if "@" not in rcpt:
            rcpt += "@mx.gate.test"
        with self.m.smtp() as client:
            reply = client.mail(sender, rcpt, message)
            client.quit()
        return reply.text.rpartition(" ")[2]

    def outcome(self, rcpt, **options):
        """Send, wait until qmgr is done with it, and tell what local said of each
        part: ["alice@mx.gate.test sent 2.0.0 delivered to mailbox"], "<orig" behind the
        address where it was another one."""
        return self.told(self.send(rcpt, **options))

    def told(self, qid):
        deadline = time.monotonic() + 30
        while not self._finished(qid):
            assert time.monotonic() < deadline, self.m.log_text()[-4000:]
            time.sleep(0.03)
        return [self._brief(line) for line in self.m.log(qid=qid)
                if line.status and line.program == "local"]

    def _finished(self, qid):
        return self.m.log("qmgr", ": removed$", qid) or \
            any(f.qid == qid and f.queue == "deferred" for f in self.m.queue("deferred"))

    def _brief(self, line):
        at = line.to[1:-1].replace("@mx.gate.test", "")
        if line.orig_to:
            at += "<" + line.orig_to[1:-1].replace("@mx.gate.test", "")
        reason = line.reason.replace(self.work, "WORK").replace(self.m.dir, "DIR")
        reason = re.sub(r"(forwarded as )\w+", r"\1QID", reason)
        return f"{at} {line.status} {line.dsn} {reason}"

    def forwarded(self, text):
        """Queue id of the message a log line of local says mail was forwarded as."""
        return self.m.wait_log(text + ".*forwarded as").reason.rpartition(" ")[2]
