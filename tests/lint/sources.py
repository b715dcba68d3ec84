"""The files that the lints look at: what git knows or would add, else the tree."""
import os
import subprocess

SKIP = ("build", ".git", "__pycache__")


def walk():
    for folder, folders, names in os.walk("."):
        folders[:] = [f for f in folders if not f.startswith(SKIP)]
        for name in names:
            yield os.path.join(folder, name)[2:]


def files():
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        out = subprocess.run(command, capture_output=True, check=True).stdout
        names = out.decode(errors="surrogateescape").split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = walk()
    return sorted({n for n in names if n and os.path.isfile(n) and not os.path.islink(n)})


def lines(path):
    """The lines without their ends; [] for binary files."""
    with open(path, "rb") as f:
        data = f.read()
    if b"\0" in data:
        return []
    return data.decode("utf-8", errors="replace").split("\n")
