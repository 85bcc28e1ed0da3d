"""Compression of random targets: how good is the simplified risk, and which frame is its optimum?

Five questions, one record each (`--parts`):

- `gap`: the distance between the minima of the exact and of the simplified risk, and between their
  minimisers, against the input dimension and the width of the target, over ensembles, with fitted
  rates;
- `frames`: 1000 targets × 32 starts in one call, and how far the best solutions are from
  equiangular tight frames;
- `phases`: the best of 64 starts against the predicted optimum over ‖t‖/S and the student's width;
- `crowded`: more neurons than a simplex frame has room for;
- `million`: one target of a million neurons, drawn and reduced in a stream, and compressed to 50.

    python benchmarks/random_targets.py --core 1
"""

import itertools
import json
import math
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from jaxcompress.landscape import frame_defect
from jaxcompress.solvers import certify

RELU = jc.activations.relu
STUDENT = 5  # neurons of the student, as in the acceptance of the study


def ensembles(width: int, dim: int) -> dict[str, jc.ensembles.Ensemble]:
    """The laws of the study; readouts of order 1/N."""
    laws = {
        "gaussian, constant readout": {},
        "rademacher, constant readout": {"weights": jc.ensembles.RademacherEntries()},
        "sphere, gaussian readout of mean 1": {
            "weights": jc.ensembles.Sphere(),
            "readout": jc.ensembles.GaussianReadout(mean=1.0, std=0.5),
        },
    }
    return {
        name: jc.ensembles.Ensemble(width, dim, activation=RELU, **law)
        for name, law in laws.items()
    }


def best_simplified(moments: jc.TargetMoments, dim: int, starts: int = 16) -> jc.Solution:
    """The best of some starts on the simplified risk."""
    students = jc.initialize.Starts(
        jax.random.key(7),
        starts,
        jc.initialize.glorot_normal,
        width=STUDENT,
        dim=dim,
        activation=RELU,
    )
    return jc.solve_many(students, moments).best


def gap_row(law: str, width: int, dim: int, seed: int) -> dict:
    """One target: minima of the exact risk and of both simplified ones, and whether the bound holds
    at each.
    """
    target = ensembles(width, dim)[law].draw(jax.random.fold_in(jax.random.key(0), seed))
    problem = jc.RiskProblem.of(target)
    row = {"ensemble": law, "N": width, "d": dim, "seed": seed}
    rough = {
        order: best_simplified(jc.target_moments(target, order=order), dim) for order in (1, 2)
    }
    exact = certify(problem, rough[2].network)
    row |= {
        "energy": float(problem.second_moment),
        "exact": float(exact.risk),
        "converged": bool(exact.converged),
    }
    for order, found in rough.items():
        true = float(problem.risk(found.network))
        bound = float(jc.simplified_risk_bound(found.network, target, order=order))
        turned = aligned(found.network, exact.network)
        apart = float(jc.population_risk(turned, exact.network)) / float(problem.second_moment)
        row[f"order {order}"] = {
            "minimum": float(found.risk),
            "true risk there": true,
            "bound": bound,
            "bound holds": abs(true - float(found.risk)) <= bound,
            "gap over energy": abs(float(found.risk) - float(exact.risk))
            / float(problem.second_moment),
            "relative gap": abs(float(found.risk) - float(exact.risk)) / float(exact.risk),
            "excess": (true - float(exact.risk)) / float(exact.risk),
            "distance of minimisers": math.sqrt(apart),
        }
    return row


def aligned(network: jc.TwoLayer, other: jc.TwoLayer) -> jc.TwoLayer:
    """The network turned and permuted so that its neurons are as near as possible to those of the
    other: the simplified risk of order 1 leaves all orientations equal that keep `t`, which is
    small here."""
    x, y = (
        np.asarray(part.weights) * np.sqrt(np.abs(part.readout))[:, None]
        for part in (other, network)
    )
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
    (q, left), (_, right) = np.linalg.qr(x.T), np.linalg.qr(y.T)

    def overlap(order: tuple[int, ...]) -> float:
        return np.linalg.svd(left @ right[:, order].T, compute_uv=False).sum()

    order = list(max(itertools.permutations(range(len(y))), key=overlap))
    u, _, v = np.linalg.svd(left @ right[:, order].T)
    turned = right[:, order].T @ (u @ v).T @ q.T
    sizes = np.linalg.norm(np.asarray(network.weights), axis=1)[order]
    readout = np.asarray(network.readout)[order]
    return jc.TwoLayer(jnp.asarray(turned * sizes[:, None]), jnp.asarray(readout), activation=RELU)


def slope(rows: list[dict], by: str, value: Callable[[dict], float]) -> dict:
    """The exponent of a power law by least squares on the logarithms of the means, with its
    standard error from the spread over seeds."""
    sizes = sorted({row[by] for row in rows})
    groups = [[value(row) for row in rows if row[by] == size] for size in sizes]
    x = np.log(sizes)
    y = np.array([math.log(statistics.fmean(group)) for group in groups])
    noise = np.array(
        [statistics.stdev(g) / math.sqrt(len(g)) / statistics.fmean(g) for g in groups]
    )
    weights = 1 / np.maximum(noise, 1e-6) ** 2
    centre = np.average(x, weights=weights)
    spread = np.sum(weights * (x - centre) ** 2)
    rate = np.sum(weights * (x - centre) * y) / spread
    misfit = y - np.average(y, weights=weights) - rate * (x - centre)
    inflated = max(1.0, math.sqrt(np.sum(weights * misfit**2) / max(1, len(x) - 2)))
    means = np.exp(y)
    return {
        "rate": rate,
        "standard_error": inflated / math.sqrt(spread),
        "sizes": sizes,
        "means": means.tolist(),
        "errors": (noise * means).tolist(),
    }


MEASURES = ("gap over energy", "relative gap", "excess", "distance of minimisers")


def gap(small: bool) -> dict:
    """`gap`: with N = d², and with N alone at a fixed dimension."""
    dims, seeds, fixed, factors = (
        ((8, 16), 2, 8, (8, 32)) if small else ((8, 16, 32, 64, 128), 8, 32, (1, 4, 16, 64))
    )
    laws = list(ensembles(2, 2))
    rows, by_width = [], []
    for dim in dims:
        for law in laws if dim <= 64 else laws[:1]:
            rows += [gap_row(law, dim * dim, dim, seed) for seed in range(seeds)]
    for factor in factors:
        by_width += [gap_row(laws[0], factor * fixed, fixed, seed) for seed in range(seeds)]
    fits = {}
    for law in laws:
        mine = [row for row in rows if row["ensemble"] == law]
        for order in ("order 1", "order 2"):
            for measure in MEASURES:
                fits[f"{law}, {order}, {measure}"] = slope(
                    mine, "d", lambda row, o=order, m=measure: row[o][m]
                )
    held = all(
        row[order]["bound holds"] for row in rows + by_width for order in ("order 1", "order 2")
    )
    checked = [exact_minimum_check(dim) for dim in dims[:2]]
    return {
        "rows": rows,
        "by width": by_width,
        "fits": fits,
        "bound holds everywhere": held,
        "starts": checked,
    }


def exact_minimum_check(dim: int) -> dict:
    """Whether 32 random starts on the exact risk find anything below the minimum next to the
    simplified one.
    """
    row = gap_row("gaussian, constant readout", dim * dim, dim, 0)
    target = ensembles(dim * dim, dim)["gaussian, constant readout"].draw(
        jax.random.fold_in(jax.random.key(0), 0)
    )
    students = jc.initialize.glorot_normal(
        jax.random.key(3), STUDENT, dim, activation=RELU, runs=32
    )
    found = jc.solve_many(students, target)
    return {
        "d": dim,
        "next to the simplified": row["exact"],
        "best of 32 starts": float(found.best.risk),
    }


def frames(small: bool) -> dict:
    """`frames`: 1000 targets × 32 starts of five neurons in 50 dimensions, one call of
    `solve_many`.
    """
    targets, starts, width, dim = (4, 4, 200, 20) if small else (1000, 32, 2000, 50)
    law = ensembles(width, dim)["gaussian, constant readout"]
    measure = jax.jit(
        lambda: jax.lax.map(
            lambda i: jc.target_moments(law.draw(jax.random.fold_in(jax.random.key(1), i))),
            jnp.arange(targets),
        )
    )
    taken, moments = common.seconds(measure)
    students = jc.initialize.Starts(
        jax.random.key(2),
        targets * starts,
        jc.initialize.glorot_normal,
        width=STUDENT,
        dim=dim,
        activation=RELU,
    )
    each = jax.tree.map(lambda leaf: jnp.repeat(leaf, starts, axis=0), moments)
    times, found = common.repeated(lambda: jc.solve_many(students, each), 1)
    risks = np.asarray(found.risk).reshape(targets, starts)
    best = np.arange(targets) * starts + risks.argmin(1)
    networks = jax.tree.map(lambda leaf: leaf[best], found.network)
    defects = jax.jit(jax.vmap(frame_defect))(networks, moments)
    return {
        "targets": targets,
        "starts": starts,
        "N": width,
        "d": dim,
        "moments_seconds": taken,
        **times,
        "converged": int(found.converged.sum()),
        "share of runs at the best": float((risks <= risks.min(1, keepdims=True) + 1e-10).mean()),
        "largest defect of the best": {
            name: float(part.max()) for name, part in defects._asdict().items()
        },
    }


def best_of(moments: jc.TargetMoments, width: int, starts: int) -> jc.Solution:
    """The best of some starts for each target of a batch."""
    (count,), dim = moments.runs, moments.dim
    each = jax.tree.map(lambda leaf: jnp.repeat(leaf, starts, axis=0), moments)
    students = jc.initialize.Starts(
        jax.random.key(width),
        starts * count,
        jc.initialize.glorot_normal,
        width=width,
        dim=dim,
        activation=RELU,
    )
    found = jc.solve_many(students, each)
    return found[
        np.arange(count) * starts + np.asarray(found.risk).reshape(count, starts).argmin(1)
    ]


def phases(small: bool) -> dict:
    """`phases`: best of 64 starts against the prediction; a negative `below` is a missing phase."""
    widths, leans = (
        ((2, 4), np.array([0.0, 0.6, 2.0]))
        if small
        else (range(2, 13), np.arange(0, 3.01, 0.1).round(3))
    )
    rows = []
    for width in widths:
        for dim in sorted({width} if small else {width, 40}):
            jax.clear_caches()
            moments = jax.vmap(lambda t, dim=dim: jc.relu_moments(1.0, t * jnp.eye(dim)[0]))(
                jnp.asarray(leans)
            )
            found = best_of(moments, width, 64)
            predicted = jax.jit(
                jax.vmap(lambda m, w=width, d=dim: jc.theory.predict_frame(m, w, d))
            )(moments)
            for i, lean in enumerate(leans):
                rows.append(
                    {
                        "M": width,
                        "d": dim,
                        "t/S": float(lean),
                        "found": float(found.risk[i] - moments.second_moment[i]),
                        "predicted": float(predicted.risk[i]),
                        "phase": phase_name(jax.tree.map(lambda leaf, i=i: leaf[i], predicted)),
                    }
                )
    apart = [row["found"] - row["predicted"] for row in rows]
    return {"rows": rows, "most below": min(apart), "most above": max(apart)}


def phase_name(prediction) -> str:
    """The name of its phase."""
    names = ("isotropic", "tilted", "split", "pair")
    return next(
        name for name in names if bool(prediction.phase == getattr(jc.theory.FramePhase, name))
    )


def crowded(small: bool) -> dict:
    """`crowded`: `M > d + 1` neurons without a linear part, the best of 128 starts."""
    sizes = [(2, 4)] if small else [(d, m) for d in (2, 3, 4, 6) for m in range(d + 1, 11)]
    rows = []
    for dim, width in sizes:
        moments = jax.vmap(lambda t, d=dim: jc.relu_moments(1.0, t * jnp.ones(d)))(jnp.zeros(1))
        # every size compiles anew, and what was compiled for the others fills the memory
        jax.clear_caches()
        best = best_of(moments, width, 8 if small else 128)[0]
        w, a = (np.asarray(part) for part in (best.network.weights, best.network.readout))
        norms = np.linalg.norm(w, axis=1)
        alive = norms > 1e-6 * norms.max()
        units, masses = w[alive] / norms[alive, None], (a * norms)[alive]
        gram = units @ units.T
        lines = np.unique(np.abs(gram[~np.eye(len(gram), dtype=bool)]).round(6))
        rows.append(
            {
                "d": dim,
                "M": width,
                "risk": float(best.risk - moments.second_moment[0]),
                "simplex formula": simplex_risk(width),
                "neurons alive": int(alive.sum()),
                "defect": {k: float(v) for k, v in frame_defect(best.network)._asdict().items()},
                "masses": np.sort(masses).tolist(),
                "sum of masses": float(masses.sum()),
                "length of the linear part": float(np.linalg.norm(masses @ units)),
                "|cosines|": lines.tolist(),
                "second moments": np.linalg.eigvalsh((units * masses[:, None]).T @ units).tolist(),
                "flat modes": int(best.stats["flat_modes"]),
            }
        )
    return {"rows": rows}


def simplex_risk(width: int) -> float:
    """What the formula of the simplex frame gives for so many neurons, whether there is room for
    them or not.
    """
    u = -1 / (width - 1)
    h = (math.sqrt(1 - u * u) + u * (math.pi - math.acos(u))) / (2 * math.pi)
    return -width / (4 * math.pi**2) / (0.5 + (width - 1) * h)


def million(small: bool) -> dict:
    """`million`: N = 10⁶ neurons in 200 dimensions, streamed to moments, compressed to 50.

    Here ‖t‖/S is a thousandth: the frame's orientation matters at 1e-10 of the risk, and turning it
    takes a flow a time of 10⁸. The flow to a gradient of 1e-8 ends before; the prediction has the
    orientation at once.
    """
    width, dim, student = (20_000, 20, 6) if small else (1_000_000, 200, 50)
    ensemble = ensembles(width, dim)["gaussian, constant readout"]
    before = peak()
    times, moments = common.repeated(lambda: ensemble.moments(jax.random.key(4)), 1)
    memory = peak()
    begin = time.perf_counter()
    students = jc.initialize.Starts(
        jax.random.key(5), 4, jc.initialize.glorot_normal, width=student, dim=dim, activation=RELU
    )
    best = jax.block_until_ready(jc.flow_many(students, moments)).best
    taken = time.perf_counter() - begin
    begin = time.perf_counter()
    predicted = jc.theory.predict_frame(moments, student, dim)
    problem = jc.RiskProblem.of(moments)
    proof = jax.block_until_ready(certify(problem, predicted.network, polish=False))
    theory = time.perf_counter() - begin
    return {
        "N": width,
        "d": dim,
        "M": student,
        "moments": times,
        "peak GiB before, after": [before, memory],
        "energy": float(moments.second_moment),
        "energy_error": float(moments.second_moment_error),
        "relative risk": float(best.risk / moments.second_moment),
        "flow of 4 starts, seconds with compilation": taken,
        "flow converged": bool(best.converged),
        "flow's gradient": float(best.gradient_norm),
        "flow's risk above the prediction": float(
            best.risk - moments.second_moment - predicted.risk
        ),
        "flow's defect": {
            k: float(v) for k, v in frame_defect(best.network, moments)._asdict().items()
        },
        "prediction, seconds with compilation": theory,
        "prediction's gradient": float(proof.gradient_norm),
    }


def peak() -> float:
    """The largest memory that this process has held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


PARTS = {"million": million, "gap": gap, "frames": frames, "phases": phases, "crowded": crowded}


def draw(record: dict, folder: Path) -> None:
    """The figures of the notebook, from the record alone."""
    import matplotlib.figure

    from jaxcompress import plotting

    def save(name: str, panels: list[Callable], size: tuple[float, float]) -> None:
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        for axes, panel in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            panel(axes)
        plotting.save_figure(figure, folder / f"{name}.png")

    if "gap" in record:
        panels = [lambda axes, m=m: plotting.gaps(record["gap"], m, axes) for m in MEASURES]
        save("simplified_gaps", panels, (17, 4.2))
    if "phases" in record:
        rows = [row for row in record["phases"]["rows"] if row["d"] == row["M"]]
        save("frame_phases", [lambda axes: plotting.frame_phases(rows, axes)], (7, 4))
    if "crowded" in record:
        save("crowding", [lambda axes: plotting.crowding(record["crowded"]["rows"], axes)], (6, 4))


def main() -> None:
    """Play the parts that are asked for; the others keep their record."""
    made = common.parser(__doc__, "random_targets.json")
    made.set_defaults(out=None)
    made.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    made.add_argument("--small", action="store_true", help="sizes that take a minute")
    arguments = made.parse_args()
    common.pin(arguments.core)
    if arguments.out is None:
        if arguments.small:
            made.error("--small does not belong among the results: say where it goes with --out")
        arguments.out = common.RESULTS / "random_targets.json"
    record = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.parts:
        begin = time.perf_counter()
        record[name] = PARTS[name](arguments.small)
        record[name]["seconds of this part"] = time.perf_counter() - begin
        record.pop("environment", None)
        common.write(arguments.out, record)
        draw(record, arguments.out.parent)
        print(f"{name}: {record[name]['seconds of this part']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
