"""Should a student copy or average its target? Which end points the flow has over (n, k), and which
of them is lower.

Against an orthonormal target of `k` neurons and readout one, `n < k` students from Glorot-normal
starts (Şimşek et al. 2023). Six questions, one record each (`--parts`):

- `censuses`: the end points of a few sizes from many starts, among them the realisable ReLU problem
  n = k = 20;
- `diagram`: a census of every (n, k) from `--smallest` to `--largest` for each of `--activations`,
  `--starts` starts a cell. Cells are shared between `--processes` and stored as they come: a run
  that was stopped, or whose `--minutes` were over, goes on where it was;
- `competitors`: the risks of copy–average and perturbed copy for every (n, k) up to k = 20, solved
  in their sectors;
- `crossing`: at which n/k the perturbed copy becomes the lower one, followed in the sectors up to k
  = 10⁶;
- `one_neuron`: whether the best single neuron of other activations is the one that the theory says;
- `trajectories`: the order parameters along two flows, one to each end.

    python benchmarks/copy_or_average.py --parts diagram --processes 2
"""

import concurrent.futures
import itertools
import json
import math
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import common
import copy_or_average_figures
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from jaxcompress import theory
from jaxcompress.landscape import Census, census_of
from jaxcompress.sectors import (
    SectorPoint,
    copy_average_sector,
    perturbed_copy_sector,
    solve_sector,
)

# A compiled solver keeps a thousand memory maps, of which Linux grants a process 65 530.
_CELLS_A_CACHE = 16
# activation, n, k, starts, held, number of the key
CENSUSES = (
    ("erf", 3, 6, 1000, (), 0),
    ("erf", 6, 8, 1000, (), 0),
    ("relu", 1, 5, 200, (), 0),
    ("relu", 2, 4, 1000, (), 0),
    ("relu", 3, 6, 1000, (), 0),
    ("relu", 20, 20, 1000, ("readout",), 0),
    # The rarest level of the reference file, half of 0.155, has 4 starts of the thousand above: a
    # key that has it, too (2 of 5 that were tried).
    ("relu", 20, 20, 200, ("readout",), 2),
)


def orthonormal(activation: str, k: int, room: int | None = None) -> jc.TwoLayer:
    """The target; with `room`, as so many neurons in as many dimensions, those beyond `k` without a
    readout.
    """
    target = jc.targets.orthonormal(
        room or k, room or k, activation=getattr(jc.activations, activation)
    )
    return eqx.tree_at(
        lambda net: net.readout, target, jnp.where(jnp.arange(room or k) < k, 1.0, 0.0)
    )


def starts(
    activation: str, n: int, k: int, runs: int, freeze: tuple[str, ...] = (), key: int = 0
) -> jc.TwoLayer:
    """Glorot-normal students in the dimension of the target; readouts that are held are one."""
    f = getattr(jc.activations, activation)
    made = jc.initialize.glorot_normal(jax.random.key(key), n, k, activation=f, runs=runs)
    return (
        eqx.tree_at(lambda s: s.readout, made, jnp.ones((runs, n))) if "readout" in freeze else made
    )


def solved(
    activation: str,
    n: int,
    k: int,
    runs: int,
    freeze: tuple[str, ...] = (),
    ends: Path | None = None,
    room: int | None = None,
    key: int = 0,
) -> tuple[Census, dict]:
    """A census, and the seconds that it took; end points that are stored are not solved for again.

    With `room`, in that many dimensions: a flow does not leave the span of its start and the
    target, and one compiled solver serves all k. Spectra are those of the wider space.
    """
    target = orthonormal(activation, k, room)
    path = None if ends is None else ends / _name(activation, n, k, runs, target.dim, freeze, key)
    seconds: dict[str, float] = {}
    if path is not None and path.exists():
        found = stored_ends(path, activation)
    else:
        students = starts(activation, n, k, runs, freeze, key)
        beyond = jnp.zeros((runs, n, target.dim - k))
        students = eqx.tree_at(
            lambda s: s.weights, students, jnp.concatenate([students.weights, beyond], 2)
        )
        seconds["solve_seconds"], found = common.seconds(
            lambda: jc.solve_many(students, target, freeze=freeze)
        )
        if path is not None:
            store_ends(path, found)
    seconds["census_seconds"], census = common.seconds(
        lambda: census_of(found, target, freeze=freeze)
    )
    return census, seconds


def _name(
    activation: str, n: int, k: int, runs: int, dim: int, freeze: tuple[str, ...], key: int
) -> str:
    """The file of the end points of a cell, told apart by all that they depend on."""
    held = "-".join(("held", *freeze)) if freeze else "free"
    return f"{activation}-{n}-{k}-{runs}-{dim}-key{key}-{held}-{jc.__version__}.npz"


_OF_ENDS = ("risk", "risk_floor", "gradient_norm", "converged", "time", "eigenvalues", "index")


def store_ends(path: Path, found: jc.Solution) -> None:
    """Every end point of a cell, for censuses to come; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(getattr(found, name)) for name in _OF_ENDS}
    arrays |= {name: np.asarray(array) for name, array in found.network.parameters().items()}
    scratch = path.with_suffix(".part.npz")
    (result,) = jax.tree.leaves(found.result)
    np.savez(
        scratch,
        flat_modes=np.asarray(found.stats["flat_modes"]),
        result=np.asarray(result),
        **arrays,
    )
    os.replace(scratch, path)


def stored_ends(path: Path, activation: str) -> jc.Solution:
    """What `store_ends` wrote."""
    with np.load(path) as arrays:
        network = jc.TwoLayer(
            arrays["weights"], arrays["readout"], activation=getattr(jc.activations, activation)
        )
        numbers = {name: jnp.asarray(arrays[name]) for name in _OF_ENDS}
        stats = {"flat_modes": jnp.asarray(arrays["flat_modes"])}
        result = jax.tree.unflatten(
            jax.tree.structure(jc.RESULTS.converged), [jnp.asarray(arrays["result"])]
        )
    return jc.Solution(network=network, result=result, stats=stats, **numbers)


def plain(found: Census) -> dict[str, Any]:
    """A census as plain numbers."""
    rows = {
        name: [
            None if isinstance(value, float) and not math.isfinite(value) else value
            for value in values
        ]
        for name, values in found.columns().items()
    }
    return {"runs": found.runs, "unconverged": found.unconverged, "rows": rows}


def cell(activation: str, n: int, k: int, options: Any) -> dict[str, Any]:
    """One cell of the diagram, with what theory and sectors say of the two competitors."""
    found, seconds = solved(activation, n, k, options.starts, ends=options.ends, room=options.room)
    return {
        "activation": activation,
        "n": n,
        "k": k,
        "room": options.room,
        "version": jc.__version__,
        "processor": common.environment()["processor"],
        **competitors(activation, n, k),
        **plain(found),
        **seconds,
    }


def competitors(activation: str, n: int, k: int) -> dict[str, float | None]:
    """The risks of copy–average and perturbed copy, both as what their sectors continue them to.

    `None` where the point is lost, see `kept`. Neither is claimed to be the lowest end: what a
    neuron that averages leans on is not asked, and for ReLU, whose groups see each other, few
    neurons against many are neither copies nor averages any more (2 against 20: the average is
    turned further from the copied neuron than towards its own).
    """
    f = getattr(jc.activations, activation)
    copy = kept(solve_sector(perturbed_copy_sector(n, k), f))
    if activation == "erf":  # groups do not see each other
        return {"copy_average": float(theory.one_neuron(f, k - n + 1).risk), "perturbed_copy": copy}
    return {
        "copy_average": kept(solve_sector(copy_average_sector(n, k), f)),
        "perturbed_copy": copy,
    }


def kept(point: SectorPoint) -> float | None:
    """The risk of a critical point whose copying neurons, if it has any, overlap twice as much with
    their own target neuron as with every other."""
    own, mixed = float(point.own[0]), np.asarray(point.overlaps[0])
    copies = point.sector.partners[0] is None or own + mixed[0] > 2 * float(np.max(np.abs(mixed)))
    return float(point.risk) if bool(point.converged) and copies else None


# The largest k at which both competitors are solved for every n.
_EVERY = 20


def all_competitors() -> list[dict]:
    """Both competitors of every size, whether starts end there or not."""
    sizes = [(f, n, k) for f in ("erf", "relu") for k in range(2, _EVERY + 1) for n in range(1, k)]
    return [{"activation": f, "n": n, "k": k, **competitors(f, n, k)} for f, n, k in sizes]


def diagram(options: Any, record: dict) -> dict:
    """All cells, the expensive ones first; those of the record are done if this version made them,
    of no fewer starts.

    Every new one is stored at once, and at the end what all of them took. Once `--minutes` are over
    none is begun.
    """
    sizes = [(n, k) for k in range(options.smallest, options.largest + 1) for n in range(1, k)]
    wanted = {(f, n, k) for f, (n, k) in itertools.product(options.activations, sizes)}
    rows = [
        row
        for row in record.get("diagram", [])
        if _place(row) not in wanted or _is_done(row, options)
    ]
    todo = sorted(
        wanted - {_place(row) for row in rows}, key=lambda each: (-each[1] * each[2], each)
    )
    begin, before = time.perf_counter(), len(rows)
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(
        options.processes, context, _begin, (context.Value("i", 0), options.core)
    )
    with pool:
        until = time.time() + 60 * options.minutes
        for future in concurrent.futures.as_completed(
            [pool.submit(_one, *each, options, until) for each in todo]
        ):
            if future.result() is None:
                continue
            rows.append(future.result())
            store(options.out, {"diagram": rows})
            name = "{} ({}, {})".format(*_place(rows[-1]))
            left = f"{len(rows) - before} of {len(todo)} after {time.perf_counter() - begin:.0f} s"
            print(f"{name}: {'; '.join(rows[-1]['rows']['name'])}  [{left}]", flush=True)
    return {"diagram": sorted(rows, key=_place), "diagram_seconds": seconds_of(rows)}


def seconds_of(rows: list[dict]) -> list[dict]:
    """What the cells of the diagram took, of each kind and by processor: sums over all
    processes.
    """
    out: dict[tuple, dict] = {}
    for row in sorted(rows, key=_place):
        kind = {name: row.get(name) for name in ("activation", "runs", "room", "processor")}
        made = out.setdefault(
            tuple(kind.values()), {**kind, "cells": 0, "solve_seconds": 0.0, "census_seconds": 0.0}
        )
        made["cells"] += 1
        for name in ("solve_seconds", "census_seconds"):
            made[name] += row.get(name, 0.0)
    return list(out.values())


def _place(row: dict) -> tuple[str, int, int]:
    return row["activation"], row["n"], row["k"]


def _is_done(row: dict, options: Any) -> bool:
    return row["runs"] >= options.starts and (row["version"], row["room"]) == (
        jc.__version__,
        options.room,
    )


_done = itertools.count(1)


def _begin(counter: Any, core: int | None) -> None:
    """Every process on a core of its own."""
    with counter.get_lock():
        number, counter.value = counter.value, counter.value + 1
    if hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        common.pin(usable[number % len(usable)] if core is None else core)


def _one(activation: str, n: int, k: int, options: Any, until: float) -> dict | None:
    """A cell, or nothing where the time is over."""
    if time.time() > until:
        return None
    out = cell(activation, n, k, options)
    if next(_done) % _CELLS_A_CACHE == 0:
        jax.clear_caches()
    return out


def censuses(record: dict) -> list[dict]:
    """A few sizes from many starts; those of the record are kept, if this version made them."""
    asked = ("activation", "n", "k", "runs", "freeze", "key", "version")
    known = {
        tuple(map(str, (row[name] for name in asked))): row for row in record.get("censuses", [])
    }
    out = []
    for activation, n, k, runs, freeze, key in CENSUSES:
        about = dict(
            zip(asked, (activation, n, k, runs, list(freeze), key, jc.__version__), strict=True)
        )
        if tuple(map(str, about.values())) in known:
            out.append(known[tuple(map(str, about.values()))])
            continue
        found, seconds = solved(activation, n, k, runs, freeze, key=key)
        out.append({**about, **plain(found), **seconds})
        print(activation, n, k, freeze, found, sep="  ", flush=True)
    return out


SIZES = (*range(6, 21), 32, 100, 1000, 10_000, 100_000, 1_000_000)


def crossing() -> list[dict]:
    """For every k and activation the share n/k above which the perturbed copy is lower than the
    copy–average.

    The gap of the two risks is bisected over whole n, once halving n has changed its sign, and
    interpolated between two of them.
    """
    rows = []
    for activation, k in itertools.product(("erf", "relu"), SIZES):
        low = high = k - 1
        gaps = {high: gap(activation, high, k)}
        row = {"activation": activation, "k": k, "gap at k-1": gaps[high], "share": None}
        while gaps[low] < 0 and low > 1:
            low, high = low // 2, low
            gaps[low] = gap(activation, low, k)
        while gaps[low] > 0 > gaps[high] and high - low > 1:
            middle = (low + high) // 2
            gaps[middle] = gap(activation, middle, k)
            low, high = (middle, high) if gaps[middle] > 0 else (low, middle)
        if gaps[low] > 0 > gaps[high]:
            row |= {"share": (low + gaps[low] / (gaps[low] - gaps[high])) / k, "first": high}
        elif any(math.isnan(each) for each in gaps.values()):
            row |= {"lost at": [n for n, each in gaps.items() if math.isnan(each)]}
        rows.append(row)
        print(row, flush=True)
    return rows


def gap(activation: str, n: int, k: int) -> float:
    """Perturbed copy minus copy–average; NaN where one of them was not found."""
    both = competitors(activation, n, k)
    if both["perturbed_copy"] is None or both["copy_average"] is None:
        return float("nan")
    return both["perturbed_copy"] - both["copy_average"]


def trajectories(n: int = 6, k: int = 8, times: int = 80) -> list[dict]:
    """Overlaps, norms, readouts and risk along a flow to each of the two main ends of (6, 8)."""
    target = jc.targets.orthonormal(k, k, activation=jc.activations.erf)
    many = starts("erf", n, k, 32)
    ends = jc.solve_many(many, target)
    names = [jc.landscape.classify(ends[i].network, target).kind for i in range(len(ends.risk))]
    save_at = jnp.geomspace(1e-1, 3e4, times)
    out = []
    for kind in ("copy-average", "perturbed copy"):
        number = names.index(kind)
        path = jc.gradient_flow(
            jax.tree.map(lambda leaf, i=number: leaf[i], many), target, save_at=save_at
        ).trajectory
        signs = jnp.sign(path.readout[-1])
        out.append(
            {
                "kind": kind,
                "time": save_at,
                "risk": jax.vmap(lambda net: jc.population_risk(net, target))(path),
                "readout": path.readout * signs,
                "overlaps": path.weights @ target.weights.T * signs[:, None],
            }
        )
    return out


ONE = ("softplus", "tanh", "gelu", "sigmoid")


def one_neuron(k: int = 3, runs: int = 8) -> list[dict]:
    """One student of other activations against `k`: the best of some starts, against the theory's
    two scalars.

    A GELU is best at infinite norm, where no solver arrives: beside its own end stands that of a
    ReLU, its limit.
    """
    rows = []
    for name, student in (*zip(ONE, ONE, strict=True), ("gelu", "relu")):
        f = getattr(jc.activations, name)
        target = jc.targets.orthonormal(k, k, activation=f)
        predicted, lowest = (
            theory.one_neuron(f, k),
            jc.solve_many(starts(student, 1, k, runs), target).best,
        )
        rows.append(
            {
                "activation": name,
                "student": student,
                "k": k,
                "predicted": predicted.risk,
                "predicted_norm": predicted.norm,
                "solved": lowest.risk,
                "solved_norm": jnp.linalg.norm(lowest.network.weights),
                "converged": lowest.converged,
                "difference": lowest.risk - predicted.risk,
            }
        )
        print({key: str(value) for key, value in rows[-1].items()}, flush=True)
    return rows


def store(path: Path, parts: dict) -> None:
    """Put parts into the record, whole or not at all, each with what it was made with."""
    record = read(path) | parts
    record["environments"] = record.get("environments", {}) | dict.fromkeys(
        parts, common.environment()
    )
    scratch = path.with_suffix(".part")
    common.write(scratch, record)
    compact = json.dumps(
        json.loads(scratch.read_text()), separators=(",", ":")
    )  # else 28 000 lines
    scratch.write_text(compact + "\n")
    os.replace(scratch, path)


def read(path: Path) -> dict:
    """The record so far, without the environment of its last change."""
    record = json.loads(path.read_text()) if path.exists() else {}
    record.pop("environment", None)
    return record


def main() -> None:
    parser = common.parser(__doc__, "copy_or_average.json")
    made = {
        "censuses": lambda: censuses(read(options.out)),
        "competitors": all_competitors,
        "crossing": crossing,
        "one_neuron": one_neuron,
        "trajectories": trajectories,
    }
    names = ("diagram", *made)
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--activations", nargs="+", choices=("erf", "relu"), default=("erf", "relu")
    )
    parser.add_argument("--smallest", type=int, default=2, help="smallest k of the diagram")
    parser.add_argument("--largest", type=int, default=14, help="largest k of the diagram")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="begin no cell of the diagram after them"
    )
    parser.add_argument(
        "--room", type=int, default=None, help="solve all cells in so many dimensions, not k"
    )
    parser.add_argument("--starts", type=int, default=256, help="starts a cell of the diagram")
    parser.add_argument("--processes", type=int, default=1, help="processes that share the cells")
    parser.add_argument(
        "--ends",
        type=Path,
        default=None,
        help="a folder that keeps the end points of the diagram's cells",
    )
    options = parser.parse_args()
    if options.core is not None and options.processes > 1:
        parser.error("--core pins one process; leave it out, and each has a core of its own")
    for part in options.parts:
        begin = time.perf_counter()
        if part == "diagram":
            store(options.out, diagram(options, read(options.out)))
        else:
            common.pin(options.core)
            store(options.out, {part: made[part]()})
        print(part, f"{time.perf_counter() - begin:.0f} s", flush=True)
    copy_or_average_figures.draw(options.out)


if __name__ == "__main__":
    main()
