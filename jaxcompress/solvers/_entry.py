"""Check, compile and run: batches of few sizes, each device with a share of the runs."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress._compiling import compiler_options
from jaxcompress._internal.checks import check_finite, is_concrete
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import Starts
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk.internal import Target, as_target
from jaxcompress.solvers._batch import BatchSolver, Options, Runs, critical_batch, in_span
from jaxcompress.solvers._checks import check_start, checked_rates, unknowns_of, without_runs
from jaxcompress.solvers._method import MATRIX_MOST, FlowSolver, check_solver
from jaxcompress.solvers._objective import NARROW
from jaxcompress.solvers._sizes import padded, trimmed
from jaxcompress.solvers._slots import Progress
from jaxcompress.solvers._solution import Solution
from jaxcompress.solvers._stepping import FlowOptions
from jaxcompress.special.internal import precision

# Runs from which on a batch is worth code that takes longer to compile.
_LONG = 256


class Numbers(NamedTuple):
    """The tolerances and the step budget of a call, `None` where they are those of the dtype."""

    gradient_tolerance: float | None = None
    flow_tolerance: float | None = None
    rtol: float = 1e-3
    atol: float = 1e-4
    max_steps: int = 4096

    def options(self, student: AbstractNetwork, rates: Mapping[str, float] | None) -> Options:
        """As arrays, all traced; a flow without an end time."""
        dtype = student.weights.dtype
        known = precision(dtype)
        flow = known.flow if self.flow_tolerance is None else self.flow_tolerance
        final = known.critical if self.gradient_tolerance is None else self.gradient_tolerance
        return Options(
            flow=FlowOptions(
                t1=jnp.asarray(jnp.inf, dtype),
                gradient_tolerance=jnp.asarray(flow, dtype),
                rtol=jnp.asarray(self.rtol, dtype),
                atol=jnp.asarray(self.atol, dtype),
                max_steps=jnp.asarray(self.max_steps, jnp.int32),
            ),
            final_tolerance=jnp.asarray(final, dtype),
            rates=checked_rates(student, rates),
        )


def run_many(
    where: str,
    entry: BatchSolver,
    students: AbstractNetwork | Starts,
    targets: Target,
    numbers: Numbers,
    *,
    inputs: AbstractInputs | None,
    freeze: Sequence[str],
    rates: Mapping[str, float] | None = None,
    solver: FlowSolver | None = None,
    slots: int | None,
    devices: Sequence[jax.Device] | None,
    progress: Progress | None = None,
) -> Solution:
    """Check, in the name of the function `where`, and run."""
    inputs = StandardNormal() if inputs is None else inputs
    known = as_target(where, targets, "targets")
    first, count = without_runs(where, students, known)
    check_start(where, first.student, first.target, inputs, freeze, rates)
    if isinstance(students, AbstractNetwork):
        check_finite(f"{where}: students", **students.parameters())
    check_finite(f"{where}: targets", **known.parameters())
    if slots is not None and not slots >= 1:
        raise ValueError(
            f"{where}: given slots={slots!r}; expected at least 1; leave it out for a good choice"
        )
    unknowns = unknowns_of(first.student, freeze)
    check_solver(where, solver, unknowns)
    if entry is critical_batch and unknowns > MATRIX_MOST:
        raise ValueError(
            f"{where}: given {unknowns} unknowns; expected at most {MATRIX_MOST}, whose Hessian "
            "can be held; freeze parameters, or descend with flow_many"
        )
    runs = Runs(
        students=students,
        targets=known,
        inputs=inputs,
        first=jnp.zeros((), jnp.int32),
        real=jnp.asarray(count, jnp.int32),
        freeze=tuple(freeze),
        count=count,
        solver=solver,
    )
    chosen = best_devices() if devices is None else tuple(devices)
    options = numbers.options(first.student, rates)
    return run(entry, runs, options, slots or best_slots(unknowns), progress, chosen)


def run(
    entry: BatchSolver,
    runs: Runs,
    options: Options,
    slots: int,
    progress: Progress | None = None,
    devices: tuple = (),
) -> Solution:
    """Compile and run, filled up to a size of the ladder; inside somebody's trace, become part of
    it.
    """
    arrays = jax.tree.leaves(eqx.filter((runs, options), eqx.is_array))
    if not all(is_concrete(leaf) for leaf in arrays):
        return in_span(entry, runs, options, min(slots, runs.count), progress)
    full = padded(runs, len(devices))
    long = full.count > _LONG or runs.unknowns > NARROW
    compiled = _compiled(jax.default_backend(), long)
    solution = compiled(entry, full, options, slots, progress, devices)
    return trimmed(solution, np.asarray(full.real))


def best_slots(unknowns: int) -> int:
    """Slots that suit the size of a problem. On a CPU a step of erf takes, per slot, 69, 54 and 48
    µs with 1, 8 and 32 slots at 52 unknowns, and 169, 334 and 866 µs at 99, where the Hessians of
    several slots leave the cache; other devices get as many as keep them busy within 2 GiB."""
    if jax.default_backend() != "cpu":
        return max(1, min(16384, 2**31 // (48 * unknowns**2)))
    return 32 if unknowns <= NARROW else 1


def best_devices() -> tuple:
    """All local devices; of processors one, whose processes scale better than its threads."""
    return tuple(jax.local_devices()) if jax.default_backend() != "cpu" else ()


@functools.cache
def _compiled(backend: str, long: bool) -> Callable[..., Solution]:
    """The compiled entry."""
    options: dict[str, Any] = {"compiler_options": compiler_options(backend, long)}
    return eqx.filter_jit(_over_devices, **options)


def _over_devices(
    entry: BatchSolver, runs: Runs, options: Options, slots: int, progress, devices: tuple
) -> Solution:
    """The shares of the runs, each on its device, which has nothing to wait for: no value crosses
    devices.
    """
    share = runs.count // max(1, len(devices))

    def one_device(students, targets, first, real, options) -> Solution:
        mine = dataclasses.replace(
            runs, students=students, targets=targets, first=first[0], real=real[0], count=share
        )
        return in_span(entry, mine, options, min(slots, share), progress)

    if not devices:
        return one_device(runs.students, runs.targets, runs.first, runs.real, options)
    split, whole = jax.sharding.PartitionSpec("runs"), jax.sharding.PartitionSpec()
    over_all = jax.shard_map(
        one_device,
        mesh=jax.sharding.Mesh(np.array(devices), ("runs",)),
        in_specs=(
            whole if isinstance(runs.students, Starts) else split,
            whole if runs.shared else split,
            split,
            split,
            whole,
        ),
        out_specs=split,
        check_vma=False,
    )
    return over_all(runs.students, runs.targets, runs.first, runs.real, options)
