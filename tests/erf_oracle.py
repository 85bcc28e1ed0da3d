"""The risk of erf networks without biases, one output, standard normal inputs, written down in
complex NumPy.

Its gradient is a complex step, its Hessian central differences of that: nothing is shared with the
package.
"""

import numpy as np


def _pairs(W, V):
    """`2/π arcsin(w·v/√((1 + w·w)(1 + v·v)))`, Saad & Solla 1995."""
    return (
        2 / np.pi * np.arcsin(W @ V.T / np.sqrt(np.outer(1 + (W * W).sum(1), 1 + (V * V).sum(1))))
    )


def risk(W, a, V, b):
    return a @ _pairs(W, W) @ a - 2 * a @ _pairs(W, V) @ b + b @ _pairs(V, V) @ b


def flat(student):
    """Weights, then readout."""
    return np.concatenate([np.asarray(leaf).ravel() for leaf in (student.weights, student.readout)])


def gradient(z, shape, target):
    """`∂R/∂(W, a)` at a flattened student with weights of that shape."""
    cut, V, b = shape[0] * shape[1], np.asarray(target.weights), np.asarray(target.readout)
    steps = z[None] + 1e-30j * np.eye(z.size)
    return np.array(
        [risk(step[:cut].reshape(shape), step[cut:], V, b).imag / 1e-30 for step in steps]
    )


def certificate(student, target):
    """The largest entry of the gradient, and the eigenvalues of the Hessian."""
    z, shape = flat(student), student.weights.shape
    steps = 1e-5 * np.eye(z.size)
    rows = [
        (gradient(z + row, shape, target) - gradient(z - row, shape, target)) / 2e-5
        for row in steps
    ]
    return np.abs(gradient(z, shape, target)).max(), np.linalg.eigvalsh(
        (np.array(rows) + np.array(rows).T) / 2
    )
