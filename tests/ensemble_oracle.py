"""Averages over laws of neurons, by sums and quadrature in the space of the neuron itself.

Nothing here knows of Laplace transforms: neurons that take finitely many values are enumerated,
those in the plane are integrated over it, along rays from the origin so that `|v|` is smooth, and
in many dimensions the law of `|v|²` is used where it is known.
"""

import itertools

import numpy as np

_LEGENDRE = np.polynomial.legendre.leggauss(32)


def _on(low, high):
    """Gauss–Legendre nodes and weights on an interval."""
    nodes, weights = _LEGENDRE
    return low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2


def composite(points):
    """Gauss–Legendre nodes and weights on neighbouring intervals."""
    parts = [_on(low, high) for low, high in itertools.pairwise(points)]
    return np.concatenate([x for x, _ in parts]), np.concatenate([w for _, w in parts])


def enumerated(values, shares, mean):
    """All neurons of independent entries with these values, and their probabilities."""
    entries = list(itertools.product(range(len(values)), repeat=len(mean)))
    v = np.asarray(mean) + np.asarray(values)[np.array(entries)]
    return v, np.prod(np.asarray(shares)[np.array(entries)], axis=1)


def circle(angles):
    """Unit vectors at equal angles: the trapezoidal rule of a periodic function."""
    angle = 2 * np.pi * np.arange(angles) / angles
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def gaussian_plane(mean, covariance, angles=240):
    """Neurons `N(mean, covariance)` in the plane, in polar coordinates around the origin; 4 angles
    if all are alike.
    """
    precision, size = np.linalg.inv(covariance), np.sqrt(np.linalg.eigvalsh(covariance).max())
    radius, on_radius = composite(np.linspace(0, np.linalg.norm(mean) + 9 * size, 9))
    v = radius[:, None, None] * circle(angles)
    gap = v - np.asarray(mean)
    density = np.exp(-0.5 * np.einsum("rai,ij,raj->ra", gap, precision, gap)) / np.sqrt(
        np.linalg.det(covariance)
    )
    return v.reshape(-1, 2), (density * (radius * on_radius)[:, None] / angles).ravel()


def uniform_plane(mean, half):
    """Neurons uniform on a square: the triangles, with their signs, from the origin to its four
    sides.
    """
    if np.linalg.norm(mean) > 4 * half:  # there `|v|` is smooth, and the triangles are thin
        x, on_x = _on(-half, half)
        v = np.stack(np.meshgrid(mean[0] + x, mean[1] + x), -1)
        return v.reshape(-1, 2), np.outer(on_x, on_x).ravel() / (2 * half) ** 2
    corners = np.asarray(mean) + half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    t, on_t = _on(0, 1)
    parts = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # nearest to the origin: there `|v|` bends most
        foot = -start @ (end - start) / np.sum((end - start) ** 2)
        cuts = [foot + x for x in (-0.3, -0.1, -0.03, -0.01, 0, 0.01, 0.03, 0.1, 0.3)]
        s, on_s = composite([0, *(cut for cut in cuts if 0 < cut < 1), 1])
        v = t[:, None, None] * (start + s[:, None] * (end - start))
        jacobian = start[0] * end[1] - start[1] * end[0]
        parts.append(
            (v.reshape(-1, 2), np.outer(t * on_t, on_s).ravel() * jacobian / (2 * half) ** 2)
        )
    return np.concatenate([v for v, _ in parts]), np.concatenate([shares for _, shares in parts])


def sphere(mean, radius, dim, angles=400):
    """Neurons on a circle or a sphere in three dimensions."""
    if dim == 2:
        return mean + radius * circle(angles), np.full(angles, 1 / angles)
    t, on_t = _on(-1, 1)
    rest = np.sqrt(1 - t * t)[:, None, None] * circle(angles)
    v = np.concatenate([rest, np.broadcast_to(t[:, None, None], (*rest.shape[:2], 1))], -1)
    return (mean + radius * v).reshape(-1, 3), np.repeat(0.5 * on_t / angles, angles)


def orders(f, v, shares):
    """`E m`, `E m′v` and `E m″vvᵀ` of ReLU or erf over weighted neurons; `vvᵀ/|v|` is zero at
    zero.
    """
    norm = np.linalg.norm(v, axis=1)
    if f == "relu":
        mean, slope = norm / np.sqrt(2 * np.pi), np.full_like(norm, 0.5)
        bend = np.divide(1, norm * np.sqrt(2 * np.pi), where=norm > 0, out=np.zeros_like(norm))
    else:
        mean, slope, bend = 0 * norm, np.sqrt(2 / np.pi) / np.sqrt(1 + norm**2), 0 * norm
    return shares @ mean, (shares * slope) @ v, (v * (shares * bend)[:, None]).T @ v
