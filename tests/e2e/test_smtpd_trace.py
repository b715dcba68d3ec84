"""What a message says of its arrival: client names, Received header, envelope."""
import re

import pytest

import gp
from test_smtpd_policy import replies_and_log

HELD = {"relayhost": "[127.0.0.2]:25", "defer_transports": "smtp"}
START = {
    "esmtp": ["EHLO client.test", "MAIL FROM:<a@b>"],
    "smtp": ["HELO client.test", "MAIL FROM:<a@b>"],
    "no greeting": ["MAIL FROM:<a@b>"],
    "both greetings": ["EHLO client.test", "HELO other.test", "MAIL FROM:<>"],
    "unicode": ["EHLO client.test", "MAIL FROM:<a@b> SMTPUTF8 BODY=8BITMIME"],
    "literal": ["EHLO [192.0.2.1]", "MAIL FROM:<\"x y\"@b>"],
    "odd name": ["EHLO a(b)\"<c>\x01", "MAIL FROM:<a@b>"],
    "dsn": ["EHLO client.test", "MAIL FROM:<a@b> RET=FULL ENVID=a+2Bb+20c"],
}
RCPTS = {
    "one": ["RCPT TO:<c@d>"],
    "two": ["RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY", "RCPT TO:<e@d> ORCPT=rfc822;x+2By@z"],
    "quoted": ["RCPT TO:<\"q r\"@d>"],
}
END = ["DATA", ("data", "Subject: x\n\nhi\n"), "QUIT"]


def whole_file(m):
    """All records but for times, ports, ids and the size record."""
    m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
    (entry,) = m.queue()
    out = []
    for kind, data in gp.records(entry.path):
        text = re.sub(entry.qid, "QID", data.decode("utf-8", "replace"))
        text = re.sub(r"\w{3}, [ \d]\d \w{3} .*|\d{14}\.|(?<=_port=)\d+|(?<=create_time=)\d+",
                      "X", text)
        out.append((kind, "" if kind in "CTW" else text))
    return out


@pytest.mark.parametrize("start, rcpts", [
    *[(name, "one") for name in START], ("esmtp", "two"), ("esmtp", "quoted"),
    ("unicode", "two"), ("dsn", "two")])
def test_message(like_peer, start, rcpts):
    def scenario(m):
        return replies_and_log(m, [*START[start], *RCPTS[rcpts], *END]), whole_file(m)

    like_peer(scenario, HELD)


def test_local_rewriting_by_client(like_peer):
    def scenario(m):
        with m.smtp() as client:
            gp.converse(client, [*START["esmtp"], *RCPTS["one"], *END])
        return whole_file(m)

    like_peer(scenario, {**HELD, "local_header_rewrite_clients": ""})
    records = like_peer(scenario, {**HELD, "local_header_rewrite_clients": "permit_mynetworks"})
    assert ("A", "rewrite_context=local") in records


def test_content_filter(like_peer):
    def scenario(m):
        with m.smtp() as client:
            gp.converse(client, [*START["esmtp"], *RCPTS["one"], *END])
        return whole_file(m)

    like_peer(scenario, {**HELD, "content_filter": "smtp:[127.0.0.9]:9"})


ZONES = {
    "far.test": "good A 192.0.2.7\nforged A 192.0.2.77\n@ MX 10 good\n",
    "2.0.192.in-addr.arpa": "7 PTR good.far.test.\n8 PTR forged.far.test.\n"
                            "10 PTR nowhere.far.test.\n11 PTR bad_name..far.test.\n".replace(
                                "bad_name..", "bad_name."),
}


@pytest.mark.parametrize("source", ["192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.10"])
def test_client_name(like_peer, dns, source):
    """A name counts when it leads back to the address."""
    dns(ZONES)

    def scenario(m):
        with m.smtp(source=source) as client:
            got = gp.converse(client, [*START["esmtp"], *RCPTS["one"], *END])
        m.wait_log("disconnect from")
        return got, whole_file(m), m.normal_log("smtpd")

    like_peer(scenario, {**HELD, "mynetworks": "192.0.2.0/24"})


def test_queue_id_from_the_start(like_peer):
    """Refused recipients can be logged with an id, at the price of empty files."""
    like_peer(lambda m: replies_and_log(m, [*START["esmtp"], "RCPT TO:<nouser@mx.gate.test>",
                                            "RSET", *START["esmtp"][1:], "QUIT"]),
              {**HELD, "smtpd_delay_open_until_valid_rcpt": "no",
               "local_recipient_maps": "inline:{u=x}"})


def test_no_name_look_up(like_peer):
    def scenario(m):
        with m.smtp() as client:
            gp.converse(client, ["QUIT"])
        m.wait_log("disconnect from")
        return m.normal_log("smtpd")

    assert any("unknown[127.0.0.1]" in line
               for line in like_peer(scenario, {"smtpd_peername_lookup": "no"}))


def test_ports_in_the_log(gatepost):
    m = gatepost({"smtpd_client_port_logging": "yes"})
    with m.smtp() as client:
        port = client.sock.getsockname()[1]
        client.quit()
    m.wait_log(rf"disconnect from localhost\[127.0.0.1\]:{port} quit=1")


def test_hidden_client(gatepost):
    m = gatepost({**HELD, "smtpd_hide_client_session": "yes"})
    with m.smtp() as client:
        gp.converse(client, [*START["esmtp"], *RCPTS["one"], *END])
    lines = [text for kind, text in whole_file(m) if kind == "N"]
    assert not any("client.test" in line or "127.0.0.1" in line for line in lines)
    assert lines[0].startswith("Received: by mx.gate.test (Postfix) ")
