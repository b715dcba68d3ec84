"""alias_maps with proxy: tables: local opens the tables itself."""
import pytest


@pytest.mark.root
@pytest.mark.users("alice")
def test_local_does_not_ask_proxymap_for_aliases(mta):
    m = mta({"home_mailbox": "Maildir/", "local_recipient_maps": "", "smtpd_recipient_restrictions": ""},
            {"proxymap/unix": None}, start=False)
    m.configure({"alias_maps": f"proxy:{m.table('al', {'list': 'alice'})}"})
    m.start()
    m.sendmail("-f", "a@b.test", "list@mx.gate.test", input="Subject: x\n\nhi\n")
    assert m.wait_log("to=<alice@.*status=").status == "sent"
