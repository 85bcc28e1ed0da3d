"""How narrow a network may be to meet n samples, and what training on the feasible set of the
theory is worth.

Three parts. `widths`: the share of seeds that Levenberg–Marquardt takes to zero loss, by width,
against the counting bound n/(d + 1) and the theorem's 2n/d. `training`: constrained against
unconstrained descent at the same budget over the same rates, on synthetic data and three data sets
of scikit-learn, with controls that separate the constraint from the larger mirrored readout that
comes with it. `speed`: one row of 8 seeds, 7 rates, 2000 steps. Rows are stored as they come; a
study that was stopped goes on.

    python benchmarks/narrow_networks.py --part widths training speed
"""

import functools
import json
import time
import warnings

import common
import jax
import jax.numpy as jnp
import narrow_networks_figures
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress import narrow

SEEDS, RATES, STEPS = 8, 10 ** np.linspace(-3, 0.5, 8), 2000
SHAPES = ((32, 4), (64, 8), (128, 16), (64, 4), (64, 16))
ACTIVATIONS = {
    name: getattr(jc.activations, name) for name in ("tanh", "softplus", "gelu", "sigmoid")
}
KAPPA, ZETA = 1.0, 1.0


def widths_to_try(n: int, d: int) -> list[int]:
    """Even widths from just below the counting bound to `2n/d`."""
    low, high = narrow.counting_width(n, d), narrow.min_width(n, d)
    first = 2 * (low // 2)
    close = [first - 2, first, first + 2, first + 4]
    return sorted({m for m in (*close, (first + high) // 4 * 2, high) if 2 <= m <= high})


def width_rows(shapes=SHAPES, activations=ACTIVATIONS, labels="gaussian"):
    """Names of the rows of the first part, and what computes them."""
    for n, d in shapes:
        for name in activations:
            for m in widths_to_try(n, d):
                yield (
                    f"{labels} n={n} d={d} {name} m={m}",
                    lambda n=n, d=d, f=name, m=m: width_row(n, d, f, m, labels),
                )


def gaussian_samples(n: int, d: int, labels: str) -> jc.Samples:
    """A data set of its own for every seed."""
    rng = np.random.default_rng([n, d])
    x = rng.standard_normal((SEEDS, n, d))
    y = (
        rng.standard_normal((SEEDS, n))
        if labels == "gaussian"
        else rng.choice([-1.0, 1.0], (SEEDS, n))
    )
    return jc.Samples(x, y)


def width_row(n: int, d: int, name: str, m: int, labels: str) -> dict:
    """Levenberg–Marquardt from the mirrored start, a data set and a start for every seed."""
    starts = narrow.mirrored_lecun(
        jax.random.key(m), m, d, activation=ACTIVATIONS[name], floor=0.1, runs=SEEDS
    )
    out = narrow.fit(starts, gaussian_samples(n, d, labels), max_steps=300)
    return {
        "kind": "width",
        "n": n,
        "d": d,
        "activation": name,
        "m": m,
        "labels": labels,
        "loss": out.half_risk,
        "steps": out.stats["steps"],
        "reached": np.asarray(out.half_risk) < 1e-20,
        "largest_readout": np.max(np.abs(np.asarray(out.network.readout)), axis=1),
    }


def acceptance_row(n: int, d: int, name: str) -> dict:
    """Zero loss at `m = 2n/d` from the plain mirrored start, three data sets and starts."""
    rng = np.random.default_rng([n, d, 1])
    samples = jc.Samples(rng.standard_normal((3, n, d)), rng.standard_normal((3, n)))
    start = narrow.mirrored_lecun(
        jax.random.key(0), 2 * n // d, d, activation=ACTIVATIONS[name], runs=3
    )
    out = narrow.fit(start, samples)
    return {
        "kind": "acceptance",
        "n": n,
        "d": d,
        "activation": name,
        "loss": out.half_risk,
        "steps": out.stats["steps"],
    }


def arms() -> dict[str, dict]:
    """How a run starts and what it may not do; its name ends with what moves it. `floor` 1 is the
    large readout that `κ = 1` forces."""
    large = {"start": narrow.mirrored_lecun, "floor": KAPPA}
    return {
        "LeCun, SGD": {"start": narrow.lecun, "floor": 0.0},
        "LeCun, momentum": {"start": narrow.lecun, "floor": 0.0},
        "LeCun, Adam": {"start": narrow.lecun, "floor": 0.0},
        "large LeCun free, momentum": {"start": narrow.lecun, "floor": KAPPA},
        "mirrored free, momentum": {"start": narrow.mirrored_lecun, "floor": 0.0},
        "large mirrored free, SGD": large,
        "large mirrored free, momentum": large,
        "large mirrored free, Adam": large,
        "constrained, SGD": {**large, "kappa": KAPPA},
        "constrained, momentum": {**large, "kappa": KAPPA},
        "constrained, Adam": {**large, "kappa": KAPPA},
        "constrained 4ε, SGD": {**large, "kappa": KAPPA, "wide": 4},
        "constrained 4ε, momentum": {**large, "kappa": KAPPA, "wide": 4},
        "constrained κ=10, momentum": {**large, "floor": 10.0, "kappa": 10.0},
    }


def synthetic(n: int = 128, d: int = 16) -> tuple:
    """Standard normal inputs with labels ±1 by chance: pure memory, and nothing to hold out."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n), None, None


def real(name: str) -> tuple:
    """A data set of scikit-learn, inputs and targets standardised (labels ±1), a fifth held out."""
    from sklearn import datasets

    data = {"diabetes": datasets.load_diabetes, "breast cancer": datasets.load_breast_cancer}
    raw = data[name]() if name in data else datasets.load_digits()
    x, y = raw.data, raw.target.astype(float)
    if name == "digits":  # even or odd
        x, y = x[:, x.std(0) > 0], 2.0 * (y % 2) - 1
    elif name == "breast cancer":
        y = 2 * y - 1
    order = np.random.default_rng(0).permutation(len(x))[: 625 if name == "digits" else len(x)]
    x, y = x[order], y[order]
    cut = len(x) * 4 // 5
    x = (x - x[:cut].mean(0)) / (x[:cut].std(0) + 1e-12)
    if name == "diabetes":
        y = (y - y[:cut].mean()) / y[:cut].std()
    return x[:cut], y[:cut], x[cut:], y[cut:]


def tasks() -> dict[str, dict]:
    """What is trained: data, activation, width. `n/d` is 8 for the synthetic data."""
    made = {
        f"synthetic {name} m={m}": {"data": synthetic, "activation": name, "m": m, "batch": None}
        for name, m in (("sigmoid", 8), ("sigmoid", 16), ("tanh", 8), ("sigmoid", 4), ("tanh", 16))
    }
    for data, m in (("diabetes", 36), ("breast cancer", 16), ("digits", 8)):
        made[f"{data} sigmoid m={m}"] = {
            "data": functools.partial(real, data),
            "activation": "sigmoid",
            "m": m,
            "batch": 64,
        }
    return made


def training_rows(rows: dict):
    """Groups of rows of the second part, those that are missing of a task and an optimiser: each
    group is one call.
    """
    for task, what in tasks().items():
        for name, by in (
            ("SGD", optax.sgd),
            ("momentum", narrow.momentum(0.9)),
            ("Adam", optax.adam),
        ):
            group = {arm: how for arm, how in arms().items() if arm.endswith(f", {name}")}
            missing = {arm: how for arm, how in group.items() if f"{task} | {arm}" not in rows}
            if missing:
                yield (
                    f"{task} | by {name}",
                    functools.partial(training_group, task, what, missing, by),
                )


def bounds(how: dict, m: int) -> tuple[float, float, float]:
    """`ε`, `κ` and `ζ` of an arm: every neuron may go about its own norm. Free arms have none, and
    `κ = −∞` frees the signs: the projection is then the identity, bit by bit."""
    return (
        (how.get("wide", 1) * m**0.5, how["kappa"], ZETA)
        if "kappa" in how
        else (np.inf, -np.inf, np.inf)
    )


def training_group(task: str, what: dict, group: dict, by, steps: int = STEPS) -> dict:
    """Every arm of a group, seed and rate in one call; a row is that of the rate of least mean log
    of the loss.
    """
    x, y, xt, yt = what["data"]()
    m, f, samples = what["m"], ACTIVATIONS[what["activation"]], jc.Samples(x, y)
    starts = [
        how["start"](jax.random.key(1), m, x.shape[1], activation=f, floor=how["floor"], runs=SEEDS)
        for how in group.values()
    ]
    starts = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *starts)
    numbers = jnp.repeat(jnp.asarray([bounds(how, m) for how in group.values()]).T, SEEDS, axis=1)
    signs = jnp.where(starts.readout[:, : m // 2] < 0, -1.0, 1.0)
    feasible = narrow.FeasibleSet(starts.weights, signs, *numbers)
    begin = time.perf_counter()
    out = narrow.train(
        starts,
        samples,
        RATES,
        optimiser=by,
        feasible=feasible,
        steps=steps,
        batch_size=what["batch"],
        key=jax.random.key(2),
        records=20,
    )
    jax.block_until_ready(out)
    taken = time.perf_counter() - begin
    rows = {}
    for i, (arm, how) in enumerate(group.items()):
        part = slice(i * SEEDS, (i + 1) * SEEDS)
        mine = jax.tree.map(
            lambda leaf, part=part: leaf[part],
            (out.network, out.half_risk, out.diverged, starts, feasible),
        )
        first = {
            "kind": "training",
            "task": task,
            "arm": arm,
            "n": len(x),
            "d": x.shape[1],
            "m": m,
            "seconds": taken,
        }
        row = first | row_of(how, *mine, xt, yt)
        row["kkt_residual"] = out.kkt_residual[part, row["best"], -1]
        row["violation"] = jnp.max(out.violation[part, row["best"]])
        if "kappa" in how:
            known = lambda s, k=how["kappa"]: narrow.certified_radius(s, samples, floor=k, gap=ZETA)  # noqa: E731
            row["certified"] = jax.vmap(known)(mine[3])
        rows[f"{task} | {arm}"] = row
    return {"rows": rows}


def row_of(how: dict, network, loss, diverged, starts, feasible, xt, yt) -> dict:
    """Of one arm: seeds by rates in, the numbers of the best rate out."""
    final = np.where(diverged, np.inf, np.asarray(loss)[:, :, -1])
    # values span decades, and a divergence is infinite
    by_rate = np.mean(np.log10(np.maximum(final, 1e-40)), axis=0)
    best = int(np.argmin(by_rate))
    row = {
        "rates": RATES,
        "best": best,
        "best_rate": RATES[best],
        "final_loss": final[:, best],
        "by_rate": by_rate,
        "edge": best in (0, len(RATES) - 1),
        "history": np.median(np.asarray(loss)[:, best], axis=0),
    }
    ends = jax.tree.map(lambda leaf: leaf[:, best], network)
    if "kappa" in how:
        size = jnp.linalg.norm(ends.weights - starts.weights, axis=(1, 2))
        low = jnp.abs(ends.readout) <= how["kappa"] * (1 + 1e-9)
        row |= {"at_ball": size >= feasible.radius * (1 - 1e-9), "at_floor": jnp.mean(low, axis=1)}
        row |= {"radius": feasible.radius[0], "distance": size}
    if xt is not None:
        predicted = np.asarray(jax.vmap(lambda net: net(jnp.asarray(xt)))(ends))
        row["held_out"] = np.mean((predicted - yt) ** 2, axis=1) / 2
        if set(np.unique(yt)) == {-1.0, 1.0}:
            row["held_out_accuracy"] = np.mean(np.sign(predicted) == yt, axis=1)
    return row


def speed_row() -> dict:
    """Momentum on the feasible set, n = 128, d = 16, m = 16, all samples a step: compile and run
    told apart.
    """
    rng = np.random.default_rng(0)
    samples = jc.Samples(rng.standard_normal((128, 16)), rng.standard_normal(128))
    starts = narrow.mirrored_lecun(
        jax.random.key(1), 16, 16, activation=jc.activations.tanh, floor=KAPPA, runs=SEEDS
    )
    feasible = narrow.FeasibleSet.of(starts, 4.0, KAPPA, ZETA)
    options = {"optimiser": narrow.momentum(0.9), "feasible": feasible, "steps": STEPS}
    record, _ = common.repeated(
        lambda: narrow.train(starts, samples, RATES[:7], **options).half_risk, 3
    )
    return {"kind": "speed", "seeds": SEEDS, "rates": 7, "steps": STEPS, **record}


PARTS = {
    "acceptance": lambda rows: [
        (f"acceptance n={n} d={d} {name}", lambda n=n, d=d, name=name: acceptance_row(n, d, name))
        for n, d in ((64, 8), (128, 16), (256, 32))
        for name in ACTIVATIONS
    ],
    "widths": lambda rows: [*width_rows(), *width_rows(((64, 8),), ("tanh",), "signs")],
    "training": training_rows,
    "speed": lambda rows: [("speed", speed_row)],
}


def main() -> None:
    parser = common.parser(__doc__, "narrow_networks.json")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after a row beyond this"
    )
    parser.add_argument("--only", default="", help="rows whose names contain this")
    given = parser.parse_args()
    common.pin(given.core)
    rows = json.loads(given.out.read_text())["rows"] if given.out.exists() else {}
    begin = time.perf_counter()
    for part in given.part:
        for name, compute in PARTS[part](rows):
            over = time.perf_counter() - begin > 60 * given.minutes
            if name in rows or given.only not in name or over:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", narrow.NarrowWarning
                )  # widths below the theorem's are the question
                row = compute()
            rows |= row.get("rows", {name: row})
            common.write(given.out, {"rows": rows})
            print(name, flush=True)
    rows = json.loads(given.out.read_text())["rows"]
    narrow_networks_figures.draw(rows, given.out)
    print(narrow_networks_figures.table(rows))


if __name__ == "__main__":
    main()
