"""The activations that users name: `jaxcompress.activations.relu` and its siblings.

Each is an instance (or, where it has parameters, a function that returns one) of an `AbstractActivation`.
"""

from jaxcompress.kernels._activation import AbstractActivation, Affine, Erf, Relu

identity: AbstractActivation = Affine()
relu: AbstractActivation = Relu()
erf: AbstractActivation = Erf()

__all__ = ["erf", "identity", "relu"]
