"""The cases of bench/run. Each is a function (cls) -> gpbench.Result, or prints its own
figures, and is bounded in messages and time."""
import os
import resource
import socket
import time

import gpbench
from gpbench import Bed, Result, gp


def relay(cls, sessions, size, messages, keep=False, parent="/tmp", main=None):
    """smtp-source -> mail system -> smtp-sink."""
    with Bed(cls, main, parent=parent) as bed:
        bed.start_sink("-m", 1000)
        bed.measure(lambda: [bed.source(sessions, size, sessions)], sessions)  # warm up
        options = ["-d"] if keep else []
        return bed.measure(lambda: [bed.source(sessions, size, messages, *options)], messages)


def submission(cls, parallel=8, messages=1000, size=4096):
    """sendmail commands, so many at a time, relayed to the sink."""
    with Bed(cls) as bed:
        bed.start_sink("-m", 1000)
        text = "Subject: benchmark\n\n" + ("x" * 71 + "\n") * (size // 72)
        path = f"{bed.sandbox.dir}/message"
        with open(path, "w") as f:
            f.write(text)
        script = (f"seq {messages} | xargs -P {parallel} -I N "
                  f"sh -c 'exec {bed.mta.path('sendmail')} -i -f a@client.test "
                  f"b@far.test <{path}'")
        return bed.measure(lambda: [bed.sandbox.popen(["sh", "-c", script],
                                                      env=bed.mta.environment())],
                           messages, own_load=True)


def local_maildir(cls, sessions=20, size=4096, messages=3000):
    """Delivery to one user's Maildir by the local agent."""
    with Bed(cls, {"home_mailbox": "Maildir/"}, users=["alice"]) as bed:
        to = "alice@mx.gate.test"
        bed.measure(lambda: [bed.source(sessions, size, sessions, to=to)], sessions)
        result = bed.measure(lambda: [bed.source(sessions, size, messages, to=to)], messages)
        found = len(os.listdir(f"{bed.sandbox.users['alice'].home}/Maildir/new"))
        if found != messages + sessions:
            raise RuntimeError(f"{found} files in the Maildir")
        return result


def flush(cls, messages=20000):
    """Messages that were deferred, delivered after postqueue -f. The time is that of
    the flush alone."""
    with Bed(cls, {"defer_transports": "smtp"}) as bed:
        bed.start_sink("-m", 1000)
        if bed.source(20, 1024, messages, "-d").wait(600) != 0:
            raise RuntimeError("the load generator failed")
        deadline = time.monotonic() + 300
        busy = [f"{bed.mta.spool}/{queue}" for queue in ("incoming", "active")]
        while any(map(gpbench.has_files, busy)):
            if time.monotonic() > deadline:
                raise TimeoutError("deferring took too long")
            time.sleep(0.1)
        bed.mta.configure({"defer_transports": ""})
        bed.mta.reload()
        time.sleep(1)
        before, began = bed.cpu(), time.monotonic()
        bed.mta.flush()
        bed.wait_idle(600, allow_deferred=True)
        elapsed = time.monotonic() - began
        time.sleep(0.2)
        result = Result(messages, elapsed, bed.cpu() - before)
        if bed.wait_delivered(messages) < messages:
            raise RuntimeError("not all were delivered")
        return result


def private_kib(pids):
    """Private memory of these processes in KiB."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += sum(int(row.split()[1]) for row in f
                         if row.startswith(("Private_Clean:", "Private_Dirty:")))
    return total


def _sessions(count):
    """So many SMTP sessions that have said EHLO and then nothing."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 1000, max(
        count + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    socks = []
    for number in range(count):
        sock = socket.create_connection(("127.0.0.1", 25), 60,
                                        (f"127.0.{1 + number // 20000}.1", 0))
        socks.append(sock)
        assert sock.recv(512).startswith(b"220")
        sock.sendall(b"EHLO idle.test\r\n")
        assert sock.recv(1024).startswith(b"250")
    return socks


def idle(cls, sessions):
    """Private memory of the SMTP server a session, and relaying beside them."""
    with Bed(cls, {"default_process_limit": sessions + 200,
                   "smtpd_timeout": "3600s"}) as bed:
        bed.start_sink("-m", 1000)
        bed.measure(lambda: [bed.source(20, 4096, 20)], 20)
        alone = bed.measure(lambda: [bed.source(20, 4096, 2000)], 2000)
        base = private_kib(bed.mta.daemons("smtpd"))
        socks = _sessions(sessions)
        time.sleep(1)
        pids = bed.mta.daemons("smtpd")
        used = private_kib(pids) - base
        beside = bed.measure(lambda: [bed.source(20, 4096, 2000)], 2000)
        for sock in socks:
            sock.close()
        print(f"  {cls.name:9} {sessions} idle sessions in {len(pids)} processes: "
              f"{used / sessions:.1f} KiB private memory each; relaying {alone.rate:.0f} "
              f"msg/s before, {beside.rate:.0f} beside them", flush=True)
        return used / sessions, beside.rate / alone.rate


def slow_servers(cls, deliveries=1000):
    """That many deliveries at a time to servers which take ten seconds to answer."""
    with Bed(cls, {"default_process_limit": deliveries + 100,
                   "default_destination_concurrency_limit": deliveries,
                   "initial_destination_concurrency": deliveries}) as bed:
        server = gp.SmtpServer(gpbench.SINK, 25, delays={"DATA": 10}, backlog=2000)
        began = time.monotonic()
        if bed.source(50, 1024, deliveries, "-d").wait(120) != 0:
            raise RuntimeError("the load generator failed")
        peak = processes = 0
        while not bed.idle():
            if time.monotonic() - began > 180:
                raise TimeoutError("mail is left in the queue")
            peak = max(peak, sum(s.ended is None for s in server.sessions))
            processes = max(processes, len(bed.mta.daemons("smtp")))
            time.sleep(0.2)
        elapsed = time.monotonic() - began
        server.close()
        print(f"  {cls.name:9} {deliveries} deliveries to servers that take 10 s: "
              f"{elapsed:.1f} s, up to {peak} at a time in {processes} processes", flush=True)
