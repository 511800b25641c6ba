"""Faults of single engines: the native C++, the compiled step, graphs, and Triton's kernels."""

from __future__ import annotations

from bench.studies.faults.fault import FUSED, Edit, Fault, fault

_NATIVE = "engines/native/src"
_QUICKLY = "--epochs 2 --threads 1 --no-reference"
_COMPILED = f"run --data {{data}} --hidden 32 --batch-size 64 --engine compiled {_QUICKLY}"
_GRAPHS = f"run --data {{data}} --hidden 32 --batch-size 64 --engine cuda_graph --device cpu {_QUICKLY}"
_TRITON = f"run --data {{data}} --hidden 16 --batch-size 250 --engine fused --device cpu {_QUICKLY}"
_PERSISTENT = f"run --data {{data}} --hidden 16 --batch-size 250 --engine persistent --device cpu {_QUICKLY}"

NATIVE = (
    fault(
        "native-count-stands-still",
        "Adam's corrections are those of the call's first step",
        f"{_NATIVE}/update.h",
        "const double count = job.count + static_cast<double>(step) + 1,",
        "const double count = job.count + 1,",
    ),
    fault(
        "native-square-not-corrected",
        "Adam's square is not corrected",
        f"{_NATIVE}/update.h",
        "params.sqrt_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(job.beta2, count)));",
        "params.sqrt_correction = 1.0f;",
    ),
    fault(
        "native-decay-ends",
        "weights decay no more after step 17",
        f"{_NATIVE}/update.h",
        "params.momentum = static_cast<float>(job.momentum);",
        "params.momentum = static_cast<float>(job.momentum);\n    if (count > 17) params.decay = 0;",
    ),
    fault(
        "native-last-image-left-out",
        "the batch's last image is left out of the outputs' gradient",
        f"{_NATIVE}/head.h",
        "        for (int64_t image = 0; image < batch; ++image) {\n"
        "            const Floats value = load(panel.values + image * panel.width + vector * kLanes);",
        "        for (int64_t image = 0; image + 1 < batch; ++image) {\n"
        "            const Floats value = load(panel.values + image * panel.width + vector * kLanes);",
    ),
    fault(
        "native-faint-pixels-lost",
        "pixels of 1 and 2 are taken for black",
        f"{_NATIVE}/pixel_lists.h",
        "        const uint8_t* bytes = pixels + number * kBlockPixels;\n",
        "        uint8_t seen[kBlockPixels];\n"
        "        for (int at = 0; at < kBlockPixels; ++at) {\n"
        "            const uint8_t pixel = pixels[number * kBlockPixels + at];\n"
        "            seen[at] = pixel < 3 ? 0 : pixel;\n        }\n        const uint8_t* bytes = seen;\n",
    ),
    fault(
        "native-dropout-not-in-the-gradient",
        "dropout's scale is left out of the gradient",
        f"{_NATIVE}/train.h",
        "const auto scale = static_cast<float>(1 / (1 - job.dropout));",
        "const auto scale = 1.0f;",
        command=f"{FUSED} --dropout 0.2",
    ),
    fault(
        "native-smoothing-left-out-of-the-own-class",
        "smoothing's share is missing in the target of an image's own class",
        f"{_NATIVE}/head.h",
        "spec.own_target = static_cast<float>(1 - job.label_smoothing) + spec.other_target;",
        "spec.own_target = static_cast<float>(1 - job.label_smoothing);",
    ),
    fault(
        "native-second-panel-late",
        "the second layer's biases are updated every other step",
        f"{_NATIVE}/train.h",
        "        update_head_bias(params);\n",
        "        if (static_cast<int64_t>(params.rate * 1e9f) % 2 == 0) update_head_bias(params);\n",
    ),
)

_IN_BF16 = f"{FUSED} --amp bf16"
_OUTPUTS_IN_BF16 = "run --data {data} --hidden none --optimizer sgd-momentum --engine fused --amp bf16 --no-reference"
_PRODUCTS = f"{_NATIVE}/bf16_products.h"
_ODD_IMAGE = (
    f"{_NATIVE}/bf16_pixels.h",
    "    for (int64_t image = 0; image < count; image += 2) {",
    "    for (int64_t image = 0; image + 1 < count; image += 2) {",
)

NATIVE_BF16 = (
    Fault(
        "bf16-sums-rounded",
        "in bf16, a sum is rounded to it after every pair",
        (
            Edit(
                f"{_NATIVE}/bf16.h",
                "return (Floats)_mm512_dpbf16_ps((__m512)sums, (__m512bh)left, (__m512bh)right);",
                "return second_of(rounded((Floats)_mm512_dpbf16_ps((__m512)sums, (__m512bh)left, (__m512bh)right)));",
            ),
            Edit(
                f"{_NATIVE}/bf16.h",
                "return sums + first_of(left) * first_of(right);",
                "return second_of(rounded(sums + first_of(left) * first_of(right)));",
            ),
        ),
        command=f"{_OUTPUTS_IN_BF16} --batch-size 10000 --epochs 20",
    ),
    fault(
        "bf16-odd-image-forgotten",
        "in bf16, the last image of an odd batch is left out of the gradient of the pixels' weights",
        *_ODD_IMAGE,
        command=f"{_OUTPUTS_IN_BF16} --batch-size 7 --epochs 1",
    ),
    fault(
        "bf16-odd-image-forgotten-behind-a-layer",
        "in bf16, the last image of 63 is left out of the gradient of the pixels' weights, behind a hidden layer",
        *_ODD_IMAGE,
        command=_IN_BF16.replace("--batch-size 64", "--batch-size 63"),
    ),
    Fault(
        "bf16-cut-off",
        "in bf16, weights and gradients are cut off instead of rounded to nearest",
        (
            Edit(
                f"{_NATIVE}/bf16.h",
                "return value == value ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;",
                "return value == value ? bits : bits | 0x400000;",
            ),
            Edit(
                f"{_NATIVE}/bf16.h",
                "(__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);",
                "(__m512i)_mm512_cvtne2ps_pbh("
                "(__m512)second_of((Unsigned)second), (__m512)second_of((Unsigned)first));",
            ),
            Edit(
                f"{_NATIVE}/bf16.h",
                "_mm512_cvtneps_pbh((__m512)value);",
                "_mm512_cvtneps_pbh((__m512)second_of((Unsigned)value));",
            ),
        ),
        command=_IN_BF16,
    ),
    Fault(
        "bf16-weights-stale",
        "in bf16, what is multiplied are the weights of the step before",
        (
            Edit(_PRODUCTS, "            if (is_last) keep_weights_from(number, panel, first + input, rows);\n", ""),
            Edit(
                _PRODUCTS,
                "            if (is_last) prefetch_rows(panel, params, first + input + kRows);\n",
                "            if (is_last) keep_weights_from(number, panel, first + input, rows);\n",
            ),
        ),
        command=_IN_BF16,
    ),
)

COMPILED = (
    fault(
        "compiled-remainder-left-out",
        "the steps after the last full call of an epoch are left out, and their losses are the last ones",
        "engines/step/compiled_steps.py",
        "losses.append(compiled()[: len(part)])",
        "losses.append(compiled()[: len(part)] if len(part) in (1, loop.capacity) else losses[-1][-len(part) :])",
        command=_COMPILED,
    ),
    fault(
        "compiled-corrections-late",
        "Adam's corrections are those of the step before",
        "engines/step/compiled_steps.py",
        "return position + 1, losses, *self._step.corrections(after), *after",
        "return position + 1, losses, *self._step.corrections(carried[correction_count:]), *after",
        command=_COMPILED,
    ),
    fault(
        "compiled-seed-stale",
        "the dropout seed is that of the call's first step",
        "engines/step/compiled_steps.py",
        "self._plan.dropout_seeds.index_select(0, index).view(()),",
        "self._plan.dropout_seeds[0].view(()),",
        command=f"{_COMPILED} --dropout 0.2",
    ),
    fault(
        "compiled-not-at-all",
        "nothing is compiled: the engine runs its step as Python's operators",
        "engines/compilation.py",
        "compiled: Callable[P, R] = torch.compile(own, fullgraph=True, dynamic=False, options=_options(device))",
        "compiled: Callable[P, R] = own",
        command=_COMPILED,
    ),
    fault(
        "compiled-without-code",
        "the step is traced, and its graph of operators run without code of its own",
        "engines/compilation.py",
        "torch.compile(own, fullgraph=True, dynamic=False, options=_options(device))",
        'torch.compile(own, fullgraph=True, dynamic=False, backend="eager")',
        command=_COMPILED,
    ),
)

GRAPHS = (
    fault(
        "graphs-rates-frozen",
        "the rates are those of the first filling",
        "engines/plan.py",
        "self.order[here], self.learning_rates[here] = part.order, part.learning_rates",
        "self.order[here] = part.order",
        command=_GRAPHS,
        stand_in="graphs",
    ),
    fault(
        "graphs-seeds-frozen",
        "the dropout seeds are those of the first filling",
        "engines/plan.py",
        "        self.dropout_seeds[here] = part.dropout_seeds\n",
        "",
        command=f"{_GRAPHS} --dropout 0.2",
        stand_in="graphs",
    ),
    fault(
        "graphs-warm-up-kept",
        "what capturing changed in the weights stays",
        "engines/step/replay.py",
        "        torch._foreach_copy_(changed, before)\n",
        "        torch._foreach_copy_(changed[1:], before[1:])\n",
        command=_GRAPHS,
        stand_in="graphs",
    ),
    fault(
        "graphs-rest-not-filled",
        "chunks of fewer than 4 steps replay the steps of the chunk before",
        "engines/step/replay.py",
        "            self.chunk.step_inputs.fill(epoch[here])\n",
        "            if size >= 4 or size == len(epoch):\n                self.chunk.step_inputs.fill(epoch[here])\n",
        command=_GRAPHS,
        stand_in="graphs",
    ),
    fault(
        "graphs-scale-left-out",
        "fp16's gradients are not scaled, but divided",
        "engines/step/torch_steps.py",
        "gradient = self._update.scaled((outputs - targets) * (1 / len(inputs)))",
        "gradient = (outputs - targets) * (1 / len(inputs))",
        command=f"{_GRAPHS} --amp fp16",
        stand_in="graphs",
    ),
    fault(
        "graphs-gradient-by-the-capacity",
        "the gradient is divided by the batch and one",
        "engines/step/torch_steps.py",
        "gradient = self._update.scaled((outputs - targets) * (1 / len(inputs)))",
        "gradient = self._update.scaled((outputs - targets) * (1 / (len(inputs) + 1)))",
        command=f"{_GRAPHS} --optimizer sgd",
        stand_in="graphs",
    ),
)

TRITON = (
    fault(
        "triton-epsilon-inside-the-root",
        "epsilon stands inside the root",
        "engines/triton/kernels/pieces.py",
        "(tl.sqrt_rn(second) * factors.root + rule.epsilon)",
        "tl.sqrt_rn(second * factors.root * factors.root + rule.epsilon)",
        command=_TRITON,
        stand_in="triton",
    ),
    fault(
        "triton-biases-not-averaged",
        "the biases' gradients are not divided by the batch",
        "engines/triton/kernels/update.py",
        "unit_sums * (1 / BLOCK.batch)",
        "unit_sums",
        command=f"{_TRITON} --optimizer sgd",
        stand_in="triton",
    ),
    fault(
        "triton-count-late",
        "Adam's corrections are those of the step before",
        "engines/triton/chunk.py",
        "before = count + torch.arange(steps, device=count.device)",
        "before = (count + torch.arange(steps, device=count.device) - 1).clamp(min=0)",
        command=_TRITON,
        stand_in="triton",
    ),
    fault(
        "triton-no-decay",
        "AdamW's weights don't decay",
        "engines/triton/kernels/pieces.py",
        "value *= 1 - factors.rate * rule.decay",
        "value *= 1",
        command=_TRITON,
        stand_in="triton",
    ),
    fault(
        "persistent-output-bias-frozen",
        "the outputs' biases are never updated",
        "engines/triton/kernels/persistent.py",
        "    if unit_block == 0:\n        update_parameter(second.out_bias,",
        "    if unit_block == 99:\n        update_parameter(second.out_bias,",
        command=_PERSISTENT,
        stand_in="persistent",
    ),
    fault(
        "persistent-count-of-an-epoch",
        "Adam's count begins anew in every launch after the first hundred steps",
        "engines/triton/persistent_epochs.py",
        "        self._count += len(epoch)\n",
        "        self._count += len(epoch)\n        self._count.fmod_(40)\n",
        command=_PERSISTENT,
        stand_in="persistent",
    ),
)
