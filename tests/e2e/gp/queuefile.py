"""Queue files made by hand: records, messages and delay logs, also broken ones."""
import os
import shutil

ARRIVAL = "1795419068 538197"


def record(kind, data=b""):
    """One record: type letter, length in base 128, data."""
    data = data.encode() if isinstance(data, str) else data
    head, rest = bytearray(kind.encode()), len(data)
    while True:
        low, rest = rest & 0x7F, rest >> 7
        head.append(low | (0x80 if rest else 0))
        if not rest:
            return bytes(head) + data


def lines(*texts):
    return b"".join(record("N", text) for text in texts)


def envelope(sender="c@client.test", rcpts=("z@far.test",)):
    return (record("T", ARRIVAL) + record("A", "rewrite_context=local") +
            record("S", sender) + b"".join(record("R", rcpt) for rcpt in rcpts))


def pointer(offset):
    return record("p", f"{offset:15d}")


def message(sender, rcpts, text=("Subject: x", "", "hi")):
    """(bytes of a complete file with its size record, offset of each recipient)."""
    body, offsets = envelope(sender, ()), []
    for rcpt in rcpts:
        offsets.append(97 + len(body))
        body += record("R", rcpt)
    body += record("M")
    content = lines(*text)
    size = "".join(f"{n:15d} " for n in (len(content), 97 + len(body), len(rcpts), 0,
                                         len(content), 0))[:95]
    return record("C", size) + body + content + record("X") + record("E"), offsets


def put(m, queue, qid, sender, rcpts, mode=0o700, delays=()):
    """A message in a queue; delays: (index of the recipient, reason)."""
    data, offsets = message(sender, rcpts)
    write(m, queue, qid, data, mode)
    if delays:
        log = b""
        for index, reason in delays:
            log += (b"\nrecipient=" + rcpts[index] +
                    f"\noffset={offsets[index]}\nstatus=4.0.0\naction=delayed\n".encode() +
                    b"reason=" + reason + b"\n\n")
        write(m, "defer", qid, log, 0o600)


def write(m, queue, qid, data, mode):
    folder = f"{m.spool}/{queue}"
    if queue in ("deferred", "defer"):
        folder += f"/{qid[0]}"
        os.makedirs(folder, exist_ok=True)
        shutil.chown(folder, m.owner.uid, m.owner.gid)
    path = f"{folder}/{qid}"
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)
    os.chown(path, m.owner.uid, m.owner.gid)
    return path
