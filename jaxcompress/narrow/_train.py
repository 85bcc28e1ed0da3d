"""Training by first-order methods, on the feasible set or without one: all seeds and all rates in
one compiled call.

A step is `θ ← P(θ + update)`, the update any optax optimiser's at this rate, times a factor for
each block. The set is a product of blocks, so that blocks may have steps of their own; inside a
block an update must be a multiple of the gradient (or of sums of such), or there are fixed points
that are not KKT points.
"""

import functools
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxcompress._internal.checks import check_finite, is_concrete
from jaxcompress._internal.deprecation import renamed_attribute
from jaxcompress.narrow._assumptions import check_assumptions, warn
from jaxcompress.narrow._feasible import FeasibleSet
from jaxcompress.narrow._kkt import half_risk, norm
from jaxcompress.narrow._width import is_count
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples, minibatches
from jaxcompress.risk.internal import check_samples

Optimiser = Callable[[Array], optax.GradientTransformation]
Projection = Callable[[TwoLayer], TwoLayer]


class Training(eqx.Module):
    """Runs with axes `(runs, rates)`, and their histories with a last axis `records`.

    - `network`: the end points
    - `half_risk`: `‖f − y‖²/(2n)` on all samples, half of `empirical_risk`
    - `kkt_residual`: `‖θ − P(θ − ∇ℓ)‖`; without a set, the norm of the gradient
    - `violation`: the worst violation of all iterates since the record before
    - `diverged`: whether parameters or half risk would have become infinite or NaN; the run then
      stayed where it was. A run of a first-order method ends with its budget, so that there is no
      `converged`: look at `kkt_residual`
    - `steps (records,)`: the number of the step of each record

    Example: `train(starts, samples, [0.01, 0.1]).final_half_risk.min(axis=1)`.
    """

    network: TwoLayer
    half_risk: Float[Array, "runs rates records"]
    kkt_residual: Float[Array, "runs rates records"]
    violation: Float[Array, "runs rates records"]
    diverged: Bool[Array, "runs rates"]
    steps: Int[Array, " records"]

    loss = renamed_attribute("loss", "half_risk")
    final_loss = renamed_attribute("final_loss", "final_half_risk")

    @property
    def final_half_risk(self) -> Float[Array, "runs rates"]:
        """The half risk at the end, infinite where a run diverged."""
        return jnp.where(self.diverged, jnp.inf, self.half_risk[..., -1])


@functools.lru_cache(maxsize=32)
def momentum(beta: float = 0.9) -> Optimiser:
    """Gradient descent with heavy-ball momentum, by `optax.sgd`; the same object for the same
    `beta`, so that `train` compiles once.

    Example: `train(starts, samples, rates, optimiser=momentum(0.9))`.
    """
    return functools.partial(optax.sgd, momentum=beta)


def train(
    starts: TwoLayer,
    samples: Samples,
    rates: Float[Array, " rates"],
    *,
    optimiser: Optimiser = optax.sgd,
    feasible: FeasibleSet | Projection | None = None,
    block_rates: Mapping[str, float | Array] | None = None,
    steps: int = 1000,
    batch_size: int | None = None,
    key: Array | None = None,
    records: int | None = None,
) -> Training:
    """Train from every initial point at every rate, on the half risk `‖f − y‖²/(2n)`.

    Arguments:

    - `starts`: networks with a leading axis `runs`
    - `samples`: shared, or with that axis too
    - `rates (rates,)`: learning rates, traced
    - `optimiser`: a function from a rate to an optax transformation (static): `optax.sgd`,
      `narrow.momentum(0.9)`, `optax.adam`
    - `feasible`: a `FeasibleSet` made from the starts; or any function from a network to a network
      (static), for example of `optax.projections`; left out, training is unconstrained
    - `block_rates`: factors for the updates of "weights" and "readout"
    - `steps`: the number of steps (static)
    - `batch_size`: the size of minibatches (static); left out, every step sees all samples
    - `key`: for minibatches; run `i` draws from `fold_in(key, i)`, the same ones for all rates
    - `records`: the length of the history (static); left out, a divisor of `steps` up to 20

    Returns a `Training`. Raises `ValueError` when arguments do not fit together. Warns
    (`NarrowWarning`) as `check_assumptions`, and, with a finite ball, of optimisers whose updates
    are not multiples of the gradient within a block: Adam, clipped entries, weight decay.

    Example: `train(starts, samples, [0.01, 0.1], feasible=FeasibleSet.of(starts, radius=1.0))`.
    """
    one = _check_networks(starts, samples)
    rates = jnp.asarray(rates, starts.weights.dtype)
    _check_rates(rates, block_rates, one)
    _check_budget(samples, steps, batch_size, key, records)
    if records is None:
        records = next(count for count in range(min(20, steps), 0, -1) if steps % count == 0)
    check_assumptions("narrow.train", one, samples)
    if isinstance(feasible, FeasibleSet):
        if feasible.center.shape != starts.weights.shape:
            raise ValueError(
                f"narrow.train: given a feasible set about weights {feasible.center.shape} and "
                f"starts of weights {starts.weights.shape}; expected the same; build it with "
                "FeasibleSet.of(starts, …)"
            )
        ball = not is_concrete(feasible.radius) or np.any(np.isfinite(np.asarray(feasible.radius)))
        if ball and not _uniform(optimiser, one):
            warn(
                "narrow.train: the updates of this optimiser are no multiples of the gradient, "
                "because it scales single parameters, as Adam does, clips them, or adds to them, "
                "as weight decay does: with a finite ball its fixed points need not be KKT points, "
                "and the certificate says nothing about where it ends",
                depth=3,
            )
    factors = {
        name: jnp.asarray((block_rates or {}).get(name, 1.0), rates.dtype)
        for name in one.parameters()
    }
    keys = (
        None
        if key is None
        else jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(starts.weights.shape[0]))
    )
    return _compiled(
        starts, samples, rates, factors, keys, optimiser, feasible, steps, batch_size, records
    )


def _check_networks(starts: TwoLayer, samples: Samples) -> TwoLayer:
    """One of the initial points, once everything fits together."""
    if not isinstance(starts, TwoLayer) or not isinstance(samples, Samples):
        raise ValueError(
            f"narrow.train: given starts of type {type(starts).__name__} and samples of type "
            f"{type(samples).__name__}; expected a TwoLayer and Samples; draw starts with "
            "mirrored_lecun(…, runs=8)"
        )
    if starts.weights.ndim != 3 or samples.runs not in ((), starts.weights.shape[:1]):
        raise ValueError(
            f"narrow.train: given starts with weights {starts.weights.shape} and samples with "
            f"leading axes {samples.runs}; expected (runs, m, d) and none or (runs,); draw them "
            "with runs=8"
        )
    check_finite("narrow.train", **starts.parameters(), **samples.parameters())
    one = jax.tree.map(lambda leaf: leaf[0], starts)
    data = jax.tree.map(lambda leaf: leaf[0], samples) if samples.runs else samples
    check_samples("narrow.train", one, data)
    return one


def _check_rates(
    rates: Array, block_rates: Mapping[str, float | Array] | None, one: TwoLayer
) -> None:
    fits = not is_concrete(rates) or np.all(
        np.isfinite(np.asarray(rates)) & (np.asarray(rates) > 0)
    )
    if rates.ndim != 1 or rates.size == 0 or not fits:
        raise ValueError(
            f"narrow.train: given rates of shape {rates.shape}; expected (rates,), all positive "
            f"and finite; pass a list"
        )
    for name, factor in (block_rates or {}).items():
        if name not in one.parameters():
            raise ValueError(
                f"narrow.train: given block_rates for {name!r}; expected some of "
                f"{tuple(one.parameters())}; rename it"
            )
        if np.ndim(factor) or (is_concrete(factor) and not (np.isfinite(factor) and factor >= 0)):
            raise ValueError(
                f"narrow.train: given block_rates {name!r}: {factor}; expected a finite number ≥ "
                "0; 0 holds the block"
            )


def _check_budget(
    samples: Samples, steps: int, batch_size: int | None, key: Array | None, records: int | None
) -> None:
    if not is_count(steps):
        raise ValueError(
            f"narrow.train: given steps={steps}; expected a whole number of at least 1; round or "
            "raise it"
        )
    if records is not None and (not is_count(records) or steps % records):
        raise ValueError(
            f"narrow.train: given records={records} for steps={steps}; expected a divisor of the "
            "steps; leave it out"
        )
    if batch_size is None:
        return
    if not is_count(batch_size) or batch_size > samples.count:
        raise ValueError(
            f"narrow.train: given batch_size={batch_size}; expected a whole number from 1 to "
            f"{samples.count}, the samples; leave it out for all of them"
        )
    if key is None:
        raise ValueError(
            f"narrow.train: given batch_size={batch_size} and no key; expected one; pass "
            "jax.random.key(0)"
        )


def _uniform(optimiser: Optimiser, one: TwoLayer) -> bool:
    """Whether a first update is a multiple of the gradient in every block, at parameters and
    gradients of any size.
    """
    rng = np.random.default_rng(0)

    def drawn() -> TwoLayer:
        return jax.tree.map(
            lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), leaf.dtype), one
        )

    with jax.ensure_compile_time_eval():
        method, network, direction = optimiser(jnp.ones((), one.weights.dtype)), drawn(), drawn()
        for scale in (1e-3, 1.0, 1e3):
            gradient = jax.tree.map(lambda leaf, scale=scale: scale * leaf, direction)
            updates, _ = method.update(gradient, method.init(network), network)
            for u, g in zip(jax.tree.leaves(updates), jax.tree.leaves(direction), strict=True):
                along = jnp.sum(u * g) / jnp.sum(g * g)
                if not jnp.max(jnp.abs(u - along * g)) <= 1e-4 * jnp.max(jnp.abs(u)):
                    return False
    return True


@eqx.filter_jit
def _compiled(
    starts, samples, rates, factors, keys, optimiser, feasible, steps, batch_size, records
) -> Training:
    arrays, rest = eqx.partition(feasible, eqx.is_array)

    def one(start, data, arrays, key, rate) -> Training:
        known = eqx.combine(arrays, rest)
        rows = None if batch_size is None else minibatches(key, data.count, batch_size, steps)
        return _run(start, data, known, rows, optimiser(rate), factors, steps, records)

    over_rates = jax.vmap(one, in_axes=(None, None, None, None, 0))
    over_runs = jax.vmap(over_rates, in_axes=(0, 0 if samples.runs else None, 0, 0, None))
    out = over_runs(starts, samples, arrays, keys, rates)
    return eqx.tree_at(lambda t: t.steps, out, out.steps[0, 0])


def _run(start, samples, feasible, rows, method, factors, steps, records) -> Training:
    """One run: `records` times a loop of steps, then a record on all samples."""
    every = steps // records
    project = feasible.project if isinstance(feasible, FeasibleSet) else feasible
    project = (lambda network: network) if project is None else project

    def scaled(updates: TwoLayer) -> TwoLayer:
        moved = {name: factors[name] * leaf for name, leaf in updates.parameters().items()}
        return TwoLayer(**moved, activation=updates.activation)

    def step(carry, batch):
        network, memory, diverged, worst = carry
        data = samples if batch is None else samples.batch(batch)
        updates, new_memory = method.update(jax.grad(half_risk)(network, data), memory, network)
        new = project(optax.apply_updates(network, scaled(updates)))
        broken = ~jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(new)]))
        keep = diverged | broken
        kept = jax.tree.map(
            lambda a, b: jnp.where(keep, a, b), (network, memory), (new, new_memory)
        )
        if isinstance(feasible, FeasibleSet):
            worst = jnp.maximum(worst, feasible.violation(kept[0]))
        return (*kept, keep, worst), None

    def record(carry, batches):
        network, memory, diverged = carry
        begin = (network, memory, diverged, jnp.zeros((), start.weights.dtype))
        (network, memory, diverged, worst), _ = jax.lax.scan(step, begin, batches, length=every)
        value, gradient = jax.value_and_grad(half_risk)(network, samples)
        moved = project(jax.tree.map(jnp.subtract, network, gradient))
        residual = norm(jax.tree.leaves(jax.tree.map(jnp.subtract, network, moved)))
        diverged = diverged | ~jnp.isfinite(value)
        huge = lambda number: jnp.where(jnp.isnan(number), jnp.inf, number)  # noqa: E731
        return (network, memory, diverged), (huge(value), huge(residual), worst)

    batches = None if rows is None else rows.reshape(records, every, -1)
    begin = (start, method.init(start), jnp.zeros((), bool))
    (network, _, diverged), (values, residuals, worst) = jax.lax.scan(
        record, begin, batches, length=records
    )
    return Training(network, values, residuals, worst, diverged, every * jnp.arange(1, records + 1))
