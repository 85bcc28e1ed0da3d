"""How far a network is from an equiangular tight frame."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.landscape import frame_defect

RELU = jc.activations.relu


def simplex(m, d):
    """A regular simplex in the first `m − 1` axes, from the centred unit vectors by QR."""
    centred = np.eye(m) - 1 / m
    q = np.linalg.qr(centred[:, : m - 1])[0]
    rows = centred @ q
    return np.pad(rows / np.linalg.norm(rows, axis=1, keepdims=True), ((0, 0), (0, d - m + 1)))


def network(directions, masses):
    """Neurons of these directions and masses, with norms of no meaning."""
    norms = np.linspace(0.5, 2.0, len(directions))
    return jc.TwoLayer(
        jnp.asarray(norms[:, None] * directions), jnp.asarray(masses / norms), activation=RELU
    )


def tilted(m, d, angle):
    """A simplex leaning towards the last axis."""
    axis = np.eye(d)[-1]
    return np.cos(angle) * axis + np.sin(angle) * simplex(m, d)


@pytest.mark.parametrize(("m", "d"), [(1, 3), (2, 2), (4, 3), (4, 6), (7, 40)])
def test_a_simplex_frame_of_equal_masses_has_no_defect(m, d):
    defect = frame_defect(network(simplex(m, d) if m > 1 else np.eye(1, d), np.full(m, 0.3)))
    if m == 1:  # one neuron cannot be centred
        assert defect.orientation == pytest.approx(1)
        defect = defect._replace(orientation=jnp.zeros(()))
    assert defect.largest < 1e-14


def test_a_tilted_frame_has_no_defect_against_the_moments_whose_axis_it_has():
    found = network(tilted(4, 6, 1.1), np.full(4, 0.3))
    along = jc.relu_moments(1.0, jnp.zeros(6).at[5].set(0.3))
    assert frame_defect(found, along).largest < 1e-14
    alone = frame_defect(found)
    assert alone.orientation == pytest.approx(np.cos(1.1))
    assert max(alone.gram_spread, alone.mass_spread, alone.tightness) < 1e-14
    against = jc.relu_moments(1.0, jnp.zeros(6).at[5].set(-0.3))
    assert frame_defect(found, against).orientation == pytest.approx(2 * np.cos(1.1))
    mirrored = jc.relu_moments(-1.0, jnp.zeros(6).at[5].set(-0.3))
    assert frame_defect(found, mirrored).largest < 1e-14
    across = jc.relu_moments(1.0, jnp.zeros(6).at[4].set(0.3))
    assert frame_defect(found, across).orientation == pytest.approx(np.cos(1.1))


def test_each_part_sees_its_own_defect():
    unequal = frame_defect(network(simplex(4, 5), np.array([0.2, 0.2, 0.2, 0.4])))
    assert unequal.mass_spread == pytest.approx(0.2 / 0.25)
    assert max(unequal.gram_spread, unequal.tightness, unequal.orientation) < 1e-14
    square = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])  # tight and centred, not equiangular
    flat = frame_defect(network(square, np.ones(4)))
    assert flat.gram_spread == pytest.approx(1)
    assert max(flat.tightness, flat.orientation, flat.mass_spread) < 1e-14
    moved = frame_defect(
        network(np.concatenate([np.eye(3), [[1.0, 1, 1] / np.sqrt(3)]]), np.ones(4))
    )
    assert min(moved.gram_spread, moved.tightness) > 0.3


def test_a_linear_part_that_is_rounding_names_no_axis():
    found = network(simplex(4, 6), np.ones(4))
    assert frame_defect(found, jc.relu_moments(1.0, 1e-16 * jnp.arange(6.0))).largest < 1e-14


def test_a_neuron_of_zero_norm_is_no_frame_and_no_nan():
    directions = simplex(4, 6)
    directions[2] = 0
    defect = frame_defect(network(directions, np.ones(4)))
    assert all(np.isfinite(part) for part in defect)
    assert defect.gram_spread > 0.3


@pytest.mark.parametrize(
    ("student", "moments", "message"),
    [
        (
            jc.TwoLayer(jnp.ones((2, 3, 4)), jnp.ones((2, 3))),
            None,
            "weights \\(2, 3, 4\\).*jax.vmap",
        ),
        (jc.TwoLayer(jnp.ones((3, 4)), jnp.ones((3, 2))), None, "readout \\(3, 2\\)"),
        (jc.TwoLayer(jnp.ones((3, 4)), jnp.ones(3), jnp.ones(3)), None, "without biases"),
        (
            jc.TwoLayer(jnp.ones((3, 4)), jnp.ones(3)),
            jc.relu_moments(1.0, jnp.ones(5)),
            "expected \\(4,\\)",
        ),
    ],
)
def test_what_cannot_be_a_frame_is_refused(student, moments, message):
    with pytest.raises(ValueError, match=message):
        frame_defect(student, moments)
