"""postmap and postalias accept, warn about and answer the same as the peer's."""
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor

import gp
import pytest
from postmap_cases import Maker

OLD = 1_600_000_000  # sources are not "being changed" while they are read

# What is known to differ, and wanted: command lines (program and arguments) that are
# left out, and texts that are made the same.
KNOWN_COMMANDS = [
    r"^post\w+ -[dq]  ",            # an empty key is not found, instead of an LMDB error
    r"^post\w+ -d \S+ .*nosuch",    # deleting does not create a missing table
    r"^post\w+ lmdb:dir ",          # a directory is no source
]
KNOWN_TEXTS = [
    (rb"(?m)^.* can never match: .*\n", b""),  # a warning of ours
    (rb"(?m)^YP_(LAST_MODIFIED|MASTER_NAME):?\t.*\n", b""),  # only in NIS builds
    (rb"\[-\w+\] \[-c config_dir\]", b"[options]"),         # -j came later
    (rb"\. Is the postfix-\w+ package installed\?", b""),
    (rb"error (updating|writing) \S+:", b"error writing:"),
]


def same_text(text):
    """Broken UTF-8 is masked byte by byte, by the peer only in part."""
    for pattern, new in KNOWN_TEXTS:
        text = re.sub(pattern, new, text)
    return b"\n".join(
        re.sub(rb"[\x80-\xff?]+", b"?", line)
        if b"non-UTF-8" in line or b"must not start" in line else line
        for line in text.split(b"\n"))


class Pair:
    """Both systems' commands on the same files; differences are collected."""
    def __init__(self, peer, gatepost, **main):
        self.systems = [peer(main, start=False), gatepost(main, start=False)]
        self.trouble = []
        self.warnings_in_any_order = False
        self.count = 0
        for m in self.systems:
            m.allow("fatal: ")
            os.mkdir(f"{m.dir}/w")

    def file(self, name, content, mode=0o644):
        for m in self.systems:
            path = f"{m.dir}/w/{name}"
            with open(path, "wb") as f:
                f.write(content)
            os.chmod(path, mode)
            os.utime(path, (OLD, OLD))

    def one(self, m, *command, input=b"", **options):
        done = m.run(*command, input=input, check=False, text=False, cwd=f"{m.dir}/w", **options)
        out = same_text(done.stdout)
        if any(re.match(rb"-\w*s$", os.fsencode(part)) for part in command):  # order of tables in memory is nobody's business
            out = b"\n".join(sorted(out.split(b"\n")))
        err = same_text(done.stderr)
        if self.warnings_in_any_order:
            err = b"\n".join(sorted(err.split(b"\n")))
        return done.returncode, out, err

    def same(self, *command, **options):
        """Run with both; returns what the second one said."""
        line = " ".join(os.fsdecode(part) for part in command) + " "
        if any(re.search(pattern, line) for pattern in KNOWN_COMMANDS):
            return None
        expected, found = (self.one(m, *command, **options) for m in self.systems)
        self.count += 1
        if expected != found:
            self.trouble.append(f"{line}\n" + gp.difference(
                [str(expected[0]), *map(repr, (expected[1] + expected[2]).split(b"\n"))],
                [str(found[0]), *map(repr, (found[1] + found[2]).split(b"\n"))]))
        return found

    def all_same(self, commands, **options):
        """Commands that change nothing, at the same time: the peer's sleep before they fail."""
        with ThreadPoolExecutor(24) as pool:
            list(pool.map(lambda command: self.same(*command, **options), commands))

    def done(self, at_least):
        assert not self.trouble, "\n".join(self.trouble[:10])
        assert self.count >= at_least


@pytest.fixture
def pair(peer, gatepost):
    return lambda **main: Pair(peer, gatepost, **main)


@pytest.mark.root
@pytest.mark.parametrize("program", ["postmap", "postalias"])
def test_random_sources(pair, program):
    p = pair()
    for seed, lines, options in [(1, 3000, []), (2, 600, ["-u"]), (3, 600, ["-f"]),
                                 (4, 600, ["-r"]), (5, 600, ["-w"]),
                                 *((seed, 8, []) for seed in range(100, 115))]:
        maker = Maker(seed)
        text = maker.source(lines, program == "postalias")
        p.file("t", text)
        p.same(program, *options, "lmdb:t")
        keys = maker.keys(text)
        for table in ("lmdb:t", "texthash:t"):
            p.same(program, *options, "-s", table)
            p.same(program, *options, "-q", "-", table, input=keys)
    p.done(90)


@pytest.mark.root
@pytest.mark.parametrize("program", ["postmap", "postalias"])
def test_large_source(pair, program):
    p = pair()
    p.warnings_in_any_order = True  # entries are sorted, and duplicates reported at the end
    text = Maker(1).source(10000, program == "postalias")
    p.file("t", (text + b"\n") * (1 + (1 << 20) // len(text)))
    for options in ([], ["-r"], ["-w"], ["-f"]):
        p.same(program, *options, "lmdb:t")
        p.same(program, "-s", "lmdb:t")
    p.done(8)


ODD_SOURCES = [
    b"", b"\n", b"#", b"# c\n \n\t\n", b"a b", b"a b\r\nc d\r\n", b"a  \n b\n", b" a b\n",
    b"\ta b\n c\nd e\n", b"a b\n# c\n c\n\n d\n", b"a b\n  # c\n c\n", b"a\\\n b\n", b"a b\0c\nd\0 e\n",
    b"\0\n", b"a b\n\0c d\n", b"k" * 510 + b" v\n", b"a " + b"x" * 200000 + b"\n", b"a\x0bb\x0cc d\n",
    b'"a b"@c d\n"a b@c d\n"a\\"b" d\na\\"b d\n"" x\n"\n', b"a: b\na:b\na :b\n:a b\na:\n", b"\xef\xbb\xbfa b\n",
    b"A x\na y\n\xc3\x9c x\n\xc3\xbc y\nSS x\n\xc3\x9f y\n", b"a \xff\n\xff a\n\xed\xa0\x80 a\n\xf4\x90\x80\x80 a\n",
    b"a: b, c\na.b: c\n" * 2, b"a@b: c\n@: c\n\"a@b\": c\na%b: c\na!b: c\n", b"root:\n postmaster,\n\tx\n",
    b'x: "|cmd a, b", /file, :include:/list, u@d (c), <u@d>\n', b"x: :include:/a b\ny: | cmd x\nz: \\root\n",
    b"(c) a: b\n\"a b\" c: d\na,b: c\n[a]: b\n<a>: b\na: [b\nb: \"c\nc: (d\n",
]


@pytest.mark.root
def test_odd_sources(pair):
    p = pair()
    for text in ODD_SOURCES:
        p.file("t", text)
        for program in ("postmap", "postalias"):
            p.same(program, "lmdb:t")
            p.same(program, "-s", "lmdb:t")
        p.same("postmap", "-s", "texthash:t")
    p.done(len(ODD_SOURCES) * 5)


@pytest.mark.root
def test_options(pair):
    p = pair()
    p.file("t", b"key one\nKey2 two\nkey three\n")
    p.file("f", b"file t\nboth t,f\nboth t f\nnone nosuch\nempty ,\n")
    os.mkdir(f"{p.systems[0].dir}/w/dir"), os.mkdir(f"{p.systems[1].dir}/w/dir")
    lines = ("", "-Z x", "nosuch", "-q a lmdb:nosuch", "-q a texthash:nosuch", "-s -q a t",
                 "-q a -s t", "-d a -q b t", "-q a -q b t", "-d a -d b t", "-s -s texthash:t",
                 "texthash:t", "nosuch:t", "-i nosuch:t", "-q a nosuch:t", "-i texthash:t",
                 "-d a texthash:t", "-d a static:x", "-d a inline:{a=b}", "-i internal:x",
                 "-s static:x", "-q a x:", "-q a :x", "fail:t", "-q a fail:t", "-d a fail:t",
                 "-s fail:t", "-i fail:t", "-b -q a t", "-h t", "-mq - static:x", "lmdb:dir",
                 "-c /nonexistent -q a t", "-q a static:x -f", "-d a environ:t", "-d a unix:passwd.byname")
    p.all_same([(program, *line.split()) for program in ("postmap", "postalias") for line in lines],
               input=b"key: x\nkey y\n")
    p.same("postmap", "lmdb:t")
    for line in ("-s lmdb:t", "-q KEY lmdb:t", "-fq KEY lmdb:t", "-q - lmdb:t", "-q none lmdb:t",
                 "-i lmdb:t", "-ir lmdb:t", "-iw lmdb:t", "-irw lmdb:t", "-i lmdb:new", "-s lmdb:new lmdb:t",
                 "-q - lmdb:new lmdb:t", "-q key2 lmdb:new lmdb:t", "-d - lmdb:t lmdb:new", "-s lmdb:t",
                 "-d key lmdb:t", "-n lmdb:t", "-s lmdb:t", "-q - lmdb:t", "-N lmdb:t", "-f lmdb:t", "-s lmdb:t",
                 "-r lmdb:t", "-s lmdb:t", "-w lmdb:t", "-s lmdb:t", "-Fi lmdb:new", "-F lmdb:f", "-Fs lmdb:f",
                 "-Fs lmdb:t", "-s lmdb:f", "-Fs texthash:f"):
        p.same("postmap", *line.split(),
               input=b"key\nKEY2 \nKEY2 x\nnew y\n key\nkey\0x\n\xff x\na: b\n\"a\nkey2\nnew f")
    p.all_same([("postmap", "-Fq", "a", table) for table in (
        "lmdb:t", "lmdb:f", "static:t", "static:nosuch", "inline:{a=t}", "inline:{a=nosuch}")])
    p.done(100)


INLINE = """{} {\xa0} {a} {a=} {=b} {a=b a=b {a=b}x {a=b,a=c} {{a=b}} {{a\xa0=\xa0b\xa0c}} {{a\xa0b\xa0=\xa0c}} {{}}
{{a=b}c} {{a=b},{c=d}} {{a=b}{c=d}} {a\xa0=\xa0b} {A=b} {a={b\xa0c}} {a=b=c} {,a=b,} {"a\xa0b"=c} {{"a\xa0b"=c}} {"a=b"=c}
{a"=b} {a\\"=b} {a\\=b=c} {\xa0{a=b} {a=b}} {{\xa0=\xa0x}} {{a\xa0=\xa0}} {\u00dc=x,\u00fc=y} {a=b,{}} {a=b\xa0} {{a=b}=c} {$x=y}
{a\\}=b}""".replace("\n", " ").split(" ")


@pytest.mark.root
def test_simple_types(pair):
    p = pair()
    p.file("t", b"a b\nb c\nC d\n")
    keys = b"a\nA\nb\n\xc3\x9c\n\xff\nroot\nROOT\nadm\n\nnosuch\nx y\nlower\nUPPER\nMixed"
    tables = ["inline:" + text.replace("\xa0", " ") for text in INLINE]
    tables += ["static:x", "static:{}", "static:{ a b }", "static:{ a", "static:{a} b", "static:{{a}}",
               "static: a", "static:{a\nb}", "unix:passwd.byname", "unix:group.byname", "unix:x", "environ:x",
               "internal:x", "unionmap:{static:a,static:b}", "unionmap:{texthash:t,inline:{a=x}}",
               "pipemap:{texthash:t,texthash:t}", "pipemap:{inline:{a=b},inline:{b=c}}"]
    env = {"lower": "1", "UPPER": "2", "upper": "3", "Mixed": "4"}
    p.all_same([("postmap", "-q", "-", table) for table in tables], input=keys, env=env)
    p.all_same([("postmap", "-s", table) for table in tables if table.startswith("inline")])
    p.all_same([("postmap", "-q", b"a", b"inline:{a=\xff}"), ("postmap", "-q", b"a", b"static:\xff"),
                ("postmap", "-q", b"\xff\"x", b"static:x")])
    p.done(len(tables))


PIECES = [b"Content-Type: multipart/mixed; boundary=a\n", b"Content-Type: text/plain\n", b"X-Y : z\n",
          b'Content-Type: multipart/digest; boundary="b"\n', b"Content-Type: message/rfc822\n",
          b"Subject: x\n", b" cont\n", b"\tcont\n", b"\n", b"\n", b"--a\n", b"--b\n", b"--a--\n", b"--b--\n",
          b"--ab \n", b"text\n", b"From x\n", b"--\n", b"Content-Type: multipart/x;\n boundary=ab\n",
          b"a b: c\n", b"A:b\r\n", b"\r\n", b"content-type:message/global\n", b"A: \0b\n", b"A: \xff\n",
          b'Content-Type: MULTIPART / (c) x;\n x="boundary=q"; Boundary (d) = "a\\b"\n']


@pytest.mark.root
def test_keys_from_messages(pair):
    p = pair()
    table = "regexp:{{/(.*)/ X}}"
    for seed in range(60):
        maker = Maker(seed)
        message = b"".join(maker.pick(PIECES) for _ in range(maker.random.randint(0, 30)))
        if maker.chance(0.3):
            message = message[:-1]
        p.same("postmap", maker.pick(["-hmq", "-bmq", "-hbmq", "-hq", "-bq", "-hbUq"]), "-", table, input=message)
    p.done(60)


@pytest.mark.root
def test_indexes_are_exchanged(pair):
    p = pair()
    text = Maker(7).source(300)
    p.file("t", text)
    p.same("postmap", "lmdb:t")
    dirs = [f"{m.dir}/w" for m in p.systems]
    for m, other in zip(p.systems, reversed(dirs)):
        at_home, away = (p.one(m, "postmap", "-s", f"lmdb:{place}/t")
                         for place in (f"{m.dir}/w", other))
        assert at_home == away and at_home[1].count(b"\n") > 50
        assert p.one(m, "postmap", "-i", f"lmdb:{other}/t", input=b"zz added\n")[0] == 0
        assert p.one(m, "postmap", "-d", "zz", f"lmdb:{other}/t")[0] == 0
        assert p.one(m, "postmap", "-s", f"lmdb:{other}/t")[1] == at_home[1]
    p.done(1)


@pytest.mark.root
@pytest.mark.users("alice")
@pytest.mark.nosan  # the leak check cannot follow a change of user
def test_index_takes_owner_and_read_permissions_of_the_source(pair):
    p = pair()
    alice = p.systems[0].sandbox.users["alice"]
    found = []
    for m in p.systems:
        results = []
        for owner, mode, options in [(0, 0o640, []), (0, 0o640, ["-p"]), (0, 0o666, []),
                                     (alice.uid, 0o644, []), (alice.uid, 0o600, ["-o"])]:
            folder = f"{m.dir}/w/{len(results)}"
            os.mkdir(folder)
            with open(f"{folder}/t", "w") as f:
                f.write("a b\n")
            os.utime(f"{folder}/t", (OLD, OLD))
            os.chmod(f"{folder}/t", mode)
            for path in (folder, f"{folder}/t"):
                os.chown(path, owner, alice.gid if owner else 0)
            m.run("postmap", *options, f"lmdb:{folder}/t")
            st = os.stat(f"{folder}/t.lmdb")
            results.append((st.st_uid, st.st_gid, oct(stat.S_IMODE(st.st_mode))))
        found.append(results)
    assert found[0] == found[1]


def test_keys_that_can_never_match(gatepost):
    m = gatepost(start=False)
    m.table("t", "a@b.test x\n# c\na@b.test. x\n192.0.2 y\n192.0.2.0/24 y\n@. z\n", "texthash")
    done = m.run("postmap", f"lmdb:{m.etc}/t")
    lines = [line.split(", line ")[1].split(":")[0] for line in done.stderr.splitlines()]
    assert lines == ['3', '5'] and done.stderr.count("can never match") == 2, done.stderr
    assert m.run("postmap", "-q", "192.0.2.0/24", f"lmdb:{m.etc}/t").stdout == "y\n"


def test_json_lines(gatepost):
    import json
    m = gatepost(start=False)
    m.table("t", 'key "v\\\nK\u00e9y x\n', "texthash")
    out = m.run("postmap", "-js", f"texthash:{m.etc}/t").stdout
    assert sorted(json.loads(line)["key"] for line in out.splitlines()) == ["key", "k\u00e9y"]
    out = m.run("postmap", "-jq", "-", f"texthash:{m.etc}/t", input="KEY\nnone\n").stdout
    assert json.loads(out) == {"key": "KEY", "value": '"v\\'}
    out = m.run("postalias", "-jq", "key", f"texthash:{m.etc}/t").stdout
    assert json.loads(out) == {"key": "key", "value": '"v\\'}
