"""The parts of a training step that several engines share.

rules              constants of the optimizers, the names of their state, and whether a network fits into memory
device_runner      what all share in torch: plan and state in tensors, and the runner of an engine
loss               logits and loss in a run's precision, with dropout whose masks are the same on every device
torch_update       the update by torch's own functions, with fp16's loss scale
torch_steps        steps by torch's kernels: one by one, and several as a chunk that can be captured
replay             captures and replays such chunks
functional         a whole step as one function, for compilers, and its update
compiled_steps     such steps compiled
"""
