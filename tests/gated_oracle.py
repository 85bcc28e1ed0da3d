"""Gated pairs `E[φ(G) U ψ(H) V]` by mpmath, for the exact floating-point inputs given.

In the plane of the two gates the expectation is an integral over `(z₁, z₂)`, `G = μ + σz₁`, `H = ν
+ τ(cos z₁ + sin z₂)`; the parts of `U` and `V` at a right angle to it are worth their inner
product. The trapezoidal rule converges as `exp(−2πd/h)` for functions that are analytic within a
distance `d` of the real line: 50 digits at the norms here, as the same rule on nodes half a step
away says (`python -m tests.gated_oracle check`). Neither Stein's lemma nor Price's theorem is used.

`python -m tests.gated_oracle` writes the store: 200 pairs, and for two of them derivatives by
central differences of 50-digit values; minutes.
"""

import json
import pathlib
import sys
from typing import NamedTuple

import numpy as np
from mpmath import mp, mpf

STORE = pathlib.Path(__file__).parent / "gated_values.json"
DIM, DIGITS, BITS, REACH, STEP = 3, 75, 240, mpf(16), mpf(1) / 8
# How many pairs of which activations, and which have derivatives: SwiGLU, and GeGLU with it.
PAIRS = {
    "silu silu": 60,
    "silu gelu": 40,
    "tanh sigmoid": 40,
    "sigmoid silu": 30,
    "tanh gelu": 20,
    "gelu gelu": 10,
}
DIFFERENTIATED = ("silu silu", "silu gelu")
# Sizes of what a pair has, in the order of its numbers: both gates, then both factors, each a
# vector and a bias.
SIZE = 4 * (DIM + 1)


class Neuron(NamedTuple):
    """A gate with its bias, a factor with its bias."""

    gate: list
    gate_bias: mpf
    weights: list
    bias: mpf


def neurons(numbers) -> tuple[Neuron, Neuron]:
    """Both neurons from the numbers of a pair."""
    vectors = [list(numbers[i : i + DIM + 1]) for i in range(0, SIZE, DIM + 1)]
    cut = [(vector[:DIM], vector[DIM]) for vector in vectors]
    return Neuron(*cut[0], *cut[2]), Neuron(*cut[1], *cut[3])


def _dot(x, y):
    return mp.fsum(a * b for a, b in zip(x, y, strict=True))


def _fixed(numbers: list) -> np.ndarray:
    """Numbers as integers in units of `2^−BITS`: NumPy multiplies these fast."""
    return np.array([int(mp.floor(mp.ldexp(x, BITS))) for x in numbers], dtype=object)


def _apply(name: str, starts: list, steps: list) -> np.ndarray:
    """The function at `start + step` for all of them, as integers, row by row."""
    if name == "gelu":
        rows = [[(a + b) * mp.ncdf(a + b) for b in steps] for a in starts]
        return np.stack([_fixed(row) for row in rows])
    factor = 2 if name == "tanh" else 1
    left = _fixed([mp.exp(-factor * a) for a in starts])
    right = _fixed([mp.exp(-factor * b) for b in steps])
    one = 1 << BITS
    shares = (one << BITS) // (one + ((left[:, None] * right[None]) >> BITS))
    if name == "tanh":
        return 2 * shares - one
    if name == "silu":
        points = _fixed(starts)[:, None] + _fixed(steps)[None]
        return (points * shares) >> BITS
    return shares


def expectation(f: str, g: str, numbers, offset=0) -> mpf:
    """`E[f(G) U g(H) V]` at the precision that mpmath has."""
    x, y = neurons(numbers)
    if g == "gelu" and f != "gelu":  # one-dimensional, where Φ takes its time
        f, g, x, y = g, f, y, x
    sigma, tau = mp.sqrt(_dot(x.gate, x.gate)), mp.sqrt(_dot(y.gate, y.gate))
    first = [a / sigma for a in x.gate]
    cosine = _dot(first, y.gate) / tau
    rest = [b - tau * cosine * a for a, b in zip(first, y.gate, strict=True)]
    across = mp.sqrt(_dot(rest, rest))
    second = [a / across for a in rest]
    z = [(i + mpf(offset)) * STEP for i in range(-int(REACH / STEP), int(REACH / STEP) + 1)]
    weights = [mp.exp(-a * a / 2) * STEP / mp.sqrt(2 * mp.pi) for a in z]
    outer = _apply(f, [x.gate_bias + sigma * a for a in z], [mpf(0)])[:, 0]
    inner = _apply(g, [y.gate_bias + tau * cosine * a for a in z], [across * b for b in z])
    powers = np.stack(
        [_fixed([q * b**r for b, q in zip(z, weights, strict=True)]) for r in range(3)]
    )
    moments = (inner @ powers.T) >> BITS
    (s, p, r), (t, q, o) = (
        (n.bias, _dot(n.weights, first), _dot(n.weights, second)) for n in (x, y)
    )
    beside = _dot(x.weights, y.weights) - p * q - r * o
    forms = [
        _fixed([(s + p * a) * (t + q * a) + beside for a in z]),
        _fixed([(s + p * a) * o + (t + q * a) * r for a in z]),
        _fixed([r * o for _ in z]),
    ]
    rows = sum((form * moments[:, i]) >> BITS for i, form in enumerate(forms))
    total = int(np.sum(((_fixed(weights) * outer) >> BITS) * rows))
    return mp.ldexp(mpf(total), -2 * BITS)


def derivatives(f: str, g: str, numbers, directions) -> tuple[list, list]:
    """The gradient, and second derivatives along pairs of directions, by central differences."""
    step = mpf(10) ** -10

    def at(*moves):
        moved = list(numbers)
        for size, direction in moves:
            moved = [a + size * b for a, b in zip(moved, direction, strict=True)]
        return expectation(f, g, moved)

    axes = [[mpf(i == j) for i in range(SIZE)] for j in range(SIZE)]
    gradient = [(at((step, e)) - at((-step, e))) / (2 * step) for e in axes]
    second = []
    for i, v in enumerate(directions):
        for w in directions[: i + 1]:
            signs = [(p, q) for p in (1, -1) for q in (1, -1)]
            parts = [p * q * at((p * step, v), (q * step, w)) for p, q in signs]
            second.append(mp.fsum(parts) / (4 * step * step))
    return gradient, second


def drawn() -> list[tuple[str, list[float], list[list[float]]]]:
    """All pairs, in multiples of 1/64 with norms up to about 1.5, and two directions for each."""
    rng = np.random.default_rng(20260118)
    out = []
    for name in [name for name, count in PAIRS.items() for _ in range(count)]:
        numbers = np.round(rng.normal(size=SIZE) * rng.uniform(0.2, 0.8) * 64) / 64
        directions = np.round(rng.normal(size=(2, SIZE)) * 4) / 4
        out.append((name, numbers.tolist(), directions.tolist()))
    return out


def main() -> None:
    mp.dps = DIGITS
    if sys.argv[1:] == ["check"]:
        for name, numbers, _ in drawn()[::20]:
            exact = [mpf(x) for x in numbers]
            plain = expectation(*name.split(), exact)
            print(name, mp.nstr(plain - expectation(*name.split(), exact, offset=0.5), 3))
        return
    lines: list[str] = []
    seen: set[str] = set()
    for i, (name, numbers, directions) in enumerate(drawn()):
        exact = [mpf(x) for x in numbers]
        entry = {"pair": name, "numbers": numbers}
        entry["value"] = float(expectation(*name.split(), exact))
        if name in DIFFERENTIATED and name not in seen:
            rows = [[mpf(x) for x in row] for row in directions]
            gradient, second = derivatives(*name.split(), exact, rows)
            entry["directions"] = directions
            entry["gradient"] = [float(x) for x in gradient]
            entry["second"] = [float(x) for x in second]
        seen.add(name)
        lines.append(json.dumps(entry))
        print(i, name, entry["value"], flush=True)
    STORE.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
