"""Seeded random sources and keys for comparing postmap and postalias with the peer's."""
import random

WORDS = [b"a", b"Bob", b"user", b"X", b"foo.bar", b"owner-list", b"10", b"@dom.test", b"u@d.test",
         b"\xc3\x9cber", b"stra\xc3\x9fe", b"\xe1\xba\x9e", b"\xc4\xb0", b"\xf0\x90\x90\x80", b"\xc3\xa9",
         b"caf\xcc\x81e", b"\xef\xbf\xbe", b"\xe2\x84\xaa", b"+", b"-", b".", b"root", b"$x", b"{", b"}"]
BROKEN = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82", b"\x80"]
SPACE = [b" ", b" ", b" ", b"  ", b"\t", b" \t ", b"\x0b", b"\x0c", b"\r"]
MARKS = [b'"', b'"', b"\\", b"#", b":", b",", b"@", b"%", b"!", b"(", b")", b"<", b">", b"[", b"]",
         b";", b".", b"'", b"\x01", b"\x7f", b"=", b"|", b"/", b"~"]
STARTS = [b"", b"", b"", b"", b" ", b"\t", b"#", b" # ", b"\r", b"\x0b", b"#x "]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, options):
        return self.random.choice(options)

    def chance(self, part):
        return self.random.random() < part

    def text(self, most=4):
        """A few words and marks run together; sometimes broken UTF-8."""
        parts = [self.pick(WORDS if self.chance(0.65) else MARKS)
                 for _ in range(self.random.randint(1, most))]
        if self.chance(0.03):
            parts.append(self.pick(BROKEN))
        if self.chance(0.01):
            parts.append(self.pick(WORDS) * 30)
        self.random.shuffle(parts)
        return b"".join(parts)

    def quoted(self):
        inside = b" ".join(self.text(3) for _ in range(self.random.randint(0, 2)))
        if self.chance(0.9):
            inside = inside.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return b'"' + inside + b'"'

    def phrase(self, most=3):
        return self.pick(SPACE[:6]).join(
            self.quoted() if self.chance(0.2) else self.text()
            for _ in range(self.random.randint(1, most)))

    def map_line(self):
        key = self.quoted() if self.chance(0.2) else self.text(3)
        if self.chance(0.05):
            return key
        return key + self.pick(SPACE) + self.phrase() + self.pick([b"", b"", b" ", b"\r", b"\t"])

    def alias_line(self):
        name = self.phrase(2) if self.chance(0.5) else self.pick(WORDS)
        colon = self.pick([b":", b": ", b":\t", b" : ", b""]) if self.chance(0.9) else b" "
        value = self.pick([b"", b", ", b",", b" "]).join(
            self.phrase() for _ in range(self.random.randint(0, 3)))
        return name + colon + value

    def source(self, lines, alias=False):
        text = []
        for _ in range(lines):
            line = self.alias_line() if alias else self.map_line()
            if self.chance(0.05):
                line = b""
            text.append(self.pick(STARTS) + line + b"\n")
        last = b"".join(text)
        return last[:-1] if self.chance(0.3) else last

    def keys(self, source):
        """Pieces of the source as keys, one a line."""
        found = []
        for line in source.split(b"\n"):
            words = line.split(None, 1)
            if words:
                found += [words[0], words[0].upper(), line.split(b":")[0].strip()]
        self.random.shuffle(found)
        return b"\n".join(key for key in found if key)
