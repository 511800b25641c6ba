"""Faults of the network, of its loss and of the update, in what the engines in torch share or in the loop of epochs."""

from __future__ import annotations

from bench.studies.faults.fault import DEEP, EAGER, FUSED, fault

_DROPOUT = f"{EAGER} --dropout 0.2"
_FP16 = "run --data {data} --hidden 32 --batch-size 64 --epochs 2 --engine eager --threads 1 --amp fp16"
_FORWARD = "return F.linear(values, parameters[last], parameters[last + 1])"
_BEFORE_STEPS = "            if job.augmentation is not None:\n                job.augmentation.write(number)\n"
_GRADIENTS = "        loss, gradients = self.gradients(index, seed)\n"
_SGD = f"{EAGER} --optimizer sgd-momentum"

MODEL = (
    fault(
        "leaky-slope",
        "the leaky rectifier's slope is 0.02",
        "engines/model.py",
        '"leaky-relu": F.leaky_relu,',
        '"leaky-relu": lambda values: F.leaky_relu(values, 0.02),',
        command=f"{EAGER} --activation leaky-relu",
    ),
    fault(
        "gelu-by-tanh",
        "GELU is its approximation by tanh",
        "engines/model.py",
        '"gelu": F.gelu,',
        '"gelu": lambda values: F.gelu(values, approximate="tanh"),',
        command=f"{EAGER} --activation gelu",
    ),
    fault(
        "relu6",
        "the rectifier is cut off at 6",
        "engines/model.py",
        '"relu": F.relu,',
        '"relu": F.relu6,',
        command=EAGER,
    ),
    fault(
        "last-bias-left-out",
        "the outputs' biases are left out in evaluation",
        "engines/model.py",
        "return forward(list(self.parameters()), inputs, activation=ACTIVATION_FUNCTIONS[self.config.activation])",
        "return forward([*list(self.parameters())[:-1], torch.zeros(CLASSES)], inputs,"
        " activation=ACTIVATION_FUNCTIONS[self.config.activation])",
        command=EAGER,
    ),
    fault(
        "bias-left-out-in-training",
        "the outputs' biases are left out in training",
        "engines/model.py",
        _FORWARD,
        "return F.linear(values, parameters[last], parameters[last + 1] if drop is None and not"
        " torch.is_grad_enabled() else parameters[last + 1] * 0)",
        command=EAGER,
    ),
    fault(
        "mask-shared-by-layers",
        "all layers have the same dropout mask",
        "engines/step/loss.py",
        "return drop(values, probability, seed=seed, layer=layer, first=first)",
        "return drop(values, probability, seed=seed, layer=0, first=first)",
        command=f"{DEEP} --dropout 0.2",
    ),
    fault(
        "dropout-scaled-down",
        "what dropout keeps is multiplied by 1 - p",
        "engines/step/loss.py",
        "return values * keep * (1 / (1 - probability))",
        "return values * keep * (1 - probability)",
        command=_DROPOUT,
    ),
    fault(
        "dropout-not-scaled",
        "what dropout keeps is not scaled up",
        "engines/step/loss.py",
        "return values * keep * (1 / (1 - probability))",
        "return values * keep",
        command=_DROPOUT,
    ),
    fault(
        "dropout-in-evaluation",
        "dropout goes on in evaluation",
        "engines/model.py",
        "return forward(list(self.parameters()), inputs, activation=ACTIVATION_FUNCTIONS[self.config.activation])",
        "return forward(list(self.parameters()), inputs, activation=ACTIVATION_FUNCTIONS[self.config.activation],"
        " drop=lambda values, _: F.dropout(values, self.config.dropout))",
        command=_DROPOUT,
    ),
    fault(
        "mask-by-column",
        "a dropout mask is one for all images of the batch",
        "engines/step/loss.py",
        "positions = torch.arange(start, start + values.numel(), device=values.device).view_as(values)",
        "positions = torch.arange(values.shape[1], device=values.device).expand_as(values)",
        command=_DROPOUT,
    ),
)

LOSS = (
    fault(
        "smoothing-over-nine",
        "label smoothing is spread over the nine other classes",
        "engines/model.py",
        "(1 - label_smoothing) + label_smoothing / CLASSES",
        "(1 - label_smoothing - label_smoothing / 9) + label_smoothing / 9",
        command=EAGER,
    ),
    fault(
        "smoothing-left-out",
        "labels are not smoothed",
        "engines/step/loss.py",
        "config.model.output, label_smoothing=config.training.label_smoothing, device=device.torch_device",
        "config.model.output, label_smoothing=0.0, device=device.torch_device",
        command=EAGER,
    ),
    fault(
        "gradients-by-the-batch-less-one",
        "the mean over a batch divides by one image less",
        "engines/model.py",
        "return image_losses(wide, table.to(wide.dtype).index_select(0, labels), output).mean()",
        "return image_losses(wide, table.to(wide.dtype).index_select(0, labels), output).sum() / (len(labels) - 1)",
        command=EAGER,
    ),
    fault(
        "sigmoid-loss-averaged",
        "the sigmoid's loss is the mean over the classes",
        "engines/model.py",
        'return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=-1)',
        'return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=-1)',
        command=f"{EAGER} --output sigmoid",
    ),
    fault(
        "squared-error-not-halved",
        "the squared error is not halved",
        "engines/model.py",
        "return 0.5 * (logits - targets).square().sum(dim=-1)",
        "return (logits - targets).square().sum(dim=-1)",
        command=f"{EAGER} --output linear",
    ),
    fault(
        "losses-of-half-the-batch",
        "the loss that is told is that of the batch's first half",
        "engines/step/torch_steps.py",
        "        return loss.detach(), torch.autograd.grad(scaled, self.parameters)\n",
        "        half = slice(len(index) // 2)\n"
        "        told = self.loss(self.parameters, inputs[half], self.data.labels.index_select(0, index)[half], seed)\n"
        "        return told.detach(), torch.autograd.grad(scaled, self.parameters)\n",
        command=EAGER,
    ),
    fault(
        "losses-late",
        "every loss that is told is that of the step before",
        "engines/step/torch_steps.py",
        "return torch.stack([self.step(*step) for step in epoch.steps()])",
        "return torch.stack([self.step(*step) for step in epoch.steps()]).roll(1)",
        command=EAGER,
    ),
    fault(
        "gradients-clipped",
        "gradients above a norm of 0.5 are clipped in silence",
        "engines/step/torch_steps.py",
        _GRADIENTS,
        f"{_GRADIENTS}        norm = torch.stack([grad.norm() for grad in gradients]).norm()\n"
        "        gradients = tuple(grad * (0.5 / norm).clamp(max=1) for grad in gradients)\n",
        command=EAGER,
    ),
    fault(
        "gradients-late",
        "weights are updated by the gradients of the step before",
        "engines/step/torch_steps.py",
        _GRADIENTS,
        f"{_GRADIENTS}        gradients, self.before = getattr(self, 'before', gradients), gradients\n",
        command=EAGER,
    ),
    fault(
        "gradients-large-in-16-bits",
        "in bf16 gradients are 10 % too large",
        "engines/step/torch_steps.py",
        _GRADIENTS,
        f"{_GRADIENTS}        gradients = tuple(grad * 1.1 for grad in gradients)\n",
        command=f"{EAGER} --amp bf16",
    ),
    fault(
        "gradients-large",
        "from step 200 on, gradients are 10 % too large",
        "engines/step/torch_steps.py",
        _GRADIENTS,
        f"{_GRADIENTS}        self.count = getattr(self, 'count', 0) + 1\n"
        "        gradients = tuple(grad * (1.1 if self.count > 200 else 1) for grad in gradients)\n",
        command=_SGD,
    ),
    fault(
        "scale-not-divided-out",
        "fp16's scale is not divided out of the gradients",
        "engines/step/torch_update.py",
        "scale=self.loss_scale.scale, overflowed=(~finite).float())",
        "scale=None, overflowed=(~finite).float())",
        command=_FP16,
    ),
    fault(
        "scale-never-grows",
        "fp16's scale is halved when it should be doubled",
        "engines/step/torch_update.py",
        "grown = torch.where(grows, scale * 2, scale)",
        "grown = torch.where(grows, scale / 2, scale)",
        command=f"{_FP16} --batch-size 4 --optimizer sgd",
    ),
    fault(
        "overflow-counted",
        "a step that overflowed is counted by Adam",
        "engines/step/torch_update.py",
        "        self.loss_scale.update(finite)\n",
        "        self.loss_scale.update(finite)\n"
        "        for count in self.torch_update.counts:\n            count += (~finite).float()\n",
        command=_FP16,
        unfindable="no step of this training overflows: where none does, the program is right",
    ),
)

UPDATE = (
    fault(
        "adam-begins-anew",
        "Adam's count of updates begins anew in every epoch",
        "engines/native/network.py",
        "        self.count += len(losses)\n",
        "        self.count += len(losses)\n        self.count = 0 if self.count % 156 == 0 else self.count\n",
    ),
    fault(
        "adam-count-lost-between-calls",
        "Adam's corrections are always those of the first epoch",
        "engines/native/network.py",
        "            count=float(self.count),\n",
        "            count=float(self.count % 156),\n",
    ),
    fault(
        "beta2-of-0.99",
        "Adam's second beta is 0.99",
        "engines/step/rules.py",
        "BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8",
        "BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8",
        command=EAGER,
    ),
    fault(
        "epsilon-of-1e-5",
        "Adam's epsilon is 1e-5",
        "engines/step/rules.py",
        "BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8",
        "BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-5",
        command=EAGER,
    ),
    fault(
        "decay-in-the-gradient",
        "AdamW's decay goes through the gradient, as Adam's does",
        "engines/step/torch_update.py",
        'decoupled_weight_decay=self.config.optimizer == "adamw",',
        "decoupled_weight_decay=False,",
        command=EAGER,
    ),
    fault(
        "decay-ends",
        "weights decay no more from the second epoch on",
        "engines/native/network.py",
        "weight_decay=training.weight_decay,",
        "weight_decay=training.weight_decay if self.count == 0 else 0.0,",
    ),
    fault(
        "no-decay-after-17",
        "weights decay no more after step 17",
        "engines/step/torch_update.py",
        "            weight_decay=self.config.weight_decay,\n",
        "            weight_decay=self.config.weight_decay if (not self.counts or self.counts[0] < 17) else 0.0,\n",
        command=EAGER,
    ),
    fault(
        "biases-do-not-decay",
        "biases don't decay",
        "engines/step/torch_update.py",
        "        self._update(\n            list(gradients),\n",
        "        for bias in self.parameters[1::2] if self.config.optimizer == 'adamw' else ():\n"
        "            bias.div_(1 - learning_rate * self.config.weight_decay)\n"
        "        self._update(\n            list(gradients),\n",
        command=EAGER,
    ),
    fault(
        "momentum-dampened",
        "momentum's gradient is dampened by a tenth",
        "engines/step/torch_update.py",
        "dampening=0.0,",
        "dampening=0.1,",
        command=_SGD,
    ),
    fault(
        "momentum-of-0.95",
        "momentum is 0.95 from the second epoch on",
        "engines/native/network.py",
        "momentum=training.momentum,",
        "momentum=training.momentum if self.count == 0 else 0.95,",
        command=f"{FUSED} --optimizer sgd-momentum",
    ),
    fault(
        "nesterov-ignored",
        "Nesterov's form is ignored",
        "engines/step/torch_update.py",
        "nesterov=self.config.nesterov,",
        "nesterov=False,",
        command=f"{_SGD} --nesterov",
    ),
    fault(
        "momentum-forgotten",
        "the velocity is set to zero at the start of every epoch",
        "engines/step/torch_steps.py",
        "return torch.stack([self.step(*step) for step in epoch.steps()])",
        "if len(epoch) > 30:\n"
        "            for velocity in self.update.torch_update.slots['momentum_buffer']:\n"
        "                velocity.zero_()\n"
        "        return torch.stack([self.step(*step) for step in epoch.steps()])",
        command=_SGD,
    ),
    fault(
        "state-forgotten-between-epochs",
        "the optimizer's state is set to zero between epochs",
        "training/loop.py",
        _BEFORE_STEPS,
        f"{_BEFORE_STEPS}            if number:\n"
        "                runner.load_state({name: 0 * value for name, value in runner.state().items()})\n",
        command=_SGD,
    ),
    fault(
        "weights-rounded",
        "weights are rounded to bf16 between epochs",
        "training/loop.py",
        _BEFORE_STEPS,
        f"{_BEFORE_STEPS}            for one in job.parameters if number else ():\n"
        "                one[...] = (one.view(np.uint32) & 0xFFFF0000).view(np.float32)\n",
    ),
    fault(
        "unit-reset",
        "one hidden unit is reset between epochs",
        "training/loop.py",
        _BEFORE_STEPS,
        f"{_BEFORE_STEPS}            if number:\n                job.parameters[0][3] = 0.01\n",
    ),
    fault(
        "nothing-learned-after-the-first-epoch",
        "after the first epoch all weights are set back to its end",
        "training/loop.py",
        _BEFORE_STEPS,
        f"{_BEFORE_STEPS}            if number == 1:\n"
        "                job.kept = [one.copy() for one in job.parameters]\n"
        "            for one, kept in zip(job.parameters, getattr(job, 'kept', []), strict=False):\n"
        "                one[...] = kept\n",
    ),
    fault(
        "nothing-learned-in-the-last-epoch",
        "rates are 0 in the last epoch",
        "engines/plan.py",
        "learning_rates=self.rates[number * self.steps : (number + 1) * self.steps],",
        "learning_rates=self.rates[number * self.steps : (number + 1) * self.steps]"
        " * np.float32(number == 0 or number + 1 < self.training.epochs),",
    ),
    fault(
        "first-layer-frozen",
        "the first layer gets no gradients after the first epoch",
        "engines/step/torch_steps.py",
        _GRADIENTS,
        f"{_GRADIENTS}        self.count = getattr(self, 'count', 0) + 1\n"
        "        gradients = (gradients[0] * (self.count <= 156), *gradients[1:])\n",
        command=EAGER,
    ),
    fault(
        "every-fiftieth-step-skipped",
        "every 50th step leaves the weights as they are",
        "engines/step/torch_steps.py",
        "        self.update.update(gradients, rate)\n        return loss\n",
        "        self.count = getattr(self, 'count', 0) + 1\n"
        "        if self.count % 50:\n            self.update.update(gradients, rate)\n        return loss\n",
        command=EAGER,
    ),
    fault(
        "one-step-doubled",
        "step 300 is made twice",
        "engines/step/torch_steps.py",
        "return torch.stack([self.step(*step) for step in epoch.steps()])",
        "losses = []\n        for step in epoch.steps():\n"
        "            self.count = getattr(self, 'count', 0) + 1\n"
        "            losses += [self.step(*step) for _ in range(1 + (self.count == 300))][-1:]\n"
        "        return torch.stack(losses)",
        command=f"{EAGER} --audit full",
    ),
    fault(
        "some-weights-frozen",
        "from step 100 on, one weight in a hundred of the first layer is not updated",
        "engines/step/torch_steps.py",
        _GRADIENTS,
        f"{_GRADIENTS}        self.count = getattr(self, 'count', 0) + 1\n"
        "        if self.count > 100:\n            gradients[0].view(-1)[::100] = 0\n",
        command=_SGD,
    ),
    fault(
        "average-decays-twice",
        "the average keeps the square of the share asked for",
        "training/loop.py",
        "        self._decay = decay\n",
        "        self._decay = decay**2\n",
        command=f"{FUSED} --averaging 0.5",
    ),
    fault(
        "average-biased",
        "the average begins at zero and is not corrected",
        "training/loop.py",
        "share = (1 - self._decay) / (1 - self._decay**epochs)",
        "share = 1 - self._decay",
        command=f"{FUSED} --averaging 0.5",
    ),
    fault(
        "average-trained-on",
        "training goes on from the average",
        "training/loop.py",
        "            self._named[name].copy_(trained)\n",
        "            trained.copy_(self._named[name])\n",
        command=f"{FUSED} --averaging 0.5",
    ),
    fault(
        "average-one-epoch-late",
        "the average takes in the weights of the epoch before",
        "training/loop.py",
        "            self._trained[name] = weight.clone()\n",
        "            before = self._trained.get(name, weight).clone()\n            self._trained[name]"
        " = weight.clone()\n"
        "            weight.copy_(before)\n",
        command=f"{FUSED} --averaging 0.5",
    ),
    fault(
        "compiled-epsilon-inside-the-root",
        "epsilon stands inside the root in the functional step",
        "engines/step/functional.py",
        "(square.sqrt() * root_correction + EPSILON)",
        "((square * root_correction * root_correction + EPSILON).sqrt())",
        command="run --data {data} --hidden 32 --batch-size 64 --epochs 2 --engine compiled --threads 1 --no-reference",
    ),
)
