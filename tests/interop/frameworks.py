"""JAX and the libraries on it, imported when a test uses them."""

from typing import Any

from support import Later

jax: Any = Later("jax")
jnp: Any = Later("jax.numpy")
linen: Any = Later("flax.linen")
nnx: Any = Later("flax.nnx")
equinox: Any = Later("equinox")
