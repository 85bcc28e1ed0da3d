"""The orthogonal maps that fix a target: all of them are found, and they do."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.landscape import distance, fingerprint, target_symmetries
from tests.problems import network
from tests.symmetry_oracle import A, image, rotation, with_rows

HEPTAGON = np.stack([np.cos(2 * np.pi * np.arange(7) / 7), np.sin(2 * np.pi * np.arange(7) / 7)], 1)
SIMPLEX = np.eye(4) - 0.25
TARGETS = [  # target, maps on its span, dimension of the complement
    (jc.targets.orthonormal(5, 7, activation=A.erf), 120, 2),
    (jc.targets.orthonormal(4, 4, activation=A.abs), 2**4 * 24, 0),
    # an odd neuron of readout −1 is its opposite with 1
    (with_rows(np.eye(4), [1, 1, -1, -1], A.erf), 24, 0),
    (with_rows(np.eye(4), [1, 1, -1, -1], A.relu), 4, 0),
    (with_rows(HEPTAGON, np.ones(7), A.erf), 14, 0),
    # without a linear part, ReLU targets are even
    (with_rows(HEPTAGON, np.ones(7), A.relu), 28, 0),
    (with_rows(SIMPLEX, np.ones(4), A.relu), 48, 1),
    (with_rows([[1, 0, 0], [2, 0, 0], [0, 3, 0]], [1, 1, 1], A.relu), 2, 1),  # equal neurons add up
    (with_rows([[1, 0], [-1, 0], [0, 1]], [0.5, -0.5, 1], A.erf), 2, 0),  # and opposite ones
    (with_rows([[1, 0, 0], [-1, 0, 0]], [1, -1], A.relu), 1, 2),  # a linear function
    (with_rows([[1, 0], [0, 1], [1, 1]], [1, 1, 0], A.erf), 2, 0),  # no readout, no neuron
    (network(9, 9, 6, A.relu), 1, 0),
    (network(9, 3, 6, A.erf, outputs=2, bias=True), 1, 3),
    (jc.TwoLayer(jnp.eye(4), jnp.repeat(jnp.eye(2), 2, axis=0), activation=A.relu), 4, 0),
    (
        jc.TwoLayer(jnp.eye(4), jnp.ones(4), jnp.asarray([1.0, 1, 1, 2]), activation=A.softplus),
        6,
        0,
    ),
    (with_rows(np.zeros((2, 3)), [1, 1], A.relu), 1, 3),
]


@pytest.mark.parametrize(("target", "order", "complement"), TARGETS)
def test_the_maps_of_a_target_are_found_and_fix_it(target, order, complement):
    symmetries = target_symmetries(target)
    assert (symmetries.order, symmetries.complement) == (order, complement)
    x = np.random.default_rng(10).normal(size=(20, target.dim))
    maps = [symmetries.matrix(i) for i in range(order)]
    assert len({tuple(np.round(q, 9).ravel() + 0.0) for q in maps}) == order
    for q in maps:
        np.testing.assert_allclose(q @ q.T, np.eye(target.dim), atol=1e-14)
        np.testing.assert_allclose(target(jnp.asarray(x @ q)), target(jnp.asarray(x)), atol=1e-13)


@pytest.mark.parametrize(("target", "order", "complement"), TARGETS)
@pytest.mark.parametrize("limit", [1, 1000])
def test_the_maps_of_any_target_leave_networks_where_they_are(target, order, complement, limit):
    rng = np.random.default_rng(11)
    listed = target_symmetries(target)
    outside = (
        np.linalg.svd(listed.frame)[2][target.dim - complement :]
        if listed.frame.size
        else np.eye(target.dim)
    )
    q = listed.matrix(order - 1)
    q = q @ (
        np.eye(target.dim) + outside.T @ (rotation(rng, complement) - np.eye(complement)) @ outside
    )
    net = network(12, 3, target.dim, target.activation, outputs=target.outputs)
    other = image(net, rng, q)
    symmetries = target_symmetries(target, limit)
    assert distance(net, other, symmetries) < 1e-13
    assert np.linalg.norm(fingerprint(net, symmetries) - fingerprint(other, symmetries)) < 1e-13


def test_a_target_of_too_many_maps_says_so():
    symmetries = target_symmetries(jc.targets.orthonormal(20, 20, activation=A.relu))
    assert symmetries.order is None
    with pytest.raises(ValueError, match="larger limit"):
        symmetries.matrix(0)


def test_a_limit_without_the_identity_is_refused():
    with pytest.raises(ValueError, match=r"limit=0.*at least 1"):
        target_symmetries(TARGETS[0][0], limit=0)
