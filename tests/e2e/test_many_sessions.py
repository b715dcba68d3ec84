"""Many sessions and deliveries share few processes."""


def test_a_thousand_idle_sessions(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost({"relayhost": "[127.0.0.2]:25", "default_process_limit": 1200})
    clients = [m.smtp(source=f"127.0.1.{1 + n % 100}") for n in range(1000)]
    for client in clients:
        client.send("EHLO idle.test\r\n")
    for client in clients:
        assert client.reply().code == 250
    assert len(m.daemons("smtpd")) <= 4
    with m.smtp() as client:
        assert client.mail("a@client.test", "b@far.test", "x\n").code == 250
    server.wait(1)
    for client in clients:
        client.cmd("NOOP", 250)
        client.close()


def test_two_hundred_deliveries_to_slow_servers(gatepost, sink):
    server = sink("127.0.0.2", 25, delays={"DATA": 3})
    m = gatepost({"relayhost": "[127.0.0.2]:25", "default_process_limit": 300,
                  "default_destination_concurrency_limit": 200,
                  "initial_destination_concurrency": 200})
    with m.smtp() as client:
        client.ehlo()
        for _ in range(200):
            assert client.mail("a@client.test", "b@far.test", "x\n", ehlo=False).code == 250
    server.wait_for(lambda: sum(s.ended is None for s in server.sessions) >= 150, 30,
                    "150 sessions at a time")
    assert len(m.daemons("smtp")) <= 4
    server.wait(200, timeout=60)
    m.wait_empty()


def test_process_limit_holds(mta):
    """maxproc is the number of sessions served at a time; the next one waits."""
    m = mta(master={"smtp/inet": "smtp inet n - n - 3 smtpd"})
    served = [m.smtp() for _ in range(3)]
    waiting = m.smtp(read_banner=False)
    waiting.sock.settimeout(1)
    try:
        assert not waiting.line(), "a fourth session was served"
    except TimeoutError:
        pass
    served[0].quit()
    waiting.sock.settimeout(20)
    assert waiting.reply().code == 220
    for client in (*served[1:], waiting):
        client.quit()
