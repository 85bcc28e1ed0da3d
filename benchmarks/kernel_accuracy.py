"""Errors of every kernel against mpmath: all pairs of activations at coincident, opposite, tiny,
huge and dead neurons.

For each pair and corner the value, the gradient and the Hessian of `gram` by `(w, μ, v, ν)` (by
`(w, v)` where no biases are given) are compared with `tests/activation_oracle.py`. Errors are
relative to a natural scale:

- value: `√(E f² E g²)`; `relative` is the plain relative error, where the value is above a
  thousandth of the scale;
- gradient and Hessian, each family of blocks `(i, j)` (derivatives of `f` and of `g`) by itself:
  the Cauchy–Schwarz bound `√(E f⁽ⁱ⁾² E g⁽ʲ⁾²)`, or the largest exact entry of the family where that
  is larger. A derivative that is a delta function has no mean square; in its place stands that of
  the last one that has, over the standard deviation for each order, times the relative density at
  the kink (see `size`).

Derivatives that do not exist are left out (`Table.exists`). A row is flagged beyond `LIMITS` or
where anything is not finite. `…_beyond_inputs` is what remains of an error when four roundings of
the inputs times the next derivative are taken off: no algorithm in this precision would do much
better. The first run makes the oracle, minutes; it is kept in `--store` and made anew where a
corner is not in it. Compiling takes most of the rest; `--eager` takes a third of it.
"""

import hashlib
import itertools
import sys
import tempfile
import time
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))
from jaxcompress.kernels import activations, gram
from tests import activation_oracle as oracle

LIMITS = {"float64": (1e-13, 1e-11, 1e-9), "float32": (1e-6, 1e-5)}
QUANTITIES = ("value", "gradient", "hessian")
QUICK = (
    "identity",
    "relu",
    "abs",
    "step",
    "rectified_power(2)",
    "erf",
    "gelu",
    "sin",
    "exp",
    "bump()",
    "hermite(3)",
)
FAMILIES = {"gradient": ((1, 0), (0, 1)), "hessian": ((2, 0), (1, 1), (0, 2))}
DIM = 3
# `--eager` runs op by op: a third of the time where compiling is most of it, and no fusion
EAGER = False


def activation(name: str):
    """The package's activation of this name, or `None` where there is none."""
    try:
        return eval(name, {"__builtins__": {}}, vars(activations))
    except (AttributeError, NameError):
        return None


# Oracle.


def key(corner) -> str:
    """A name for the numbers of a corner."""
    numbers = np.concatenate([corner.w, corner.v, [corner.mean_w, corner.mean_v]])
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:16]


def exact_table(given, names: tuple[str, ...], store: Path) -> dict:
    """`{(f, g): [value, gradient…, hessian…]}` at one corner, from the store or made now, and mean
    squares.
    """
    path = store / f"{key(given.corner)}.npz"
    known = dict(np.load(path)) if path.exists() else {}
    if "squares" not in known:
        norms = (float(np.linalg.norm(given.corner.w)), float(np.linalg.norm(given.corner.v)))
        both = [oracle.mean_squares(*x) for x in zip(norms, given.corner[3:], strict=True)]
        known["squares"] = np.array([[side[name] for name in oracle.NAMED] for side in both])
        _save(path, known)
    missing = [
        pair for pair in itertools.product(names, names) if f"{pair[0]}|{pair[1]}" not in known
    ]
    if missing:
        needed = tuple(dict.fromkeys(name for pair in missing for name in pair))
        table = oracle.Table(given.corner, needed)
        for f, g in missing:
            if table.computable(f, g):
                d = table[f, g]
                known[f"{f}|{g}"] = np.concatenate([[d.value], d.gradient, d.hessian.ravel()])
            else:
                known[f"{f}|{g}"] = np.zeros(0)
        _save(path, known)
    return {tuple(k.split("|")) if "|" in k else k: v for k, v in known.items()}


def _save(path: Path, arrays: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


# The package.


def kernel(f, g, biased: bool):
    """The kernel of one pair of neurons as a function of all their parameters in a row."""

    def with_means(p):
        w, mu, v, nu = jnp.split(p, (DIM, DIM + 1, 2 * DIM + 1))
        return gram(f, w[None], g, v[None], bias_f=mu, bias_g=nu)[0, 0]

    def without(p):
        return gram(f, p[None, :DIM], g, p[None, DIM:])[0, 0]

    return with_means if biased else without


def measured(f, g, biased: bool, points: np.ndarray, dtype: str) -> list[np.ndarray]:
    """Value, gradient and (in float64) Hessian at all points."""
    function = jax.value_and_grad(kernel(f, g, biased))

    def both(p):
        value, gradient = function(p)
        return gradient, (value, gradient)

    def everything(p):
        if dtype == "float32":
            return function(p)
        hessian, (value, gradient) = jax.jacfwd(both, has_aux=True)(p)
        return value, gradient, hessian

    with jax.disable_jit(EAGER):
        return [
            np.asarray(x, np.float64)
            for x in jax.jit(jax.vmap(everything))(jnp.asarray(points, dtype))
        ]


# Errors.


def masks(exists: set, half: bool, biased: bool) -> tuple[np.ndarray, dict]:
    """The parameters that there are (of `2d + 2`), and by quantity and family where the entries
    exist.
    """
    size = DIM + 1
    of_first = np.arange(2 * size) < size
    is_mean = np.arange(2 * size) % size == DIM
    kept = np.ones(2 * size, bool) if biased else ~is_mean
    out = {}
    for i, j in FAMILIES["gradient"]:
        there = of_first if i else ~of_first
        out["gradient", (i, j)] = (there & kept) if (i, j) in exists else np.zeros_like(there)
    for i, j in FAMILIES["hessian"]:
        x, y = of_first[:, None], of_first[None]
        there = {2: x & y, 1: x ^ y, 0: ~x & ~y}[i] & kept[:, None] & kept[None]
        if (i, j) not in exists:
            weights_only = ~is_mean[:, None] & ~is_mean[None]
            there = there & weights_only if half else np.zeros_like(there)
        out["hessian", (i, j)] = there
    return kept, out


def size(squares: np.ndarray, std: float, mean: float) -> list[float]:
    """`√E f⁽ⁱ⁾(X)²` for `i = 0, 1, 2`; where infinite, the one before over `std`, times the kink's
    relative density.
    """
    out = list(np.sqrt(squares))
    for i in (1, 2):
        if np.isinf(squares[i]) and np.isfinite(out[i - 1]):
            height = abs(mean) / std
            out[i] = out[i - 1] / std * (1 + height)
            if np.isfinite(squares[i - 1]):
                out[i] *= np.exp(-height * height / 2)
    return out


def compare(f, g, given, stored: dict, got: list[np.ndarray], dtype: str) -> dict:
    """The row of one pair at one corner; `got` has the package's value, gradient and Hessian."""
    corner, table, truth = given.corner, oracle.Table(given.corner, (f, g)), stored[f, g]
    count, epsilon = 2 * DIM + 2, float(jnp.finfo(dtype).eps)
    exact = (truth[0], truth[1 : 1 + count], truth[1 + count :].reshape(count, count))
    exists = table.exists(f, g)
    kept, where = masks(exists, table.half_exists(f, g), given.biased)
    names = list(oracle.NAMED)
    sizes = [
        size(stored["squares"][side, names.index(name)], float(np.linalg.norm(weights)), mean)
        for side, name, weights, mean in (
            (0, f, corner.w, corner.mean_w),
            (1, g, corner.v, corner.mean_v),
        )
    ]
    row: dict = {"f": f, "g": g, "corner": corner.name, "biased": given.biased, "finite": True}
    inputs = np.abs(np.concatenate([corner.w, [corner.mean_w], corner.v, [corner.mean_v]]))
    for place, quantity in enumerate(QUANTITIES[: len(got)]):
        if not np.all(np.isfinite(exact[place])):
            continue
        full = np.zeros_like(np.asarray(exact[place]))
        full[np.ix_(*[kept] * full.ndim)] = got[place]
        gap = np.abs(full - exact[place])
        # what a rounding of the inputs does to this quantity
        if place < 2:
            moved = 4 * epsilon * np.abs(exact[place + 1]) @ inputs
        # third derivatives are not known; two kinks make them as large as the Hessian over the
        # angle
        else:
            both_kinked = (
                oracle.regularity(f) + oracle.regularity(g) < np.inf and 0 < table.plane[3] < 1e-2
            )
            steep = np.abs(exact[2]).max() / float(table.plane[3]) if both_kinked else 0.0
            moved = np.full_like(gap, 4 * epsilon * steep)
        worst, excess = 0.0, 0.0
        families = [(k[1], there) for k, there in where.items() if k[0] == quantity]
        if place == 0:
            families = [((0, 0), np.full_like(gap, (0, 0) in exists, dtype=bool))]
        for family, there in families:
            if not np.any(there):
                continue
            here, truths = gap[there], np.abs(np.asarray(exact[place]))[there]
            row["finite"] &= bool(np.all(np.isfinite(here)))
            with np.errstate(over="ignore", invalid="ignore"):
                bound = sizes[0][family[0]] * sizes[1][family[1]]
            scale = max(truths.max(), bound)
            # nothing but underflow or overflow
            if not float(jnp.finfo(dtype).tiny) * 1e10 < scale < np.inf:
                continue
            worst = max(worst, float(np.max(here) / scale))
            excess = max(excess, float(np.max(np.maximum(here - moved[there], 0)) / scale))
            if place == 0 and truths.max() > 1e-3 * scale:
                row["relative"] = float(here.max() / truths.max())
        row[quantity], row[f"{quantity}_beyond_inputs"] = worst, excess
    return row


def flagged(row: dict, dtype: str, beyond: str = "") -> list[str]:
    """The quantities beyond their limits."""
    out = [
        q
        for q, limit in zip(QUANTITIES, LIMITS[dtype], strict=False)
        if not row.get(q + beyond, 0.0) <= limit
    ]
    return out if row["finite"] else [*out, "not finite"]


def rows_of(
    f: str, g: str, dtype: str, corners: list, tables: list[dict]
) -> tuple[list[dict], float]:
    """All rows of an unordered pair of activations, and the seconds that the package took, mostly
    compiling.
    """
    out, begin = [], time.perf_counter()
    for biased in (False, True):
        chosen = [
            (c, t)
            for c, t in zip(corners, tables, strict=True)
            if c.biased == biased and len(t[f, g])
        ]
        points = [
            np.concatenate([c.w, [c.mean_w] * biased, c.v, [c.mean_v] * biased])
            for c in (x[0].corner for x in chosen)
        ]
        got = measured(activation(f), activation(g), biased, np.array(points), dtype)
        out += [
            compare(f, g, given, truth, [x[n] for x in got], dtype)
            for n, (given, truth) in enumerate(chosen)
        ]
    return out, time.perf_counter() - begin


def summary(rows: list[dict], dtype: str) -> list[dict]:
    """The worst error of every quantity of a pair, with its corner; beyond what rounded inputs
    excuse too.
    """
    out = []
    for pair in dict.fromkeys((r["f"], r["g"]) for r in rows):
        mine = [r for r in rows if (r["f"], r["g"]) == pair]
        line: dict = {"f": pair[0], "g": pair[1], "finite": all(r["finite"] for r in mine)}
        for quantity in ("relative", *QUANTITIES, *(f"{q}_beyond_inputs" for q in QUANTITIES)):
            there = [r for r in mine if quantity in r]
            if there:
                worst = max(there, key=lambda r: np.inf if np.isnan(r[quantity]) else r[quantity])
                line[quantity], line[f"{quantity}_corner"] = worst[quantity], worst["corner"]
        out.append(line)
    return out


def main() -> None:
    parser = common.parser(__doc__, "kernel_accuracy.json")
    parser.add_argument("--store", type=Path, default=Path(tempfile.gettempdir()) / "kernel-oracle")
    parser.add_argument(
        "--names", nargs="*", default=None, help="activations; all when left out, `quick` for a few"
    )
    parser.add_argument("--pairs", nargs="*", default=None, help="pairs `f|g` alone")
    parser.add_argument("--dtypes", nargs="*", default=["float64", "float32"])
    parser.add_argument(
        "--eager", action="store_true", help="run op by op instead of compiling each pair"
    )
    parser.add_argument(
        "--corners", nargs="*", default=None, help="names of corners; all when left out"
    )
    parser.add_argument(
        "--ready", action="store_true", help="only corners whose oracle is in the store"
    )
    arguments = parser.parse_args()
    global EAGER
    EAGER = arguments.eager
    common.pin(arguments.core)
    names = tuple(QUICK if arguments.names == ["quick"] else arguments.names or oracle.NAMED)
    names = tuple(name for name in names if activation(name) is not None)
    pairs = list(itertools.combinations_with_replacement(names, 2))
    if arguments.pairs:
        pairs = [tuple(pair.split("|")) for pair in arguments.pairs]
        names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    record: dict = {"limits": LIMITS, "names": names, "seconds": {}, "float64": [], "float32": []}
    record["beyond limits"] = {}
    for dtype in arguments.dtypes:
        corners = oracle.corners() if dtype == "float64" else oracle.single_corners()
        if arguments.corners:
            corners = [c for c in corners if c.corner.name in arguments.corners]
        if arguments.ready:
            corners = [c for c in corners if (arguments.store / f"{key(c.corner)}.npz").exists()]
        begin, tables = time.perf_counter(), []
        for given in corners:
            tables.append(exact_table(given, names, arguments.store))
            print(
                f"oracle {dtype} {given.corner.name}: {time.perf_counter() - begin:.0f} s",
                flush=True,
            )
        record["seconds"][f"oracle {dtype}"] = time.perf_counter() - begin
        rows: list[dict] = []
        begin = time.perf_counter()
        for f, g in pairs:
            try:
                found, taken = rows_of(f, g, dtype, corners, tables)
            except Exception as error:  # a pair that fails must not end the table
                print(f"FAILED {f} | {g}: {error!r}"[:600], flush=True)
                rows.append(
                    {"f": f, "g": g, "corner": "all", "finite": False, "error": repr(error)[:600]}
                )
                continue
            rows += found
            (line,) = summary(found, dtype)
            errors = " ".join(
                f"{q} {line[q]:.0e} ({line[q + '_corner']})" for q in QUANTITIES if q in line
            )
            print(f"{dtype} {f} | {g}: {errors} [{taken:.0f} s]", flush=True)
            for row in found:
                if flagged(row, dtype):
                    marks = ", ".join(f"{q} {row[q]:.1e}" for q in QUANTITIES if q in row)
                    note = "" if flagged(row, dtype, "_beyond_inputs") else " (inputs' rounding)"
                    print(
                        f"  FLAG {row['corner']}: {flagged(row, dtype)} {marks}{note}", flush=True
                    )
            violations = [r | {"flags": flagged(r, dtype)} for r in rows if flagged(r, dtype)]
            record[dtype] = summary(rows, dtype)
            record["beyond limits"][dtype] = violations
            record["seconds"][f"package {dtype}"] = time.perf_counter() - begin
            common.write(arguments.out, record)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
