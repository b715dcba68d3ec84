"""What the benchmarks share: a fresh mail system in a sandbox, load from the peer's
smtp-source, a sink, and the CPU time of the whole process tree."""
import os
import resource
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/e2e"))
import gp  # noqa: E402
from gp.mta import BUILD  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
SINK = "127.0.0.2"
BUSY_QUEUES = ("maildrop", "incoming", "active", "deferred")


def systems(names=("gatepost", "peer")):
    """The mail systems that can run here, with a word about those that cannot."""
    found = []
    for cls in (gp.Gatepost, gp.Peer):
        if cls.name in names:
            why = cls.missing()
            if why:
                print(f"{cls.name}: left out: {why}", file=sys.stderr)
            else:
                found.append(cls)
    if not found:
        sys.exit("bench: nothing to measure")
    return found


def tool(name):
    """smtp-source or smtp-sink: the peer's, so that both get the same load; ours
    where there is no peer."""
    if gp.Peer.missing() is None:
        return f"{gp.Peer.cache}/root/usr/sbin/{name}"
    return f"{BUILD}/bin/{name}"


def cpu_of(pids):
    """Seconds used by these processes and by their children that have ended."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICK


class Bed:
    """One fresh mail system, with a sandbox and a spool of its own; a context."""

    def __init__(self, cls, main=None, master=None, users=(), parent="/tmp"):
        os.environ["MALLOC_ARENA_MAX"] = os.environ.get("MALLOC_ARENA_MAX", "8")
        binds = gp.Gatepost.binds() if cls is gp.Gatepost else {}
        self.sandbox = gp.Sandbox(users=users, binds=binds, etc=gp.Peer.etc_files(),
                                  parent=parent)
        self.sandbox.enter()
        self.sink = None
        self.mta = cls(self.sandbox, {"relayhost": f"[{SINK}]:25", **(main or {})}, master)

    def __enter__(self):
        self.mta.start()
        return self

    def __exit__(self, *failure):
        try:
            if self.sink:
                self.sink.terminate()
                self.sink.wait()
            trouble = self.mta.close()
            if trouble:
                print("\n".join(["trouble in the log:", *trouble[:5]]), file=sys.stderr)
            if failure[0]:
                print(self.mta.log_text()[-3000:], file=sys.stderr)
        finally:
            self.sandbox.close()

    def start_sink(self, *options):
        user = ["-u", "postfix"] if gp.is_root() else []
        self.sink = self.sandbox.popen(
            [tool("smtp-sink"), *user, *options, f"{SINK}:25", "1024"],
            env=self.mta.environment(), stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection((SINK, 25), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("smtp-sink does not answer")

    def source(self, sessions, size, messages, *options, to="rcpt@far.test"):
        """Start smtp-source."""
        return self.sandbox.popen(
            [tool("smtp-source"), "-s", sessions, "-l", size, "-m", messages, *options,
             "-f", "sender@client.test", "-t", to, "127.0.0.1:25"],
            env=self.mta.environment(), stdout=subprocess.DEVNULL)

    def cpu(self):
        return cpu_of(self.mta.daemons())

    def idle(self):
        return not any(has_files(f"{self.mta.spool}/{queue}") for queue in BUSY_QUEUES)

    def wait_idle(self, timeout, allow_deferred=False):
        deadline = time.monotonic() + timeout
        while not self.idle():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.mta.name}: mail is left in the queue")
            if not allow_deferred and has_files(f"{self.mta.spool}/deferred"):
                raise RuntimeError(f"{self.mta.name}: mail was deferred")
            time.sleep(0.01)

    def delivered(self):
        """Messages that the log shows as sent."""
        with open(self.mta.logfile, errors="replace") as f:
            return sum("status=sent" in line for line in f)

    def measure(self, load, messages, timeout=300, own_load=False):
        """Run load() (returns the processes to wait for), wait until all is delivered
        and the queue empty. Returns a Result. own_load: the processes of load() are
        commands of the mail system itself, so that their CPU time counts too."""
        sent, before, began = self.delivered(), self.cpu(), time.monotonic()
        children = children_cpu()
        for process in load():
            if process.wait(timeout) != 0:
                raise RuntimeError("the load generator failed")
        extra = children_cpu() - children if own_load else 0
        self.wait_idle(timeout)
        elapsed = time.monotonic() - began
        time.sleep(0.1)
        result = Result(messages, elapsed, self.cpu() - before + extra)
        sent = self.wait_delivered(sent + messages) - sent
        if sent < messages:
            raise RuntimeError(f"{self.mta.name}: {sent} of {messages} messages delivered")
        return result

    def wait_delivered(self, count):
        """The log may lag a little behind the queue."""
        for _ in range(100):
            sent = self.delivered()
            if sent >= count:
                break
            time.sleep(0.05)
        return sent


class Result:
    def __init__(self, messages, elapsed, cpu):
        self.messages, self.elapsed, self.cpu = messages, elapsed, cpu

    @property
    def rate(self):
        return self.messages / self.elapsed

    @property
    def cpu_ms(self):
        return 1000 * self.cpu / self.messages


def has_files(folder):
    """Whether there is a file in the directory or below it."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) or \
                        entry.is_dir(follow_symlinks=False) and has_files(entry.path):
                    return True
    except OSError:
        pass
    return False


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(title, once, rounds=3, names=("gatepost", "peer")):
    """Alternate rounds of once(cls) -> Result over the systems; print each round's
    figures, the medians and their ratio. Returns {name: (rate, cpu_ms)}."""
    print(f"== {title}", flush=True)
    classes, results = systems(names), {}
    for number in range(rounds):
        for cls in classes:
            result = once(cls)
            results.setdefault(cls.name, []).append(result)
            print(f"  round {number + 1} {cls.name:9} {result.rate:8.0f} msg/s "
                  f"{result.cpu_ms:7.3f} CPU ms/msg {result.elapsed:7.2f} s", flush=True)
    medians = {name: (statistics.median(r.rate for r in rows),
                      statistics.median(r.cpu_ms for r in rows))
               for name, rows in results.items()}
    for name, (rate, cpu) in medians.items():
        print(f"  median  {name:9} {rate:8.0f} msg/s {cpu:7.3f} CPU ms/msg")
    if len(medians) == 2:
        (rate, cpu), (peer_rate, peer_cpu) = medians["gatepost"], medians["peer"]
        print(f"  ratio   gatepost/peer: {rate / peer_rate:.2f} x msg/s, "
              f"{cpu / peer_cpu:.2f} x CPU per message", flush=True)
    return medians
