"""The parts of a training step that several engines share.

loss               logits and loss in a run's precision, with dropout whose masks are the same on every device
rules              constants of the optimizers, and the names of their state; `state` exports and imports it
torch_update       the update by torch's own functions; `scaled_update` adds fp16's loss scale
functional         a whole step as one function, for compilers; `functional_update` is its update
compiled_steps     such steps compiled; `eager_steps` are those of the framework's own operations
torch_chunk        several steps by torch's kernels, for capture; `replay` captures and replays such chunks
device_runner      the runner of an engine whose steps are torch's work
memory             whether a network fits into memory, checked before it is made
"""
