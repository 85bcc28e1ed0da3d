"""What processes do that tests of kept programs start and kill: a sweep on the command line."""

import os
import pathlib
import signal

from jaxcompress import cli

PLAN = """
activation = "erf"
n = 1
k = 2
d = 2
runs = 3
block = 3
[solver]
method = "flow"
"""


def sweep(folder: str, programs: str) -> None:
    """A sweep from nothing, whose output and complaints go to files beside its store."""
    place = pathlib.Path(folder)
    (place / "plan.toml").write_text(PLAN)
    for stream, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    words = ["sweep", str(place / "plan.toml"), "--out", str(place / "store")]
    raise SystemExit(cli.main([*words, "--programs", programs]))


def sweep_killed_in_a_write(folder: str, programs: str) -> None:
    """The same; this process kills itself when half of the first new program is written."""
    whole = pathlib.Path.write_bytes

    def half(path, data):
        if path.name.endswith("-cache"):
            whole(path, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(path, data)

    pathlib.Path.write_bytes = half
    sweep(folder, programs)
