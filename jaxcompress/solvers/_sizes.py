"""Batches in few sizes, so that 17, 40 and 64 runs are one compiled program.

A batch is filled up to the next size of a short ladder with copies of its last run, which are never
solved. With several devices every one gets an equal share of the runs, filled up by itself.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np

from jaxcompress.networks import Starts
from jaxcompress.solvers._batch import Runs
from jaxcompress.solvers._solution import Solution

# Powers of four up to here, powers of two beyond it.
_COARSE = 4096
# Bytes of weights that filling up may add: beyond it, a batch keeps its own size.
_MOST_ADDED = 2**26


def padded_size(count: int, bytes_a_run: int = 0) -> int:
    """The size of the ladder for so many runs: 1, 4, 16, 64, …, 4096, 8192, …"""
    size = 1
    while size < count:
        size *= 4 if size < _COARSE else 2
    return size if (size - count) * bytes_a_run <= _MOST_ADDED else count


def padded(runs: Runs, devices: int) -> Runs:
    """The same runs, filled up: a share for each device, with how many of it are `real
    (devices,)`.
    """
    shares = max(1, devices)
    each = -(-runs.count // shares)
    per_run = jax.tree.leaves((runs.students, runs.targets if not runs.shared else None))
    bytes_a_run = sum(leaf.nbytes for leaf in per_run if eqx.is_array(leaf)) // runs.count
    size = padded_size(each, bytes_a_run)
    begin = each * np.arange(shares)
    rows = np.minimum(begin[:, None] + np.arange(size), runs.count - 1).reshape(-1)

    def filled(leaf: Any) -> Any:
        return (
            leaf
            if np.array_equal(rows, np.arange(runs.count))
            else jax.device_put(np.asarray(leaf)[rows])
        )

    students = runs.students
    if isinstance(students, Starts):
        students = Starts(students.key, size, students.law, **dict(students.arguments))
    else:
        students = jax.tree.map(filled, students)
    targets = runs.targets if runs.shared else jax.tree.map(filled, runs.targets)
    real = np.clip(runs.count - begin, 0, each).astype(np.int32)
    first, per_device = jax.device_put((begin.astype(np.int32), real))
    return dataclasses.replace(
        runs, students=students, targets=targets, first=first, real=per_device, count=size * shares
    )


def trimmed(solution: Solution, real: np.ndarray) -> Solution:
    """The real runs of a padded batch."""
    size = solution.risk.shape[0] // len(real)
    if np.all(real == size):
        return solution
    kept = np.concatenate([i * size + np.arange(n) for i, n in enumerate(real)])
    if len(real) == 1 and jax.default_backend() == "cpu":
        # a view of what is there; sliced by JAX, every number of runs would compile a program a
        # shape
        return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[: real[0]]), solution)
    return _rows(solution, kept)


@jax.jit
def _rows(tree: Any, kept: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[kept], tree)
