"""Infinite width: paths, against reference values, SciPy's integrators and each other."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.integrate

import jaxcompress as jc
from jaxcompress import infinite_width as iw

TIMES = jnp.array([0.5, 1.0, 2.0, 4.0])
NORMS = (0.382056916871, 0.966781140867, 2.036660071530, 2.301989925357)
ANGLES = jnp.array([0.0, 0.3, 0.9, 1.5])
SHARP = iw.Adaptive(rtol=1e-12, atol=1e-13)


@pytest.fixture(scope="module")
def linear():
    return iw.linear_target(jnp.array([1, -0.5, 0.25, 0, 2]))


@pytest.fixture(scope="module")
def moments(linear):
    times = jnp.concatenate([TIMES, jnp.array([5.0, 6.0])])
    return iw.flow(iw.MomentSystem(linear, 5), iw.isotropic_moments(5), times, method=SHARP)


@pytest.fixture(scope="module")
def angles():
    times = jnp.linspace(0, 2, 9)
    return iw.flow(iw.AngleSystem(3, 7), iw.angle_start(3, 7, 48), times, method=SHARP)


def test_the_odd_flow_has_its_reference_values_by_all_three_ways(linear, moments):
    np.testing.assert_allclose(iw.IsotropicOdd(linear, 5).norm(TIMES), NORMS, rtol=0, atol=5e-13)
    np.testing.assert_allclose(
        np.linalg.norm(iw.predictor(moments.states[:4]), axis=-1), NORMS, rtol=0, atol=1e-12
    )
    axes = np.concatenate([np.eye(5), -np.eye(5)])
    net = iw.Particles(
        jnp.asarray(np.repeat([1.0, -1.0], 10)), jnp.asarray(np.concatenate([axes, axes]))
    )
    path = iw.flow(iw.ParticleSystem(linear), net, TIMES, method=SHARP)
    np.testing.assert_allclose(
        np.linalg.norm(iw.linear_part(path.states), axis=-1), NORMS, rtol=0, atol=2e-12
    )
    assert np.max(np.abs(path.states.balance)) < 1e-9
    assert np.all(np.sign(path.states.readout) == np.sign(net.readout)[None])


def test_the_odd_flow_falls_at_the_predicted_rate(linear, moments):
    theory = iw.IsotropicOdd(linear, 5)
    distance = np.linalg.norm(
        np.asarray(iw.predictor(moments.states)) - np.asarray(theory.optimum), axis=-1
    )
    times = np.asarray(moments.times)
    measured = np.log(distance[-2] / distance[-1]) / (times[-1] - times[-2])
    assert float(measured) == pytest.approx(float(theory.rate), rel=1e-2)  # measured 5e-5
    np.testing.assert_allclose(theory.distance(moments.times), distance, rtol=1e-5)
    np.testing.assert_allclose(
        theory.half_risk(moments.times), moments.half_risk, rtol=0, atol=1e-12
    )
    assert np.all(distance <= np.asarray(theory.bound(moments.times)))
    assert float(theory.distance(jnp.array([100.0]))[0]) < 1e-90
    np.testing.assert_allclose(
        theory.predictor(TIMES), iw.predictor(moments.states[:4]), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("W", [1e-8, 1e3, 1e8, 1e17])
def test_the_closed_form_keeps_its_digits_for_any_target(W):
    times = [1 / max(1, W), 3 / max(1, W), 20 / max(1, W), 40.0]
    theory = iw.IsotropicOdd(iw.linear_target(jnp.array([W, 0, 0, 0, 0])), 5)
    single = iw.IsotropicOdd(iw.linear_target(jnp.array([W, 0, 0, 0, 0], jnp.float32)), 5)
    norms, distances = [], []
    with mpmath.workdps(60):
        V, big = mpmath.mpf(6) / 5, mpmath.mpf(W)
        k = V / (4 * big)
        rho = mpmath.sqrt(1 + k * k)
        for t in times:
            reach = min(big * rho * mpmath.mpf(t) / 2, 500)  # beyond it tanh is one to 60 digits
            q = rho * mpmath.tanh(reach + mpmath.atanh(k / rho)) - k
            norms.append(float(V / 2 * q / (1 - q * q)))
            distances.append(float(big - V / 2 * q / (1 - q * q)))
    np.testing.assert_allclose(theory.norm(jnp.array(times)), norms, rtol=3e-15)
    # 20ε in exp(−20)
    np.testing.assert_allclose(theory.distance(jnp.array(times))[:3], distances[:3], rtol=2e-14)
    assert jnp.all(jnp.isfinite(theory.half_risk(jnp.array(times))))
    # 4e-6, of exp(−20)
    np.testing.assert_allclose(single.norm(jnp.array(times, jnp.float32)), norms, rtol=1e-5)


def test_a_zero_odd_target_leaves_a_zero_predictor():
    theory = iw.IsotropicOdd(iw.OddTarget(jnp.zeros(3), 0.5), 3)
    for values in (
        theory.norm(TIMES),
        theory.distance(TIMES),
        theory.half_risk(TIMES) - 0.25,
        theory.predictor(TIMES),
    ):
        assert jnp.all(values == 0)


def test_anisotropic_inputs_follow_the_moment_equation():
    """A finite paired net, and SciPy's integrator, at the accuracy of the acceptance."""
    covariance = np.array([[1.0, 0.3, 0.0], [0.3, 0.5, 0.1], [0.0, 0.1, 2.0]])
    law = jc.Gaussian(None, covariance)
    target = iw.odd_polynomial([(1.0, (0,)), (-0.5, (1, 2, 2)), (0.3, (2,))], 3, law)
    start = iw.paired_start(jax.random.key(3), 12, 3)
    times = jnp.array([0.4, 1.0, 2.5])
    net = iw.flow(iw.ParticleSystem(target), start, times, method=SHARP)
    system = iw.MomentSystem(target, 3)
    path = iw.flow(system, iw.second_moments(start), times, method=SHARP)
    moment = np.asarray(target.moment)

    def slope(_, flat):
        M = flat.reshape(4, 4)
        g = moment - covariance @ M[0, 1:] / 2
        G = np.zeros((4, 4))
        G[0, 1:] = G[1:, 0] = g
        return ((G @ M + M @ G) / 2).ravel()

    first = np.asarray(iw.second_moments(start)).ravel()
    known = scipy.integrate.solve_ivp(
        slope, (0, 2.5), first, "DOP853", times, rtol=1e-12, atol=1e-13
    ).y.T
    np.testing.assert_allclose(path.states.reshape(3, -1), known, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        iw.second_moments(net.states).reshape(3, -1), known, rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(net.half_risk, path.half_risk, rtol=0, atol=1e-10)
    np.testing.assert_allclose(jnp.linalg.inv(covariance) @ moment, system.optimum(), rtol=1e-12)
    # What is left of the risk falls at least at the rate that H and Σ grant now.
    least = 0.5 * (target.energy - moment @ np.linalg.solve(covariance, moment))
    rates = jax.vmap(system.contraction)(path.states)
    assert jnp.all(path.dissipation >= rates * (path.half_risk - least))


def test_the_angle_flow_has_its_reference_values(angles):
    mass = iw.masses(angles.states)
    got = [(float(mass.plus[i]), float(mass.minus[i])) for i in (4, 8)]
    assert got[0] == pytest.approx((1.5396073865, 0.1653292599), abs=6e-11)
    assert got[1] == pytest.approx((2.9466892333, 0.0905133703), abs=6e-11)
    assert [float(angles.half_risk[i]) for i in (4, 8)] == pytest.approx(
        (0.722091219628, 0.217055024300), abs=6e-13
    )


def test_risk_falls_by_what_is_dissipated(angles, moments):
    assert float(angles.half_risk[0]) == 1.5
    for path in (angles, moments):
        assert jnp.all(jnp.diff(path.half_risk) < 0)
        total = path.half_risk + path.dissipated
        assert jnp.ptp(total) < 1e-9  # acceptance 1e-6
    slope = np.gradient(np.asarray(angles.half_risk), np.asarray(angles.times))[4]
    assert -slope == pytest.approx(float(angles.dissipation[4]), rel=0.05)


def test_the_angle_flow_heads_for_its_minimiser(angles):
    distance = iw.limit_distance(angles.states, 3)
    assert jnp.all(jnp.diff(distance.wasserstein) < 0)
    assert jnp.all(jnp.diff(distance.mass_gap) > 0)
    limit = iw.AngleParticles(jnp.zeros(1), jnp.array([iw.norm_mass(3)]))
    system = iw.AngleSystem(3, 7)
    assert float(system.half_risk(limit)) < 1e-9
    assert (
        max(float(jnp.max(jnp.abs(each))) for each in jax.tree.leaves(system.velocity(limit)))
        < 1e-9
    )


def test_reduced_and_full_flow_of_one_orbit_are_the_same_steps():
    target = iw.hermite_target(lambda x: x[:, 0] + x[:, 0] * x[:, 1] - 0.2 * x[:, 1] ** 2, 2, 2)
    orbits = iw.reduced_start(jax.random.key(4), 16, 2, 1)
    times, method = jnp.array([0.5, 1.0, 2.0]), iw.FixedSteps(10)
    short = iw.flow(iw.ReducedSystem(target, 1), orbits, times, method=method)
    full = iw.flow(iw.ParticleSystem(target), iw.lift(orbits, 1), times, method=method)
    again = jax.tree.map(lambda x: x[:, ::2], iw.reduce_particles(full.states, 2))
    for name in ("readout", "weights_target", "norm_rest"):
        # 2e-16
        np.testing.assert_allclose(
            getattr(again, name), getattr(short.states, name), rtol=0, atol=1e-12
        )
    np.testing.assert_allclose(full.half_risk, short.half_risk, rtol=0, atol=1e-12)
    assert jnp.max(jnp.abs(short.states.balance)) < 1e-6  # of fixed steps; measured 1.6e-7
    assert int(short.stats["steps"]) == 30


def test_angles_reduced_and_full_particles_follow_one_flow():
    """In one dimension each, where both lifts are exact."""
    start = iw.angle_start(1, 1, 6)
    orbits = iw.lift_angles(start, 1)
    times = jnp.array([0.5, 1.5])
    target = iw.NormTarget(1)
    by_angle = iw.flow(iw.AngleSystem(1, 1, kernel=iw.Quadrature(1, 1)), start, times)
    full = iw.flow(iw.ParticleSystem(target), iw.lift(orbits, 1), times)
    np.testing.assert_allclose(full.half_risk, by_angle.half_risk, rtol=0, atol=1e-8)
    assert jnp.max(jnp.abs(full.states.balance)) < 1e-9
    back = iw.to_angles(iw.reduce_particles(full.at(1), 1), tolerance=1e-6)
    np.testing.assert_allclose(back.angle[::4], by_angle.states.angle[1], rtol=0, atol=1e-8)
    np.testing.assert_allclose(back.mass[::4], by_angle.states.mass[1], rtol=0, atol=1e-8)
    x = jnp.stack([jnp.cos(ANGLES), jnp.sin(ANGLES)], -1)
    np.testing.assert_allclose(
        full.at(1).network()(x),
        iw.sphere_predictor(by_angle.at(1), 1, 1, ANGLES),
        rtol=0,
        atol=1e-7,
    )


def test_the_velocity_of_orbits_is_the_gradient_of_their_risk():
    draw = iw.reduced_start(jax.random.key(6), 8, 2, 3)
    start = iw.ReducedParticles(
        1.3 * draw.readout, draw.weights_target, draw.norm_rest, jnp.arange(1.0, 9) / 36
    )
    system = iw.ReducedSystem(iw.NormTarget(2), 3, nodes=6)
    gradient, motion = jax.jit(
        lambda start: (jax.grad(system.half_risk)(start), system.velocity(start))
    )(start)
    velocity = motion.velocity
    for name in ("readout", "weights_target", "norm_rest"):
        slope = -np.asarray(getattr(gradient, name)).T / np.asarray(start.shares)
        # measured 3e-16
        np.testing.assert_allclose(getattr(velocity, name).T, slope, rtol=0, atol=5e-15)


def test_angles_and_orbits_move_alike_in_one_and_three_dimensions():
    """The kernels are averages over the same rule; masses are unequal."""
    even = iw.angle_start(1, 3, 6)
    start = iw.AngleParticles(even.angle, even.mass * jnp.linspace(0.5, 2, 12), even.shares)
    orbits = iw.lift_angles(start, 1)
    angles, reduced = (
        iw.AngleSystem(1, 3, kernel=iw.Quadrature(1, 3)),
        iw.ReducedSystem(iw.NormTarget(1), 3, nodes=64),
    )

    @jax.jit
    def both(start, orbits):
        moves = angles.velocity(start), reduced.velocity(orbits)
        return *moves, (angles.half_risk(start), reduced.half_risk(orbits))

    one, other, risks = jax.device_get(both(start, orbits))
    orbits = jax.device_get(orbits)
    near, far, slope = np.abs(orbits.weights_target[:, 0]), orbits.norm_rest, other.velocity
    toward = np.sign(orbits.weights_target[:, 0]) * slope.weights_target[:, 0]
    norm = np.sqrt(near**2 + far**2)
    mass = slope.readout * norm + orbits.readout * (near * toward + far * slope.norm_rest) / norm
    np.testing.assert_allclose(mass[::2], one.velocity.mass, rtol=0, atol=1e-14)  # measured 4e-16
    np.testing.assert_allclose(
        ((near * slope.norm_rest - far * toward) / norm**2)[::2],
        one.velocity.angle,
        rtol=0,
        atol=1e-14,
    )
    assert float(risks[0]) == pytest.approx(float(risks[1]), abs=1e-14)
    assert float(one.dissipation) == pytest.approx(float(other.dissipation), abs=1e-14)


def test_a_changed_tolerance_does_not_compile_again(monkeypatch):
    traced, motion = [], iw.MomentSystem.velocity

    def counted(self, state):
        traced.append(1)
        return motion(self, state)

    monkeypatch.setattr(iw.MomentSystem, "velocity", counted)
    system = iw.MomentSystem(iw.linear_target(jnp.array([1.0, 2.0, 3.0])), 3)
    steps = [
        int(
            iw.flow(system, iw.isotropic_moments(3), [1.0], method=iw.Adaptive(rtol, 1e-13)).stats[
                "steps"
            ]
        )
        and len(traced)
        for rtol in (1e-6, 1e-11)
    ]
    assert steps[0] == steps[1] > 0


def test_a_million_dimensions_take_the_same_steps_and_stay_finite():
    far = 10**6 - 3
    path = iw.flow(iw.AngleSystem(3, far), iw.angle_start(3, far, 48), TIMES)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(path))
    assert jnp.all(jnp.diff(path.half_risk) < 0)
    total = path.half_risk + path.dissipated
    assert float(jnp.ptp(total)) < 1e-6


def test_runs_of_a_batch_are_runs_alone():
    target = iw.linear_target(jnp.array([1.0, 0.5]))
    starts = iw.doubled_start(jax.random.key(5), 6, 2, runs=3)
    alone = iw.doubled_start(jax.random.fold_in(jax.random.key(5), 1), 6, 2)
    np.testing.assert_array_equal(starts.weights[1], alone.weights)
    system, times = iw.ParticleSystem(target), jnp.array([1.0])
    many = iw.flow_batch(system, starts, times, method=iw.FixedSteps(8))
    one = iw.flow(system, alone, times, method=iw.FixedSteps(8))
    assert many.half_risk.shape == (3, 1)
    np.testing.assert_allclose(many.states.weights[1], one.states.weights, rtol=0, atol=1e-13)
    # ½ E f*², for the predictor is zero
    assert float(system.half_risk(alone)) == pytest.approx(0.625, abs=1e-15)


def test_single_precision_stays_single():
    start = iw.angle_start(3, 7, 16, dtype=jnp.float32)
    path = iw.flow(iw.AngleSystem(3, 7, dtype=jnp.float32), start, [1.0])
    assert {
        leaf.dtype for leaf in jax.tree.leaves(path) if jnp.issubdtype(leaf.dtype, jnp.floating)
    } == {jnp.dtype("float32")}
    assert float(path.half_risk[0]) == pytest.approx(0.722091219628, abs=1e-4)
    target = iw.NormTarget(2, dtype=jnp.float32)
    net = iw.uniform_start(jax.random.key(0), 8, 4, dtype=jnp.float32)
    orbits = iw.reduced_start(jax.random.key(0), 8, 2, 3, dtype=jnp.float32)
    wide = jax.tree.map(lambda x: np.asarray(x, np.float64), net)

    @jax.jit
    def motions(net, wide, orbits):
        single, double = iw.ParticleSystem(target), iw.ParticleSystem(iw.NormTarget(2))
        return (
            single.velocity(net),
            double.velocity(wide),
            iw.ReducedSystem(target, 3).velocity(orbits),
        )

    motion, double, reduced = motions(net, wide, orbits)
    assert motion.velocity.weights.dtype == jnp.float32
    np.testing.assert_allclose(motion.velocity.weights, double.velocity.weights, rtol=0, atol=1e-6)
    assert math.isfinite(float(motion.dissipation))
    assert reduced.velocity.weights_target.dtype == jnp.float32
