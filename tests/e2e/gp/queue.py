"""Queue directories, queue listings and mailboxes, read from outside."""
import json
import mailbox
import os
import stat

NAMES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")


class QueueFile:
    def __init__(self, queue, path):
        self.queue, self.path, self.qid = queue, path, os.path.basename(path)
        info = os.stat(path)
        self.mode, self.mtime, self.size = stat.S_IMODE(info.st_mode), info.st_mtime, info.st_size

    def __repr__(self):
        return f"<{self.queue}/{self.qid} {self.mode:04o}>"


def queue_files(spool, *queues):
    """Every file below the named queue directories (default: those with mail)."""
    found = []
    for queue in queues or NAMES:
        for folder, _, names in os.walk(f"{spool}/{queue}"):
            for name in names:
                try:
                    found.append(QueueFile(queue, f"{folder}/{name}"))
                except FileNotFoundError:
                    pass
    return found


def records(path_or_bytes):
    """[(type letter, data bytes)] of a queue file, in physical order, to the end."""
    raw = path_or_bytes
    if not isinstance(raw, bytes):
        with open(raw, "rb") as f:
            raw = f.read()
    out, at = [], 0
    while at < len(raw):
        kind, at = chr(raw[at]), at + 1
        length = shift = 0
        while True:
            byte, at = raw[at], at + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        assert at + length <= len(raw), f"record {kind} at {at} goes past the end"
        out.append((kind, raw[at:at + length]))
        at += length
    return out


def listing(text):
    """postqueue -j output as a list of dictionaries."""
    return [json.loads(row) for row in text.splitlines() if row.strip()]


def maildir(path):
    """Messages of a Maildir as text, oldest first; [] while it does not exist."""
    found = []
    for part in ("new", "cur"):
        folder = f"{path}/{part}"
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            found.append((os.stat(f"{folder}/{name}").st_mtime, name, f"{folder}/{name}"))
    return [open(file, errors="surrogateescape", newline="").read()
            for _, _, file in sorted(found)]


def mbox(path):
    """Messages of an mbox file as email.message objects; [] while it does not exist."""
    if not os.path.exists(path):
        return []
    box = mailbox.mbox(path, create=False)
    try:
        return list(box)
    finally:
        box.close()
