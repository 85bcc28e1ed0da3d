"""What a step of the reduced flows costs, over the dimension and over the particles; parts of
`infinite_width.py`.
"""

import time

if __package__:
    from benchmarks import common
else:
    import common

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress import infinite_width as iw


def over_dimension(small: bool) -> list[dict]:
    """Fixed steps of both reduced flows at d = 10 and 10⁶, at equal modes, alternately; CPU seconds
    of each repeat.
    """
    target, method, times = iw.NormTarget(3), iw.FixedSteps(20), jnp.array([1.0])
    nodes, width, repeats = (50, 32, 3) if small else (400, 128, 9)
    calls = {}
    for d in (10, 10**6):
        angles, start = iw.AngleSystem(3, d - 3), iw.angle_start(3, d - 3, nodes)
        orbits, reduced = (
            iw.reduced_start(jax.random.key(2), width, 3, d - 3),
            iw.ReducedSystem(target, d - 3),
        )
        calls["angles", d] = lambda a=angles, s=start: iw.flow(a, s, times, method=method)
        calls["orbits", d] = lambda a=reduced, s=orbits: iw.flow(a, s, times, method=method)
    for call in calls.values():
        common.seconds(call)
    taken: dict[tuple[str, int], list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.process_time()
            common.seconds(call)
            taken[name].append(time.process_time() - begin)
    out: list[dict] = []
    for flow in ("angles", "orbits"):
        ratio = float(np.median(taken[flow, 10**6]) / np.median(taken[flow, 10]))
        out.append(
            {
                "flow": flow,
                "d=10": taken[flow, 10],
                "d=1e6": taken[flow, 10**6],
                "ratio of medians": ratio,
            }
        )
    out[0]["modes"] = iw.AngleSystem(3, 7).kernel.modes
    return out


def over_particles(small: bool) -> list[dict]:
    """CPU seconds of one velocity of the angles, and by how much they grow with every doubling of
    the particles.
    """
    system = iw.AngleSystem(3, 7)
    velocity = jax.jit(lambda state: system.velocity(state))
    rows: list[dict] = []
    for nodes in (100, 200) if small else (500, 1000, 2000, 4000, 8000, 16000):
        angle = np.linspace(0, np.pi / 2, nodes)
        state = iw.AngleParticles(
            jnp.asarray(np.tile(angle, 2)), jnp.repeat(jnp.array([1.0, -1.0]), nodes)
        )
        timed = common.per_call(lambda s=state: velocity(s), at_least=0.1)
        row = {"particles": 2 * nodes, "cpu seconds": timed["median_cpu_seconds"]}
        rows.append(
            row | ({"over the last": row["cpu seconds"] / rows[-1]["cpu seconds"]} if rows else {})
        )
    exponent = np.polyfit(*np.log([[row["particles"], row["cpu seconds"]] for row in rows]).T, 1)[0]
    return [*rows, {"exponent": float(exponent)}]
