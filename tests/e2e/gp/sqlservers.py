"""Real data base servers for tests, each in a directory of its own, as an unprivileged
user, on a UNIX socket and a loopback port. start() and stop() may be repeated."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import time

from .sandbox import is_root

USER = "nobody"


def environment():
    """For commands outside of a sandbox."""
    supp = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lsan.supp")
    return {**os.environ, "LSAN_OPTIONS": f"suppressions={supp}:print_suppressions=0"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificates(folder):
    """ca.pem, other-ca.pem, and a certificate of ca.pem for localhost."""
    def run(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)
    for ca in ("ca", "other-ca"):
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}",
            "-days", "30")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    with open(f"{folder}/ext", "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-out", "server.pem", "-days", "30", "-extfile", "ext")


class Server:
    stop_signal = signal.SIGTERM

    def __init__(self, folder):
        self.dir = folder
        self.port = free_port()
        self.process = None
        os.makedirs(folder)
        certificates(folder)
        self.own()

    def own(self):
        if is_root():
            shutil.chown(self.dir, USER)
            for root, folders, files in os.walk(self.dir):
                for name in folders + files:
                    shutil.chown(os.path.join(root, name), USER)

    def popen(self, argv):
        options = {"user": USER, "group": "nogroup", "extra_groups": []} if is_root() else {}
        return subprocess.Popen(argv, cwd=self.dir, stdin=subprocess.DEVNULL,
                                stdout=open(f"{self.dir}/out", "ab"),
                                stderr=subprocess.STDOUT, **options)

    def run(self, argv):
        code = self.popen(argv).wait(60)
        with open(f"{self.dir}/out", errors="replace") as f:
            assert code == 0, f"{argv}: {f.read()[-2000:]}"

    def start(self):
        self.process = self.popen(self.command())
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as s:
                if s.connect_ex(self.socket) == 0 and self.answers():
                    return self
            assert self.process.poll() is None, open(f"{self.dir}/out").read()[-2000:]
            time.sleep(0.05)
        raise AssertionError("the server does not start")

    def stop(self):
        if self.process:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def answers(self):
        return self.client("select 1").returncode == 0

    def sql(self, text):
        done = self.client(text)
        assert done.returncode == 0, done.stderr
        return done.stdout


class MariaDb(Server):
    @staticmethod
    def missing():
        if not shutil.which("mariadbd") or not shutil.which("mariadb-install-db"):
            return "mariadb-server is not installed"

    def __init__(self, folder):
        super().__init__(folder)
        self.socket = f"{folder}/sock"
        self.run(["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data",
                  f"--tmpdir={folder}", "--auth-root-authentication-method=normal",
                  "--skip-test-db"])  # others remove what is in a shared tmpdir

    def command(self):
        d = self.dir
        return [shutil.which("mariadbd"), "--no-defaults", f"--datadir={d}/data",
                f"--tmpdir={d}", f"--socket={d}/sock", f"--pid-file={d}/pid", f"--port={self.port}",
                "--bind-address=127.0.0.1", f"--ssl-ca={d}/ca.pem",
                f"--ssl-cert={d}/server.pem", f"--ssl-key={d}/server.key",
                "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0",
                "--skip-name-resolve", "--performance-schema=off"]

    def client(self, text):
        return subprocess.run(["mariadb", "--no-defaults", "-uroot", f"-S{self.socket}", "-N",
                               "-B", "--default-character-set=utf8mb4"],
                              input=text, text=True, capture_output=True)


class Postgres(Server):
    stop_signal = signal.SIGINT  # does not wait for clients
    bin = (sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [""])[-1]

    @classmethod
    def missing(cls):
        if not os.path.exists(f"{cls.bin}/initdb"):
            return "postgresql is not installed"

    def __init__(self, folder):
        super().__init__(folder)
        self.socket = f"{folder}/.s.PGSQL.{self.port}"
        self.run([f"{self.bin}/initdb", "-D", f"{folder}/data", "-U", "root", "-A", "trust",
                  "--no-sync", "-E", "UTF8", "--locale=C"])
        with open(f"{folder}/data/pg_hba.conf", "w") as f:
            f.write("local all root trust\nlocal all all scram-sha-256\n"
                    "hostssl all all 127.0.0.1/32 scram-sha-256\n")
        os.chmod(f"{folder}/server.key", 0o600)

    def command(self):
        d = self.dir
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "fsync": "off",
                   "unix_socket_directories": d, "ssl": "on", "shared_buffers": "1MB",
                   "ssl_cert_file": f"{d}/server.pem", "ssl_key_file": f"{d}/server.key",
                   "max_connections": 20}
        return [f"{self.bin}/postgres", "-D", f"{d}/data",
                *(a for k, v in options.items() for a in ("-c", f"{k}={v}"))]

    def client(self, text):
        return subprocess.run([f"{self.bin}/psql", "-X", "-q", "-A", "-t", "-h", self.dir, "-p",
                               str(self.port), "-U", "root", "-v", "ON_ERROR_STOP=1",
                               "postgres"], input=text, text=True, capture_output=True)
