"""Envelope ids and original recipients on their way through, beside the peer: decoded in
the queue, encoded again for the next server."""
import pytest

RELAY = {"relayhost": "[127.0.0.2]:25"}
ENVIDS = ["a+2Bb", "a+b", "a=b", "x@y"]


@pytest.fixture
def server(sink):
    return sink("127.0.0.2", 25, ehlo=("PIPELINING", "8BITMIME", "DSN"))


def relayed(m, server, send):
    before = len(server.messages)
    send(m)
    server.wait(before + 1)
    m.wait_log("removed", count=1)
    message = server.messages[before]
    return message.mail_args, message.rcpt_args


@pytest.mark.parametrize("envid", ["abc+2Bdef+3D1", "a+20b", "x@y=z"])
def test_by_smtp(like_peer, server, envid):
    def send(m):
        with m.smtp() as client:
            client.ehlo()
            client.cmd(f"MAIL FROM:<a@client.test> ENVID={envid}", 250)
            client.cmd("RCPT TO:<b@far.test> ORCPT=rfc822;b+2Bc+3D@far.test", 250)
            client.cmd("DATA", 354)
            client.data("Subject: x\n\nx\n")
            client.quit()
    like_peer(lambda m: relayed(m, server, send), RELAY)


@pytest.mark.parametrize("envid", ENVIDS)
def test_by_sendmail(like_peer, server, envid):
    def send(m):
        m.sendmail("-V", envid, "-f", "a@client.test", "b@far.test", input="Subject: x\n\nx\n")
    like_peer(lambda m: relayed(m, server, send), RELAY)
