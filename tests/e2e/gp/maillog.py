"""Lines of a mail log as records, and a form of them that two systems share."""
import difflib
import pprint
import re

LINE = re.compile(r"(?P<date>\w{3} [ \d]\d \d\d:\d\d:\d\d|\S+T\S+) (?P<host>\S+) "
                  r"(?P<tag>[^\[\s]+)\[(?P<pid>\d+)\]: (?P<text>.*)")
SEVERITY = re.compile(r"(warning|error|fatal|panic): ")
QUEUE_ID = re.compile(r"(NOQUEUE|[0-9A-F]{6,}|[0-9A-Za-z]{10,}): ")
FIELD = re.compile(r"([a-z_]+)=(<[^>]*>|[^, ]*)(?:, |$| \()")


class LogLine:
    """One line: date, host, syslog_name, program, pid, severity ("info" if none),
    qid ("" if none), text (after the id) and fields (to, relay, status, ...)."""

    def __init__(self, raw):
        self.raw = raw
        m = LINE.match(raw)
        self.well_formed = m is not None
        self.date, self.host, tag, pid, text = m.groups() if m else ("", "", "", "0", raw)
        self.syslog_name, _, self.program = tag.rpartition("/")
        self.pid = int(pid)
        s = SEVERITY.match(text)
        self.severity = s.group(1) if s else "info"
        text = text[s.end():] if s else text
        self.message = text
        q = QUEUE_ID.match(text)
        self.qid = q.group(1) if q else ""
        self.text = text[q.end():] if q else text
        self.fields = dict(FIELD.findall(self.text.split(" (", 1)[0] + ", "))
        status = re.search(r"status=(\w+) \((.*)\)$", self.text)
        if status:
            self.fields["status"], self.fields["reason"] = status.groups()

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self.__dict__.get("fields", {}).get(name, "")

    def __repr__(self):
        return f"<{self.raw}>"


NORMAL = [
    (re.compile(r"\b(delay)=[\d.]+"), r"\1=N"),
    (re.compile(r"\b(delays)=[\d.]+/[\d.]+/[\d.]+/[\d.]+"), r"\1=N/N/N/N"),
    (re.compile(r"\bqueued as [0-9A-Za-z]+"), "queued as QID"),
    (re.compile(r"<\d{14}\.[0-9A-Za-z]+@"), "<DATE.QID@"),
    (re.compile(r"(notification: )[0-9A-Za-z]+$"), r"\1QID"),
    (re.compile(r"(forwarded as )[0-9A-Za-z]+"), r"\1QID"),
    (re.compile(r"(orig_queue_id=|orig_id=)[0-9A-Za-z]+"), r"\1QID"),
    (re.compile(r"\b(pid|PID:?) \d+"), r"\1 N"),
    (re.compile(r"\b(uid)=\d+"), r"\1=N"),
    (re.compile(r"\b(size)=\d+"), r"\1=N"),
    (re.compile(r"(version )\S+,"), r"\1V,"),
    (re.compile(r"/tmp/gpe2e-\w+"), "DIR"),
]


def normal(line):
    """The line without what may differ between two systems: date, pid, ids, times.
    Text such as "smtpd info: QID: client=..."."""
    text = line.text
    for pattern, replacement in NORMAL:
        text = pattern.sub(replacement, text)
    qid = {"": "", "NOQUEUE": "NOQUEUE: "}.get(line.qid, "QID: ")
    return f"{line.syslog_name}/{line.program} {line.severity}: {qid}{text}"


def parse(text):
    return [LogLine(raw) for raw in text.splitlines() if raw]


def difference(expected, found):
    """Two values of any kind as a line by line comparison, for a person to read."""
    def rows(value):
        if isinstance(value, (list, tuple)):
            return [row for item in value for row in rows(item)]
        return (value if isinstance(value, str) else pprint.pformat(value)).splitlines()
    return "\n".join(difflib.unified_diff(rows(expected), rows(found), "expected", "found",
                                          lineterm="", n=1))
