"""Exact compression of two-layer networks under Gaussian inputs.

The names of daily use. `__init__.pyi` lists them, for type checkers and for the loader alike: each
is imported from its subpackage when it is first asked for, so that `import jaxcompress.kernels`
pulls in the kernels and nothing else.
"""

import importlib.metadata

import lazy_loader

__version__ = importlib.metadata.version(__name__)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
