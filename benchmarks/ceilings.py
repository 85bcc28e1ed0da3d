"""How fast could this chip go at all: float64 matrix products, memory traffic, and our runs as a
share of both.

The count of a run is `steps × (Hessian + stages · (gradient + two triangular solves) + Cholesky)`,
with the Hessian's and the gradient's operations and bytes as XLA counts them for one slot. Rejected
steps count, for they are work.
"""

import common
import jax
import jax.numpy as jnp
from problems import STEPS, WORKS, Work
from stages import gradient_of, hessian_of

# Rodas5P (Steinebach 2023) has eight stages.
STAGES = 8


def matmul_flops(size: int) -> float:
    """Float64 operations a second of a square matrix product."""
    left = jax.random.normal(jax.random.key(0), (size, size))
    run = jax.jit(jnp.matmul)
    return 2 * size**3 / min(common.per_call(lambda: run(left, left))["seconds"])


def elementwise_flops(size: int) -> float:
    """Float64 operations a second of fused multiply-adds on numbers that stay in registers."""
    rounds = 256

    def many(x):
        return jax.lax.fori_loop(0, rounds, lambda _, y: y * x + 0.5, x, unroll=16)

    numbers = jnp.linspace(0, 0.9, size)
    run = jax.jit(many)
    return 2 * rounds * size / min(common.per_call(lambda: run(numbers))["seconds"])


def bandwidth(size: int) -> float:
    """Bytes a second of `x ↦ 2x + y`: two numbers read and one written."""
    x, y = jnp.ones(size), jnp.ones(size)
    run = jax.jit(lambda x, y: 2 * x + y)
    return 3 * 8 * size / min(common.per_call(lambda: run(x, y))["seconds"])


def counted(work: Work) -> dict:
    """Operations and bytes of one step of one slot."""
    vector = jnp.asarray(work.flat(work.starts(1))[0])
    costs = {}
    for name, function in (("gradient", gradient_of(work)), ("hessian", hessian_of(work))):
        analysis = jax.jit(function).lower(vector).compile().cost_analysis()
        analysis = analysis[0] if isinstance(analysis, list) else analysis
        costs[name] = {
            "flops": analysis.get("flops", 0.0),
            "bytes": analysis.get("bytes accessed", 0.0),
        }
    size = work.unknowns
    flops = (
        costs["hessian"]["flops"]
        + size**3 / 3
        + STAGES * (costs["gradient"]["flops"] + 2 * size**2)
    )
    # what has to move at least: the Hessian is written, read and factored once, the factor read
    # once a stage
    moved = 8 * size**2 * (3 + STAGES)
    return {"by_xla": costs, "flops_per_step": flops, "least_bytes_per_step": moved}


def measure(rows: list[dict]) -> dict:
    """Ceilings of the device, and for every row of ours the share of each that its runs reach."""
    on_cpu = jax.devices()[0].platform == "cpu"
    ceilings = {
        "matmul_flops": matmul_flops(1024 if on_cpu else 8192),
        "elementwise_flops": elementwise_flops(2**12 if on_cpu else 2**26),
        "bytes_per_second": bandwidth(2**24 if on_cpu else 2**28),
    }
    shares = []
    for row in rows:
        if not row["solver"].startswith("ours"):
            continue
        count = counted(WORKS[row["work"]])
        steps = sum(row["counts"].get(name, 0.0) for name in STEPS)
        rate = steps / row["median_seconds_per_run"]
        shares.append(
            {
                "work": row["work"],
                "solver": row["solver"],
                "steps_per_second": rate,
                **count,
                "share_of_matmul": rate * count["flops_per_step"] / ceilings["matmul_flops"],
                "share_of_elementwise": rate
                * count["flops_per_step"]
                / ceilings["elementwise_flops"],
                "share_of_bandwidth": rate
                * count["least_bytes_per_step"]
                / ceilings["bytes_per_second"],
            }
        )
        print(
            {
                name: shares[-1][name]
                for name in ("work", "solver", "share_of_elementwise", "share_of_bandwidth")
            }
        )
    print(ceilings, flush=True)
    return {**ceilings, "shares": shares}
