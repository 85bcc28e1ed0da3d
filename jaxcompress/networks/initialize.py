"""Starts: random students whose distributions are those of the literature."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress._internal.checks import check_integer, check_sizes
from jaxcompress.kernels import AbstractActivation
from jaxcompress.networks._gated_two_layer import GatedTwoLayer
from jaxcompress.networks._two_layer import TwoLayer


def _glorot(
    where: str,
    draw: Callable[[Array, tuple[int, ...], int], Array],
    key: Array,
    width: int,
    dim: int,
    activation: AbstractActivation,
    outputs: int | None,
    bias: bool,
    output_bias: bool,
    runs: int | None,
    dtype,
) -> TwoLayer:
    remedy = "raise what is below, or leave outputs and runs out"
    width, dim, outputs, runs = check_sizes(
        where, remedy, width=width, dim=dim, outputs=outputs, runs=runs
    )

    def one(key: Array) -> TwoLayer:
        shape = (width,) if outputs is None else (width, outputs)
        w = draw(jax.random.fold_in(key, 0), (width, dim), width + dim)
        a = draw(jax.random.fold_in(key, 1), shape, width + (outputs or 1))
        zeros = jnp.zeros(width, dtype) if bias else None
        offset = jnp.zeros(() if outputs is None else (outputs,), dtype) if output_bias else None
        return TwoLayer(w, a, zeros, offset, activation)

    if runs is None:
        return one(key)
    return jax.vmap(lambda i: one(jax.random.fold_in(key, i)))(jnp.arange(runs))


def glorot_uniform(
    key: Array,
    width: int,
    dim: int,
    *,
    activation: AbstractActivation,
    outputs: int | None = None,
    bias: bool = False,
    output_bias: bool = False,
    runs: int | None = None,
    dtype=None,
) -> TwoLayer:
    """Glorot's uniform start: entries of a layer uniform on `±√(6/(fan_in + fan_out))`, biases
    zero.

    Arguments:

    - `key`: with `runs`, run `i` draws from `fold_in(key, i)`;
    - `width`, `dim`: sizes (static);
    - `activation`: one of `jaxcompress.activations`;
    - `outputs`: `None` for one scalar output, or a number (static);
    - `bias`, `output_bias`: whether the student has them;
    - `runs`: `None` for one network, or a number, the leading axis of every array (static);
    - `dtype`: the default float type when left out.

    Returns a `TwoLayer`.
    Raises `ValueError` for sizes below 1.
    Reference: Glorot & Bengio 2010, eq. 16.
    """
    dtype = dtype or jnp.result_type(float)

    def draw(key: Array, shape: tuple[int, ...], fans: int) -> Array:
        limit = (6 / fans) ** 0.5
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return _glorot(
        "initialize.glorot_uniform",
        draw,
        key,
        width,
        dim,
        activation,
        outputs,
        bias,
        output_bias,
        runs,
        dtype,
    )


def glorot_normal(
    key: Array,
    width: int,
    dim: int,
    *,
    activation: AbstractActivation,
    outputs: int | None = None,
    bias: bool = False,
    output_bias: bool = False,
    runs: int | None = None,
    dtype=None,
) -> TwoLayer:
    """Glorot's normal start: entries of a layer `N(0, 2/(fan_in + fan_out))`, biases zero.

    Arguments, returns, raises and reference as for `glorot_uniform`.
    """
    dtype = dtype or jnp.result_type(float)
    return _glorot(
        "initialize.glorot_normal",
        functools.partial(_normal, dtype),
        key,
        width,
        dim,
        activation,
        outputs,
        bias,
        output_bias,
        runs,
        dtype,
    )


def gated_glorot_normal(
    key: Array,
    width: int,
    dim: int,
    *,
    activation: AbstractActivation,
    outputs: int | None = None,
    gate_bias: bool = False,
    bias: bool = False,
    output_bias: bool = False,
    runs: int | None = None,
    dtype=None,
) -> GatedTwoLayer:
    """`glorot_normal` for gated neurons: gates and what they are multiplied by are drawn alike.

    Arguments, raises and reference as for `glorot_uniform`; `gate_bias`: whether the gates have
    biases, zero at the start. Returns a `GatedTwoLayer`; run `i` draws from `fold_in(key, i)`.
    Example: `jc.initialize.gated_glorot_normal(key, 4, 7, activation=jc.activations.silu)`.
    """
    dtype = dtype or jnp.result_type(float)
    sizes = width, dim, activation, outputs, bias, output_bias, runs, dtype
    draw = functools.partial(_normal, dtype)
    plain = _glorot("initialize.gated_glorot_normal", draw, key, *sizes)

    def gates(key: Array) -> Array:
        return draw(jax.random.fold_in(key, 2), (width, dim), width + dim)

    keys = key if runs is None else jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(runs))
    return GatedTwoLayer(
        gates(keys) if runs is None else jax.vmap(gates)(keys),
        plain.weights,
        plain.readout,
        jnp.zeros(plain.weights.shape[:-1], dtype) if gate_bias else None,
        plain.bias,
        plain.output_bias,
        activation,
    )


def _normal(dtype, key: Array, shape: tuple[int, ...], fans: int) -> Array:
    return jax.random.normal(key, shape, dtype) * (2 / fans) ** 0.5


class Starts(eqx.Module):
    """Starts that are drawn where they are needed, one run at a time: what a batch of students is
    before it exists.

    `Starts(key, runs, law, **arguments)`: run `i` is `law(fold_in(key, i), **arguments)`, the same
    network that `law(key, **arguments, runs=runs)` has at `i`. `law` is `glorot_normal`,
    `glorot_uniform` or any function of a key that returns one network; its arguments and `runs`
    are static, the key is traced.
    Raises `ValueError` for fewer than one run.
    Example: `jc.solve_many(jc.initialize.Starts(key, 64, law, width=3, dim=7, activation=erf),
    target)`, where `law` is `jc.initialize.glorot_normal`.
    """

    key: Array
    runs: int = eqx.field(static=True)
    law: Callable[..., Any] = eqx.field(static=True)
    arguments: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __init__(self, key: Array, runs: int, law: Callable[..., Any], **arguments: Any):
        self.key = key
        self.runs = check_integer(
            "initialize.Starts", "runs", runs, 1, remedy="ask for one run or more"
        )
        self.law = law
        self.arguments = tuple(sorted(arguments.items()))

    def draw(self, run: Array | int) -> Any:
        """The start of run number `run`."""
        return self.law(jax.random.fold_in(self.key, run), **dict(self.arguments))
