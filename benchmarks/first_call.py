"""What a first call costs before it computes: processor seconds of a fresh process, by its parts.

    python benchmarks/first_call.py --core 0  # all rows that are not stored yet
    python benchmarks/first_call.py --core 0 --again  # all rows anew
    python benchmarks/first_call.py --core 0 --rows relu erf+b  # +b: with biases
    python benchmarks/first_call.py --core 0 --minutes 5  # later rows are only counted

A row is `solve_many` with 16 runs, n = 3, k = 6, d = 7, or `compress` on the digits, 128 → 16. Two
processes each: one with an empty cache folder (it can read nothing there; what it writes took less
than 1 % of its time), and one with what that has left. The parts of a first call are `import`,
until `jc.solve_many` is there; trace, lower and compile (JAX's events, each without those inside
it); and `run`, the rest. The yardstick is what one value with its gradient and one Hessian of the
same problem take to compile, measured after the call in the same process. Memory is the largest
that the process has held by the end of the first call. Lines are those of StableHLO. `report.py
--check` lowers every stored row again and fails when one has grown by more than a tenth.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

PLAIN = ["erf", "relu"]
OTHERS = ["identity", "leaky_relu(0.1)", "abs", "step", "sign", "normal_cdf", "gelu", "sin", "cos"]
OTHERS += ["exp", "bump(1.0)", "monomial(3)", "hermite(3)", "rectified_power(2)", "tanh", "sigmoid"]
OTHERS += ["softplus", "silu", "elementwise(tanh)"]
COMPRESS = "compress"
ROWS = [*PLAIN, *(f"{name}+b" for name in PLAIN), COMPRESS]
ROWS += [*OTHERS, *(f"{name}+b" for name in OTHERS)]
CHILD = Path(__file__).with_name("first_call_once.py")


def fresh(asked: dict) -> dict:
    """What a process of its own measures."""
    ours = ("JAX_COMPILATION", "JAX_PERSISTENT")
    usual = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, str(CHILD), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=usual)
    if done.returncode:
        raise RuntimeError(f"{asked}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(row: str, counted_only: bool) -> dict:
    """One row, in processes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        cache = str(Path(folder) / "programs")
        if row == COMPRESS:
            digits = {"digits": _digits(Path(folder)), "cache": cache}
            return {"row": row, "cold": fresh(digits), "warm": fresh(digits)}
        about = {"name": row.removesuffix("+b"), "biased": row.endswith("+b")}
        if counted_only:
            return {"row": row, **about, "counted": fresh({**about, "what": "count"})}
        cold, warm = (fresh({**about, "what": what, "cache": cache}) for what in ("cold", "warm"))
        return {"row": row, **about, "counted": warm.pop("counted"), "cold": cold, "warm": warm}


def _digits(folder: Path) -> str:
    """A folder with the trained layer, and the mean and covariance of its inputs."""
    import digits

    model, seen, _, _ = digits.train()
    digits.write_inputs(model, seen, folder)
    return str(folder)


def line(row: dict) -> str:
    """A row in words."""
    said = f"{row['row']}: "
    if "counted" in row:
        said += (
            ", ".join(f"{row['counted'][what]} {what}" for what in ("lines", "erfc", "exp")) + "; "
        )
    if "cold" not in row:
        return said + "counted only"
    cold, first, warm = row["cold"], row["cold"]["first"], row["warm"]["first"]
    names = ("trace", "lower", "compile", "run")
    parts = ", ".join(f"{part} {first[f'{part}_seconds']:.1f}" for part in names)
    said += (
        f"import {cold['import_seconds']:.1f} s, first call {first['seconds']:.1f} s ({parts}), "
    )
    said += f"again {cold['again']['seconds']:.2f} s, from the cache {warm['seconds']:.1f} s, "
    said += f"{first['programs']} programs, {cold['peak_bytes'] / 1e6:.0f} MB"
    return said + (f", {cold['ratio']:.2f} times the yardstick" if "ratio" in cold else "")


def arguments():
    made = common.parser(__doc__, "first_call.json")
    made.add_argument("--rows", nargs="+", default=ROWS, metavar="ROW", help="which (default: all)")
    said = "after these, rows are only counted (default 25)"
    made.add_argument("--minutes", type=float, default=25.0, help=said)
    made.add_argument("--again", action="store_true", help="measure rows that are stored already")
    return made.parse_args()


def main() -> None:
    options, begin = arguments(), time.monotonic()
    unknown = sorted({*options.rows} - {*ROWS})
    if unknown:
        raise SystemExit(f"given the rows {', '.join(unknown)}; expected some of {', '.join(ROWS)}")
    common.pin(options.core)
    stored = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    known = {row["row"]: row for row in stored}
    for name in options.rows:
        late = time.monotonic() - begin > 60 * options.minutes
        if not options.again and name in known and ("cold" in known[name] or late):
            continue
        if late and name == COMPRESS:
            continue
        known[name] = measure(name, counted_only=late)
        print(line(known[name]), flush=True)
        common.write(options.out, {"rows": [known[row] for row in ROWS if row in known]})


if __name__ == "__main__":
    main()
