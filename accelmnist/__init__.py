"""accelmnist: is this accelerator fast, is it right, and how far from its limit?

The way of `accelmnist run` from what is typed to the hot loop, a file a line; each adds one thing:

    cli/run.py                   what is typed: options, the folder, who watches
    training/execute.py          one training with its checkpoints and its first answer, then its proof
    training/loop.py             epochs: timed, watched for divergence, their accuracy
    engines/contract.py          a job (network and images), and the runner that an engine prepares for it
    engines/fused.py             the engine: native kernels on the CPU, Triton's on CUDA
    engines/native/network.py    the network in arrays: pixels listed once, the optimizer's state, threads
    engines/native/__init__.py   the extension in C++, which runs an epoch in one call, and its levels of instructions

What differs from step to step is made by `engines/plan.py`; what the run is held against is in `training/proof.py`.
Nothing is imported here, so that `accelmnist --help` stays quick.
"""

__version__ = "0.2.0"
