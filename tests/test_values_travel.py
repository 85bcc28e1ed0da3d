"""Everything public goes to another process and back: by pickle and cloudpickle, as executors send
it, by `copy.deepcopy`, and, where it has arrays, by the files of Equinox.
"""

import copy
import io
import pickle
import types

import cloudpickle
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress import activations, ensembles, initialize, sweep
from jaxcompress import infinite_width as iw
from jaxcompress.kernels import AbstractActivation
from tests.problems import network

WAYS = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "cloudpickle": lambda value: pickle.loads(cloudpickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

# Public names
# --------------------------------------------------------------------------------------------------

PLACES = [name for name in jc.__all__ if isinstance(getattr(jc, name), types.ModuleType)]


def public():
    """Every public function and class, by the name under which a user finds it."""
    for place in ("", *PLACES):
        module = getattr(jc, place) if place else jc
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if callable(value) and not isinstance(value, types.ModuleType | AbstractActivation):
                yield f"{place}.{name}".lstrip("."), value


PUBLIC = dict(public())


def test_every_subpackage_has_public_names_here():
    known = {"solve", "compress", "kernels.gram", "sweep.run", "theory.one_neuron"}
    assert known <= set(PUBLIC)
    assert len(PUBLIC) > 150


@EVERY_WAY
@pytest.mark.parametrize("value", PUBLIC.values(), ids=PUBLIC)
def test_every_public_name_arrives_as_itself(way, value):
    assert way(value) is value


# Values
# --------------------------------------------------------------------------------------------------


def cubic(x):
    """A user's function, found again by its name."""
    return x**3 - x


def cubic_slope(x):
    return 3 * x**2 - 1


def parametric(made):
    """An activation of a parameter, made from it."""
    if made is activations.elementwise:
        return made(cubic)
    try:
        return made(3)
    except ValueError:
        return made(0.5)


ACTIVATIONS = {
    name: value if isinstance(value, AbstractActivation) else parametric(value)
    for name, value in ((name, getattr(activations, name)) for name in activations.__all__)
}
ACTIVATIONS |= {
    "with derivative": activations.elementwise(cubic, cubic_slope, nodes=65),
    "sum": 0.5 * activations.relu + activations.tanh,
}


def solution():
    """A solution of one run, as solvers return it, with everything there."""
    x = jnp.ones(())
    values = {
        "network": network(1, 2, 3, activations.erf),
        "result": jc.RESULTS.max_steps_reached,
        "stats": {"steps": jnp.ones((), int)},
        "trajectory": network(2, 2, 3, activations.erf),
        "eigenvalues": jnp.arange(8.0),
        "index": jnp.ones((), int),
    }
    names = jc.Solution.__dataclass_fields__
    return jc.Solution(**{name: values.get(name, x) for name in names})


def trees():
    key, eye = jax.random.key(0), jnp.eye(3)
    net = network(0, 2, 3, activations.relu, bias=True, output_bias=True, outputs=2)
    moments = jc.relu_moments(jnp.ones(()), jnp.arange(3.0))
    yield "network", net
    yield "batch", initialize.glorot_normal(key, 2, 3, activation=activations.erf, runs=4)
    yield "moments", moments
    yield "problem of moments", jc.RiskProblem.of(moments, jc.StandardNormal())
    yield "samples", jc.Samples(np.ones((4, 3)), np.ones(4))
    yield "standard normal", jc.StandardNormal()
    yield "gaussian", jc.Gaussian(jnp.ones(3), eye)
    yield "pair", jc.GaussianPair(jnp.ones(()), jnp.ones(()), jnp.zeros(()))
    yield "solution", solution()
    for weights in (
        ensembles.GaussianEntries(2.0),
        ensembles.RademacherEntries(),
        ensembles.UniformEntries(),
        ensembles.SparseEntries(0.5),
        ensembles.Sphere(),
        ensembles.Correlated(eye),
    ):
        yield type(weights).__name__, weights
    for readout in (
        ensembles.ConstantReadout(),
        ensembles.GaussianReadout(),
        ensembles.UniformReadout(),
        ensembles.RademacherReadout(),
    ):
        yield type(readout).__name__, readout
        yield (
            f"ensemble with {type(readout).__name__}",
            ensembles.Ensemble(5, 3, activation=activations.erf, readout=readout),
        )
    yield "particles", iw.uniform_start(key, 4, 3)
    yield (
        "network with a user's activation",
        jc.TwoLayer(eye, jnp.ones(3), activation=activations.elementwise(cubic)),
    )


TREES = dict(trees())


def plain():
    yield (
        "plan",
        sweep.Plan(
            activation=["erf", "relu"],
            n=2,
            k=3,
            d="k+1",
            runs=10,
            target=[sweep.Orthonormal(), sweep.Random()],
        ),
    )
    yield "estimate", sweep.estimate(sweep.Plan(activation="erf", n=2, k=3, d=4, runs=10))
    yield "progress", sweep.Progress(10, 5, 4, 5, 1.0)
    yield "start", sweep.Start(readout=1.0)
    yield "solver", sweep.Solver(max_steps=100)
    yield "sector", jc.sectors.perturbed_copy_sector(2, 4)
    yield "result", jc.RESULTS.converged


PLAIN = dict(plain()) | ACTIVATIONS


def same(one, other):
    """Whether two values are equal, arrays bit for bit."""
    return bool(eqx.tree_equal(one, other, typematch=True))


@EVERY_WAY
@pytest.mark.parametrize("value", TREES.values(), ids=TREES)
def test_values_with_arrays_arrive_bit_for_bit(way, value):
    assert same(way(value), value)


@EVERY_WAY
@pytest.mark.parametrize("value", PLAIN.values(), ids=PLAIN)
def test_values_without_arrays_arrive_equal(way, value):
    arrived = way(value)
    assert type(arrived) is type(value)
    assert same(arrived, value)
    assert repr(arrived) == repr(value)


@EVERY_WAY
def test_starts_arrive_and_draw_the_same(way):
    starts = initialize.Starts(
        jax.random.key(7), 5, initialize.glorot_uniform, width=2, dim=3, activation=activations.relu
    )
    assert same(way(starts).draw(3), starts.draw(3))


def test_functions_without_a_name_travel_by_cloudpickle():
    shift = 2.0
    f = activations.elementwise(lambda x: jnp.tanh(x - shift))
    arrived = pickle.loads(cloudpickle.dumps(f))
    np.testing.assert_array_equal(arrived(jnp.arange(3.0)), f(jnp.arange(3.0)))


def empty(leaf):
    """Zeros of the kind of a leaf."""
    return (jnp if isinstance(leaf, jax.Array) else np).zeros_like(leaf)


@pytest.mark.parametrize("value", TREES.values(), ids=TREES)
def test_leaves_return_from_a_file_of_equinox(value):
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, value)
    file.seek(0)
    empty = jax.tree.map(
        lambda leaf: (jnp if isinstance(leaf, jax.Array) else np).zeros_like(leaf), value
    )
    assert same(eqx.tree_deserialise_leaves(file, empty), value)
