"""main.cf and master.cf as the tests write them."""

# The stock services (name/type: line). Tests replace or add rows by key.
STOCK = """
smtp       inet  n - n - - smtpd
pickup     unix  n - n 60 1 pickup
cleanup    unix  n - n - 0 cleanup
qmgr       unix  n - n 300 1 qmgr
tlsmgr     unix  - - n 1000? 1 tlsmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - - proxymap
proxywrite unix  - - n - 1 proxymap
smtp       unix  - - n - - smtp
relay      unix  - - n - - smtp -o syslog_name=postfix/$service_name
showq      unix  n - n - - showq
error      unix  - - n - - error
retry      unix  - - n - - error
discard    unix  - - n - - discard
local      unix  - n n - - local
virtual    unix  - n n - - virtual
lmtp       unix  - - n - - lmtp
anvil      unix  - - n - 1 anvil
scache     unix  - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
"""


def main_cf(settings):
    """Text of main.cf from {name: value}. None leaves a parameter out; True and False
    are yes and no; a list is joined with commas."""
    rows = []
    for name, value in settings.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        rows.append(f"{name} = {value}".rstrip().replace("\n", "\n    ") + "\n")
    return "".join(rows)


def master_cf(edits, available=None):
    """Stock master.cf with edits {"smtp/inet": line or None (remove), ...}. A line may
    be only "-o a=b ..." to add options to the stock one. Services whose program is
    not in `available` (if given) are left out."""
    rows = {}
    for line in STOCK.strip().splitlines():
        fields = line.split()
        if available is None or fields[7] in available:
            rows[f"{fields[0]}/{fields[1]}"] = line
    for key, line in (edits or {}).items():
        if line is None:
            rows.pop(key, None)
        elif line.lstrip().startswith("-o"):
            rows[key] += " " + line.strip()
        else:
            rows[key] = line
    return "".join(line + "\n" for line in rows.values())
