"""Hold the namespaces of one sandbox; run as a program by sandbox.py.

usage: holder.py DIR HOSTNAME

Makes new network, mount and UTS namespaces, brings the loopback up with the
documentation prefixes local to it, puts a private /etc in place (symbolic links
to the real one, but own copies of the files in DIR/etc-files), prints "ready" and
waits. When its standard input ends, which also happens when the test process
dies, it kills every process left in its network namespace.
"""
import ctypes
import os
import signal
import subprocess
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, fstype=None, flags=0, data=None):
    encode = lambda text: None if text is None else text.encode()
    check(libc.mount(encode(source), target.encode(), encode(fstype), flags, encode(data)),
          f"mount {source} on {target}")


def private_etc(directory):
    """/etc becomes a tmpfs of links to the real files, except those in etc-files."""
    original, own = f"{directory}/etc-original", f"{directory}/etc-files"
    os.makedirs(original)
    mount("/etc", original, flags=MS_BIND | MS_REC)
    mount("tmpfs", "/etc", "tmpfs", data="mode=755")
    replaced = set(os.listdir(own))
    for name in os.listdir(original):
        if name not in replaced:
            os.symlink(f"{original}/{name}", f"/etc/{name}")
    for name in replaced:
        os.symlink(f"{own}/{name}", f"/etc/{name}")


def network():
    commands = ["link set lo up",
                "route add local 192.0.2.0/24 dev lo",
                "route add local 198.51.100.0/24 dev lo",
                "-6 route add local 2001:db8::/64 dev lo"]
    for command in commands:
        subprocess.run(["ip", *command.split()], check=not command.startswith("-6"),
                       stderr=subprocess.DEVNULL)
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as f:
        f.write("0")
    try:
        with open("/proc/sys/net/ipv4/tcp_tw_reuse", "w") as f:
            f.write("1")
    except OSError:
        pass


def processes_in(netns):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != os.getpid() and os.readlink(f"/proc/{pid}/ns/net") == netns:
                yield int(pid)
        except OSError:
            pass


def main():
    directory, hostname = sys.argv[1:]
    check(libc.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS), "unshare")
    mount(None, "/", flags=MS_REC | MS_PRIVATE)
    check(libc.sethostname(hostname.encode(), len(hostname)), "sethostname")
    network()
    private_etc(directory)
    for line in os.environ.get("GP_BINDS", "").splitlines():
        source, target = line.split("\t")
        mount(source, target, flags=MS_BIND)
    print("ready", flush=True)
    sys.stdin.read()
    netns = os.readlink("/proc/self/ns/net")
    parent = os.getppid()
    for _ in range(20):
        left = [pid for pid in processes_in(netns) if pid != parent]
        if not left:
            break
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
