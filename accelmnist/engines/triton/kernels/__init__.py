"""The kernels of the fused engine on CUDA, in Triton: a training step in a few launches.

    pieces      what they have in common: batches of images or activations, activation functions, dropout
    forward     a hidden layer: gather, scale, product, bias, activation, dropout
    head        the outputs: product, output function, loss, its gradient, and the gradient of the last hidden layer
    backward    the gradient of a hidden layer from that of the next one
    update      gradient of a layer's weights, and the optimizer's update in the same kernel
    tiles       how a product is cut into blocks: plain Python

Rows of a batch, units and inputs are cut into blocks; a program computes one block of a product's result. Products
take float32 operands ("ieee", or "tf32" where that was asked for) or 16-bit ones, and add up in float32. Gradients
at activations are kept as many times as large as the batch has images, and divided in the update: in 16 bits they
then neither vanish nor overflow, which is what a loss scale is for.

Nothing here is imported before an engine needs it: Triton is there only where torch's CUDA is. Its interpreter
(TRITON_INTERPRET=1) runs the same kernels on the CPU, one program after the other, which is how they are tested.
"""
