"""Both systems' commands use one LMDB file at the same time: every answer is a right one,
and no change is lost. Not tested, as it cannot work: the peer's "postmap -i" beside other
writers; it takes no lock."""
import contextlib
import re
import subprocess
import threading
import time

import pytest

KEYS = 300
SECONDS = 3


@pytest.fixture
def systems(gatepost, peer):
    return {"peer": peer(start=False), "gatepost": gatepost(start=False)}


class Table:
    """A file that both systems use. Values: of key k7 in version 3, "k7=3:aaa..."."""

    def __init__(self, path):
        self.path, self.name = path, f"lmdb:{path}"

    @staticmethod
    def value(n, version):
        size = 6000 if (n + version) % 50 == 0 else (n * 7 + version) % 200
        return f"k{n}={version}:" + chr(97 + version % 26) * size

    def build(self, system, version):
        with open(self.path, "w") as f:
            f.writelines(f"k{n} {self.value(n, version)}\n" for n in range(KEYS))
        system.run("postmap", self.name)

    def insert(self, system, pairs):
        system.run("postmap", "-r", "-i", self.name,
                   input="".join(f"{key} {value}\n" for key, value in pairs))

    def walk(self, system):
        lines = system.run("postmap", "-s", self.name).stdout.splitlines()
        return dict(line.split("\t", 1) for line in lines)


class Reader:
    """One process that is asked for all keys of the table, over and over."""

    def __init__(self, system, table):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = system.popen("postmap", "-q", "-", table.name, **pipes)
        self.answers, self.asked, self.over = [], 0, False
        self.threads = [threading.Thread(target=f) for f in (self._ask, self._listen)]
        for thread in self.threads:
            thread.start()

    def _ask(self):
        keys = "".join(f"k{n}\n" for n in range(KEYS)).encode()
        with contextlib.suppress(BrokenPipeError):  # an early end is found by check
            while not self.over:
                self.process.stdin.write(keys)
                self.process.stdin.flush()
                self.asked += KEYS
                time.sleep(0.002)
            self.process.stdin.close()

    def _listen(self):
        self.answers = self.process.stdout.read().decode().splitlines()

    def check(self):
        """Stop. Every answer belongs to its key, and none is older than one before."""
        self.over = True
        for thread in self.threads:
            thread.join()
        error = self.process.stderr.read().decode()
        assert (self.process.wait(), error) == (0, "")
        assert len(self.answers) == self.asked
        newest, seen = 0, set()
        for i, answer in enumerate(self.answers):
            answer = answer.removeprefix(f"k{i % KEYS}\t")
            match = re.match(r"k(\d+)=(\d+):", answer)
            assert match and int(match[1]) == i % KEYS, f"k{i % KEYS} is {answer[:80]}"
            version = int(match[2])
            assert answer == Table.value(i % KEYS, version)
            assert version >= newest, f"k{i % KEYS} is back at {version} from {newest}"
            newest = version
            seen.add(version)
        return seen


@pytest.mark.parametrize("writer, reader", [("peer", "gatepost"), ("gatepost", "peer"),
                                            ("gatepost", "gatepost")])
def test_answers_are_right_while_another_system_writes(systems, sandbox, writer, reader):
    table, w, r = Table(f"{sandbox.dir}/shared"), systems[writer], systems[reader]
    table.build(w, 0)
    processes = [Reader(r, table), Reader(r, table)]
    version, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        version += 1
        if version % 3:
            table.build(w, version)
        else:  # in place; one transaction for all keys is not promised
            table.insert(w, [("extra", version)])
            w.run("postmap", "-d", "extra", table.name)
    seen = [process.check() for process in processes]
    # The peer's command does not look for a file that has taken the place of another.
    if reader == "gatepost":
        assert min(map(len, seen)) > 2
    assert version > 5


def test_no_change_is_lost(systems, sandbox):
    """One adds keys while the other one deletes others, each in many transactions."""
    table = Table(f"{sandbox.dir}/shared")
    ours, theirs = systems["gatepost"], systems["peer"]
    old = {f"old{n}": Table.value(n, n) for n in range(400)}
    with open(table.path, "w") as f:
        f.writelines(f"{key} {value}\n" for key, value in old.items())
    theirs.run("postmap", table.name)
    added, deleted, end = {}, set(), time.monotonic() + SECONDS
    trouble = []

    def delete():
        try:
            while time.monotonic() < end and len(deleted) < len(old):
                theirs.run("postmap", "-d", f"old{len(deleted)}", table.name)
                deleted.add(f"old{len(deleted)}")
        except Exception as e:  # noqa: BLE001 - told by the main thread
            trouble.append(e)

    thread = threading.Thread(target=delete)
    thread.start()
    while time.monotonic() < end:
        pairs = {f"new{len(added) + i}": Table.value(len(added), i) for i in range(20)}
        table.insert(ours, pairs.items())
        added.update(pairs)
    thread.join()
    assert not trouble
    expected = {k: v for k, v in old.items() if k not in deleted} | added
    assert table.walk(ours) == table.walk(theirs) == expected
    assert len(deleted) > 5 and len(added) > 100
