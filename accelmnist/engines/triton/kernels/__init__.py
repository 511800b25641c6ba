"""The kernels of the engines `fused` and `persistent` on CUDA, in Triton.

    pieces      device functions of several kernels: batches, activations, dropout, the optimizer's update, a barrier
    layers      a hidden layer forward and backward, and the outputs with loss and gradients
    update      the gradient of a layer's weights, and the optimizer's update in the same kernel
    persistent  all steps of an epoch in one launch, with barriers between its programs
    constants   groups of constants and pointers that kernels take, and the blocks of a product, in plain Python
    partition   the blocks of the persistent kernel, in plain Python

Rows of a batch, units and inputs are cut into blocks; a program computes one block of a product's result. Products
take float32 operands ("ieee", or "tf32" in that precision) or 16-bit ones, and add up in float32. Gradients
at activations are kept as many times as large as the batch has images, and divided in the update: in 16 bits they
then neither vanish nor overflow, which is what a loss scale is for.

Nothing here is imported before an engine needs it: Triton is installed only with torch's CUDA. Its interpreter
(TRITON_INTERPRET=1) runs the same kernels on the CPU, one program after the other, which is how they are tested.
"""
