"""Who takes part: every engine of this package, the peers in the order of the issue that asked for them, a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accelmnist.core.config import ENGINES


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One contender: the module that has it, and what its process needs.

    `packages` are the distributions whose versions are shown, the first of them the one that it is about; `environment`
    is set before its process starts, since most libraries read theirs once.
    """

    key: str
    title: str
    module: str
    packages: tuple[str, ...]
    variant: str = ""
    ours: bool = False
    limit: bool = False  # measured beside the contenders, and none of them
    usual: bool = True  # takes part unless contenders are named
    environment: Mapping[str, str] = field(default_factory=dict)


_PEERS = (
    Entry(key="torch-loader", title="PyTorch, DataLoader", module="torch_loader", packages=("torch",)),
    Entry(key="torch-preloaded", title="PyTorch, tensors preloaded", module="torch_preloaded", packages=("torch",)),
    Entry(key="torch-compiled", title="PyTorch, torch.compile", module="torch_compiled", packages=("torch",)),
    Entry(key="sklearn", title="scikit-learn MLPClassifier", module="sklearn_mlp", packages=("scikit-learn",)),
    Entry(
        key="jax",
        title="JAX, lax.scan",
        module="jax_scan",
        packages=("jax",),
        environment={"JAX_PLATFORMS": "cpu"},
    ),
    Entry(
        key="keras-jax",
        title="Keras, XLA on JAX",
        module="keras_xla",
        packages=("keras", "jax"),
        environment={"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    ),
    Entry(
        key="keras-tensorflow",
        title="Keras, XLA on TensorFlow",
        module="keras_xla",
        packages=("keras", "tensorflow-cpu|tensorflow"),
        usual=False,  # slower than Keras on JAX, see there
        environment={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    ),
    Entry(key="numpy", title="NumPy by hand", module="numpy_hand", packages=("numpy",)),
    Entry(key="mlx", title="MLX, mx.compile", module="mlx_compiled", packages=("mlx",)),
    Entry(
        key="tinygrad",
        title="tinygrad, TinyJit on clang",
        module="tinygrad_jit",
        packages=("tinygrad",),
        environment={"DEV": "CPU", "PARALLEL": "0"},  # no processes of its own, which only a kernel search needs
    ),
)


def _ours(engine: str) -> Entry:
    title = f"accelmnist {engine}"
    return Entry(key=f"ours-{engine}", title=title, module="ours", packages=("torch",), variant=engine, ours=True)


_LIMIT = Entry(
    key="dense-products",
    title="the matrix products alone",
    module="dense_products",
    packages=("torch",),
    limit=True,
)

CATALOGUE: dict[str, Entry] = {entry.key: entry for entry in (*map(_ours, ENGINES), *_PEERS, _LIMIT)}
EAGER = "ours-eager"
