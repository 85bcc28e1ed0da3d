"""Small networks that several tests share, all float64 and drawn from fixed seeds."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc


def network(seed, width, dim, activation, outputs=None, bias=False, output_bias=False, scale=0.7):
    """A random network with whatever structure is asked for."""
    rng = np.random.default_rng(seed)
    shape = (width,) if outputs is None else (width, outputs)
    return jc.TwoLayer(
        jnp.asarray(scale * rng.normal(size=(width, dim))),
        jnp.asarray(rng.normal(size=shape)),
        jnp.asarray(rng.normal(size=width)) if bias else None,
        jnp.asarray(rng.normal(size=shape[1:])) if output_bias else None,
        activation,
    )


def singular_law(dim=3, rank=2, seed=7):
    """A Gaussian law with a mean and a covariance of lower rank."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(dim, rank))
    return jc.Gaussian(jnp.asarray(0.5 * rng.normal(size=dim)), jnp.asarray(factor @ factor.T))


def run(network_batch, i):
    """Network number `i` of a batch."""
    return jax.tree.map(lambda leaf: leaf[i], network_batch)
