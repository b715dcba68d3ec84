"""Fixtures of the whole-system tests; tests/e2e/README has an example."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import gp  # noqa: E402
from gp import dns as gp_dns  # noqa: E402
from gp import sandbox as gp_sandbox  # noqa: E402

if os.environ.get("GP_PROVE"):  # prove a test: the peer takes Gatepost's place
    gp.Gatepost = type("Stand-in", (gp.Peer,), {"name": "gatepost"})


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs root (users, ownership)")
    config.addinivalue_line("markers", "users(*names): users that exist in the sandbox")
    config.addinivalue_line("markers", "hosts(text): more lines of /etc/hosts")
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    config.addinivalue_line("markers", "nosan: not run with sanitizers")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "report_" + call.when, outcome.get_result())


@pytest.fixture(scope="session")
def _can_sandbox():
    gp.Peer.missing()  # unpacks it, which cannot be done without the outer network
    return gp_sandbox.unavailable()


@pytest.fixture
def sandbox(request, _can_sandbox):
    """An entered Sandbox; users and hosts come from the marks of the test."""
    if _can_sandbox:
        pytest.skip(_can_sandbox)
    users = [n for mark in request.node.iter_markers("users") for n in mark.args]
    if (users or request.node.get_closest_marker("root")) and not gp.is_root():
        pytest.skip("needs root")
    if request.node.get_closest_marker("nosan") and "asan" in gp.mta.BUILD:
        pytest.skip("not run with sanitizers")
    hosts = "".join(mark.args[0] for mark in request.node.iter_markers("hosts"))
    binds = {k: v for k, v in gp.Gatepost.binds().items() if os.path.isdir(v)}
    box = gp.Sandbox(users=users, hosts=hosts, binds=binds, etc=gp.Peer.etc_files(),
                     keep=bool(os.environ.get("GP_KEEP")))
    try:
        yield box.enter()
    finally:
        box.close()


@pytest.fixture
def _systems(request, sandbox):
    """Makes mail systems and, at the end, stops them and looks for trouble."""
    made = []

    def make(cls, main=None, master=None, start=True, needs=None, **options):
        reason = cls.missing(needs) if needs else cls.missing()
        if reason:
            pytest.skip(reason)
        system = cls(sandbox, main, master, instance=f"{cls.name}{len(made) or ''}", **options)
        made.append(system)
        return system.start() if start else system

    yield make
    trouble = [text for system in made for text in system.close()]
    failed = getattr(request.node, "report_call", None)
    if made and failed is not None and failed.failed:
        for system in made:
            print(f"--- {system.name} {system.logfile}\n{system.log_text()[-3000:]}")
    assert not trouble, "trouble in the log:\n" + "\n".join(trouble)


@pytest.fixture
def gatepost(_systems):
    """gatepost(main={...}, master={...}, start=True) -> a running Gatepost."""
    return lambda *args, **options: _systems(gp.Gatepost, *args, **options)


@pytest.fixture
def peer(_systems):
    """The same for the peer; skips the test where there is none."""
    return lambda *args, **options: _systems(gp.Peer, *args, **options)


# With sanitizers there is nothing to learn from the peer's half.
BOTH = [gp.Gatepost] if "asan" in gp.mta.BUILD else [gp.Gatepost, gp.Peer]


@pytest.fixture(params=BOTH, ids=lambda cls: cls.name)
def mta(request, _systems):
    """The same, and the test runs once with each of both."""
    return lambda *args, **options: _systems(request.param, *args, **options)


@pytest.fixture
def like_peer(_systems):
    """like_peer(scenario, main, master): run scenario(m) with each of both and assert
    that it returns the same. Returns what it returned for Gatepost."""
    def run(scenario, main=None, master=None):
        got = {}
        for cls in (gp.Peer, gp.Gatepost):
            system = _systems(cls, main, master)
            got[cls.name] = scenario(system)
            system.stop()
        if got["gatepost"] != got["peer"]:
            pytest.fail("unlike the peer:\n" + gp.difference(got["peer"], got["gatepost"]),
                        pytrace=False)
        return got["gatepost"]
        return got["gatepost"]
    return run


@pytest.fixture
def dns(sandbox):
    """dns({"example.test": "zone text"}) -> a running Dns on 127.0.0.1:53."""
    if not gp_dns.available():
        pytest.skip("nsd is not installed")
    made = []

    def make(zones, **options):
        made.append(gp.Dns(sandbox, zones, **options))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def sink(sandbox):
    """sink("127.0.0.2", 25, replies=..., ...) -> a running SmtpServer."""
    made = []

    def make(*args, **options):
        made.append(gp.SmtpServer(*args, **options))
        return made[-1]

    yield make
    for server in made:
        server.close()
