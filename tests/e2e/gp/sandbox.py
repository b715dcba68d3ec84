"""One sandbox: network, mount and UTS namespaces of their own for one test.

Port 25, DNS on 127.0.0.1:53, /etc/passwd, /etc/hosts and /etc/resolv.conf are all
real inside. While the sandbox is entered the test's own thread (and every thread
started from it) lives in the sandbox's network, so plain sockets reach it; commands
started with run() or popen() also see its mounts. 127.0.0.0/8, 192.0.2.0/24,
198.51.100.0/24 and 2001:db8::/64 are all local addresses inside.
"""
import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
PR_SET_PDEATHSIG = 1
HOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "holder.py")
libc = ctypes.CDLL(None, use_errno=True)


def is_root():
    return os.geteuid() == 0


def unavailable():
    """Why no sandbox can be made here, or None."""
    if shutil.which("ip") is None:
        return "the ip command (iproute2) is not installed"
    pid = os.fork()
    if pid == 0:
        os._exit(0 if libc.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS) == 0 else 1)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        return "no right to make namespaces: run as root, or with tests/e2e/run"
    return None


class User:
    def __init__(self, name, uid, gid, home):
        self.name, self.uid, self.gid, self.home = name, uid, gid, home


class Sandbox:
    """See the module's text. Users: names to create, each with a home directory.
    binds: {name: source}: directory source appears as DIR/name inside.
    etc: {name: path}: /etc/name inside is a copy of the file at path.
    parent: a world-searchable directory to work in."""

    def __init__(self, hostname="mx.gate.test", users=(), hosts="", binds=None, etc=None,
                 keep=False, parent="/tmp"):
        self.dir = tempfile.mkdtemp(prefix="gpe2e-", dir=parent)
        os.chmod(self.dir, 0o755)
        self.hostname, self.keep = hostname, keep
        self.users = {}
        self.pids = []
        self._holder = None
        self._saved_net = None
        self._write_etc(hosts)
        for name, path in (etc or {}).items():
            shutil.copy(path, f"{self.dir}/etc-files/{name}")
        for name in ("postfix", *users) if is_root() else ():
            self.add_user(name)
        if not is_root():
            me = pwd.getpwuid(os.geteuid())
            self.users[me.pw_name] = User(me.pw_name, me.pw_uid, me.pw_gid, me.pw_dir)
        self._binds = binds or {}
        self._start_holder()

    # -- setting up ------------------------------------------------------
    def _write_etc(self, hosts):
        os.makedirs(f"{self.dir}/etc-files")
        self.write_etc("hosts", "127.0.0.1 localhost\n::1 localhost\n" + hosts)
        self.write_etc("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
        self.write_etc("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n"
                       "hosts: files dns\nservices: files\nprotocols: files\n"
                       "networks: files\naliases: files\n")
        self.write_etc("mailname", self.hostname + "\n")
        drop = {"postfix", "postdrop"} if is_root() else set()
        for name in ("passwd", "group"):
            with open("/etc/" + name) as f:
                lines = [l for l in f if l.split(":")[0] not in drop]
            self.write_etc(name, "".join(lines))
        if is_root():
            self.append_etc("group", "postdrop:x:18001:\n")

    def write_etc(self, name, text):
        """Set the content of /etc/NAME. New names only before the sandbox starts."""
        with open(f"{self.dir}/etc-files/{name}", "w") as f:
            f.write(text)

    def append_etc(self, name, text):
        with open(f"{self.dir}/etc-files/{name}", "a") as f:
            f.write(text)

    def add_user(self, name, home=None):
        """A user with a group of the same name and a home directory (mode 0755)."""
        uid = 18000 + 2 * len(self.users)
        home = home or f"{self.dir}/home/{name}"
        os.makedirs(home, mode=0o755, exist_ok=True)
        os.chown(home, uid, uid)
        self.append_etc("passwd", f"{name}:x:{uid}:{uid}:{name.title()} Tester:{home}:/bin/sh\n")
        self.append_etc("group", f"{name}:x:{uid}:\n")
        self.users[name] = User(name, uid, uid, home)
        return self.users[name]

    def _start_holder(self):
        env = dict(os.environ)
        env["GP_BINDS"] = "\n".join(f"{source}\t{self.dir}/{name}"
                                    for name, source in self._binds.items())
        for name in self._binds:
            os.makedirs(f"{self.dir}/{name}", exist_ok=True)
        self._holder = subprocess.Popen(
            [sys.executable, "-S", HOLDER, self.dir, self.hostname], env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._holder.stdout.readline() != b"ready\n":
            self._holder.wait()
            raise RuntimeError("the sandbox did not start")
        ns = f"/proc/{self._holder.pid}/ns"
        self._fd = {kind: os.open(f"{ns}/{kind}", os.O_RDONLY | os.O_CLOEXEC)
                    for kind in ("net", "mnt", "uts")}
        self.netns = os.readlink(f"{ns}/net")

    # -- life ------------------------------------------------------------
    def enter(self):
        self._saved_net = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._setns("net", CLONE_NEWNET)
        return self

    def leave(self):
        if self._saved_net is not None:
            libc.setns(self._saved_net, CLONE_NEWNET)
            os.close(self._saved_net)
            self._saved_net = None

    __enter__ = enter

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Leave, kill what still runs inside, remove the directory."""
        self.leave()
        if self._holder:
            self._holder.stdin.close()
            self._holder.wait()
            self._holder.stdout.close()
            self._holder = None
            for fd in self._fd.values():
                os.close(fd)
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def _setns(self, kind, flag):
        if libc.setns(self._fd[kind], flag) != 0:
            raise OSError(ctypes.get_errno(), "setns " + kind)

    # -- running things inside -------------------------------------------
    def _preexec(self, user, cwd, groups=()):
        def enter():
            os.setsid()
            self._setns("net", CLONE_NEWNET)
            self._setns("uts", CLONE_NEWUTS)
            self._setns("mnt", CLONE_NEWNS)
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
            os.chdir(cwd)
            if user and is_root():
                os.setgroups(list(groups))
                os.setgid(user.gid)
                os.setuid(user.uid)
        return enter

    def popen(self, argv, user=None, cwd=None, **options):
        """subprocess.Popen inside the sandbox, as a user (a name or a User) if given."""
        if isinstance(user, str):
            user = self.users[user]
        options.setdefault("stdin", subprocess.DEVNULL)
        options["preexec_fn"] = self._preexec(user, cwd or self.dir)
        return subprocess.Popen([str(a) for a in argv], **options)

    def run(self, argv, user=None, cwd=None, input=None, check=True, timeout=60,
            env=None, text=True):
        """Run a command to its end. Returns a CompletedProcess with text output;
        check=True raises an AssertionError that shows the output."""
        process = self.popen(
            argv, user=user, cwd=cwd, env=env, text=text,
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"{argv} did not end in {timeout} s\n{out}\n{err}")
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        assert not check or done.returncode == 0, \
            f"{argv} exited with {done.returncode}\n{out}\n{err}"
        return done

    def processes(self):
        """{pid: command line} of every process inside, without the test itself."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(
                        f"/proc/{self._holder.pid}/ns/mnt") and int(pid) != self._holder.pid:
                    with open(f"/proc/{pid}/cmdline") as f:
                        found[int(pid)] = f.read().replace("\0", " ").strip()
        return found

    def ip(self, *args):
        """Run the ip command, such as ip("addr", "add", "203.0.113.1/32", "dev", "lo")."""
        return self.run(["ip", *args])
