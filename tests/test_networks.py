"""Networks as parameters: what they compute, the laws they are drawn from, and how they survive on
disk.

Laws are held against SciPy's distributions and against sample moments with their standard errors; a
bound of four standard errors is missed by chance once in 16 000 draws, and the seeds are fixed.
"""

import os
import stat

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax.flatten_util import ravel_pytree

import jaxcompress as jc
from jaxcompress import activations, initialize, targets
from tests.problems import network, run

PLAIN = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "abs": np.abs,
    "step": lambda x: np.where(x > 0, 1.0, 0.0),
    "sign": np.sign,
    "erf": lambda x: scipy.special.erf(x / 2**0.5),
    "normal_cdf": scipy.special.ndtr,
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "sin": np.sin,
    "cos": np.cos,
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "silu": lambda x: x * scipy.special.expit(x),
}
NAMES = sorted(PLAIN)
# Activations with a parameter, and sums, by the names under which they are stored.
FAMILIES = {
    "leaky_relu(0.1)": (activations.leaky_relu(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    "rectified_power(2)": (activations.rectified_power(2), lambda x: np.maximum(x, 0) ** 2),
    "bump(0.5)": (activations.bump(0.5), lambda x: np.exp(-2 * x * x)),
    "monomial(3)": (activations.monomial(3), lambda x: x**3),
    "hermite(3)": (activations.hermite(3), lambda x: scipy.special.eval_hermitenorm(3, x) / 6**0.5),
    "2.0*relu + -1.0*identity": (2 * activations.relu - activations.identity, np.abs),
    "tanh + 0.25*hermite(2)": (
        activations.tanh + activations.hermite(2) / 4,
        lambda x: np.tanh(x) + (x * x - 1) / 32**0.5,
    ),
}
STRUCTURES = [
    (o, bias, offset) for o in (None, 1, 3) for bias in (False, True) for offset in (False, True)
]
DRAWS = {"uniform": initialize.glorot_uniform, "normal": initialize.glorot_normal}


def in_numpy(net, name, x):
    """The network's definition, in plain NumPy."""
    hidden = np.asarray(x) @ np.asarray(net.weights).T
    hidden = hidden if net.bias is None else hidden + np.asarray(net.bias)
    out = PLAIN[name](hidden) @ np.asarray(net.readout)
    return out if net.output_bias is None else out + np.asarray(net.output_bias)


def same(one, other):
    """Equal to the last bit, and of the same dtypes and structure."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_the_list_of_activations_tested_here_is_complete():
    families = [name.split("(")[0] for name in FAMILIES if "(" in name and "*" not in name]
    assert sorted(activations.__all__) == sorted([*NAMES, *families, "elementwise"])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_or_a_sum_is_its_definition_and_is_stored_by_its_name(name, tmp_path):
    activation, plain = FAMILIES[name]
    x = np.linspace(-3, 3, 25)
    np.testing.assert_allclose(activation(jnp.asarray(x)), plain(x), rtol=0, atol=3e-14)
    assert repr(activation) == name
    path = tmp_path / "net.npz"
    jc.save(path, network(0, 4, 3, activation))
    assert jc.load(path).activation == activation


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("outputs", "bias", "offset"), STRUCTURES)
def test_a_network_computes_what_its_definition_says(name, outputs, bias, offset):
    net = network(0, 4, 3, getattr(activations, name), outputs, bias, offset)
    x = np.random.default_rng(1).normal(size=(5, 2, 3))
    y = net(jnp.asarray(x))
    assert y.shape == ((5, 2) if outputs is None else (5, 2, outputs))
    np.testing.assert_allclose(y, in_numpy(net, name, x), rtol=0, atol=1e-14)  # measured: 2e-15
    np.testing.assert_allclose(net(jnp.asarray(x[0, 0])), y[0, 0], rtol=0, atol=1e-14)


def test_sizes_are_read_off_the_arrays():
    net = network(0, 4, 3, activations.relu, outputs=2)
    assert (net.width, net.dim, net.outputs) == (4, 3, 2)
    assert network(0, 4, 3, activations.relu).outputs is None


def test_many_networks_carry_leading_axes_and_are_evaluated_by_vmap():
    nets = initialize.glorot_normal(
        jax.random.key(0),
        4,
        3,
        activation=activations.erf,
        outputs=2,
        bias=True,
        output_bias=True,
        runs=6,
    )
    assert (nets.width, nets.dim, nets.outputs) == (4, 3, 2)
    x = jax.random.normal(jax.random.key(1), (7, 3))
    together = jax.vmap(lambda net: net(x))(nets)
    assert together.shape == (6, 7, 2)
    np.testing.assert_allclose(together[4], run(nets, 4)(x), rtol=0, atol=1e-15)


def test_two_leading_axes_are_told_from_several_outputs():
    nets = jc.TwoLayer(
        jnp.ones((5, 6, 4, 3)), jnp.ones((5, 6, 4)), jnp.ones((5, 6, 4)), jnp.ones((5, 6))
    )
    assert nets.outputs is None
    nets = jc.TwoLayer(jnp.ones((5, 6, 4, 3)), jnp.ones((5, 6, 4, 2)), None, jnp.ones((5, 6, 2)))
    assert nets.outputs == 2


@pytest.mark.parametrize(("outputs", "bias", "offset"), STRUCTURES)
def test_parameters_flatten_as_weights_readout_bias_output_bias(outputs, bias, offset):
    net = network(2, 4, 3, activations.relu, outputs, bias, offset)
    parts = [
        part for part in (net.weights, net.readout, net.bias, net.output_bias) if part is not None
    ]
    flat, unravel = ravel_pytree(net)
    np.testing.assert_array_equal(flat, np.concatenate([np.ravel(part) for part in parts]))
    assert (
        list(net.parameters())
        == ["weights", "readout"] + ["bias"] * bias + ["output_bias"] * offset
    )
    same(unravel(flat), net)


def test_the_activation_is_no_parameter_and_takes_part_in_compilation():
    one = network(0, 4, 3, activations.relu)
    other = jc.TwoLayer(one.weights, one.readout, activation=activations.erf)
    assert len(jax.tree.leaves(one)) == 2
    assert jax.tree.structure(one) != jax.tree.structure(other)


# Targets
# --------------------------------------------------------------------------------------------------


def test_an_orthonormal_target_has_orthonormal_weights_and_equal_readouts():
    target = targets.orthonormal(4, 7, activation=activations.erf, readout=0.5)
    np.testing.assert_array_equal(target.weights @ target.weights.T, np.eye(4))
    np.testing.assert_array_equal(target.readout, np.full(4, 0.5))
    assert target.weights.shape == (4, 7)
    assert target.activation == activations.erf


def test_gaussian_weights_have_variance_one_over_dim():
    entries = targets.random(jax.random.key(3), 400, 50, activation=activations.relu).weights
    scaled = np.ravel(entries) * 50**0.5
    assert scipy.stats.kstest(scaled, "norm").pvalue > 1e-3
    assert abs(np.mean(scaled**2) - 1) < 4 * (2 / scaled.size) ** 0.5


def test_spherical_weights_have_norm_one_and_no_preferred_direction():
    width, dim = 4000, 5
    w = np.asarray(
        targets.random(
            jax.random.key(4), width, dim, activation=activations.relu, weights="sphere"
        ).weights
    )
    np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1, rtol=0, atol=1e-15)
    assert np.all(np.abs(w.mean(0)) < 4 / (dim * width) ** 0.5)
    # of the mean of u_i², which is 1/d
    error = (2 * (dim - 1) / (dim**2 * (dim + 2)) / width) ** 0.5
    assert np.all(np.abs((w**2).mean(0) - 1 / dim) < 4 * error)


@pytest.mark.parametrize("outputs", [None, 3])
def test_a_gaussian_readout_has_norm_one_an_output(outputs):
    width = 20_000
    a = targets.random(
        jax.random.key(5), width, 2, activation=activations.relu, outputs=outputs
    ).readout
    assert a.shape == ((width,) if outputs is None else (width, outputs))
    assert scipy.stats.kstest(np.ravel(a) * width**0.5, "norm").pvalue > 1e-3
    assert np.all(np.abs(np.sum(np.asarray(a) ** 2, axis=0) - 1) < 4 * (2 / width) ** 0.5)


def test_a_rademacher_readout_is_a_fair_sign_of_norm_one():
    width = 10_000
    a = targets.random(
        jax.random.key(6), width, 2, activation=activations.relu, readout="rademacher"
    ).readout
    np.testing.assert_allclose(np.abs(a), 0.01, rtol=1e-15)
    assert abs(np.mean(np.sign(a))) < 4 / width**0.5


def test_a_constant_readout_is_one_over_the_width():
    a = targets.random(
        jax.random.key(7), 8, 2, activation=activations.relu, readout="constant", outputs=3
    ).readout
    np.testing.assert_array_equal(a, np.full((8, 3), 1 / 8))


def test_weights_and_readout_of_a_target_draw_from_their_own_keys():
    key = jax.random.key(8)
    target = targets.random(key, 4, 9, activation=activations.relu)
    np.testing.assert_allclose(
        target.weights,
        jax.random.normal(jax.random.fold_in(key, 0), (4, 9)) / 3,
        rtol=1e-15,
        atol=0,
    )
    np.testing.assert_allclose(
        target.readout, jax.random.normal(jax.random.fold_in(key, 1), (4,)) / 2, rtol=1e-15, atol=0
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_targets_and_starts_come_in_the_dtype_that_was_asked_for(dtype):
    key = jax.random.key(9)
    drawn = [
        targets.orthonormal(2, 3, activation=activations.relu, dtype=dtype),
        targets.random(
            key,
            2,
            3,
            activation=activations.relu,
            weights="sphere",
            readout="rademacher",
            dtype=dtype,
        ),
        targets.random(key, 2, 3, activation=activations.relu, dtype=dtype),
        *(
            draw(key, 2, 3, activation=activations.relu, bias=True, dtype=dtype)
            for draw in DRAWS.values()
        ),
    ]
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype(dtype)}


# Starts
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", DRAWS)
@pytest.mark.parametrize(("outputs", "fans"), [(None, 201), (40, 240)])
def test_starts_follow_the_law_of_glorot_and_bengio(law, outputs, fans):
    """Variance `2/(fan_in + fan_out)`: `width + dim` for the weights, `width + outputs` for the
    readout.
    """
    start = DRAWS[law](jax.random.key(10), 200, 50, activation=activations.relu, outputs=outputs)
    for array, fan in ((start.weights, 250), (start.readout, fans)):
        x = np.ravel(array)
        limit, variance = (6 / fan) ** 0.5, 2 / fan
        kurtosis = 3.0 if law == "normal" else 9 / 5
        assert abs(np.mean(x**2) - variance) < 4 * variance * ((kurtosis - 1) / x.size) ** 0.5
        if law == "uniform":
            assert np.abs(x).max() <= limit
            assert scipy.stats.kstest(x, "uniform", (-limit, 2 * limit)).pvalue > 1e-3
        else:
            assert scipy.stats.kstest(x, "norm", (0, variance**0.5)).pvalue > 1e-3


@pytest.mark.parametrize("law", DRAWS)
def test_biases_start_at_zero_and_only_where_they_were_asked_for(law):
    start = DRAWS[law](
        jax.random.key(0), 4, 3, activation=activations.erf, outputs=2, bias=True, output_bias=True
    )
    np.testing.assert_array_equal(start.bias, np.zeros(4))
    np.testing.assert_array_equal(start.output_bias, np.zeros(2))
    bare = DRAWS[law](jax.random.key(0), 4, 3, activation=activations.erf)
    assert bare.bias is None
    assert bare.output_bias is None


@pytest.mark.parametrize("law", DRAWS)
def test_run_i_is_the_single_draw_from_the_key_folded_with_i(law):
    key, options = (
        jax.random.key(11),
        {"activation": activations.erf, "outputs": 2, "bias": True, "output_bias": True},
    )
    together = DRAWS[law](key, 4, 3, runs=3, **options)
    assert together.weights.shape == (3, 4, 3)
    for i in range(3):
        same(run(together, i), DRAWS[law](jax.random.fold_in(key, i), 4, 3, **options))
    same(run(DRAWS[law](key, 4, 3, runs=2, **options), 1), run(together, 1))


# Files
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(("outputs", "bias", "offset"), STRUCTURES)
def test_a_network_comes_back_from_disk_to_the_last_bit(
    tmp_path, name, dtype, outputs, bias, offset
):
    net = network(12, 4, 3, getattr(activations, name), outputs, bias, offset)
    net = jax.tree.map(lambda leaf: leaf.astype(dtype), net)
    jc.save(tmp_path / "net.npz", net)
    same(jc.load(tmp_path / "net.npz"), net)


def test_a_saved_network_is_plain_arrays_that_numpy_reads_alone(tmp_path):
    net = network(13, 4, 3, activations.erf, 2, True, True)
    jc.save(str(tmp_path / "net.npz"), net)
    with np.load(tmp_path / "net.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["activation", "bias", "output_bias", "readout", "weights"]
        assert str(archive["activation"]) == "erf"
        for name, array in net.parameters().items():
            assert archive[name].dtype == np.float64
            np.testing.assert_array_equal(archive[name], array)


def test_a_network_written_by_numpy_is_read_whatever_its_byte_order_compression_and_extra_entries(
    tmp_path,
):
    net = network(14, 4, 3, activations.relu, bias=True)
    arrays = {name: np.asarray(array, ">f8") for name, array in net.parameters().items()}
    np.savez_compressed(
        tmp_path / "net.npz", activation=b"relu", comment="trained on Tuesday", **arrays
    )
    same(jc.load(tmp_path / "net.npz"), net)


def test_a_save_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    old = network(15, 4, 3, activations.relu)
    jc.save(path, old)

    def fill_the_disk(file, **arrays):
        file.write(b"PK\x03\x04 half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fill_the_disk)
        for target in (path, tmp_path / "new.npz"):
            with pytest.raises(OSError, match="No space left"):
                jc.save(target, network(16, 4, 3, activations.relu))
    assert os.listdir(tmp_path) == ["net.npz"]
    same(jc.load(path), old)


def test_a_second_save_replaces_the_first_and_leaves_one_readable_file(tmp_path):
    path = tmp_path / "net.npz"
    new = network(18, 5, 2, activations.erf)
    old = network(17, 4, 3, activations.relu)
    mask = os.umask(0o027)
    try:
        jc.save(path, old)
        with open(path, "rb") as reader:
            jc.save(path, new)
            (tmp_path / "seen.npz").write_bytes(reader.read())
    finally:
        os.umask(mask)
    same(jc.load(path), new)
    same(jc.load(tmp_path / "seen.npz"), old)  # who had the old file open reads it to its end
    (tmp_path / "seen.npz").unlink()
    assert os.listdir(tmp_path) == ["net.npz"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_name_as_long_as_the_file_system_takes_is_saved(tmp_path):
    path = tmp_path / ("n" * 251 + ".npz")
    net = network(19, 4, 3, activations.relu)
    jc.save(path, net)
    same(jc.load(path), net)


# Batches
# --------------------------------------------------------------------------------------------------


def batch_of(runs, **options):
    return initialize.glorot_normal(
        jax.random.key(4), 3, 5, activation=activations.erf, bias=True, runs=runs, **options
    )


@pytest.mark.parametrize("run", [0, -1, np.int64(2), slice(1, 3), np.array([2, 0]), (1,)], ids=repr)
@pytest.mark.parametrize("options", [{}, {"outputs": 2, "output_bias": True}], ids=["one", "two"])
def test_an_index_picks_networks_of_a_batch(run, options):
    networks = batch_of(4, **options)
    picked = networks[run]
    assert isinstance(picked, jc.TwoLayer)
    assert picked.activation == networks.activation
    for name, array in networks.parameters().items():
        np.testing.assert_array_equal(picked.parameters()[name], np.asarray(array)[run])


def test_a_batch_can_be_gone_through():
    networks = batch_of(3)
    assert [one.runs for one in networks] == [()] * 3
    assert networks.runs == (3,)


def test_a_network_of_a_batch_can_be_picked_under_a_trace():
    networks = batch_of(3)
    picked = jax.jit(lambda networks, i: networks[i])(networks, 1)
    np.testing.assert_array_equal(picked.weights, networks.weights[1])


@pytest.mark.parametrize("run", [3, -4, (0, 0)])
def test_an_index_outside_of_the_batch_is_refused(run):
    with pytest.raises(IndexError, match=r"TwoLayer: given the index .* for a batch of 3"):
        batch_of(3)[run]


def test_one_network_has_no_index():
    with pytest.raises(ValueError, match=r"TwoLayer: given an index for one object; expected a b"):
        batch_of(None)[0]


@pytest.mark.parametrize("outputs", [None, 1, 3])
@pytest.mark.parametrize("runs", [None, 2])
def test_the_readout_as_a_matrix_has_an_axis_of_outputs(outputs, runs):
    networks = batch_of(runs, outputs=outputs)
    assert networks.readout_matrix.shape == (*networks.runs, 3, outputs or 1)
    assert networks.readout_matrix.size == networks.readout.size
