"""Images of networks under every symmetry of the risk, and distances by trying every member of the
group.

Written from the definitions; nothing of `jaxcompress.landscape` is used.
"""

import itertools
import math

import jax.numpy as jnp
import numpy as np

import jaxcompress as jc

A = jc.activations
ODD, EVEN = (A.erf, A.tanh, A.sin), (A.abs, A.cos, A.hermite(2))
SCALED = {
    A.relu: 1,
    A.leaky_relu(0.1): 1,
    A.abs: 1,
    A.identity: 1,
    A.rectified_power(2): 2,
    A.sign: 0,
}
PLAIN = (A.softplus, A.exp, A.gelu)


def rotation(rng, d):
    """A random orthogonal matrix."""
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


def orthonormal_map(rng, k, d, turns=False):
    """A permutation of the first `k` axes (with signs where asked) and a rotation of the others."""
    q = np.zeros((d, d))
    q[:k, :k] = np.eye(k)[rng.permutation(k)] * (rng.choice([-1, 1], k) if turns else 1)
    q[k:, k:] = rotation(rng, d - k)
    return q


def image(net, rng, q=None, order=True, sign=True, scale=True):
    """The network under random symmetries of its activation, and under `w ↦ wq`."""
    f, n = net.activation, net.width
    w, a = np.asarray(net.weights, float), np.asarray(net.readout, float).reshape(n, -1)
    bias = None if net.bias is None else np.asarray(net.bias, float)
    if q is not None:
        w = w @ q
    turned = (rng.choice([-1, 1], n) if sign and f in (*ODD, *EVEN) else np.ones(n))[:, None]
    factor = (np.exp(2 * rng.normal(size=n)) if scale and f in SCALED else np.ones(n))[:, None]
    w, a = turned * factor * w, (turned if f in ODD else 1) * a / factor ** SCALED.get(f, 1)
    bias = None if bias is None else bias * (turned * factor)[:, 0]
    p = rng.permutation(n) if order else np.arange(n)
    like = net.readout.dtype
    return jc.TwoLayer(
        jnp.asarray(w[p], like),
        jnp.asarray(a[p].reshape(net.readout.shape), like),
        None if bias is None else jnp.asarray(bias[p], like),
        net.output_bias,
        f,
    )


def with_rows(weights, readout, f=A.erf):
    return jc.TwoLayer(jnp.asarray(weights, float), jnp.asarray(readout, float), activation=f)


def balanced(net):
    """Rows `(w, a)`, of equal norms where the activation is homogeneous of degree one."""
    w, a = np.asarray(net.weights), np.asarray(net.readout)[:, None]
    if SCALED.get(net.activation) == 1:
        size, length = np.linalg.norm(w, axis=1, keepdims=True), np.abs(a)
        w, a = w * np.sqrt(length / size), a * np.sqrt(size / length)
    return w, a


def exact(x, y, k):
    """The distance for an orthonormal target by trying everything: permutations, signs, maps;
    Procrustes outside.
    """
    (w, a), (v, b) = balanced(x), balanced(y)
    n, f, least = len(w), x.activation, np.inf
    signs = list(itertools.product([1, -1], repeat=n)) if f in (*ODD, *EVEN) else [(1,) * n]
    turns = list(itertools.product([1, -1], repeat=k)) if f in EVEN else [(1,) * k]
    for p in map(list, itertools.permutations(range(n))):
        for s in np.array(signs):
            moved, read = s[:, None] * v[p], (s[:, None] if f in ODD else 1) * b[p]
            rest = np.sum((a - read) ** 2) + np.sum(w[:, k:] ** 2) + np.sum(moved[:, k:] ** 2)
            rest -= 2 * np.sum(np.linalg.svd(w[:, k:].T @ moved[:, k:], compute_uv=False))
            for t in itertools.permutations(range(k)):
                for flip in turns:
                    least = min(
                        least, rest + np.sum((w[:, :k] - moved[:, list(t)] * np.array(flip)) ** 2)
                    )
    return math.sqrt(max(least, 0))
