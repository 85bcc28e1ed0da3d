"""Groups of orthogonal maps, by their generators. They act on a particle as `(a, b) ↦ (a, Qb)`."""

import bisect
import itertools
from collections import deque

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array
from jaxcompress._internal.deprecation import renamed_arguments

# How far from orthogonal a map may be, and up to what a defect counts as rounding.
TOLERANCE = {jnp.dtype("float64"): 1e-10, jnp.dtype("float32"): 1e-4}
# Entries of equal elements of a group differ by less, after words of a hundred generators; those of
# different elements by at least ten times as much.
_EQUAL = {jnp.dtype("float64"): 1e-8, jnp.dtype("float32"): 1e-4}


class Action(eqx.Module):
    """A group of orthogonal maps, given by its generators.

    Arguments: `generators (g, d, d)`.
    Raises `ValueError` for shapes that do not fit or matrices that are not orthogonal.

    Example: `Action(jnp.array([[[0.0, 1.0], [1.0, 0.0]]]))`, or `permutations(2)`.
    """

    generators: Float[Array, "g d d"]

    def __init__(self, generators):
        self.generators = as_array("Action", "generators", generators)
        shape = self.generators.shape
        if (
            self.generators.ndim != 3
            or shape[1] != shape[2]
            or self.generators.dtype not in TOLERANCE
        ):
            raise ValueError(
                f"Action: given generators of shape {shape} and dtype {self.generators.dtype}; "
                "expected floats (g, d, d); stack one square matrix for each generator"
            )
        maps = np.asarray(self.generators, np.float64)
        defect = np.abs(maps @ maps.transpose(0, 2, 1) - np.eye(shape[1])).max(initial=0)
        if not defect <= TOLERANCE[self.generators.dtype]:
            raise ValueError(
                f"Action: given a matrix that is not orthogonal (|QQᵀ − I| is {defect:.1e}); "
                "expected QQᵀ = I; orthogonalise it, for example by numpy.linalg.qr"
            )

    @property
    def dim(self) -> int:
        """The dimension `d`."""
        return self.generators.shape[-1]

    def elements(self, limit: int = 10_000) -> Float[Array, "order d d"]:
        """All maps of a finite group, the identity first and then by the length of their words;
        found in float64 for any dtype.

        Raises `ValueError` where there are more than `limit`, as in every group of rotations, or
        where two maps are too close to tell apart.
        """
        return self.elements_for("Action.elements", limit)

    def elements_for(self, where: str, limit: int) -> Float[Array, "order d d"]:
        """`elements`, with the name of the public function in its errors."""
        left, _, right = np.linalg.svd(np.asarray(self.generators, np.float64))
        found = _Elements(where, self.dim, _EQUAL[self.generators.dtype])
        found.add(np.eye(self.dim))
        waiting = deque(found.maps)
        while waiting:
            element = waiting.popleft()
            for generator in left @ right:
                new = generator @ element
                if found.add(new):
                    waiting.append(new)
                if len(found.maps) > limit:
                    raise ValueError(
                        f"{where}: given a group of more than {limit} maps; expected a "
                        "finite one; raise limit, or keep to its generators"
                    )
        return jnp.asarray(np.stack(found.maps), self.generators.dtype)


class _Elements:
    """Different maps, sorted by a projection, so that only those of nearly the same projection are
    compared.
    """

    def __init__(self, where: str, dim: int, equal: float):
        self.where = where
        self.maps: list[np.ndarray] = []
        self.order: list[tuple[float, int]] = []
        self.equal = equal
        self.direction = np.random.default_rng(0).standard_normal((dim, dim))
        self.reach = 10 * equal * np.abs(self.direction).sum()

    def add(self, new: np.ndarray) -> bool:
        """Add a map unless it is there; returns whether it was added."""
        number = float(np.sum(self.direction * new))
        first = bisect.bisect_left(self.order, (number - self.reach, -1))
        for other, index in self.order[first:]:
            if other > number + self.reach:
                break
            apart = np.abs(self.maps[index] - new).max()
            if apart < self.equal:
                return False
            if apart < 10 * self.equal:
                raise ValueError(
                    f"{self.where}: given maps {apart:.1e} apart, neither equal nor different; "
                    "expected a finite group; pass generators with all their digits, or keep to "
                    "its generators"
                )
        bisect.insort(self.order, (number, len(self.maps)))
        self.maps.append(new)
        return True


def sign_flips(dim: int, axes=None, *, dtype=None) -> Action:
    """The group of the maps `x_i ↦ −x_i` for each of `axes` (all when left out).

    Example: `sign_flips(3)`.
    """
    return reflections(np.eye(dim)[_axes("sign_flips", dim, axes, 1)], dtype=dtype)


def permutations(dim: int, axes=None, *, dtype=None) -> Action:
    """All permutations of the coordinates `axes` (all when left out), generated by exchanges of
    neighbours.

    Example: `permutations(3, axes=(0, 1))`.
    """
    axes = _axes("permutations", dim, axes, 2)
    return reflections(
        np.array([np.eye(dim)[i] - np.eye(dim)[j] for i, j in itertools.pairwise(axes)]),
        dtype=dtype,
    )


def _axes(where: str, dim: int, axes, least: int) -> list[int]:
    axes = list(range(dim) if axes is None else axes)
    if len(axes) < least or len({*axes}) < len(axes) or not all(i in range(dim) for i in axes):
        raise ValueError(
            f"{where}: given axes {axes} in {dim} dimensions; expected at least {least} different "
            f"ones from 0 to {dim - 1}; leave them out for all"
        )
    return axes


def reflections(roots, *, dtype=None) -> Action:
    """The group that the reflections `I − 2vvᵀ/‖v‖²` at `roots (g, d)` generate.

    Raises `ValueError` for a root that is zero.

    Example: `reflections([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])`.
    """
    roots = np.asarray(roots, np.float64)
    if roots.ndim != 2 or not np.all(np.any(roots != 0, axis=-1)):
        raise ValueError(
            f"reflections: given roots of shape {roots.shape}; expected vectors (g, d), none of "
            "them zero; drop what is zero"
        )
    unit = roots / np.linalg.norm(roots, axis=1, keepdims=True)
    maps = np.eye(roots.shape[1]) - 2 * unit[:, :, None] * unit[:, None, :]
    return Action(jnp.asarray(maps, dtype or jnp.result_type(float)))


@renamed_arguments(near="dim_target")
def complement_rotations(
    key: Array, dim_target: int, dim: int, *, count: int = 3, dtype=None
) -> Action:
    """`count` random rotations and reflections (Haar) of H⊥, the coordinates from `dim_target` on.

    Two of them already generate a dense set of all maps of H⊥ (or of its rotations).

    Arguments:

    - `key`: a key of JAX
    - `dim_target`, `dim`: `d_H` and `d` (static)
    - `count`: how many maps (static)
    - `dtype`: the default float type when left out

    Returns an `Action`.
    Raises `ValueError` unless `0 ≤ dim_target < dim`.

    Example: `complement_rotations(jax.random.key(0), dim_target=2, dim=5)`.
    """
    if not 0 <= dim_target < dim or count < 1:
        raise ValueError(
            f"complement_rotations: given dim_target={dim_target} in dim {dim} and count={count}; "
            "expected 0 ≤ dim_target < dim and count ≥ 1; H must be smaller than the space"
        )
    dtype = dtype or jnp.result_type(float)
    turns = jax.random.orthogonal(key, dim - dim_target, (count,), dtype)
    maps = jnp.zeros((count, dim, dim), dtype).at[:, dim_target:, dim_target:].set(turns)
    return Action(maps.at[:, :dim_target, :dim_target].set(jnp.eye(dim_target, dtype=dtype)[None]))
