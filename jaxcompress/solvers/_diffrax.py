"""Both methods of the flow as solvers of diffrax: the one file of the solver that loads it.

Loading diffrax took 0.45 of the 1.5 processor seconds that the name `solve_many` cost, and of the
solver only `gradient_flow` steps by it. So this file is loaded by
its first call, or when a class of it is asked for.
"""

from typing import ClassVar, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from jaxcompress.solvers._chebyshev import chebyshev_step, spectral_radius
from jaxcompress.solvers._method import METHODS, Method
from jaxcompress.solvers._rosenbrock import DENSE, rosenbrock_stages


class RosenbrockInterpolation(diffrax.AbstractLocalInterpolation):
    """The dense output of order four: `y(t0 + τh) = (1−τ)y0 + τ(y1 + (1−τ)(d_1 + τ(d_2 + τ
    d_3)))`.
    """

    t0: Array  # type: ignore[misc]  # a class variable only in the annotations of diffrax
    t1: Array  # type: ignore[misc]
    y0: Array
    y1: Array
    dense: Float[Array, "3 P"]

    def evaluate(self, t0, t1=None, left=True):
        if t1 is not None:
            return jax.tree.map(
                lambda end, start: end - start, self.evaluate(t1), self.evaluate(t0)
            )
        length = self.t1 - self.t0
        tau = (t0 - self.t0) / jnp.where(length == 0, 1, length)
        start, unravel = ravel_pytree(self.y0)
        end, _ = ravel_pytree(self.y1)
        bulge = self.dense[0] + tau * (self.dense[1] + tau * self.dense[2])
        return unravel((1 - tau) * start + tau * (end + (1 - tau) * bulge))


class Rodas5P(diffrax.AbstractAdaptiveSolver):
    """Rodas5P (`_rosenbrock`), for autonomous `ODETerm`s whose vector field is `−∇φ`.

    Example: `jc.gradient_flow(student, target, solver=jc.solvers.Rodas5P())`.

    The Jacobian is the linearisation of the vector field, which must be symmetric (it is read as
    such): where the field states its own derivative, as the package's flows do, no second autodiff
    is taken.
    """

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = RosenbrockInterpolation

    def batched(self) -> Method:
        """The same method for the batched solvers."""
        return Method(METHODS.rosenbrock, 0, True)

    def order(self, terms):
        return 5

    def error_order(self, terms):
        return 5.0

    def init(self, terms, t0, t1, y0, args):
        return None

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        flat, unravel = ravel_pytree(y0)

        def slope(y: Array) -> Array:
            return -ravel_pytree(terms.vf(t0, unravel(y), args))[0]

        gradient, push = jax.linearize(slope, flat)
        hessian = jax.vmap(push)(jnp.eye(flat.size, dtype=flat.dtype))
        y1, k = rosenbrock_stages(
            lambda y: slope(y[:, 0])[:, None],
            (0.5 * (hessian + hessian.T))[None],
            flat[:, None],
            gradient[:, None],
            # negative back in time, where no step has a factor: gradient flows are refused there
            jnp.asarray(terms.contr(t0, t1), flat.dtype)[None],
        )
        dense = jnp.asarray(DENSE, flat.dtype) @ k[:, :, 0]
        info = {"y0": y0, "y1": unravel(y1[:, 0]), "dense": dense}
        return unravel(y1[:, 0]), unravel(k[7, :, 0]), info, None, diffrax.RESULTS.successful


class ChebyshevState(NamedTuple):
    """The field where the solver stands, the vector of the largest curvature, and the stages of the
    accepted steps.
    """

    f: Float[Array, " P"]
    v: Float[Array, " P"]
    stages: Int[Array, ""]


class Chebyshev(diffrax.AbstractAdaptiveSolver):
    """Runge–Kutta–Chebyshev (`_chebyshev`), for autonomous `ODETerm`s whose vector field is `−∇φ`.

    Example: `jc.flow_many(students, targets, solver=jc.solvers.Chebyshev(max_stages=100))`.

    `max_stages`, static, bounds the stages of a step. A step that needs more costs the spectral
    radius and no stages: its error is NaN, and the controller rejects it (diffrax's `PIDController`
    then tries a fifth of its length). A step back in time is refused likewise.
    Where it fails: roundoff grows with the square of the stages. The error estimate sees it, so
    that a tolerance `rtol` allows about `√(rtol/10u)` of them, `u` the unit roundoff: 40 in float32
    at 1e-3, where the estimate at rest is 2e-3 of `y`; at 250 stages it is 0.14. Derivatives by
    reverse mode do not pass the loop of stages.
    """

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.ThirdOrderHermitePolynomialInterpolation

    max_stages: int = eqx.field(static=True, default=250)

    def __check_init__(self):
        if self.max_stages < 2:
            raise ValueError(
                f"Chebyshev: given max_stages = {self.max_stages}; expected at least 2, the order"
            )

    def batched(self) -> Method:
        """The same method for the batched solvers."""
        return Method(METHODS.chebyshev, self.max_stages, False)

    def order(self, terms):
        return 2

    def error_order(self, terms):
        return 3.0  # diffrax means the local order, of one step

    def init(self, terms, t0, t1, y0, args):
        f, _ = ravel_pytree(terms.vf(t0, y0, args))
        return ChebyshevState(f, jnp.zeros_like(f), jnp.asarray(0, jnp.int32))

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        flat, unravel = ravel_pytree(y0)

        def field(y: Array) -> Array:
            return ravel_pytree(terms.vf(t0, unravel(y), args))[0]

        f0 = solver_state.f
        h = jnp.asarray(terms.contr(t0, t1), flat.dtype)
        rho, v = spectral_radius(field, flat, f0, solver_state.v)
        y1, f1, error, stages = chebyshev_step(field, flat, f0, h, rho, self.max_stages)
        info = {"y0": y0, "y1": unravel(y1), "k0": unravel(h * f0), "k1": unravel(h * f1)}
        state = ChebyshevState(f1, v, solver_state.stages + stages)
        return unravel(y1), unravel(error), info, state, diffrax.RESULTS.successful
