"""What the tests of local submission share."""
import os

import gp

RELAY = {"relayhost": "[127.0.0.2]:25"}


def record(kind, data=b""):
    """One queue file record."""
    data = data if isinstance(data, bytes) else data.encode()
    head, length = kind.encode(), len(data)
    while True:
        head += bytes([(length & 0x7F) | (0x80 if length > 0x7F else 0)])
        length >>= 7
        if not length:
            return head + data


def records(*rows):
    return b"".join(record(*row) for row in rows)


MESSAGE = (("A", "rewrite_context=local"), ("F", "Full Name"), ("S", "a@client.test"),
           ("R", "b@far.test"), ("M",), ("N", "Subject: x"), ("N",), ("N", "hi"), ("X",), ("E",))


def like(*changes, base=MESSAGE):
    """base with (index, rows) changes: rows take the place of the record there."""
    rows = list(base)
    for at, new in sorted(changes, reverse=True):
        rows[at:at + 1] = new
    return tuple(rows)


def maildrop(m):
    """Complete messages: their records, without the time; and what else lies there."""
    ready, other = [], []
    for file in m.queue("maildrop"):
        if file.mode & 0o100:
            ready.append([r for r in gp.records(file.path) if r[0] != "T"])
        else:
            other.append(file)
    return ready, other


def take(m, *programs, **options):
    """Run a command; returns its result and the maildrop files it made, which are
    removed. A piece of a line and its end count as one line."""
    done = m.run(*programs, check=False, text=False, **options)
    ready, other = maildrop(m)
    for file in m.queue("maildrop"):
        os.unlink(file.path)
    return done, [joined(rows) for rows in ready], other


def joined(rows):
    out, open_line = [], False
    for kind, data in rows:
        if open_line and kind in "LN":
            out[-1] = ("N", out[-1][1] + data)
        elif open_line:
            out.append((kind, data))
        else:
            out.append(("N" if kind == "L" else kind, data))
        open_line = kind == "L"
    return out


def empty_spool(m):
    """Queue directories, for commands that run while nothing has been started."""
    m.allow(r"/(sendmail|postdrop)\[\d+\]: fatal: ")  # what many tests are about
    m.run("postfix", "-c", m.etc, "check", check=False)
    owner = m.sandbox.users["postfix"]
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold",
                 "incoming", "saved", "trace", "private", "maildrop", "public", "pid"):
        os.makedirs(f"{m.spool}/{name}", exist_ok=True)
        if name != "pid":
            os.chown(f"{m.spool}/{name}", owner.uid, owner.gid)
            os.chmod(f"{m.spool}/{name}", 0o700)
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        os.chown(f"{m.spool}/{name}", owner.uid, 18001)
        os.chmod(f"{m.spool}/{name}", mode)
    return m


def allow_users(m):
    """Let set-gid programs that users run take the test's configuration directory."""
    script = (f"mkdir -p /etc/postfix && grep -v ^alternate_config {m.etc}/main.cf "
              f">/etc/postfix/main.cf && echo alternate_config_directories = {m.etc} "
              ">>/etc/postfix/main.cf")
    m.sandbox.run(["sh", "-c", script])
    return m
