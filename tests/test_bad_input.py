"""What users get wrong, and what they are told: what was given, what was expected and what to do.

In Python it is a `ValueError`; on the command line it is one line on the error stream and exit
status 2, before any work is done. Nothing that is refused leaves a file behind, and nothing is ever
unpickled.
"""

import inspect
import os
import pickle
import subprocess
import sys
import zipfile

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress import activations, cli, initialize, targets
from jaxcompress.kernels import AbstractActivation, gram, hermite_coefficients
from jaxcompress.networks.internal import check_order
from tests.problems import network

relu, erf = activations.relu, activations.erf
KEY = 0  # seed of what is drawn here


def key():
    return jax.random.key(KEY)


def complaint(call) -> str:
    """What the `ValueError` says that a call must raise, as one line."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    return " ".join(str(caught.value).split())


def says(message, *parts):
    """Whether the parts stand in the message, in this order."""
    position = 0
    for part in parts:
        assert part in message[position:], f"{part!r} is missing in {message!r}"
        position = message.index(part, position) + len(part)


def table(**rows):
    """Rows `(call, given, expected, remedy)` as a parametrization, named by what is wrong."""
    return pytest.mark.parametrize(
        ("call", "parts"),
        [pytest.param(call, parts, id=name) for name, (call, *parts) in rows.items()],
    )


def student(**options):
    return network(1, 2, 3, relu, **options)


def target(**options):
    return network(2, 4, 3, relu, **options)


def batch(runs=4):
    return initialize.glorot_normal(key(), 2, 3, activation=relu, runs=runs)


def spoilt(net, name):
    """The network with a NaN in the last entry of one array."""
    array = getattr(net, name)
    return eqx.tree_at(lambda n: getattr(n, name), net, array.at[(-1,) * array.ndim].set(jnp.nan))


ones, zeros, eye = np.ones, np.zeros, np.eye


class Cube(AbstractActivation):
    """An activation that the package has no name for."""

    def __call__(self, x):
        return x**3


# Networks
# --------------------------------------------------------------------------------------------------

SHAPES = ("expected weights (n, d) with n ≥ 1, readout (n,) or (n, o)", "transpose or reshape")


@table(
    weights_are_a_vector=(lambda: jc.TwoLayer(ones(3), ones(3)), "given weights (3,)", *SHAPES),
    weights_are_a_number=(lambda: jc.TwoLayer(1.0, ones(3)), "given weights ()", *SHAPES),
    no_neurons=(lambda: jc.TwoLayer(ones((0, 3)), ones(0)), "given weights (0, 3)", *SHAPES),
    no_outputs=(lambda: jc.TwoLayer(ones((2, 3)), ones((2, 0))), "readout (2, 0)", *SHAPES),
    readout_too_long=(
        lambda: jc.TwoLayer(ones((2, 3)), ones(3)),
        "given weights (2, 3), readout (3,)",
        *SHAPES,
    ),
    readout_transposed=(lambda: jc.TwoLayer(ones((2, 3)), ones((5, 2))), "readout (5, 2)", *SHAPES),
    bias_too_long=(lambda: jc.TwoLayer(ones((2, 3)), ones(2), ones(3)), "bias (3,)", *SHAPES),
    output_bias_for_one_output=(
        lambda: jc.TwoLayer(ones((2, 3)), ones(2), None, ones(1)),
        "output_bias (1,)",
        *SHAPES,
    ),
    leading_axes_differ=(
        lambda: jc.TwoLayer(ones((5, 2, 3)), ones((4, 2))),
        "readout (4, 2)",
        *SHAPES,
    ),
    integers=(
        lambda: jc.TwoLayer(ones((2, 3), int), ones(2, int)),
        "given weights of dtype int64, readout of dtype int64",
        "expected real floating-point arrays",
        "cast them",
    ),
    complex_numbers=(
        lambda: jc.TwoLayer(ones((2, 3), complex), ones(2)),
        "given weights of dtype complex128",
        "expected real floating-point arrays",
        "cast them",
    ),
    two_dtypes=(
        lambda: jc.TwoLayer(ones((2, 3), np.float32), ones(2)),
        "given weights of dtype float32, readout of dtype float64",
        "expected one dtype for all",
        "cast them",
    ),
    strings=(
        lambda: jc.TwoLayer(np.array([["a"]]), ones(1)),
        "given weights of type <U1",
        "expected an array of floats",
        "convert it",
    ),
    ragged_rows=(
        lambda: jc.TwoLayer([[1.0, 2.0], [3.0]], [1.0, 1.0]),
        "given weights of type list",
        "expected an array of floats",
        "convert it",
    ),
    activation_is_a_function=(
        lambda: jc.TwoLayer(ones((2, 3)), ones(2), activation=np.tanh),
        "given activation <ufunc 'tanh'>",
        "expected one of jaxcompress.activations",
        "for example jaxcompress.activations.relu",
    ),
    activation_is_a_string=(
        lambda: jc.TwoLayer(ones((2, 3)), ones(2), activation="relu"),
        "given activation 'relu'",
        "expected one of jaxcompress.activations",
        "for example jaxcompress.activations.relu",
    ),
    inputs_of_another_dimension=(
        lambda: student()(ones((5, 4))),
        "given x of shape (5, 4) for weights of shape (2, 3)",
        "expected x (..., d)",
        "transpose x",
    ),
    a_batch_of_networks_is_called=(
        lambda: batch()(ones((5, 3))),
        "for weights of shape (4, 2, 3)",
        "expected x (..., d) for weights (n, d)",
        "jax.vmap",
    ),
)
def test_a_network_that_does_not_fit_together_is_refused(call, parts):
    says(complaint(call), "TwoLayer: ", *parts)


@table(
    too_many_orthonormal_neurons=(
        lambda: targets.orthonormal(4, 3, activation=relu),
        "given width 4 in dim 3",
        "expected width ≤ dim",
        "raise dim or use targets.random",
    ),
    orthonormal_width_zero=(
        lambda: targets.orthonormal(0, 3, activation=relu),
        "given width 0",
        "at least 1",
        "raise",
    ),
    random_dim_zero=(
        lambda: targets.random(key(), 2, 0, activation=relu),
        "dim 0",
        "at least 1",
        "raise",
    ),
    random_no_outputs=(
        lambda: targets.random(key(), 2, 3, activation=relu, outputs=0),
        "readout (2, 0)",
        *SHAPES,
    ),
    unknown_law_of_weights=(
        lambda: targets.random(key(), 2, 3, activation=relu, weights="cauchy"),
        "given weights='cauchy'",
        'expected "gaussian" or "sphere"',
        "choose one",
    ),
    unknown_law_of_the_readout=(
        lambda: targets.random(key(), 2, 3, activation=relu, readout="cauchy"),
        "given readout='cauchy'",
        'expected "gaussian", "rademacher" or "constant"',
        "choose one",
    ),
    start_of_width_zero=(
        lambda: initialize.glorot_normal(key(), 0, 3, activation=relu),
        "initialize.glorot_normal: given width 0",
        "expected all at least 1",
        "raise what is below",
    ),
    start_without_runs=(
        lambda: initialize.glorot_uniform(key(), 2, 3, activation=relu, runs=0),
        "initialize.glorot_uniform: given width 2, dim 3, outputs None, runs 0",
        "expected all at least 1",
        "leave outputs and runs out",
    ),
)
def test_a_draw_of_impossible_size_or_unknown_law_is_refused(call, parts):
    says(complaint(call), *parts)


# Input laws and kernels
# ----------------------------------------------------------------------------------------------

FINITE = ("expected finite numbers", "look for a diverged training run")


@table(
    shapes_differ=(
        lambda: jc.Gaussian(zeros(2), eye(3)),
        "given mean of shape (2,) and covariance of shape (3, 3)",
        "expected (d,) and (d, d)",
        "pass one mean and one square covariance",
    ),
    mean_is_a_number=(
        lambda: jc.Gaussian(0.0, eye(1)),
        "given mean of shape ()",
        "expected (d,)",
        "pass one mean",
    ),
    variances_only=(
        lambda: jc.Gaussian(zeros(2), ones(2)),
        "covariance of shape (2,)",
        "expected (d,) and (d, d)",
        "pass one mean",
    ),
    integers=(
        lambda: jc.Gaussian(zeros(2, int), eye(2)),
        "mean of dtype int64",
        "expected one floating dtype",
        "cast",
    ),
    two_dtypes=(
        lambda: jc.Gaussian(zeros(2, np.float32), eye(2)),
        "given mean of dtype float32 and covariance of dtype float64",
        "expected one floating dtype",
        "cast",
    ),
    strings=(
        lambda: jc.Gaussian(["one", "two"], eye(2)),
        "given mean of type list",
        "expected an array",
        "convert it",
    ),
    not_symmetric=(
        lambda: jc.Gaussian(zeros(2), np.array([[1, 0.5], [0, 1]])),
        "not symmetric (largest |C − Cᵀ| is 0.5)",
        "expected a symmetric matrix",
        "pass (C + C.T)/2",
    ),
    indefinite=(
        lambda: jc.Gaussian(zeros(2), np.array([[1.0, 2], [2, 1]])),
        "given an indefinite covariance (smallest eigenvalue -1)",
        "expected a positive semidefinite matrix",
        "clip its eigenvalues at zero",
    ),
    negative=(
        lambda: jc.Gaussian(zeros(1), -eye(1)),
        "given an indefinite covariance",
        "expected a positive",
        "numpy.cov",
    ),
    nan_in_the_mean=(
        lambda: jc.Gaussian(np.array([0, np.nan]), eye(2)),
        "given mean with NaN",
        *FINITE,
    ),
    nan_in_the_covariance=(
        lambda: jc.Gaussian(zeros(2), np.nan * eye(2)),
        "given covariance with NaN",
        *FINITE,
    ),
    infinite_variance=(
        lambda: jc.Gaussian(zeros(1), np.inf * eye(1)),
        "given covariance with NaN or inf",
        *FINITE,
    ),
)
def test_an_impossible_input_law_is_refused(call, parts):
    says(complaint(call), "Gaussian: ", *parts)


def test_a_covariance_that_is_singular_or_symmetric_up_to_rounding_is_taken():
    factor = np.random.default_rng(0).normal(size=(6, 2))
    covariance = factor @ factor.T
    covariance[0, 1] *= 1 + 1e-15
    assert jc.Gaussian(zeros(6), covariance).factor.shape == (6, 2)
    assert jc.Gaussian(zeros(6, np.float32), covariance.astype(np.float32)).factor.shape == (6, 2)


@table(
    input_dimensions_differ=(
        lambda: gram(relu, ones((2, 3)), relu, ones((4, 5))),
        "given W of shape (2, 3), V of shape (4, 5)",
        "expected one input dimension",
    ),
    law_of_another_dimension=(
        lambda: gram(relu, ones((2, 3)), relu, ones((4, 3)), inputs=jc.Gaussian(zeros(2), eye(2))),
        "inputs of dimension 2",
        "expected one input dimension",
    ),
    one_neuron_without_its_axis=(
        lambda: gram(relu, ones(3), relu, ones((4, 3))),
        "given W of shape (3,)",
        "expected (neurons, input dimension)",
        "jax.vmap",
    ),
    bias_too_long=(
        lambda: gram(relu, ones((2, 3)), relu, ones((4, 3)), bias_g=ones(2)),
        "given a bias of shape (2,) for V of shape (4, 3)",
        "expected (4,)",
        "pass one number a neuron",
    ),
    integers=(
        lambda: gram(relu, ones((2, 3), int), relu, ones((4, 3))),
        "given W of dtype int64",
        "expected real floating-point arrays",
        "cast them",
    ),
    two_dtypes=(
        lambda: gram(relu, ones((2, 3), np.float32), relu, ones((4, 3))),
        "given W of dtype float32, V of dtype float64",
        "expected one dtype for all",
        "cast them",
    ),
    function_that_is_no_activation=(
        lambda: gram(jnp.tanh, ones((2, 3)), relu, ones((4, 3))),
        "given the activation <",
        "expected one of jaxcompress.activations",
        "activations.elementwise(fn)",
    ),
)
def test_a_table_of_kernels_that_cannot_be_made_is_refused(call, parts):
    says(complaint(call), *parts)


# Risk and solvers
# --------------------------------------------------------------------------------------------------

# Each is handed a student, a target and an input law, and must look at them before it compiles
# anything.
PAIRS = {
    "population_risk": jc.population_risk,
    "risk_hessian": jc.risk_hessian,
    "gradient_flow": jc.gradient_flow,
    "solve": jc.solve,
}
EVERY_PAIR = pytest.mark.parametrize(
    "function", [pytest.param(f, id=name) for name, f in PAIRS.items()]
)


@EVERY_PAIR
def test_student_and_target_must_read_the_same_inputs(function):
    message = complaint(lambda: function(network(1, 2, 5, relu), target()))
    says(
        message,
        "given a student of input dimension 5 and a target of input dimension 3",
        "expected the same",
        "pad",
    )


@EVERY_PAIR
def test_student_and_target_must_have_the_same_outputs(function):
    message = complaint(lambda: function(student(outputs=2), target()))
    says(
        message,
        "given a student with 2 outputs and a target with a scalar output",
        "expected the same",
        "(n, o)",
    )


@EVERY_PAIR
def test_student_and_target_must_have_one_dtype(function):
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), student())
    message = complaint(lambda: function(single, target()))
    says(
        message,
        "student's weights of dtype float32, target's weights of dtype float64",
        "expected one",
        "cast them",
    )


@EVERY_PAIR
def test_the_input_law_must_have_the_dimension_of_the_networks(function):
    message = complaint(lambda: function(student(), target(), inputs=jc.Gaussian(zeros(5), eye(5))))
    says(message, "inputs of dimension 5", "expected the same", "reduce the law")


@EVERY_PAIR
def test_many_students_at_once_are_sent_to_vmap_or_solve_many(function):
    message = complaint(lambda: function(batch(), target()))
    says(
        message,
        "given a student with weights of shape (4, 2, 3)",
        "expected (n, d)",
        "jax.vmap or solve_many",
    )


@pytest.mark.parametrize("function", [jc.risk_hessian, jc.gradient_flow, jc.solve])
@pytest.mark.parametrize("freeze", [("weight",), ("bias",), "weights"])
def test_freezing_what_the_student_does_not_have_is_refused(function, freeze):
    message = complaint(lambda: function(student(), target(), freeze=freeze))
    says(
        message,
        f"given freeze={freeze!r}",
        "expected a tuple of names among ('weights', 'readout')",
        "for example",
    )


@pytest.mark.parametrize("function", [jc.gradient_flow, jc.solve])
def test_freezing_everything_is_refused(function):
    message = complaint(lambda: function(student(), target(), freeze=("weights", "readout")))
    says(
        message,
        "given freeze=('weights', 'readout')",
        "nothing to move",
        "free at least one parameter",
    )


@pytest.mark.parametrize("function", [jc.gradient_flow, jc.solve])
def test_a_rate_for_an_unknown_name_is_refused(function):
    message = complaint(lambda: function(student(), target(), rates={"wieghts": 1.0}))
    says(message, "given rates", "wieghts", "expected", "'weights', 'readout'", "use freeze")


@pytest.mark.parametrize("function", [jc.gradient_flow, jc.solve])
@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(function, rate):
    message = complaint(lambda: function(student(), target(), rates={"weights": rate}))
    says(message, f"given rates {{'weights': {rate}}}", "expected positive numbers", "use freeze")


@pytest.mark.parametrize("function", [jc.gradient_flow, jc.solve])
@pytest.mark.parametrize("name", ["weights", "readout", "bias", "output_bias"])
def test_nan_in_any_array_of_student_or_target_is_refused(function, name):
    full = {"bias": True, "output_bias": True}
    message = complaint(lambda: function(spoilt(student(**full), name), target(**full)))
    says(message, f"student: given {name} with NaN", *FINITE)
    message = complaint(lambda: function(student(**full), spoilt(target(**full), name)))
    says(message, f"target: given {name} with NaN", *FINITE)


@table(
    students_without_a_leading_axis=(
        lambda: jc.solve_many(student(), target()),
        "given students' weights (2, 3) and targets' weights (4, 3)",
        "expected (runs, n, d) and (k, d) or (runs, k, d)",
        "call solve for one run",
    ),
    two_leading_axes=(
        lambda: jc.solve_many(jax.tree.map(lambda leaf: leaf[None], batch()), target()),
        "given students' weights (1, 4, 2, 3)",
        "expected (runs, n, d)",
        "initialize.glorot_normal",
    ),
    other_number_of_targets=(
        lambda: jc.solve_many(batch(4), targets_many(3)),
        "given students' weights (4, 2, 3) and targets' weights (3, 4, 3)",
        "expected as many targets as students",
        "or one for all",
    ),
    no_runs=(
        lambda: jc.solve_many(jax.tree.map(lambda leaf: leaf[:0], batch()), target()),
        "given students' weights (0, 2, 3)",
        "expected at least one run",
    ),
    input_dimensions_differ=(
        lambda: jc.solve_many(batch(), network(2, 4, 5, relu)),
        "given a student of input dimension 3 and a target of input dimension 5",
        "expected the same",
        "pad",
    ),
    unknown_name_in_freeze=(
        lambda: jc.solve_many(batch(), target(), freeze=("wieghts",)),
        "given freeze=('wieghts',)",
        "expected a tuple of names",
        "for example",
    ),
    nan_in_the_last_run=(
        lambda: jc.solve_many(spoilt(batch(), "weights"), target()),
        "students: given weights with NaN",
        *FINITE,
    ),
    nan_in_the_target=(
        lambda: jc.solve_many(batch(), spoilt(target(), "readout")),
        "target: given readout with NaN",
        *FINITE,
    ),
)
def test_a_batch_that_cannot_be_solved_is_refused(call, parts):
    says(complaint(call), *parts)


def targets_many(runs):
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * runs), target())


# Compression
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0, -1, 4, 5])
def test_a_width_that_is_no_compression_is_refused(width):
    message = complaint(lambda: jc.compress(target(), width, key=key()))
    says(
        message,
        f"given width {width} for a target of 4 neurons",
        "expected 1 ≤ width < 4",
        "choose a width below",
    )


@table(
    width_is_a_fraction=(
        lambda: jc.compress(target(), 2.5, key=key()),
        "given width=2.5",
        "whole number",
        "round it",
    ),
    width_is_a_string=(
        lambda: jc.compress(target(), "2", key=key()),
        "given width='2'",
        "whole number",
        "round it",
    ),
    no_starts=(
        lambda: jc.compress(target(), 2, key=key(), num_starts=0),
        "given num_starts=0",
        "expected a whole number, at least 1",
        "leave it out",
    ),
    law_of_another_dimension=(
        lambda: jc.compress(target(), 2, key=key(), inputs=jc.Gaussian(zeros(5), eye(5))),
        "given a target of input dimension 3 and inputs of dimension 5",
        "expected the same",
        "pass the mean and covariance of the inputs that this target reads",
    ),
    many_targets=(
        lambda: jc.compress(targets_many(2), 2, key=key()),
        "given a target with weights of shape (2, 4, 3)",
        "expected (k, d), one network",
        "pick one",
    ),
    law_of_another_dtype=(
        lambda: jc.compress(
            target(),
            2,
            key=key(),
            inputs=jc.Gaussian(zeros(3, np.float32), eye(3, dtype=np.float32)),
        ),
        "inputs' mean of dtype float32",
        "expected one dtype for all",
        "cast them",
    ),
)
def test_a_compression_that_cannot_be_is_refused(call, parts):
    says(complaint(call), *parts)


@pytest.mark.parametrize("name", ["weights", "readout", "bias", "output_bias"])
def test_nan_in_any_array_of_what_is_compressed_is_refused(name):
    message = complaint(
        lambda: jc.compress(spoilt(target(bias=True, output_bias=True), name), 2, key=key())
    )
    says(message, f"compress: given {name} with NaN", *FINITE)


# The name of the function that was called
# --------------------------------------------------------------------------------------------------


def moments(dim=3):
    return jc.relu_moments(1.0, jnp.ones(dim))


def samples(dim=3):
    return jc.Samples(ones((5, dim)), ones(5))


def landscape(name, *arguments, **options):
    return lambda a, b, **law: getattr(jc.landscape, name)(a, b, *arguments, **options, **law)


# Everything that takes a student, a target and perhaps an input law, and refuses the same pairs.
TAKE_PAIRS = {
    "population_risk": jc.population_risk,
    "risk_hessian": jc.risk_hessian,
    "simplified_risk_bound": jc.simplified_risk_bound,
    "gradient_flow": jc.gradient_flow,
    "solve": jc.solve,
    "drop": landscape("drop"),
    "grow": landscape("grow", key=key()),
    "escape_matrix": landscape("escape_matrix", 0),
    "splitting_spectrum": landscape("splitting_spectrum", 0, 0.5),
    "risk_along": lambda a, b, **law: jc.landscape.risk_along((a, a), b, ones(2), **law),
}
TAKE_BATCHES = {
    "solve_many": jc.solve_many,
    "flow_many": jc.flow_many,
    "critical_points": jc.critical_points,
}
BAD_PAIRS = {
    "dimensions": lambda a, b: (a, network(2, 4, 5, relu), {}),
    "outputs": lambda a, b: (a, target(outputs=2), {}),
    "dtypes": lambda a, b: (a, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), b), {}),
    "student with NaN": lambda a, b: (spoilt(a, "readout"), b, {}),
    "target with NaN": lambda a, b: (a, spoilt(b, "weights"), {}),
    "student of another type": lambda a, b: (ones((2, 3)), b, {}),
    "target of another type": lambda a, b: (a, ones((4, 3)), {}),
    "batches of batches": lambda a, b: (jax.tree.map(lambda leaf: leaf[None, None], a), b, {}),
    "law of another type": lambda a, b: (a, b, {"inputs": "normal"}),
    "law of another dimension": lambda a, b: (a, b, {"inputs": jc.Gaussian(zeros(5), eye(5))}),
}
# One bad call of everything else in these folders, by the name that its message begins with.
OTHERS = {
    "simplified_risk": lambda: jc.simplified_risk(student(), moments(4)),
    "empirical_risk": lambda: jc.empirical_risk(student(), samples(4)),
    "minibatches": lambda: jc.risk.minibatches(key(), 4, 5, 1),
    "normal_equations": lambda: jc.risk.normal_equations(target(), student()),
    "RiskProblem.of": lambda: jc.RiskProblem.of(samples()),
    "certify": lambda: jc.solvers.certify(target(), student()),
    "best_readout": lambda: jc.compression.best_readout(target(), student()),
    "compress": lambda: jc.compress(moments(), 2, key=key()),
    "align": lambda: jc.landscape.align(student(), target()),
    "classify": lambda: jc.landscape.classify(batch(), target()),
    "distance": lambda: jc.landscape.distance(student(), target()),
    "fingerprint": lambda: jc.landscape.fingerprint(batch(), target()),
    "frame_defect": lambda: jc.landscape.frame_defect(batch(), moments()),
    "merge": lambda: jc.landscape.merge(student(), 0, 0),
    "split": lambda: jc.landscape.split(student(), 7, 0.5),
    "target_symmetries": lambda: jc.landscape.target_symmetries(moments()),
    "census": lambda: jc.landscape.census(batch(), moments()),
    "census_of": lambda: jc.landscape.census_of(student(), target()),
}


@pytest.mark.parametrize("bad", BAD_PAIRS)
@pytest.mark.parametrize("name", [*TAKE_PAIRS, *TAKE_BATCHES])
def test_a_pair_that_does_not_fit_is_refused_in_the_name_of_the_function_that_was_called(name, bad):
    first = batch() if name in TAKE_BATCHES else student()
    one, other, law = BAD_PAIRS[bad](first, target())
    message = complaint(lambda: (TAKE_PAIRS | TAKE_BATCHES)[name](one, other, **law))
    says(message, f"{name}: ", "given ", "; expected ", "; ")
    assert message.startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["risk_hessian", "gradient_flow", "solve", *TAKE_BATCHES])
def test_options_that_do_not_fit_are_refused_in_the_name_of_the_function_that_was_called(name):
    call = (TAKE_PAIRS | TAKE_BATCHES)[name]
    first = batch() if name in TAKE_BATCHES else student()
    bad = [{"freeze": ("weight",)}]
    bad += [{"freeze": ("weights", "readout")}] * (name != "risk_hessian")
    bad += [{"rates": {"weights": -1.0}}] * (name not in ("risk_hessian", "critical_points"))
    bad += [{"solver": "Rodas5P"}] * (name not in ("risk_hessian", "critical_points"))
    bad += [{"slots": 0}] * (name in TAKE_BATCHES)
    for options in bad:
        message = complaint(lambda options=options: call(first, target(), **options))
        says(message, f"{name}: given ", "; expected ", "; ")
        assert message.startswith(f"{name}: ")


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_fit_is_refused_in_the_name_of_the_function_that_was_called(name):
    message = complaint(OTHERS[name])
    assert message.startswith(f"{name}: ")
    says(message, "given ", "; expected ", "; ")


def test_no_function_of_these_folders_is_missing_above():
    tried = {*TAKE_PAIRS, *TAKE_BATCHES, *OTHERS}
    files = {"load_census", "save_census"}  # these name the path
    for folder in (jc.risk, jc.solvers, jc.compression, jc.landscape):
        functions = {name for name in folder.__all__ if inspect.isfunction(getattr(folder, name))}
        assert functions <= tried | files, functions - tried


# Files
# --------------------------------------------------------------------------------------------------

PLAIN = "expected an intact .npz of plain arrays; write it with jaxcompress.save or numpy.savez"


def archive(path, **changes):
    """A sound file with some entries replaced, or left out where the replacement is `None`."""
    entries = {"weights": ones((4, 3)), "readout": ones(4), "activation": "relu"} | changes
    np.savez(path, **{name: entry for name, entry in entries.items() if entry is not None})
    return path


REFUSED_ENTRIES = {
    "unknown activation": (
        {"activation": "mish"},
        "given activation 'mish'",
        "expected one of abs, bump",
        "rename",
    ),
    "activation of another case": (
        {"activation": "ReLU"},
        "given activation 'ReLU'",
        "expected one of",
        "rename",
    ),
    "activation is a number": ({"activation": 3}, "given activation", "expected one of", "rename"),
    "activation is a list": (
        {"activation": ["relu"]},
        "given activation",
        "expected one of",
        "rename",
    ),
    "no activation": ({"activation": None}, "(missing: activation)", "numpy.savez"),
    "no weights": (
        {"weights": None},
        "given an archive with activation, readout",
        "(missing: weights)",
        "numpy.savez",
    ),
    "integers": (
        {"weights": ones((4, 3), int)},
        "given weights of dtype int64",
        "expected real",
        "store it as float64",
    ),
    "complex": (
        {"readout": ones(4, complex)},
        "given readout of dtype complex128",
        "expected real",
        "store it as",
    ),
    "long doubles": (
        {"weights": ones((4, 3), "g")},
        "given weights of dtype float",
        "expected real",
        "store it as",
    ),
    "strings": (
        {"bias": np.array(["a"] * 4)},
        "given bias of dtype <U1",
        "expected real",
        "store it as float64",
    ),
    "two dtypes": (
        {"readout": ones(4, "f4")},
        "readout of dtype float32",
        "expected one dtype",
        "cast them",
    ),
    "shapes": ({"readout": ones(5)}, "given weights (4, 3), readout (5,)", *SHAPES),
    "weights are a vector": ({"weights": ones(3)}, "given weights (3,)", *SHAPES),
    "many networks": (
        {"weights": ones((2, 4, 3)), "readout": ones((2, 4))},
        "(2, 4, 3)",
        "one network a file",
        "pick",
    ),
    "nan": ({"weights": np.full((4, 3), np.nan)}, "given weights with NaN", *FINITE),
    "infinite bias": (
        {"bias": np.full(4, np.inf)},
        "given bias with NaN or infinite entries",
        *FINITE,
    ),
}


@pytest.mark.parametrize(
    ("changes", "parts"), [(c, p) for c, *p in REFUSED_ENTRIES.values()], ids=REFUSED_ENTRIES
)
def test_a_file_with_entries_that_do_not_fit_is_refused_by_name(tmp_path, changes, parts):
    path = archive(tmp_path / "net.npz", **changes)
    says(complaint(lambda: jc.load(path)), f"{path}: ", *parts)


def truncated(path, keep):
    data = archive(path, weights=np.random.default_rng(0).normal(size=(4, 300))).read_bytes()
    path.write_bytes(data[: int(keep * len(data))])


def flipped(path):
    data = bytearray(
        archive(path, weights=np.random.default_rng(0).normal(size=(4, 300))).read_bytes()
    )
    data[2000] ^= 0xFF
    path.write_bytes(data)


def zipped(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def single_array(path):
    with open(path, "wb") as file:
        np.save(file, ones((4, 3)))


FOREIGN = {
    "empty": (lambda path: path.write_bytes(b""), PLAIN),
    "text": (lambda path: path.write_text("weights: 1, 2, 3"), PLAIN),
    "cut after ten bytes": (lambda path: truncated(path, 0.001), PLAIN),
    "cut in the middle": (lambda path: truncated(path, 0.5), PLAIN),
    "cut just before the end": (lambda path: truncated(path, 0.999), PLAIN),
    "one flipped bit": (flipped, PLAIN),
    "single array": (single_array, PLAIN),
    "some zip": (
        lambda path: zipped(path, readme="hello"),
        "given an archive with readme; expected weights",
        "savez",
    ),
    "zip of texts": (
        lambda path: zipped(path, weights="1", readout="1", activation="relu"),
        "given weights that is no array",
        "expected an .npz of plain arrays",
        "numpy.savez",
    ),
    "folder": (
        lambda path: path.mkdir(),
        "given a path at which there is no file",
        "expected an .npz",
        "check the path",
    ),
    "nothing": (
        lambda path: None,
        "given a path at which there is no file",
        "expected an .npz",
        "check the path",
    ),
}


@pytest.mark.parametrize(("write", "parts"), [(w, p) for w, *p in FOREIGN.values()], ids=FOREIGN)
def test_a_truncated_or_foreign_file_is_refused_by_name(tmp_path, write, parts):
    path = tmp_path / "net.npz"
    write(path)
    says(complaint(lambda: jc.load(path)), f"{path}: ", *parts)


class Trap:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def trapped(folder):
    return np.array([[Trap(folder)]], dtype=object)


TRAPS = {
    "weights": lambda path, marker: archive(path, weights=trapped(marker)),
    "activation": lambda path, marker: archive(path, activation=trapped(marker)),
    "output bias": lambda path, marker: archive(path, output_bias=trapped(marker)),
    "the file itself": lambda path, marker: path.write_bytes(pickle.dumps(Trap(marker))),
}


@pytest.mark.parametrize("write", TRAPS.values(), ids=TRAPS)
def test_a_pickled_object_is_refused_and_never_unpickled(tmp_path, write):
    path, marker = tmp_path / "net.npz", tmp_path / "sprung"
    write(path, marker)
    says(complaint(lambda: jc.load(path)), f"{path}: given a file that", PLAIN)
    assert not marker.exists()


@pytest.mark.parametrize("write", TRAPS.values(), ids=TRAPS)
def test_the_pickled_objects_of_these_tests_would_spring_if_unpickled(tmp_path, write):
    path, marker = tmp_path / "net.npz", tmp_path / "sprung"
    write(path, marker)
    loaded = np.load(path, allow_pickle=True)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            for name in loaded.files:
                loaded[name]
    assert marker.is_dir()


def test_a_pickled_object_beside_the_network_is_not_touched(tmp_path):
    path = archive(tmp_path / "net.npz", optimizer=trapped(tmp_path / "sprung"))
    assert jc.load(path).width == 4
    assert not (tmp_path / "sprung").exists()


# Permissions do not stop a superuser: what is tried is what stops everybody.
def unwritable(folder):
    """Paths at which nobody can write, with the reason given; makes what must exist in `folder`."""
    (folder / "folder.npz").mkdir()
    (folder / "file").write_text("in the way")
    os.mkfifo(folder / "pipe.npz")
    return {
        folder / "missing" / "net.npz": "which is not a folder",
        folder / "folder.npz": "is a folder",
        folder / "file" / "net.npz": "which is not a folder",
        folder / "pipe.npz": "is not a regular file",
        folder / ("n" * 300 + ".npz"): "cannot be used",
    }


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_saving_where_nobody_can_write_is_refused_and_leaves_nothing(tmp_path):
    paths = unwritable(tmp_path)
    before = listing(tmp_path)
    for path, reason in paths.items():
        message = complaint(lambda path=path: jc.save(path, student()))
        says(
            message,
            f"{path}: given an output path that",
            reason,
            "expected a path for a new file",
            "choose another",
        )
    assert listing(tmp_path) == before


@table(
    an_activation_without_a_name=(
        lambda: jc.save("net.npz", jc.TwoLayer(ones((2, 3)), ones(2), activation=Cube())),
        "given activation Cube(), which has no name",
        "expected one of abs, bump",
        "store the arrays",
    ),
    many_networks=(
        lambda: jc.save("net.npz", batch()),
        "given weights of shape (4, 2, 3)",
        "expected (n, d), one network a file",
        "pick one",
    ),
    nan=(
        lambda: jc.save("net.npz", spoilt(student(), "readout")),
        "given readout with NaN",
        *FINITE,
    ),
)
def test_what_could_not_be_loaded_again_is_not_saved(call, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    says(complaint(call), "save: ", *parts)
    assert listing(tmp_path) == []


# The command line
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """A folder with a sound target, and the record of whether the work was begun there (it is never
    done).
    """
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "target.npz")
    begun = []

    def work(target, *args, **options):
        begun.append(options)
        return type("Compressed", (), {"network": target})

    monkeypatch.setattr(jc, "compress", work, raising=False)
    return begun


def refusal(capsys, *arguments):
    """Run the command line on bad input; the line that it prints."""
    status = cli.main(["compress", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("jaxcompress: ")
    assert err.endswith("\n")
    return err


@pytest.mark.parametrize(
    ("changes", "parts"),
    [(c, p) for c, *p in REFUSED_ENTRIES.values()] + [({"weights": trapped("sprung")}, [PLAIN])],
    ids=[*REFUSED_ENTRIES, "pickled object"],
)
def test_a_target_file_that_does_not_fit_ends_the_command_with_one_line(
    capsys, at_work, tmp_path, changes, parts
):
    archive(tmp_path / "bad.npz", **changes)
    before = listing(tmp_path)
    says(refusal(capsys, "bad.npz", "--width", 2), "bad.npz: ", *parts)
    assert at_work == []
    assert listing(tmp_path) == before


@pytest.mark.parametrize(("write", "parts"), [(w, p) for w, *p in FOREIGN.values()], ids=FOREIGN)
def test_a_foreign_target_file_ends_the_command_with_one_line(
    capsys, at_work, tmp_path, write, parts
):
    write(tmp_path / "bad.npz")
    before = listing(tmp_path)
    says(refusal(capsys, "bad.npz", "--width", 2), "bad.npz: ", *parts)
    assert at_work == []
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ("--width", "0"),
            ("given width 0 for a target of 4 neurons", "expected 1 ≤ width < 4", "choose"),
        ),
        (("--width", "-3"), ("given width -3", "expected 1 ≤ width < 4", "choose")),
        (("--width", "4"), ("given width 4", "expected 1 ≤ width < 4", "choose")),
        (
            ("--width", "2", "--starts", "0"),
            ("given num_starts=0", "expected a whole number, at least 1", "leave it out"),
        ),
        (
            ("--width", "2", "--seed", "9" * 30),
            ("given --seed 999", "expected a number of at most 64 bits", "choose"),
        ),
    ],
    ids=["width zero", "negative width", "width of the target", "no starts", "seed beyond 64 bits"],
)
def test_an_option_out_of_range_ends_the_command_with_one_line(
    capsys, tmp_path, monkeypatch, arguments, parts
):
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "target.npz")
    says(refusal(capsys, "target.npz", *arguments), *parts)
    assert listing(tmp_path) == ["target.npz"]


@pytest.mark.parametrize("width", ["two", "2.5", ""])
def test_a_width_that_is_no_whole_number_ends_the_command_at_parsing(capsys, width):
    with pytest.raises(SystemExit) as caught:
        cli.main(["compress", "target.npz", "--width", width])
    assert caught.value.code == 2
    assert f"argument --width: invalid int value: {width!r}" in capsys.readouterr().err


LAWS = {
    "shapes differ": (
        {"mean": zeros(2)},
        "given mean of shape (2,) and covariance of shape (3, 3)",
        "expected",
        "pass",
    ),
    "no square": (
        {"covariance": ones((3, 2))},
        "covariance of shape (3, 2)",
        "expected (d,) and (d, d)",
        "pass one",
    ),
    "another dimension": (
        {"mean": zeros(4), "covariance": eye(4)},
        "given a target of input dimension 3 and inputs of dimension 4",
        "expected the same",
        "pass the mean and covariance",
    ),
    "not symmetric": (
        {"covariance": eye(3) + eye(3, k=1)},
        "not symmetric",
        "expected a symmetric",
        "pass (C + C.T)",
    ),
    "indefinite": (
        {"covariance": -eye(3)},
        "given an indefinite covariance",
        "expected a positive",
        "clip",
    ),
    "nan in the mean": ({"mean": np.full(3, np.nan)}, "given mean with NaN", *FINITE),
    "nan in the covariance": (
        {"covariance": np.nan * eye(3)},
        "given covariance with NaN",
        *FINITE,
    ),
    "integers": (
        {"covariance": eye(3, dtype=int)},
        "given covariance of dtype int64",
        "expected real",
        "store it as",
    ),
    "complex": (
        {"covariance": 1j * eye(3)},
        "given covariance of dtype complex128",
        "expected real",
        "store it as",
    ),
    "no mean": (
        {"mean": None},
        "given an archive with covariance; expected mean, covariance",
        "numpy.savez",
    ),
    "pickled object": (
        {"mean": trapped("sprung")},
        "holds a pickled object, which is never loaded",
        PLAIN,
    ),
}


@pytest.mark.parametrize(("changes", "parts"), [(c, p) for c, *p in LAWS.values()], ids=LAWS)
def test_an_impossible_law_in_a_file_ends_the_command_with_one_line(
    capsys, tmp_path, monkeypatch, changes, parts
):
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "target.npz")
    entries = {"mean": zeros(3), "covariance": eye(3)} | changes
    np.savez(
        tmp_path / "law.npz",
        **{name: entry for name, entry in entries.items() if entry is not None},
    )
    before = listing(tmp_path)
    says(refusal(capsys, "target.npz", "--width", 2, "--mean-covariance", "law.npz"), *parts)
    assert listing(tmp_path) == before


def test_a_singular_law_in_single_precision_is_taken(at_work, tmp_path):
    factor = np.random.default_rng(0).normal(size=(3, 2))
    np.savez(tmp_path / "law.npz", mean=ones(3), covariance=(factor @ factor.T).astype(np.float32))
    with pytest.raises(AttributeError):  # there is no report to print: the work was only pretended
        cli.main(["compress", "target.npz", "--width", "2", "--mean-covariance", "law.npz"])
    law = at_work[0]["inputs"]
    assert law.factor.shape == (3, 2)
    assert law.factor.dtype == jnp.float64
    np.testing.assert_allclose(law.factor @ law.factor.T, factor @ factor.T, rtol=0, atol=1e-6)


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_an_output_path_at_which_nobody_can_write_ends_the_command_before_the_work(
    capsys, at_work, tmp_path, option
):
    paths = unwritable(tmp_path)
    before = listing(tmp_path)
    for path, reason in paths.items():
        path = path if option == "--out" else path.with_suffix(".png")
        if option == "--plot" and reason in ("is a folder", "is not a regular file"):
            path.mkdir()
            before, reason = listing(tmp_path), "is a folder"
        line = refusal(capsys, "target.npz", "--width", 2, option, path)
        says(
            line,
            f"{path}: given an output path that",
            reason,
            "expected a path for a new file",
            "choose another",
        )
    assert at_work == []
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", ["figure", "figure.doc", "figure."])
def test_a_figure_of_unknown_format_ends_the_command_before_the_work(
    capsys, at_work, tmp_path, name
):
    line = refusal(capsys, "target.npz", "--width", 2, "--plot", name)
    says(
        line, f"{name}: given a figure of format", "expected one of", "png", "end the name in .png"
    )
    assert at_work == []
    assert listing(tmp_path) == ["target.npz"]


def test_a_disk_that_fills_up_leaves_one_line_and_no_half_file(
    capsys, at_work, tmp_path, monkeypatch
):
    def fill_the_disk(file, **arrays):
        file.write(b"PK\x03\x04 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    says(
        refusal(capsys, "target.npz", "--width", 2, "--out", "small.npz"), "No space left on device"
    )
    assert len(at_work) == 1
    assert listing(tmp_path) == ["target.npz"]


def shell(folder, *arguments):
    """Run the program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "jaxcompress", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_itself_prints_one_line_and_exits_with_two(tmp_path):
    archive(tmp_path / "bad.npz", activation="mish")
    done = shell(tmp_path, "compress", "bad.npz", "--width", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    says(
        done.stderr,
        "jaxcompress: bad.npz: given activation 'mish'",
        "expected one of abs, bump",
        "rename",
    )
    assert listing(tmp_path) == ["bad.npz"]


def test_help_says_how_to_write_a_target_and_what_the_exit_status_means(tmp_path):
    done = shell(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    says(
        done.stdout,
        "weights      (k, d)",
        "numpy.savez(",
        "jaxcompress compress target.npz",
        "exit status",
        "2 bad",
    )


# Integers
# --------------------------------------------------------------------------------------------------


INTEGERS = {
    "TwoLayer targets": lambda one: targets.orthonormal(2 * one, 3 * one, activation=relu),
    "Glorot": lambda one: initialize.glorot_normal(key(), one, one, activation=relu, runs=one),
    "Starts": lambda one: initialize.Starts(key(), one, initialize.glorot_normal),
    "Ensemble": lambda one: jc.ensembles.Ensemble(one, one, activation=relu, outputs=one),
    "target_moments": lambda one: check_order("target_moments", one),
    "monomial": lambda one: activations.monomial(one),
    "elementwise": lambda one: activations.elementwise(jnp.tanh, nodes=33 * one),
    "hermite_coefficients": lambda one: hermite_coefficients(relu, one),
    "min_width": lambda one: jc.narrow.min_width(one, one),
    "one_neuron": lambda one: jc.theory.one_neuron(erf, one),
    "copy_average_risk": lambda one: jc.theory.copy_average_risk(erf, (one,)),
    "Sector": lambda one: jc.sectors.Sector((one, one), (one,)),
    "split": lambda one: jc.landscape.split(student(), one),
    "target_symmetries": lambda one: jc.landscape.target_symmetries(target(), limit=10 * one),
    "Plan": lambda one: jc.sweep.Plan(activation="erf", n=one, k=one, d=one, runs=one, block=one),
}


@pytest.mark.parametrize("call", [pytest.param(f, id=name) for name, f in INTEGERS.items()])
def test_integers_of_numpy_are_taken_like_those_of_python(call):
    assert repr(call(np.int32(1))) == repr(call(1))


# A boolean times an integer is an integer.
WITHOUT = {"TwoLayer targets", "elementwise", "target_symmetries"}


@pytest.mark.parametrize("given", [True, np.True_, 1.0], ids=repr)
@pytest.mark.parametrize(
    "call", [pytest.param(f, id=name) for name, f in INTEGERS.items() if name not in WITHOUT]
)
def test_booleans_and_floats_are_no_integers(call, given):
    assert "given" in complaint(lambda: call(given))
