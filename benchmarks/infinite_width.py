"""Infinitely wide networks: the figures of Hajjar & Chizat 2022, and the numbers that they rest on.

Six questions, one record and one figure each (`--parts`):

- `odd`: an odd target, nets of several widths against the closed form: risk, distance to the limit,
  its fitted slope in the width, with error bars over seeds, and the measured rate of the limit
  against theory;
- `norm`: the target ‖x_H‖: histograms of the angle over time, masses, alignment, distance to the
  limit;
- `near`: the same observables over d_H;
- `far`: how much of the predictor depends on the coordinates that the target does not read, finite
  nets against orbits;
- `staircase`: which monomials of a staircase target are learned, and when, in the reduced flow;
- `dimension`: risk against ‖x_H‖ for d = 10 to 10⁶, and the cost of a reduced step against d and
  the particles.

    python benchmarks/infinite_width.py --parts norm near

Parts are stored as they come; `odd` keeps every run that is done, so that it may be stopped.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if __package__:
    from benchmarks import common
    from benchmarks import infinite_width_cost as cost
    from benchmarks import infinite_width_figures as figures
else:
    import common
    import infinite_width_cost as cost
    import infinite_width_figures as figures

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np

from jaxcompress import infinite_width as iw
from jaxcompress import plotting

MOMENT = (1.0, -0.5, 0.25, 0.0, 2.0)
ODD_TIMES = (0.5, 1.0, 1.5, 2.0)


def progress(items: Iterable, what: str) -> Iterable:
    """The items, with a bar."""
    from rich.progress import track

    return track(list(items), description=what)


# --- one record a question
# -------------------------------------------------------------------------------------------


def odd(small: bool, record: dict, keep: Callable[[dict], None]) -> dict:
    """Independent starts of several widths against the limit; every run is kept as soon as it is
    done.
    """
    target = iw.linear_target(jnp.array(MOMENT))
    limit = iw.IsotropicOdd(target, 5)
    times = jnp.array(ODD_TIMES)
    vectors = limit.predictor(times)
    widths, seeds = ((64, 128), 4) if small else ((128, 256, 512, 1024, 2048, 4096), 10)
    system, between = iw.ParticleSystem(target), 5
    kept = record.get("rows", [])
    if any(
        (row["seeds"], row["steps between times"]) != (seeds, between) or row["width"] not in widths
        for row in kept
    ):
        raise SystemExit(
            f"odd: the record has rows of other widths, seeds or steps than {widths}, {seeds}, "
            f"{between}"
        )
    rows, method = {row["width"]: row for row in kept}, iw.FixedSteps(between)
    made_with = {"seeds": seeds, "steps between times": between}

    def gaps(states):
        return jax.lax.map(
            lambda pair: iw.function_gap(pair[0], iw.linear_target(pair[1])), (states, vectors)
        )

    gaps = jax.jit(gaps)
    for width in widths:
        row = rows.setdefault(
            width, {"width": width, **made_with, "risk": [], "distance": [], "to optimum": []}
        )
        for seed in progress(range(len(row["risk"]), seeds), f"width {width}"):
            start = iw.uniform_start(jax.random.fold_in(jax.random.key(width), seed), width, 5)
            path = iw.flow(system, start, times, method=method)
            apart = jnp.linalg.norm(iw.linear_part(path.states) - limit.optimum[None], axis=-1)
            for name, value in (
                ("risk", path.half_risk),
                ("distance", gaps(path.states)),
                ("to optimum", apart),
            ):
                row[name].append(np.asarray(value).tolist())
            keep({"rows": list(rows.values())})
    rms = {w: np.sqrt(np.mean(np.square(rows[w]["distance"]), 0)) for w in widths}
    fits = {}
    for i, t in enumerate(ODD_TIMES):
        fits[str(t)] = slope(widths, [np.array(rows[w]["distance"])[:, i] for w in widths])
    fine = jnp.linspace(0, 6, 121)
    path = iw.flow(
        iw.MomentSystem(target, 5), iw.isotropic_moments(5), fine, method=iw.Adaptive(1e-12, 1e-13)
    )
    apart = jnp.linalg.norm(iw.predictor(path.states) - limit.optimum[None], axis=-1)
    measured = float(jnp.log(apart[100] / apart[120]) / (fine[120] - fine[100]))
    return {
        "times": times,
        "rows": list(rows.values()),
        "rms": {str(w): v for w, v in rms.items()},
        "limit": {
            "times": fine,
            "risk": limit.half_risk(fine),
            "distance": limit.distance(fine),
            "bound": limit.bound(fine),
            "moments": apart,
        },
        "rate": {
            "theory": float(limit.rate),
            "measured": measured,
            "relative error": measured / float(limit.rate) - 1,
        },
        "slopes": fits,
    }


def slope(widths: tuple[int, ...], distances: list[np.ndarray]) -> dict:
    """The exponent of the rms distance in the width, its standard error by bootstrap over seeds."""
    rng = np.random.default_rng(0)

    def fit(samples: list[np.ndarray]) -> float:
        return float(
            np.polyfit(np.log(widths), [0.5 * np.log(np.mean(x**2)) for x in samples], 1)[0]
        )

    drawn = [fit([rng.choice(x, len(x)) for x in distances]) for _ in range(400)]
    return {"slope": fit(distances), "standard_error": float(np.std(drawn))}


def norm(small: bool, record: dict, keep: Callable[[dict], None]) -> dict:
    """The angle dynamics at (3, 7)."""
    near, far, nodes = 3, 7, 32 if small else 400
    times = jnp.linspace(0, 40, 81)
    path = iw.flow(iw.AngleSystem(near, far), iw.angle_start(near, far, nodes), times)
    shown = [0, 2, 8, 20, 80]
    histograms = [iw.angle_histogram(path.at(i), 24) for i in shown]
    psi = np.linspace(0, np.pi / 2, 61)
    total = np.asarray(path.half_risk + path.dissipated)
    return {
        "near": near,
        "far": far,
        "nodes": nodes,
        "alpha": iw.norm_mass(near),
        **observed(path, near),
        "dissipation identity": float(np.ptp(total)),
        "risk never rises": bool(np.all(np.diff(np.asarray(path.half_risk)) < 0)),
        "shown": [float(times[i]) for i in shown],
        "edges": histograms[0][0],
        "plus": [h[1] for h in histograms],
        "minus": [h[2] for h in histograms],
        "psi": psi,
        "predictor": [iw.sphere_predictor(path.at(i), near, far, psi) for i in shown],
    }


def observed(path: iw.Path, near: int) -> dict[str, Any]:
    """Masses, alignment and distance to the limit along a path of angles."""
    mass, lean, gap = (
        iw.masses(path.states),
        iw.alignment(path.states),
        iw.limit_distance(path.states, near),
    )
    return {
        "times": path.times,
        "risk": path.half_risk,
        "mass_plus": mass.plus,
        "mass_minus": mass.minus,
        "alignment_plus": lean.plus,
        "alignment_minus": lean.minus,
        "wasserstein": gap.wasserstein,
        "mass_gap": gap.mass_gap,
    }


def near(small: bool, record: dict, keep: Callable[[dict], None]) -> dict:
    """d_H from 1 to 20 in d = 21."""
    d, times = 21, jnp.linspace(0, 6, 25)
    rows = []
    for h in progress((2, 5) if small else (1, 2, 3, 5, 10, 15, 20), "d_H"):
        kernel = iw.Spectral(h, d - h, modes=200)
        path = iw.flow(
            iw.AngleSystem(h, d - h, kernel=kernel),
            iw.angle_start(h, d - h, 16 if small else 100),
            times,
        )
        rows.append(
            {
                "near": h,
                "far": d - h,
                "tail": kernel.tail,
                "alpha": iw.norm_mass(h),
                **observed(path, h),
            }
        )
    return {"d": d, "rows": rows}


def far(small: bool, record: dict, keep: Callable[[dict], None]) -> dict:
    """`E Var[f(x) | x_H]` against ‖x_H‖ at (2, 3) for nets of several widths, and of the limit."""
    h, rest, times = 2, 3, jnp.linspace(0, 4, 17)
    target = iw.NormTarget(h)
    widths, seeds = ((32,), 2) if small else ((64, 256, 1024), 5)
    measure = jax.jit(
        lambda states: jax.lax.map(lambda state: iw.conditional_variance(state, h), states)
    )
    rows = []
    for width in widths:
        runs = []
        for seed in progress(range(seeds), f"width {width}"):
            start = iw.doubled_start(
                jax.random.fold_in(jax.random.key(width), seed), width, h + rest
            )
            path = iw.flow(iw.ParticleSystem(target), start, times, method=iw.FixedSteps(4))
            runs.append({"risk": path.half_risk, "dependence": measure(path.states)})
        rows.append({"width": width, **{k: [run[k] for run in runs] for k in runs[0]}})
    orbits = iw.reduced_start(jax.random.key(0), 32 if small else 256, h, rest)
    path = iw.flow(iw.ReducedSystem(target, rest), orbits, times, method=iw.FixedSteps(4))
    limit = jax.jit(
        lambda states: jax.lax.map(lambda state: iw.conditional_variance(state, h, rest), states)
    )(path.states)
    angles = iw.flow(iw.AngleSystem(h, rest), iw.angle_start(h, rest, 32 if small else 100), times)
    return {
        "near": h,
        "far": rest,
        "times": times,
        "rows": rows,
        "orbits": {"risk": path.half_risk, "dependence": limit},
        "angles": {"risk": angles.half_risk},
    }


# ReLU sees degree one and the even ones. Targets by their monomials; the last has no step to climb
# by.
STAIRCASES = {
    "x₁ + x₁x₂": ((0,), (0, 1)),
    "x₁ + x₁x₂ + x₁x₂x₃x₄": ((0,), (0, 1), (0, 1, 2, 3)),
    "x₁x₂": ((0, 1),),
    "x₁x₂x₃x₄": ((0, 1, 2, 3),),
}


def monomials(parts: tuple[tuple[int, ...], ...], dim: int) -> iw.HermiteTarget:
    """The sum of products of different coordinates."""
    return iw.hermite_target(
        lambda x: sum(np.prod(x[:, part], -1) for part in map(list, parts)), dim, 4, nodes=3
    )


def staircase(small: bool, record: dict, keep: Callable[[dict], None]) -> dict:
    """`E[f x^α]` along the reduced flow, for every monomial of every staircase."""
    dim, rest, width = 4, 6, 32 if small else 512
    times = jnp.linspace(0, 12, 49)
    start = iw.reduced_start(jax.random.key(1), width, dim, rest)
    rows = []
    for name, parts in progress(STAIRCASES.items(), "staircases"):
        target = monomials(parts, dim)
        system = iw.ReducedSystem(target, rest, nodes=4 if small else 8)
        path = iw.flow(system, start, times, method=iw.FixedSteps(3))
        learned = {}
        for part in sorted({*parts, (0,), (0, 1), (0, 1, 2, 3)}, key=len):
            one = monomials((part,), dim)

            def share(state, one=one):
                return jnp.sum(
                    state.shares
                    * state.readout
                    * jnp.sum(state.stacked * one.pull(state.stacked), -1)
                )

            label = "x" + "".join(str(i + 1) for i in part)
            learned[label] = jax.jit(lambda states, share=share: jax.lax.map(share, states))(
                path.states
            )
        rows.append(
            {"target": name, "energy": target.energy, "risk": path.half_risk, "learned": learned}
        )
    return {"near": dim, "far": rest, "width": width, "times": times, "rows": rows}


def dimension(small: bool, record: dict, keep: Callable[[dict], None]) -> dict:
    """Risk over d at d_H = 3; seconds of a reduced step over d (both reduced flows) and over the
    particles.
    """
    times = jnp.linspace(0, 12, 49)
    sizes = (10, 1000) if small else (10, 10**2, 10**3, 10**4, 10**5, 10**6)
    rows = []
    for d in progress(sizes, "d"):
        system, start = iw.AngleSystem(3, d - 3), iw.angle_start(3, d - 3, 32 if small else 100)
        seconds, path = common.seconds(lambda a=system, s=start: iw.flow(a, s, times))
        again = [
            common.seconds(lambda a=system, s=start: iw.flow(a, s, times))[0] for _ in range(3)
        ]
        rows.append(
            {
                "d": d,
                "modes": system.kernel.modes,
                "tail": system.kernel.tail,
                "steps": path.stats["steps"],
                "first call": seconds,
                "seconds": again,
                "identity": float(np.ptp(np.asarray(path.half_risk + path.dissipated))),
                **observed(path, 3),
            }
        )
    more = final_risks(10**6 - 3, 32 if small else 100, times)
    return {
        "rows": rows,
        "more modes": more,
        "steps": cost.over_dimension(small),
        "particles": cost.over_particles(small),
    }


def final_risks(far: int, nodes: int, times) -> dict[str, float]:
    """The last risk with the default modes and with four times as many."""
    out = {}
    for modes in (128, 512):
        system = iw.AngleSystem(3, far, kernel=iw.Spectral(3, far, modes=modes))
        out[str(modes)] = float(iw.flow(system, iw.angle_start(3, far, nodes), times).half_risk[-1])
    return out


PARTS = {
    "odd": odd,
    "norm": norm,
    "near": near,
    "far": far,
    "staircase": staircase,
    "dimension": dimension,
}


# --- the record and its figures ---


def draw(record: dict, folder: Path) -> None:
    """Every figure that the record has the numbers of."""
    for name, (panel, size) in figures.DRAW.items():
        if name in record and (name != "odd" or "slopes" in record[name]):
            figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
            panel(record[name], figure)
            plotting.save_figure(figure, folder / f"infinite_width_{name}.png")


def read(path: Path) -> dict:
    """The record so far, without its environment."""
    record = json.loads(path.read_text()) if path.exists() else {}
    record.pop("environment", None)
    return record


def store(path: Path, record: dict) -> None:
    """Whole or not at all."""
    scratch = path.with_suffix(".part")
    common.write(scratch, record)
    os.replace(scratch, path)


def main() -> None:
    """Play the parts that are asked for; the others keep their record."""
    made = common.parser(__doc__, "infinite_width.json")
    made.set_defaults(out=None)
    made.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    made.add_argument("--small", action="store_true", help="small sizes, a few minutes in all")
    options = made.parse_args()
    common.pin(options.core)
    if options.out is None:
        if options.small:
            made.error("--small does not belong among the results: say where it goes with --out")
        options.out = common.RESULTS / "infinite_width.json"
    for name in options.parts:
        begin = time.perf_counter()
        record = read(options.out)

        def keep(part: dict, name=name, record=record) -> None:
            store(options.out, record | {name: part})

        part = PARTS[name](options.small, record.get(name, {}), keep)
        keep({**part, "seconds of this part": time.perf_counter() - begin})
        draw(read(options.out), options.out.parent)
        print(f"{name}: {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
