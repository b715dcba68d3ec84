"""A mail system in a sandbox: Gatepost from the build tree, or the peer."""
import fcntl
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from . import config, maillog, queue
from .sandbox import is_root
from .smtpclient import SmtpClient

REPO = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.path.join(REPO, os.environ.get("GP_BUILD", "build"))
PEER_SCRIPT = os.environ.get("GP_PEER", os.path.join(REPO, "../shared/peer/peer.sh"))
ALIASES = {"lmtp": "smtp", "mailq": "sendmail", "newaliases": "sendmail",
           "postalias": "postmap", "oqmgr": "qmgr"}  # other names of one program
TROUBLE = re.compile(r"(panic|fatal|AddressSanitizer|runtime error): |killed by signal"
                     r"|bad command startup|process \S+ pid \d+ exit status")


class Mta:
    """What Gatepost and the peer share. Make one through the fixtures of conftest.

    main: parameters over the base of _base_main(); master: edits of the stock
    services (see config.master_cf). Files live in .dir: etc, spool, data, maillog.
    """
    name = ""

    def __init__(self, sandbox, main=None, master=None, instance="mta"):
        self.sandbox = sandbox
        self.dir = f"{sandbox.dir}/{instance}"
        self.etc, self.spool, self.data = (f"{self.dir}/{d}" for d in ("etc", "spool", "data"))
        self.logfile = f"{self.dir}/maillog"
        self.main, self.master = dict(main or {}), dict(master or {})
        self.allowed = []
        self.running = False
        for folder in (self.dir, self.etc, self.spool, self.data):
            os.makedirs(folder, mode=0o755)
        if is_root():
            self.owner = sandbox.users["postfix"]
            os.chown(self.data, self.owner.uid, self.owner.gid)
        os.chmod(self.data, 0o700)
        self.prepare()
        self.configure()

    # -- configuration -----------------------------------------------------
    def prepare(self):
        """Set command_directory and daemon_directory, with all programs in them."""
        raise NotImplementedError

    def _link_programs(self, source, inside):
        """One directory with all programs by all their names: links to `inside`, where
        the sandbox sees source, and set-gid copies of those that need it."""
        self.command_directory = f"{self.dir}/bin"
        os.makedirs(self.command_directory)
        present = os.listdir(source)
        for name in {*present, *ALIASES}:
            target = name if name in present else ALIASES[name]
            if target in present:
                os.symlink(f"{inside}/{target}", f"{self.command_directory}/{name}")
        setgid = {"postdrop", "postqueue", "postlog"} & set(present)
        for name in setgid if is_root() else ():
            copy = f"{self.command_directory}/{name}"
            os.unlink(copy)
            shutil.copy(f"{source}/{name}", copy)
            os.chown(copy, 0, 18001)
            os.chmod(copy, 0o2755)

    def _base_main(self):
        rootless = not is_root()
        me = next(iter(self.sandbox.users.values()))
        return {
            "compatibility_level": "3.6",
            "command_directory": self.command_directory,
            "daemon_directory": self.daemon_directory,
            "queue_directory": self.spool, "data_directory": self.data,
            "mail_owner": me.name if rootless else "postfix",
            "setgid_group": _group_name(os.getegid()) if rootless else "postdrop",
            "sendmail_path": f"{self.command_directory}/sendmail",
            "mailq_path": f"{self.command_directory}/mailq",
            "newaliases_path": f"{self.command_directory}/newaliases",
            "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C "
                                  "ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS",
            "maillog_file": self.logfile, "maillog_file_prefixes": f"{self.dir}, /dev/stdout",
            "myhostname": "mx.gate.test", "mydomain": "gate.test",
            "mydestination": "$myhostname, localhost.$mydomain, localhost",
            "alias_maps": "", "alias_database": "", "default_database_type": "lmdb",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8", "relayhost": "",
            "mail_spool_directory": f"{self.dir}/mail",
            "smtp_tls_security_level": "none", "smtpd_tls_security_level": "none",
        }

    def configure(self, main=None, master=None):
        """Change settings (kept) and write both files; reload() is up to the test."""
        self.main.update(main or {})
        self.master.update(master or {})
        self.write("main.cf", config.main_cf({**self._base_main(), **self.main}))
        self.write("master.cf", config.master_cf(self.master, self.available()))
        os.makedirs(f"{self.dir}/mail", exist_ok=True)
        os.chmod(f"{self.dir}/mail", 0o1777)

    def write(self, name, text):
        """A file in the configuration directory, such as a table. Returns its path."""
        path = f"{self.etc}/{name}"
        with open(path, "w") as f:
            f.write(text)
        return path

    def table(self, name, rows, kind="texthash"):
        """Write a lookup table; returns "kind:path". Indexed kinds are compiled."""
        text = rows if isinstance(rows, str) else "".join(f"{k} {v}\n" for k, v in rows.items())
        path = self.write(name, text)
        if kind in ("lmdb", "hash", "btree", "cdb"):
            self.run("postmap", f"{kind}:{path}")
        return f"{kind}:{path}"

    def available(self):
        """Names of the daemon programs, or None for all."""
        return None

    # -- running commands ----------------------------------------------------
    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("MAIL_", "PYTEST", "LD_"))}
        env.update(MAIL_CONFIG=self.etc, LANG="C", TZ="UTC",
                   PATH=f"{self.command_directory}:/usr/sbin:/usr/bin:/sbin:/bin")
        return env

    def path(self, program):
        return f"{self.command_directory}/{program}"

    def run(self, program, *args, **options):
        """One of its commands, inside the sandbox. Options as for Sandbox.run."""
        env = {**self.environment(), **options.pop("env", {})}
        return self.sandbox.run([self.path(program), *args], env=env, **options)

    def popen(self, program, *args, **options):
        env = {**self.environment(), **options.pop("env", {})}
        return self.sandbox.popen([self.path(program), *args], env=env, **options)

    def sendmail(self, *args, input="", **options):
        return self.run("sendmail", *args, input=input, **options)

    def postconf(self, *names):
        return self.run("postconf", "-h", *names).stdout.strip("\n")

    # -- life ------------------------------------------------------------------
    def start(self, *options, ready=True):
        self.run("postfix", "-c", self.etc, "start", *options, timeout=60)
        self.running = True
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        """Until master holds its pid file and every inet service of master.cf that
        has a port number or is smtp greets or at least accepts."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.master_pid() and all(map(self._accepts, self._endpoints())):
                return
            time.sleep(0.02)
        raise AssertionError("the mail system is not ready\n" + self.log_text()[-2000:])

    def _endpoints(self):
        address = {**self._base_main(), **self.main}["inet_interfaces"]
        address = "127.0.0.1" if address in ("all", "loopback-only", "") else \
            re.split("[, ]+", str(address))[0]
        for line in config.master_cf(self.master, self.available()).splitlines():
            fields = line.split()
            if len(fields) > 1 and fields[1] == "inet":
                host, _, port = fields[0].rpartition(":")
                port = {"smtp": "25", "submission": "587", "smtps": "465"}.get(port, port)
                if port.isdigit():
                    yield host.strip("[]") or address, int(port)

    @staticmethod
    def _accepts(endpoint):
        """Looks at the kernel's table, so that no session is spent on the question."""
        host, port = endpoint
        try:
            wanted = {socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)}
        except OSError:
            wanted = None  # a name: any address will do
        for table in ("tcp", "tcp6"):
            with open(f"/proc/thread-self/net/{table}") as f:
                for row in f.readlines()[1:]:
                    fields = row.split()
                    address, _, number = fields[1].partition(":")
                    raw = b"".join(bytes.fromhex(address[i:i + 8])[::-1]
                                   for i in range(0, len(address), 8))
                    if fields[3] == "0A" and int(number, 16) == port and (
                            wanted is None or raw in wanted or not any(raw)):
                        return True
        return False

    def master_pid(self):
        """Process id of a running master, or None."""
        try:
            pid = int(open(f"{self.spool}/pid/master.pid").read())
            os.kill(pid, 0)
            return pid
        except (OSError, ValueError):
            return None

    def stop(self, command="stop", timeout=30):
        """postfix stop, and wait until master and every child of it are gone."""
        pid = self.master_pid()
        if pid:
            self.run("postfix", "-c", self.etc, command, check=False)
            deadline = time.monotonic() + timeout
            while self.daemons() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not self.daemons(), f"still running: {self.daemons()}"
        self.running = False

    def reload(self):
        self.run("postfix", "-c", self.etc, "reload")

    def flush(self):
        self.run("postqueue", "-f")

    def daemons(self, program=None):
        """{pid: command line} of master and its services (or of one program only)."""
        found = {}
        for pid, line in self.sandbox.processes().items():
            command = line.split(" ")[0]
            base = os.path.basename(command)
            try:
                env = open(f"/proc/{pid}/environ").read()
            except OSError:
                continue
            if f"MAIL_CONFIG={self.etc}\0" not in env or base in ("postfix", "sh"):
                continue
            if program is None and (base == "master" or self._parent_is_master(pid)) \
                    or base == program:
                found[pid] = line
        return found

    @staticmethod
    def _parent_is_master(pid):
        try:
            parent = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1]
            return open(f"/proc/{parent}/comm").read().strip() == "master"
        except OSError:
            return False

    def kill(self, program, sig=signal.SIGKILL):
        """Send a signal to every process of one service program; returns the pids."""
        pids = list(self.daemons(program))
        for pid in pids:
            os.kill(pid, sig)
        return pids

    # -- what it did -------------------------------------------------------------
    def log_text(self):
        try:
            return open(self.logfile, errors="surrogateescape").read()
        except FileNotFoundError:
            return ""

    def log(self, program=None, pattern=None, qid=None):
        """Log lines, filtered by program, regular expression (on the raw line), id."""
        return [line for line in maillog.parse(self.log_text())
                if (program is None or line.program == program)
                and (qid is None or line.qid == qid)
                and (pattern is None or re.search(pattern, line.raw))]

    def normal_log(self, *programs):
        """Log lines in the form that two systems share (maillog.normal), sorted: lines
        of different processes may come in any order. Start and stop are left out."""
        return sorted(maillog.normal(line) for line in self.log()
                      if line.program not in ("postfix-script", "master", "anvil")
                      and (not programs or line.program in programs))

    def wait_log(self, pattern, count=1, timeout=30, program=None):
        """Wait until so many log lines match; returns the last of them."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.log(program, pattern)
            if len(found) >= count:
                return found[-1]
            assert time.monotonic() < deadline, \
                f"no log line like {pattern!r} ({len(found)} of {count})\n{self.log_text()[-2000:]}"
            time.sleep(0.05)

    def allow(self, pattern):
        """A log line that would be trouble but is expected (regular expression)."""
        self.allowed.append(pattern)

    def queue(self, *names):
        return queue.queue_files(self.spool, *names)

    def wait_empty(self, timeout=30):
        """Until no mail is in any queue."""
        self.wait_queue(lambda files: not files, timeout)

    def wait_queue(self, condition, timeout=30):
        """Until condition(list of QueueFile) holds; returns that list."""
        deadline = time.monotonic() + timeout
        while not condition(files := self.queue()):
            assert time.monotonic() < deadline, f"queue: {files}\n{self.log_text()[-2000:]}"
            time.sleep(0.03)
        return files

    def postqueue(self):
        """The queue as postqueue -j shows it: a list of dictionaries."""
        return queue.listing(self.run("postqueue", "-j").stdout)

    def maildir(self, user, folder="Maildir"):
        return queue.maildir(f"{self.sandbox.users[user].home}/{folder}")

    def wait_maildir(self, user, count=1, timeout=30, folder="Maildir"):
        deadline = time.monotonic() + timeout
        while len(found := self.maildir(user, folder)) < count:
            assert time.monotonic() < deadline, \
                f"{len(found)} of {count} messages\n{self.log_text()[-2000:]}"
            time.sleep(0.05)
        return found

    def smtp(self, **options):
        """An SmtpClient connected to it (host, port, source, timeout, read_banner)."""
        options.setdefault("host", "127.0.0.1")
        return SmtpClient(**options)

    def trouble(self):
        """What must not happen: panics, fatal errors, crashes, sanitizer reports."""
        lines = self.log_text().splitlines()
        allowed = list(self.allowed)
        if "asan" in BUILD:
            # The leak check of a process that changes its user ends it with status 1.
            allowed.append(r"/(local|nbdb_reindexd) pid \d+ exit status 1$")
        if any(re.search(p, line) for p in self.allowed for line in lines):
            allowed.append(r"process \S+ pid \d+ exit status")  # what was expected led to it
        found = [line for line in lines if TROUBLE.search(line)
                 and not any(re.search(p, line) for p in allowed)]
        for report in glob.glob(f"{self.sandbox.dir}/san/*"):
            with open(report, errors="replace") as f:
                text = f.read()
            # The leak check cannot look at a process that has changed its user.
            if "LeakSanitizer has encountered a fatal error" not in text:
                found.append(text[:6000])
        return found

    def close(self):
        """Stop by force if needed. Returns the trouble found."""
        pid = self.master_pid() if self.running else None
        if pid:
            try:
                self.stop(timeout=15)
            except AssertionError as e:
                self._kill_all()
                return self.trouble() + [str(e)]
        return self.trouble()

    def _kill_all(self):
        for pid in self.daemons():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


class Gatepost(Mta):
    name = "gatepost"

    @staticmethod
    def binds():
        return {"prog": f"{BUILD}/bin"}

    @staticmethod
    def missing(programs=("master", "postfix", "postlogd")):
        """Why it cannot run, or None."""
        absent = [p for p in programs if not os.path.exists(f"{BUILD}/bin/{p}")]
        return f"not built: {' '.join(absent)}" if absent else None

    def prepare(self):
        self._link_programs(f"{BUILD}/bin", f"{self.sandbox.dir}/prog")
        self.daemon_directory = self.command_directory
        shutil.copy(f"{REPO}/tests/e2e/lsan.supp", f"{self.sandbox.dir}/san.supp")
        os.makedirs(f"{self.sandbox.dir}/san", exist_ok=True)
        os.chmod(f"{self.sandbox.dir}/san", 0o1777)

    def available(self):
        return set(os.listdir(self.command_directory)) | {"lmtp"}

    def environment(self):
        env = super().environment()
        log = f"log_path={self.sandbox.dir}/san/report"
        env["ASAN_OPTIONS"] = f"{log}:detect_leaks=1:abort_on_error=0:{env.get('ASAN_OPTIONS', '')}"
        env["LSAN_OPTIONS"] = f"suppressions={self.sandbox.dir}/san.supp:print_suppressions=0"
        env["UBSAN_OPTIONS"] = f"{log}:print_stacktrace=1"
        return env


class Peer(Mta):
    name = "peer"
    cache = None

    @staticmethod
    def binds():
        return {}

    @classmethod
    def missing(cls, programs=()):
        if not os.path.exists(PEER_SCRIPT):
            return "no peer (GP_PEER)"
        if not is_root():
            return "the peer needs root"
        if cls.cache is None:
            cls.cache = _unpack_peer()
        return None if cls.cache else "the peer could not be unpacked"

    def prepare(self):
        assert not self.missing()
        root = f"{self.cache}/root"
        self._link_programs(f"{root}/usr/sbin", f"{root}/usr/sbin")
        self.daemon_directory = f"{root}/usr/lib/postfix/sbin"
        for name in ("dynamicmaps.cf", "postfix-files"):
            shutil.copy(f"{self.cache}/etc/{name}", f"{self.etc}/{name}")

    def start(self, *options, ready=True):
        """Once in some thousand starts its master hangs before it has said a word."""
        super().start(*options, ready=ready)
        if ready and not self._speaks():
            self.kill("master")
            for pid in self.daemons():
                os.kill(pid, signal.SIGKILL)
            super().start(*options)
        return self

    def _speaks(self):
        try:
            return bool(self.wait_log("daemon started -- version", timeout=15))
        except AssertionError:
            return False

    def _base_main(self):
        root = f"{self.cache}/root"
        return {**super()._base_main(), "meta_directory": self.etc,
                "shlib_directory": f"{root}/usr/lib/postfix"}

    @classmethod
    def etc_files(cls):
        """Its libraries are found through a loader cache of the sandbox's own, which
        set-gid programs heed too."""
        return {} if cls.missing() else {"ld.so.cache": f"{cls.cache}/ld.so.cache"}


def _unpack_peer():
    """Unpack the peer's packages once on this machine; the directory, or None."""
    place = os.environ.get("GP_PEER_DIR", "/tmp/gp-peer")
    with open(place + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{place}/etc/dynamicmaps.cf"):
            setup = f"sh '{PEER_SCRIPT}' setup '{place}' 2525 2526"
            done = subprocess.run(["sh", "-c", f"{setup} || {{ apt-get update && {setup}; }}"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
            if done.returncode != 0:
                return None
        lib = f"{place}/root/usr/lib"
        subprocess.run(["ldconfig", "-X", "-C", f"{place}/ld.so.cache", f"{lib}/postfix",
                        f"{lib}/x86_64-linux-gnu"], check=True)
    return place


def _group_name(gid):
    import grp
    return grp.getgrgid(gid).gr_name
