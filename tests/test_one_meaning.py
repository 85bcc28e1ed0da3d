"""One meaning of a name across the package: what a risk is, which size comes first; and the names
of the last release, which still work and say the new ones.
"""

import inspect
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress import infinite_width as iw
from jaxcompress import narrow, sectors, theory

KEY = jax.random.key(0)


def test_twice_the_half_risk_of_a_flow_is_the_population_risk():
    target = jc.TwoLayer(jnp.eye(2, 3), jnp.array([1.0, -0.5]))
    path = iw.flow(
        iw.ParticleSystem(iw.NetworkTarget(target)), iw.uniform_start(KEY, 6, 3), [0.0, 0.5]
    )
    for i in range(2):
        risk = jc.population_risk(path.at(i).network(), target)
        assert 2 * path.half_risk[i] == pytest.approx(float(risk), rel=1e-13)
        gap = iw.function_gap(path.at(i), iw.NetworkTarget(target))
        assert gap**2 == pytest.approx(float(risk), rel=1e-13)


def test_twice_the_half_risk_of_orbits_and_angles_is_the_population_risk_of_their_limit():
    """With one coordinate in H and one outside both lifts are exact."""
    start = iw.angle_start(1, 1, 8)
    target = iw.NormTarget(1)  # |x_1| = relu(x_1) + relu(−x_1)
    same = jc.TwoLayer(jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.ones(2))
    orbits = iw.lift_angles(start, 1)
    net = iw.lift(orbits, 1).network()
    risk = float(jc.population_risk(net, same))
    system = iw.AngleSystem(1, 1, kernel=iw.Spectral(1, 1, modes=4096))
    assert 2 * float(system.half_risk(start)) == pytest.approx(risk, abs=1e-10)
    reduced = iw.ReducedSystem(target, 1, nodes=2)
    assert 2 * float(reduced.half_risk(orbits)) == pytest.approx(risk, abs=1e-13)


def test_twice_the_half_risk_of_a_closed_form_is_the_risk_of_its_predictor():
    w, t = jnp.array([1.0, -0.5]), jnp.array([0.7])
    closed = iw.IsotropicOdd(iw.linear_target(w), 2)
    risk = jnp.sum((closed.predictor(t)[0] - w) ** 2)  # E ((w(t) − w*)·x)²
    assert 2 * float(closed.half_risk(t)[0]) == pytest.approx(float(risk), rel=1e-13)


def test_the_width_of_the_student_comes_first_and_keywords_say_the_same():
    erf = jc.activations.erf
    assert list(theory.partitions(2, 5)) == list(theory.partitions(k=5, n=2))
    assert list(theory.partitions(2, 5)) == list(theory.partitions(2, k=5)) == [(1, 4), (2, 3)]
    assert theory.best_partition(erf, 2, 5) == theory.best_partition(erf, k=5, n=2) == (1, 4)
    sizes = {
        theory.partitions,
        theory.rank_partitions,
        theory.best_partition,
        sectors.copy_average_sector,
        sectors.perturbed_copy_sector,
    }
    for function in sizes:
        names = list(inspect.signature(function).parameters)
        assert names[names.index("n") :] == ["n", "k"]


OLD = {
    "infinite_width: arguments": (
        lambda: (iw.AngleSystem(near=1, far=1), iw.norm_mass(near=1)),
        lambda: (iw.AngleSystem(1, 1), iw.norm_mass(1)),
        "AngleSystem: the argument near is now called dim_target",
    ),
    "infinite_width: orbits": (
        lambda: iw.ReducedParticles([1.0], near=[[1.0]], far=[0.0]).near,
        lambda: jnp.array([[1.0]]),
        "ReducedParticles.near is now called ReducedParticles.weights_target",
    ),
    "infinite_width: dimensions": (
        lambda: (iw.NormTarget(2).near, iw.AngleSystem(2, 3).far),
        lambda: (2, 3),
        "NormTarget.near is now called NormTarget.dim_target",
    ),
    "infinite_width: rotations": (
        lambda: iw.far_rotations(KEY, 1, 3),
        lambda: iw.complement_rotations(KEY, 1, 3),
        "infinite_width.far_rotations is now called .*complement_rotations",
    ),
    "infinite_width: dependence": (
        lambda: iw.far_dependence(iw.uniform_start(KEY, 3, 2), near=1),
        lambda: iw.conditional_variance(iw.uniform_start(KEY, 3, 2), 1),
        "infinite_width.far_dependence is now called .*conditional_variance",
    ),
    "infinite_width: risk of a system": (
        lambda: iw.MomentSystem(iw.linear_target([1.0, 0.5]), 2).risk(iw.isotropic_moments(2)),
        lambda: iw.MomentSystem(iw.linear_target([1.0, 0.5]), 2).half_risk(iw.isotropic_moments(2)),
        "MomentSystem.risk is now called MomentSystem.half_risk",
    ),
    "infinite_width: velocity": (
        lambda: iw.AngleSystem(1, 1).motion(iw.angle_start(1, 1, 2)),
        lambda: iw.AngleSystem(1, 1).velocity(iw.angle_start(1, 1, 2)),
        "AngleSystem.motion is now called AngleSystem.velocity",
    ),
}


SAMPLES = jc.Samples(np.random.default_rng(0).normal(size=(4, 3)), np.arange(4.0))
STARTS = narrow.mirrored_lecun(KEY, 4, 3, activation=jc.activations.tanh, floor=1.0, runs=2)
ONE = jax.tree.map(lambda leaf: leaf[0], STARTS)


def test_twice_the_half_risk_on_samples_is_the_empirical_risk_everywhere():
    fitted = narrow.fit(ONE, SAMPLES, max_steps=2)
    trained = narrow.train(STARTS, SAMPLES, [0.01], steps=2, records=1)
    assert 2 * float(narrow.half_risk(ONE, SAMPLES)) == float(jc.empirical_risk(ONE, SAMPLES))
    for network, half in (
        (fitted.network, fitted.half_risk),
        (jax.tree.map(lambda leaf: leaf[1, 0], trained.network), trained.half_risk[1, 0, -1]),
        (jax.tree.map(lambda leaf: leaf[1, 0], trained.network), trained.final_half_risk[1, 0]),
    ):
        assert 2 * half == pytest.approx(float(jc.empirical_risk(network, SAMPLES)), rel=1e-13)


def test_the_risks_of_theory_and_sectors_are_population_risks():
    erf = jc.activations.erf
    target = jc.targets.orthonormal(4, 4, activation=erf)
    network = theory.copy_average(target, theory.best_partition(erf, 2, 4))
    risk = float(jc.population_risk(network, target))
    assert float(theory.copy_average_risk(erf, (1, 3))) == pytest.approx(risk, abs=1e-14)
    point = sectors.solve_sector(sectors.copy_average_sector(2, 4), erf)
    assert float(point.risk) == pytest.approx(risk, abs=1e-14)
    assert int(point.stats["steps"]) > 0


OLD |= {
    "narrow: loss": (
        lambda: narrow.loss(ONE, SAMPLES),
        lambda: narrow.half_risk(ONE, SAMPLES),
        "narrow.loss is now called .*narrow.half_risk",
    ),
    "narrow: fit": (
        lambda: (fit := narrow.fit(ONE, SAMPLES, max_steps=2)) and (fit.loss, fit.steps),
        lambda: (
            (fit := narrow.fit(ONE, SAMPLES, max_steps=2)) and (fit.half_risk, fit.stats["steps"])
        ),
        r'Fit.steps is now called Fit.stats\["steps"\]',
    ),
    "narrow: train": (
        lambda: narrow.train(STARTS, SAMPLES, [0.1], steps=2, records=1).final_loss,
        lambda: narrow.train(STARTS, SAMPLES, [0.1], steps=2, records=1).final_half_risk,
        "Training.final_loss is now called Training.final_half_risk",
    ),
    "narrow: width": (
        lambda: (narrow.min_width(n=64, d=8), narrow.counting_width(n=64, d=8)),
        lambda: (narrow.min_width(samples=64, dim=8), narrow.counting_width(64, 8)),
        "min_width: the argument n is now called samples",
    ),
    "theory: partitions": (
        lambda: list(theory.partitions(5, 2)),
        lambda: list(theory.partitions(2, 5)),
        "partitions now takes the width of the student first: write n, k in place of k, n",
    ),
    "theory: partitions, one by name": (
        lambda: list(theory.partitions(5, n=2)),
        lambda: list(theory.partitions(2, 5)),
        "partitions now takes the width of the student first",
    ),
    "theory: ranks": (
        lambda: theory.rank_partitions(jc.activations.erf, 5, 2),
        lambda: theory.rank_partitions(jc.activations.erf, 2, 5),
        "rank_partitions now takes the width of the student first",
    ),
    "theory: the best": (
        lambda: theory.best_partition(jc.activations.erf, 5, n=2),
        lambda: theory.best_partition(jc.activations.erf, 2, 5),
        "best_partition now takes the width of the student first",
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_a_name_of_the_last_release_works_and_says_the_new_one(name):
    old, new, message = OLD[name]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = old()
    assert {each.category for each in heard} == {DeprecationWarning}
    assert any(re.search(message, str(each.message)) for each in heard)
    assert all(each.filename == __file__ for each in heard)  # it points at the user's line
    jax.tree.map(np.testing.assert_array_equal, found, new())


def test_a_path_has_its_old_names_too():
    system, start = iw.MomentSystem(iw.linear_target([1.0, 0.5]), 2), iw.isotropic_moments(2)
    method = iw.FixedSteps(2)
    with pytest.warns(DeprecationWarning, match="flow_many is now called .*flow_batch"):
        path = iw.flow_many(system, start[None], [1.0], method=method)
    with pytest.warns(DeprecationWarning, match=r"Path.risk is now called Path.half_risk"):
        assert path.risk is path.half_risk
    with pytest.warns(DeprecationWarning, match=r'Path.steps is now called Path.stats\["steps"\]'):
        assert path.steps.tolist() == [2]


@pytest.mark.parametrize("old", ["AbstractTarget", "Match", "Motion"])
def test_a_type_that_was_renamed_is_still_found(old):
    with pytest.warns(DeprecationWarning, match=f"infinite_width.{old} is now called"):
        assert isinstance(getattr(iw, old), type)
