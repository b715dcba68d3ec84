"""The tables and keys of bench/tables: generated from a fixed seed, so that every run on
every machine measures the same."""
import ipaddress

CASES = {}


class Case:
    """kind: type of the table; text: its source; keys: asked of both systems; repeat:
    how often Gatepost is asked all of them, where the peer is too slow for more."""
    name = ""

    def __init__(self, kind, lines, keys, repeat=1, built=False):
        self.kind, self.keys, self.repeat, self.built = kind, keys, repeat, built
        self.text = "".join(f"{line}\n" for line in lines)


def case(function):
    CASES[function.__name__] = function
    return function


def _addresses(rng, count):
    return [f"{rng.choice(NAMES)}.{number}@{rng.choice(NAMES)}{rng.randrange(9999)}.test"
            for number in range(count)]


NAMES = """adams baker clark davis evans frank ghosh hills irwin jones klein lopez mason
nadal ochoa patel quinn reyes smith tobin upton vance weiss xenos young zhang""".split()
WORDS = """offer cheap pills casino lottery winner invoice urgent account verify bonus crypto
investment replica watches mortgage degree diploma weight loss miracle inheritance prince
transfer confidential partner bitcoin wallet password suspended unusual activity""".split()


@case
def lmdb(rng, scale):
    """a million addresses; a million look-ups, half of them of keys that are there"""
    count = int(1000000 * scale)
    known = _addresses(rng, count)
    keys = rng.sample(known, count // 2) + [f"no.{key}" for key in
                                            rng.sample(known, count // 2)]
    rng.shuffle(keys)
    return Case("lmdb", (f"{key} relay:[mx{len(key)}.test]" for key in known), keys,
                built=True)


@case
def texthash(rng, scale):
    """100,000 addresses; as many look-ups, half of them of keys that are there"""
    count = int(100000 * scale)
    known = _addresses(rng, count)
    keys = rng.sample(known, count // 2) + [f"no.{key}" for key in
                                            rng.sample(known, count // 2)]
    rng.shuffle(keys)
    return Case("texthash", (f"{key} OK" for key in known), keys, repeat=5)


def _network(rng):
    if rng.random() < 0.1:
        bits = rng.choice((32, 40, 48, 48, 56, 64, 64, 128))
        base = 0x20010000 << 96 | rng.getrandbits(112)
        return ipaddress.IPv6Network((base >> (128 - bits) << (128 - bits), bits))
    bits = rng.choice((14, 16, 19, 20, 22, 23, 24, 24, 24, 24, 28, 32, 32, 32, 32))
    base = rng.getrandbits(32)
    return ipaddress.IPv4Network((base >> (32 - bits) << (32 - bits), bits))


def _inside(rng, network):
    return network[rng.randrange(network.num_addresses)]


@case
def cidr(rng, scale):
    """100,000 networks of both families; addresses, half of them listed"""
    networks = [_network(rng) for _ in range(int(100000 * scale))]
    keys = [str(_inside(rng, rng.choice(networks))) for _ in range(2000)]
    keys += [str(_inside(rng, ipaddress.IPv6Network("2620::/16"))) for _ in range(200)]
    keys += [str(ipaddress.IPv4Address(rng.getrandbits(32))) for _ in range(1800)]
    rng.shuffle(keys)
    return Case("cidr", (f"{network} REJECT listed {number}" for number, network
                         in enumerate(networks)), keys, repeat=100)


def _header_pattern(rng, n, space):
    """One line of a header_checks file; the kinds that published collections have."""
    a, b = rng.sample(WORDS, 2)
    return rng.choice((
        f"/^Subject:.*{a} +{b}{n}/ REJECT subject {n}",
        f"/^Subject: *(re: *)?{a}.{{1,5}}{b}.*{n}$/ REJECT subject {n}",
        f"/^From:.*<?{a}{n}@/ REJECT sender {n}",
        f"/^(From|Reply-To|Return-Path): .*@({a}|{b})-{n}\\.(test|example)/ REJECT {n}",
        f"/^Received: from .*\\[10\\.{n % 250}\\.{n % 99}\\.[0-9]+\\]/ REJECT network {n}",
        f"/^X-Mailer: {a}[ -]?{b} {n}\\./ DISCARD mailer {n}",
        f"/^Content-(Type|Disposition):.*name{space}*={space}*\"?[^\"]*{a}{n}\\.(exe|scr)/"
        f" REJECT file {n}",
        f"/{a}{n}\\.{b}\\.example/ WARN link {n}",
        f"/^[^:]+: .*[0-9]{{{n % 9 + 3}}}{a}{n}/ WARN digits {n}",
    ))


def _header_keys(rng, count, patterns):
    """Header lines of about 200 bytes, most of which nothing matches."""
    keys = []
    for number in range(count):
        kind = rng.randrange(6)
        words = " ".join(rng.choices(NAMES + WORDS, k=22))
        n = rng.randrange(patterns)
        a = rng.choice(WORDS)
        keys.append((
            f"Subject: {words}",
            f"Received: from {a}.test (mx.{rng.choice(NAMES)}.test [10.{n % 256}.{n % 99}.7]) "
            f"by mx{n}.example (Gatepost) with ESMTPS id 4Xy{n}Zz for <{a}@{a}.test>; "
            f"Mon, 23 Nov 2026 10:00:00 +0000 (UTC) {words[:60]}",
            f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d={a}.test; s=s{n}; "
            f"bh={rng.getrandbits(256):064x}; b={rng.getrandbits(256):064x}",
            f"From: {words[:120]} <{a}{n}@{rng.choice(NAMES)}.test>",
            f"Content-Type: application/octet-stream; name=\"{words[:100]}{a}{n}.exe\"",
            f"X-Info: {words[:150]} http://{a}{n}.{rng.choice(WORDS)}.example/{words[:20]}",
        )[kind].rstrip())
    return keys


def _address_pattern(rng, n):
    """One line of an access table."""
    a, b = rng.sample(NAMES, 2)
    return rng.choice((
        f"/^{a}\\.{n}@/ REJECT {n}",
        f"/@{a}{n}\\.test$/ REJECT domain {n}",
        f"/@(.*\\.)?{a}{n}\\.(test|example)$/ REJECT domain {n}",
        f"/^(bounce|news|{b})[-.].*{n}.*@/ DEFER {n}",
        f"/^{a}\\+[^@]*{n}@{b}.*\\.test$/ HOLD {n}",
        f"/[0-9]{{6,}}.*@.*{a}{n}/ REJECT digits {n}",
    ))


@case
def pcre_address(rng, scale):
    """pcre, 2,000 patterns of an access table; addresses"""
    count = int(2000 * scale)
    return Case("pcre", [_address_pattern(rng, n) for n in range(count)],
                _addresses(rng, 5000), repeat=10)


@case
def pcre_header(rng, scale):
    """pcre, 2,000 patterns of header_checks; header lines of 200 bytes"""
    count = int(2000 * scale)
    return Case("pcre", [_header_pattern(rng, n, r"\s") for n in range(count)],
                _header_keys(rng, 2000, count), repeat=10)


@case
def regexp_address(rng, scale):
    """regexp, 500 patterns of an access table; addresses"""
    count = int(500 * scale)
    return Case("regexp", [_address_pattern(rng, n) for n in range(count)],
                _addresses(rng, 2000), repeat=10)


@case
def regexp_header(rng, scale):
    """regexp, 500 patterns of header_checks; header lines of 200 bytes"""
    count = int(500 * scale)
    return Case("regexp", [_header_pattern(rng, n, "[[:space:]]") for n in range(count)],
                _header_keys(rng, 500, count), repeat=10)


@case
def pcre_wordless(rng, scale):
    """pcre, 500 patterns without any word to look for; addresses"""
    def pattern(n):
        a, b, c = rng.choices("bcdfghjklmnp", k=3)
        return rng.choice((f"/^[{a}-{b}{b}-{a}]{{{n % 9 + 2}}}[0-9]+@/" if a == b else
                           f"/^[{min(a, b)}-{max(a, b)}]{{{n % 7 + 6}}}[^0-9]@/",
                           f"/{a}[aeiou]{b}[0-9]{{{n % 4 + 5}}}/", f"/@.*{c}[0-9]{{5,}}\\.{a}/",
                           f"/^[^@]{{{n % 30 + 30}}}@/"))
    return Case("pcre", [f"{pattern(n)} REJECT {n}" for n in range(int(500 * scale))],
                _addresses(rng, 5000), repeat=2)
