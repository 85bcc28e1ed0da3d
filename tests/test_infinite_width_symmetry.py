"""Infinite width: groups, who keeps them, starts and lifts; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress import infinite_width as iw

KEY = jax.random.key(0)
PHI = (1 + 5**0.5) / 2
PENTAGON = [[1, 0], [np.cos(4 * np.pi / 5), np.sin(4 * np.pi / 5)]]


@pytest.mark.parametrize(
    ("action", "order"),
    [
        (iw.sign_flips(3), 8),
        (iw.sign_flips(4, (0, 2)), 4),
        (iw.permutations(4), 24),
        (iw.permutations(5, (1, 2, 3)), 6),
        (iw.reflections([[1, -1, 0], [0, 1, -1], [0, 0, 1]]), 48),  # B3
        (iw.reflections(PENTAGON), 10),
        (iw.reflections(PENTAGON, dtype=jnp.float32), 10),
        (iw.reflections([[1, 0], [np.cos(np.pi / 7), np.sin(np.pi / 7)]], dtype=jnp.float32), 14),
        # H3
        (
            iw.reflections([[1, 0, 0], [-PHI / 2, 0.5 / PHI, 0.5], [0, 0, 1]], dtype=jnp.float32),
            120,
        ),
    ],
)
def test_finite_groups_have_their_order(action, order):
    maps = np.asarray(action.elements())
    assert len(maps) == order
    assert maps.dtype == action.generators.dtype
    error = 1e-12 if maps.dtype == np.float64 else 1e-6
    unit = np.broadcast_to(np.eye(action.dim), maps.shape)
    np.testing.assert_allclose(maps @ maps.transpose(0, 2, 1), unit, rtol=0, atol=error)
    apart = np.abs(maps[:, None] - maps[None]).max((2, 3)) + 2 * np.eye(order)
    assert apart.min() > 1e-2


@pytest.fixture(scope="module")
def even():
    """`|x_0| + |x_1|` in three dimensions, a start averaged over the sign flips, and its flow."""
    teacher = jc.TwoLayer(np.concatenate([np.eye(2, 3), -np.eye(2, 3)]), np.ones(4))
    target, action = iw.NetworkTarget(teacher), iw.sign_flips(3)
    start = iw.average_start(action, iw.doubled_start(KEY, 6, 3))
    return target, action, start, iw.flow(iw.ParticleSystem(target), start, [1.0, 3.0])


def test_the_flow_keeps_the_symmetries_that_all_share(even):
    target, action, start, path = even
    report = iw.symmetry_report(action, target, start, path)
    assert report.shared
    assert start.width == 48
    assert float(jnp.sum(start.shares)) == pytest.approx(1)
    assert report.flow.shape == (2, 3)
    assert jnp.max(report.flow) < 1e-12  # measured 1e-15


def test_a_symmetry_that_is_missing_is_reported(even):
    target, _, start, path = even
    swap = iw.permutations(3, (0, 1))
    report = iw.symmetry_report(swap, target, start, path)
    assert jnp.all(report.target < 1e-12)
    assert jnp.all(report.start > 1e-2)
    assert not report.shared
    assert jnp.all(report.flow > 1e-2)
    assert jnp.all(iw.target_defect(iw.permutations(3, (1, 2)), target) > 1e-2)
    law = jc.Gaussian(None, jnp.diag(jnp.array([1.0, 1.0, 2.0])))
    np.testing.assert_allclose(iw.inputs_defect(iw.permutations(3), law), [0.0, 0.5], atol=1e-15)


def test_a_law_without_a_symmetry_is_not_held_against_the_target(even):
    _, _, start, path = even
    law = jc.Gaussian(None, jnp.diag(jnp.array([1.0, 2.0, 1.0])))
    teacher = jc.TwoLayer(np.concatenate([np.eye(2, 3), -np.eye(2, 3)]), np.ones(4))
    report = iw.symmetry_report(
        iw.permutations(3, (0, 1)), iw.NetworkTarget(teacher, law), start, path
    )
    assert jnp.all(report.target < 1e-14)
    np.testing.assert_allclose(report.inputs, 0.5, rtol=1e-14)
    assert not report.shared
    for vector, kept in (([1.0, 1.0, 3.0], True), ([1.0, 2.0, 3.0], False)):
        defect = iw.target_defect(
            iw.permutations(3, (0, 1)), iw.linear_target(jnp.array(vector), law)
        )
        assert bool(defect[0] < 1e-14) == kept


def test_nothing_at_all_has_every_symmetry():
    assert jnp.all(iw.target_defect(iw.sign_flips(2), iw.linear_target(jnp.zeros(2))) == 0)
    assert jnp.all(iw.inputs_defect(iw.sign_flips(2), jc.Gaussian(None, jnp.zeros((2, 2)))) == 0)


def test_targets_are_invariant_under_rotations_of_what_they_do_not_read():
    action = iw.complement_rotations(KEY, 2, 5)
    polynomial = iw.hermite_target(lambda x: x[:, 0] * x[:, 1] + x[:, 0], 2, 2)
    for target in (iw.NormTarget(2), polynomial):
        assert jnp.max(iw.target_defect(action, target)) < 1e-14
    assert jnp.min(iw.target_defect(action, iw.NormTarget(3))) > 1e-2
    with pytest.raises(ValueError, match="more than 200 maps"):
        action.elements(200)


def test_starts_are_balanced_and_have_their_pairs():
    for start in (
        iw.uniform_start(KEY, 8, 3),
        iw.paired_start(KEY, 8, 3),
        iw.doubled_start(KEY, 8, 3),
    ):
        assert jnp.max(jnp.abs(start.balance)) < 1e-15
        assert start.width == 8
        assert start.dim == 3
    paired = iw.paired_start(KEY, 8, 3)
    np.testing.assert_array_equal(paired.weights[:4], -paired.weights[4:])
    assert jnp.all(paired.readout[:4] == -paired.readout[4:])
    orbits = iw.reduced_start(KEY, 8, 2, 10**6, runs=400)
    assert jnp.max(jnp.abs(orbits.balance)) < 1e-15
    share = jnp.mean(jnp.sum(orbits.weights_target**2, -1)) * (10**6 + 2) / 2
    assert float(share) == pytest.approx(1, abs=0.1)  # 5 standard errors of 1600 draws


def test_lifts_are_the_function_of_their_orbits():
    orbits = iw.reduced_start(KEY, 6, 2, 3)
    for full in (iw.lift(orbits, 3), iw.lift(orbits, 3, key=KEY, copies=2)):
        back = iw.reduce_particles(full, 2)
        each = full.width // 6
        np.testing.assert_allclose(back.norm_rest[::each], orbits.norm_rest, rtol=1e-14)
        np.testing.assert_allclose(back.weights_target[::each], orbits.weights_target, rtol=1e-14)
        assert float(jnp.sum(full.shares)) == pytest.approx(1)
    state = iw.angle_start(3, 2, 5)
    again = iw.to_angles(iw.lift_angles(state, 3))
    np.testing.assert_allclose(again.angle[::6], state.angle, rtol=1e-13)
    np.testing.assert_allclose(again.mass[::6], state.mass, rtol=1e-13)
    x = jax.random.normal(KEY, (3, 5))
    full = iw.lift(iw.lift_angles(state, 3), 2)
    np.testing.assert_allclose(
        full.network()(x), jnp.maximum(x @ full.weights.T, 0) @ (full.shares * full.readout)
    )


def linear(inputs=None):
    return iw.linear_target(jnp.array([1.0, 2.0]), inputs)


def start(width=4, dim=3):
    return iw.uniform_start(KEY, width, dim)


def even_target():
    return iw.hermite_target(lambda x: x[:, 0] + x[:, 0] * x[:, 1], 2, 2)


def orbits():
    return iw.reduced_start(KEY, 4, 2, 1)


def batch():
    return iw.uniform_start(KEY, 4, 3, runs=2)


def report(system, begin):
    method = iw.FixedSteps(1)
    flow = iw.flow_batch if begin.shares.ndim == 2 else iw.flow
    return iw.symmetry_report(
        iw.sign_flips(3), iw.NormTarget(2), start(), flow(system, begin, [1.0], method=method)
    )


def many_angles():
    return jax.tree.map(lambda x: jnp.stack([x, x]), iw.angle_start(3, 7, 2))


LEANING = jc.Gaussian(None, jnp.diag(jnp.array([1.0, 2.0])))
REFUSED = {
    "d_H > d": (
        lambda: iw.flow(iw.ParticleSystem(iw.NormTarget(4)), start(), [1.0]),
        "d_H = 4 .* d = 3",
    ),
    "d_H = d": (lambda: iw.reduce_particles(start(), 3), "dim_target=3 .* 1 ≤ dim_target < 3"),
    "no H⊥": (lambda: iw.AngleSystem(3, 0), "dim_rest=0"),
    "no H": (lambda: iw.NormTarget(0), "dim_target=0"),
    "not orthogonal": (
        lambda: iw.Action(2 * jnp.eye(2)[None]),
        "not orthogonal .* expected QQᵀ = I",
    ),
    "not square": (lambda: iw.Action(jnp.ones((1, 2, 3))), r"\(1, 2, 3\)"),
    "a zero root": (lambda: iw.reflections([[0.0, 0.0]]), "none of them zero"),
    "not balanced": (
        lambda: iw.to_angles(iw.ReducedParticles([1.0], [[1.0]], [1.0])),
        r"up to 1.0e\+00; expected balanced orbits",
    ),
    "not odd": (lambda: iw.MomentSystem(even_target(), 2), "expected an odd target"),
    "not odd, closed form": (
        lambda: iw.IsotropicOdd(iw.NormTarget(2), 3),
        "expected an odd target",
    ),
    "an even term": (
        lambda: iw.odd_polynomial([(1.0, (0, 1))], 2),
        r"term \(1.0, \(0, 1\)\) .* odd number",
    ),
    "no multiple of I": (lambda: iw.IsotropicOdd(linear(LEANING), 2), "no positive multiple of I"),
    "covariance and rotations": (
        lambda: iw.ReducedSystem(linear(LEANING), 2),
        "expected StandardNormal",
    ),
    "a mean": (lambda: linear(jc.Gaussian(jnp.ones(2), jnp.eye(2))), "with a mean"),
    "law of other dimension": (lambda: linear(jc.Gaussian(None, jnp.eye(3))), "dimension 3 for 2"),
    "several outputs": (
        lambda: iw.NetworkTarget(jc.TwoLayer(np.eye(2), np.eye(2))),
        "one network of one output",
    ),
    "shapes of a target": (lambda: iw.OddTarget(jnp.ones((2, 2)), 1.0), r"\(2, 2\)"),
    "shapes of particles": (
        lambda: iw.Particles(jnp.ones(3), jnp.ones((2, 3))),
        "one row a particle",
    ),
    "another kind of start": (
        lambda: iw.flow(iw.AngleSystem(1, 2), start(), [1.0]),
        "type Particles",
    ),
    "another kind of particles": (
        lambda: iw.flow(iw.ParticleSystem(linear()), iw.angle_start(1, 1, 2), [1.0]),
        "Angle",
    ),
    "another H": (
        lambda: iw.flow(iw.ReducedSystem(linear(), 2), iw.reduced_start(KEY, 4, 3, 2), [1.0]),
        "3 coordinates in H for a target of 2",
    ),
    "moments of other size": (
        lambda: iw.flow(iw.MomentSystem(linear(), 2), jnp.eye(4), [1.0]),
        r"\(3, 3\)",
    ),
    "times that fall": (
        lambda: iw.flow(iw.ParticleSystem(linear()), start(4, 2), [1.0, 0.5]),
        "ascending",
    ),
    "no time": (
        lambda: iw.flow(iw.ParticleSystem(linear()), start(4, 2), [0.0]),
        "the last one positive",
    ),
    "a batch for one": (
        lambda: iw.flow(iw.ParticleSystem(linear()), iw.uniform_start(KEY, 4, 2, runs=2), [1.0]),
        "1 leading axes; expected 0; use flow_batch",
    ),
    "one for a batch": (
        lambda: iw.flow_batch(iw.ParticleSystem(linear()), start(4, 2), [1.0]),
        "expected 1; use flow,",
    ),
    "no steps": (lambda: iw.FixedSteps(0), "between=0"),
    "an odd width": (lambda: iw.paired_start(KEY, 5, 3), "width 5.*even width"),
    "too many modes": (lambda: iw.Spectral(1, 1, modes=5000), "modes=5000"),
    "too large a grid": (lambda: iw.hermite_target(lambda x: x[:, 0], 10, 10), "11 nodes"),
    "no flow of particles": (
        lambda: report(iw.ReducedSystem(iw.NormTarget(2), 1), orbits()),
        "path of ReducedPart",
    ),
    "a flow of several runs": (
        lambda: report(iw.ParticleSystem(iw.NormTarget(2)), batch()),
        r"path of \(2, 1, 4, 3\)",
    ),
    "a kernel of other dimensions": (
        lambda: iw.AngleSystem(3, 7, kernel=iw.Spectral(2, 2)),
        r"\(2, 2\) in \(3, 7\)",
    ),
    "a moment that is none": (lambda: iw.OddTarget(jnp.array([jnp.nan, 1.0]), 5.0), "NaN"),
    "a second too small": (lambda: iw.OddTarget(jnp.ones(2), 0.1), "second 0.1.* ≥ .* = 2"),
    "a moment off the law": (
        lambda: iw.OddTarget(jnp.ones(2), 9.0, jc.Gaussian(None, jnp.diag(jnp.array([1.0, 0.0])))),
        "off the range of Σ by 1.0e",
    ),
    "no tolerance": (lambda: iw.Adaptive(rtol=-1.0), "rtol=-1.0"),
    "a single start": (
        lambda: iw.flow(iw.AngleSystem(3, 7), iw.angle_start(3, 7, 4, dtype=jnp.float32), [1.0]),
        "float32, float64; expected one",
    ),
    "a single target": (
        lambda: iw.flow(iw.ParticleSystem(iw.NormTarget(2, dtype=jnp.float32)), start(), [1.0]),
        "float32, float64; expected one",
    ),
    "no law": (
        lambda: iw.flow(
            iw.ParticleSystem(linear()),
            iw.Particles(jnp.ones(2), jnp.eye(2), jnp.array([3.0, -2.0])),
            [1],
        ),
        "shares from -2 to 3",
    ),
    "half a law": (
        lambda: iw.flow(
            iw.ParticleSystem(linear()),
            iw.Particles(jnp.ones(2), jnp.eye(2), jnp.full(2, 0.25)),
            [1],
        ),
        "sum is not one",
    ),
    "an angle out of range": (
        lambda: iw.flow(iw.AngleSystem(3, 7), iw.AngleParticles([2.0], [1.0]), [1.0]),
        "angle from 2 to 2",
    ),
    "a negative norm": (
        lambda: iw.flow(
            iw.ReducedSystem(iw.NormTarget(1), 2),
            iw.ReducedParticles([1.0], [[0.0]], [-1.0]),
            [1.0],
        ),
        "norm_rest from -1 to -1",
    ),
    "an angle of x out of range": (
        lambda: iw.sphere_predictor(iw.angle_start(3, 7, 2), 3, 7, [2.0]),
        "angles from 2",
    ),
    "many states": (lambda: iw.sphere_predictor(many_angles(), 3, 7, [0.0]), r"path.at\(i\)"),
    "a histogram of many states": (lambda: iw.angle_histogram(many_angles()), r"path.at\(i\)"),
    "no bins": (lambda: iw.angle_histogram(iw.angle_start(3, 7, 2), 0), "bins=0"),
    "dependence on nothing": (lambda: iw.conditional_variance(start(), 7), "dim_target=7 .* of 3"),
    "dependence of orbits": (
        lambda: iw.conditional_variance(orbits(), 2),
        "dim_rest=None for ReducedParticles",
    ),
    "no nodes": (lambda: iw.Quadrature(2, 2, nodes=0), "nodes=0"),
    "no nodes of a start": (lambda: iw.angle_start(2, 2, 0), "nodes=0"),
    "no nodes of orbits": (lambda: iw.ReducedSystem(iw.NormTarget(2), 2, nodes=0), "nodes=0"),
    "modes that leave nothing": (lambda: iw.Spectral(3, 7, tolerance=0.0), "tolerance=0.0"),
    "an axis that is none": (lambda: iw.sign_flips(3, (5,)), r"axes \[5\] in 3"),
    "an exchange of one": (lambda: iw.permutations(3, (0,)), "at least 2"),
    "nearly a group": (
        lambda: iw.Action(
            jax.scipy.linalg.expm(2e-8 * jnp.array([[0.0, 1], [-1, 0]]))[None]
        ).elements(),
        "neither equal nor different",
    ),
    "too large a lift": (
        lambda: iw.lift(iw.reduced_start(KEY, 4, 2, 10**6), 10**6),
        "fewer copies",
    ),
    "values of wrong shape": (lambda: iw.hermite_target(lambda x: x, 2, 2), r"\(25600, 2\)"),
    "a start of another dimension": (
        lambda: iw.average_start(iw.sign_flips(2), start()),
        r"expected \(m, 2\)",
    ),
    "half a lift": (lambda: iw.lift(iw.reduced_start(KEY, 4, 1, 2), 2, copies=3), "key and copies"),
    "rotations of nothing": (lambda: iw.complement_rotations(KEY, 3, 3), "dim_target < dim"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)
