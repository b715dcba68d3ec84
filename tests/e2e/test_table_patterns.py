"""regexp, pcre and cidr tables: the answers and warnings of postmap equal the peer's, for
every form of line that we know and for tables made at random. GP_TABLES=1000 tries more
of these than the few of a usual run; each is made from its number alone."""
import ipaddress
import os
import random
import re

import pytest

import gp

ROUNDS = int(os.environ.get("GP_TABLES", "25"))

EMPTY_RESULT = re.compile("empty string result|NO RESULT")  # postmap's word, not a table's


@pytest.fixture
def compare(gatepost, peer, sandbox):
    """compare(kind, text, keys): ask both for all keys. compare.inline(name, keys)"""
    systems = [peer(start=False), gatepost(start=False)]
    for system in systems:
        system.allow("fatal: .* map: ")

    def ask(name, keys):
        answers = []
        for system in systems:
            done = system.run("postmap", "-q", "-", name, check=False,
                              input="".join(f"{key}\n" for key in keys))
            answers.append([*done.stdout.splitlines(), f"exit {done.returncode}",
                            *(line for line in done.stderr.splitlines()
                              if not EMPTY_RESULT.search(line))])
        return answers

    def check(kind, text, keys, name=None):
        path = f"{sandbox.dir}/rules"
        with open(path, "w") as f:
            f.write(text)
        theirs, ours = ask(name or f"{kind}:{path}", keys)
        if theirs != ours:
            pytest.fail(f"unlike the peer: {name or text}\n" +
                        gp.difference(theirs, ours), pytrace=False)
        return ours

    check.inline = lambda name, keys: check(None, "", keys, name)
    return check


PATTERN_LINES = r"""
/one/ plain
/one/x plain
/one/i case
/two/m lines
/two/imx all
/one/I unknown
/one/i,m unknown
/one/
/one
/one\/ unclosed
|thr\|ee| kept
/x\/y/ slash
"four" quoted
[four[ bracket
(four( parenthesis
(four) parenthesis
.four. dot
.f\.r. dot
.f.o. dot
_four_ underscore
$four$ dollar
*four* star
{four{ brace
{four} brace
\four\ backslash
afoura letter
1four1 digit
!\four\ backslash
!
!!
! !
!!four! negated delimiter
four no pattern
/ / blank
/(f)(o)/ $3
/(f)(o)/ $3$4$3
/(f)(o)/ $0
/(f)(o)/ $0 $0 $x $y $3
/(f)(o)/ ${0} $(0)
/(f)(o)/ $12
/(f)(o)/ $
/(f)(o)/ a$
/(f)(o)/ $1 ${
/(f)(o)/ $x $1 ${
/(f)(o)/ $ $x
/(f)(o)/ ${1
/(f)(o)/ $(1
/(f)(o)/ $(1}
/(f)(o)/ ${1)
/(f)(o)/ ${x}
/(f)(o)/ ${}
/(f)(o)/ $()
/(f)(o)/ ${1:x}
/(f)(o)/ ${1?{x}:{y}}
/(f)(o)/ $(${1})
/(f)(o)/ $((1))
/(f)(o)/ ${ 1 }
/(f)(o)/ ${-1}
/(f)(o)/ $-1
/(f)(o)/ $1x
/(f)(o)/ $1_
/(f)(o)/ $$$
!/five/ $1
!/five/ $
!/five/ $0
!/(five/ $1
/(five/ $3
/(five/ $x
/(five/z $x
/(five/z
/five/zy a
/five/ $1
/f(o*/ x
/f[o/ x
/*foo/ x
/f{2,1}/ x
/[[:foo:]]/ x
/[z-a]/ x
/(a)\2/ b
if
if foo
if /foo
if /f(/
if /f(/ x
if /foo/z
if !
if_
iff
if1
if1foo1
endif
endif x
endif/x/ y
endif_
endif1
endifx
IF /six/
/./ six
EndIf
if	/seven/ extra
/./ seven
ENDIF extra
if/eight/x y
/./ eight
endif#
if|nine|
/./ nine
endif
if!/e|o|a|u|[0-9]|^$/
/./ vowelless
endif
if xtenx
/1./ ten
endif
if ! !/11/
/11/  eleven   twelve
  thirteen
# comment
	fourteen

  fifteen
endif
if /16/
if !/17/
/./ sixteen
endif
/./ seventeen
if /never/
 /lead/ white space
/(o)(n)?(z)?/ [$1][${2}][$(3)] $$1
/(((t))(w)o)/i $1$2$3$4
/fo/i!/six/ one but not the other
/(fo)/! !/(six)/ $1
/fo/!!/(six)/ $1
/fo/!
/fo/!/six
/fo/!/six/z x
/fo(/!/six(/ x
/fo/!/six(/ x
/fo/!/on/!/x/ y
!/fo/!/n/ x
if /fo/!/six/
endif
/a b/ blank
/^$/ empty
""".lstrip("\n")

PATTERN_KEYS = """one ONE two TWO three thr|ee thr\\|ee x/y four FOUR f.r foo fo six Six seven
eight nine ten 10 11 1011 16 1617 xyz bzz oz on onz a$b if tw tWo never lead""".split() + [
    "a b", "", " one", "a\tb"]


PCRE_LINES = r"""
/a b/xi x
/foo/X obsolete
/\q/ unknown
/f.*o/U $1
/f(.*)o/U [$1]
/oo/A anchored
/fo$/E end
/(?<n>f)(o)/ ${n}
/(?|(s)|(t))/ $1
/(x)|(y)|(z)/ [$1][$2][$3]
/(?<=fo*)o/ x
/\x{100}/ x
/a{70000}/ x
/\1/ x
/(?<n>a)(?<n>b)/ x
/\Qa$b\E/ x
/(?R)/ x
""".lstrip("\n")


def test_lines_of_regexp_and_pcre(compare):
    for kind in ("regexp", "pcre"):
        answers = compare(kind, PATTERN_LINES, PATTERN_KEYS)
        assert "six\tsix" in answers and "1617\tseventeen" in answers
        assert sum("warning:" in line for line in answers) > 60
        for line in ("// all", "/ /x all or one", "!afouura not four", "!1four1 not four"):
            compare(kind, f"{line}\n/o/ o\n", PATTERN_KEYS)
    compare("pcre", PCRE_LINES, PATTERN_KEYS)
    # What takes too long is a warning, and no match; what needs a deep stack does match.
    keys = ["a" * 60 + "!", "a" * 60, "x" * 20000]
    answers = compare("pcre", "/^(a+)+$/ slow\n/^(.|\\n)*x$/ deep\n/!/ end\n", keys)
    assert answers[:3] == [f"{keys[0]}\tend", f"{keys[1]}\tslow", f"{keys[2]}\tdeep"]
    assert answers[4].endswith("line 1: match limit exceeded")


CIDR_LINES = """
192.0.2.1 host
192.0.2.1
192.0.2.0/24 network
192.0.2.1/33 long
192.0.2.1/24 host bits
192.0.2.1/-1 sign
192.0.2.1/+32 sign
192.0.2.1/ nothing
192.0.2.1/a letter
192.0.2.1/32x garbage
192.0.2.1/024 host bits
198.51.100.0/0024 zeros
198.51.100.0/99999999999999999999 long
192.0.2.1/32/32 twice
/24 no address
/ nothing
foo bar
foo
foo/99 x
foo/9 x
192.0.2 short
192.0.2.256 big
0192.0.2.4 zeros
192.0.2.4.5 long
192.0.2.4a
[192.0.2.2] brackets
[192.0.2.0]/24 brackets
[192.0.2.0/24] brackets
[2001:db8::]/32 brackets
[2001:db8:1::/48] brackets
[2001:db8::/32]x garbage
[2001:db8::]/32] garbage
[2001:db8:: open
2001:db8::] closed
[[2001:db8::1]] twice
[] empty
[/24] empty
[]/24 empty
[192.0.2.1]x garbage
[192.0.2.1]/ garbage
[192.0.2.0/24]/24 twice
2001:db8::/129 long
2001:db8::1/32 host bits
2001:db8:::1 colons
::ffff:192.0.2.1 mapped
ipv6:2001:db8::1 prefix
IPv6:2001:db8::2 prefix
fe80::1%lo scope
!
! a
!! a
!foo a
!!203.0.113.1 twice
!!!203.0.113.0/24 thrice
if
if foo
if !
if 192.0.2.1 extra
if 192.0.2.1/32 extra
if [192.0.2.1 x
if [192.0.2.1] x
endif
endif x
endif!
endifx
endif1
if1.2.3.4
if/192.0.2.1
ifx
IF 203.0.113.0/24
203.0.113.9 nine
if!203.0.113.8/29
203.0.113.0/28 seven
! 203.0.113.128/25 lower half
EndIf
ENDIF
if ! 203.0.113.0/24
0.0.0.0/0 rest
::/0 never
endif
2001:db8:2::/48   spaced   out
  continued
# comment
	more
 10.0.0.0/8 white space
0.0.0.0/0	all
!2001:db8::/32 foreign
if 2001:db8::/32
::/0 ours
""".lstrip("\n")

CIDR_KEYS = """192.0.2.1 192.0.2.2 192.0.2.77 198.51.100.9 203.0.113.1 203.0.113.7 203.0.113.9
203.0.113.10 203.0.113.200 9.9.9.9 2001:db8::1 2001:DB8:1::1 2001:db8:2::5 2001:db9::1
::ffff:192.0.2.1 [192.0.2.1] IPv6:2001:db8::1 ipv6:2001:db8::1 foo 192.0.2 192.0.2.256
fe80::1%lo 192.0.2.1/32 0192.0.2.1 255.255.255.255 :: 0.0.0.0""".split() + ["", " 192.0.2.1"]


def test_lines_of_cidr(compare):
    answers = compare("cidr", CIDR_LINES, CIDR_KEYS)
    assert "2001:db8:2::5\tbrackets" in answers
    assert sum("warning:" in line for line in answers) > 50
    compare("cidr", "!2001:db8::/32 foreign\nif 192.0.2.0/24\n192.0.2.1 x\n", CIDR_KEYS)


def test_inline_rules(compare):
    for text in ("{}", "{ }", "{{}}", "{{ }}", "{{192.0.2.1 a}}",
                 "{{192.0.2.1 a},{192.0.2.2 b}}", "{{192.0.2.1 a}, {192.0.2.2 b} , }",
                 "{{192.0.2.1 {a} b}}", "{{# comment}, {bad x}, {}, {bad y}}",
                 "{{if 192.0.2.1} {192.0.2.1 q} {endif}}", "{{if 192.0.2.1} {192.0.2.1 q}}",
                 "{\n{192.0.2.1 a}\n{192.0.2.2\nb}\n }", "{{192.0.2.1 a\n  b}}",
                 # fatal, for which the peer takes a second each
                 "{{192.0.2.1 a}{192.0.2.2 b}}", "{192.0.2.1 a}", "{{192.0.2.1 a}",
                 "{{192.0.2.1 a}} x"):
        compare.inline(f"cidr:{text}", CIDR_KEYS)
    for kind in ("regexp", "pcre"):
        for text in ("{{/o{1,2}n/ $$1}, {!/t/ no t}}", "{{/(f)/ $1} {/(x/}}",
                     "{{if /f/} {/o/ x} {endif}, {/(/ x}}"):
            compare.inline(f"{kind}:{text}", PATTERN_KEYS)


class Patterns:
    """Random regular expressions, most of them correct."""
    SHARED = (".", "[ab]", "[^a]", "[[:alpha:]]", r"\.", r"\w", "[b-d]", "[]a]", r"\b", "^", "$",
              r"\\", r"\-", "[.x]", "[a-c1]", " ", r"\/", "[", "{", "]", ")", r"\1", r"\>", "*")
    PCRE = (r"\d", r"\s", r"\x61", r"\t", r"[\w-]", r"[\]a]", r"\Qa.\E", "(?i)", r"\K", r"\A",
            r"\z", r"\h", "(?-i)", "[[:^alpha:]]", "(?x) a ", "(?#c)", r"\N", r"\Z", "(*ACCEPT)")

    def __init__(self, rng, pcre):
        self.rng, self.pcre = rng, pcre

    def atom(self, depth):
        die = self.rng.randrange(10 if depth < 3 else 8)
        if die < 6:
            return "".join(self.rng.choices("abcdABC1@x", k=self.rng.randint(1, 4)))
        if die < 8:
            safe = self.rng.random() < 0.9
            return self.rng.choice((self.PCRE if self.pcre and self.rng.random() < 0.3
                                    else self.SHARED)[:16 if safe else None])
        opening = "("
        if self.pcre and self.rng.random() < 0.5:
            opening = self.rng.choice(("(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?|",
                                       "(?<n>"))
        return f"{opening}{self.alternatives(depth + 1)})"

    def sequence(self, depth):
        text = ""
        for _ in range(self.rng.randint(depth == 0, 4)):
            text += self.atom(depth)
            if self.rng.random() < 0.2:
                text += self.rng.choice(("*", "+", "?", "{2}", "{1,}", "{0,2}", "{,2}", "{2"))
            if self.pcre and self.rng.random() < 0.05:
                text += self.rng.choice("?+")
        return text

    def alternatives(self, depth=0):
        text = self.sequence(depth)
        while self.rng.random() < 0.2:
            text += "|" + self.sequence(depth)
        return text

    def __call__(self):
        delimiter = self.rng.choice("/////|!#")
        flags = "".join(self.rng.choices("imxsAEUz" if self.pcre else "imxz",
                                         weights=[4, 2, 2] + [1] * (5 if self.pcre else 1),
                                         k=self.rng.choice((0, 0, 0, 1, 2))))
        return f"{delimiter}{self.alternatives()}{delimiter}{flags}"

    def result(self, number):
        words = [f"r{number}"]
        if self.rng.random() < 0.4:
            words.append(self.rng.choice(("[$1]", "${1}$2", "$(1)x", "$$", "$1$1-$3", "$0", "$",
                                          "${1", "$1x", "${x}", "$$$1", "$4")))
        return " ".join(words)

    def key(self):
        return ("".join(self.rng.choices("abcdabcdABC1@x.- \\]/", k=self.rng.randrange(20)))
                .rstrip())


class Networks:
    def __init__(self, rng):
        self.rng = rng

    def address(self):
        rng = self.rng
        if rng.random() < 0.3:
            return f"2001:{rng.choice(('db8', 'db9'))}::{rng.choice(('', '1:'))}{rng.randrange(4)}"
        return f"10.{rng.randrange(2)}.{rng.randrange(4)}.{rng.randrange(8)}"

    def __call__(self):
        address = self.address()
        bits = 32 if "." in address else 128
        length = self.rng.choice((0, 8, 16, bits - 9, bits - 4, bits - 2, bits - 1, bits))
        if self.rng.random() < 0.9:
            address = str(ipaddress.ip_network(f"{address}/{length}", strict=False)[0])
        if length == bits and self.rng.random() < 0.7:
            return address
        return self.rng.choice((f"{address}/{length}",) * 8 +
                               (f"[{address}]/{length}", f"[{address}/{length}]",
                                f"{address}/{length}x", f"{address}/ {length}"))

    def result(self, number):
        return f"r{number}"

    def key(self):
        return self.address()


def random_rules(rng, make, count):
    """Text of a table."""
    lines, depth = [], 0
    for number in range(count):
        die = rng.random()
        negation = rng.choice(("",) * 9 + ("!", "! ", "!!"))
        if die < 0.1:
            keyword = rng.choice(("if ", "IF ", "if", "If\t"))
            lines.append(keyword + negation + make() + rng.choice(("",) * 9 + (" x",)))
            depth += 1
        elif die < 0.13 + 0.05 * depth:
            lines.append(rng.choice(("endif", "ENDIF", "EndIf  ", "endif", "endif x")))
            depth -= depth > 0
        else:
            lines.append(f"{negation}{make()}{rng.choice(' 	')}{make.result(number)}")
        if rng.random() < 0.05:
            lines.append(rng.choice(("", "# comment", "  continued", "\t# comment", "nonsense",
                                     "endif1", "! ")))
    return "".join(f"{line}\n" for line in lines)


def test_random_tables(compare):
    for kind in ("cidr", "regexp", "pcre"):
        answered = 0
        for number in range(ROUNDS):
            rng = random.Random(f"{kind} {number}")
            make = Networks(rng) if kind == "cidr" else Patterns(rng, kind == "pcre")
            text = random_rules(rng, make, rng.choice((3, 10, 40, 120)))
            keys = [make.key() for _ in range(200)]
            answered += sum("\t" in line for line in compare(kind, text, keys))
        assert answered > ROUNDS * 10
