"""Faults of the images and of the plan: what is learned from, in which order, at which rates."""

from __future__ import annotations

from bench.studies.faults.fault import EAGER, FUSED, fault

_SHIFT = f"{EAGER} --augment shift"
_AFFINE = f"{FUSED} --augment affine"
_DROPOUT = f"{EAGER} --dropout 0.2"
_EMBEDDED = "run --hidden 32 --epochs 2 --engine fused"

DATA = (
    fault(
        "test-images-learned",
        "the last 1,000 training images are test images",
        "data/split.py",
        "training=whole.part(kept) if config.data.validation else whole,",
        "training=ImageSet(np.concatenate([whole.images[:-1000], dataset.test.images[:1000]]),"
        " np.concatenate([whole.labels[:-1000], dataset.test.labels[:1000]])),",
        command=_EMBEDDED,
    ),
    fault(
        "validation-learned",
        "the images held out are trained on as well",
        "data/split.py",
        "return np.setdiff1d(np.arange(len(labels)), validation), validation",
        "return np.arange(len(labels))[: len(labels) - held_out], validation",
        command=f"{FUSED} --validation 1000",
    ),
    fault(
        "labels-wrong",
        "one label in a thousand is another digit",
        "data/types.py",
        "return ImageSet(images=flat, labels=labels.astype(np.int64))",
        "labels = labels.astype(np.int64)\n    labels[::1000] = (labels[::1000] + 1) % CLASSES\n"
        "    return ImageSet(images=flat, labels=labels)",
    ),
    fault(
        "labels-wrong-on-device",
        "one label in five hundred is another digit, on the device alone",
        "data/types.py",
        "labels=torch.from_numpy(images.labels).to(device.torch_device),",
        "labels=torch.from_numpy(np.where(np.arange(len(images)) % 500 == 7, 1,"
        " images.labels)).to(device.torch_device),",
        command=EAGER,
    ),
    fault(
        "test-set-cut",
        "the last 100 test images are left out",
        "data/split.py",
        "test=dataset.test,",
        "test=ImageSet(dataset.test.images[:-100], dataset.test.labels[:-100]),",
    ),
    fault(
        "images-transposed",
        "rows and columns of every image are swapped",
        "data/types.py",
        "flat = np.ascontiguousarray(images).reshape(len(images), INPUTS)",
        "flat = np.ascontiguousarray(images.transpose(0, 2, 1)).reshape(len(images), INPUTS)",
    ),
    fault(
        "images-rolled",
        "every image is moved by one pixel",
        "data/types.py",
        "flat = np.ascontiguousarray(images).reshape(len(images), INPUTS)",
        "flat = np.ascontiguousarray(np.roll(images, 1, axis=2)).reshape(len(images), INPUTS)",
    ),
    fault(
        "training-set-cut",
        "the first tenth of the training images is never used",
        "engines/plan.py",
        "return permutation[: steps * batch_size].reshape(steps, batch_size)",
        "return np.maximum(permutation, count // 10)[: steps * batch_size].reshape(steps, batch_size)",
    ),
    fault(
        "faint-pixels-lost",
        "pixels below 3 are black in training",
        "engines/model.py",
        "return images.float() * PIXEL_SCALE",
        "return images.float().where(images > 2, 0.0) * PIXEL_SCALE",
        command=EAGER,
    ),
    fault(
        "pixels-over-256",
        "pixels are divided by 256",
        "engines/model.py",
        "PIXEL_SCALE = 1 / 255",
        "PIXEL_SCALE = 1 / 256",
        command=EAGER,
    ),
    fault(
        "inputs-rounded",
        "inputs are rounded to bf16",
        "engines/model.py",
        "return images.float() * PIXEL_SCALE",
        "return (images.float() * PIXEL_SCALE).bfloat16().float()",
        command=EAGER,
    ),
    fault(
        "maps-shifted-by-a-block",
        "every block of images is moved by its neighbour's map",
        "data/augment.py",
        "positions = sources(epoch_maps(self.kind, len(self.data), seed=self.seed, epoch=epoch))",
        "positions = np.roll(sources(epoch_maps(self.kind, len(self.data), seed=self.seed, epoch=epoch)), 1, axis=0)",
        command=_SHIFT,
    ),
    fault(
        "maps-of-the-first-epoch",
        "the images are moved in every epoch as in the first",
        "data/augment.py",
        "rng = generator(seed, Stream.AUGMENT, epoch)",
        "rng = generator(seed, Stream.AUGMENT, 0)",
        command=_SHIFT,
    ),
    fault(
        "maps-not-rounded",
        "pixels between two are cut off, not rounded",
        "data/augment.py",
        "PARTS * PARTS // 2)  # so that the division rounds",
        "0)",
        command=_AFFINE,
    ),
    fault(
        "augmented-once",
        "after the second epoch the images are moved no more",
        "training/loop.py",
        "job.augmentation.write(number)",
        "job.augmentation.write(min(number, 1))",
        command=_AFFINE,
    ),
    fault(
        "last-block-not-moved",
        "the images of the last block stay as they are",
        "data/augment.py",
        "for block, (taps, shares) in enumerate(zip(numbers, weights, strict=True)):",
        "for block, (taps, shares) in enumerate(zip(numbers[:-1], weights[:-1], strict=True)):",
        command=_SHIFT,
    ),
)

PLAN = (
    fault(
        "order-of-the-first-epoch",
        "every epoch has the order of the first",
        "engines/plan.py",
        "permutation = generator(seed, Stream.ORDER, epoch).permutation(count)",
        "permutation = generator(seed, Stream.ORDER, 0).permutation(count)",
    ),
    fault(
        "order-not-shuffled",
        "from the second epoch on, the images come as they lie",
        "engines/plan.py",
        "permutation = generator(seed, Stream.ORDER, epoch).permutation(count)",
        "permutation = generator(seed, Stream.ORDER, epoch).permutation(count) if epoch == 0 else np.arange(count)",
    ),
    fault(
        "images-with-replacement",
        "images are drawn with replacement",
        "engines/plan.py",
        "permutation = generator(seed, Stream.ORDER, epoch).permutation(count)",
        "permutation = generator(seed, Stream.ORDER, epoch).integers(count, size=count)",
    ),
    fault(
        "last-batch-repeats",
        "the last batch of an epoch is its first one again",
        "engines/plan.py",
        "return permutation[: steps * batch_size].reshape(steps, batch_size)",
        "order = permutation[: steps * batch_size].reshape(steps, batch_size)\n"
        "    order[-1] = order[0]\n    return order",
    ),
    fault(
        "last-batch-left-out",
        "the last batch of every epoch is left out, and its loss is the one before",
        "engines/native/network.py",
        "        losses = np.empty(len(epoch), dtype=np.float32)\n",
        "        if (self.count + len(epoch)) % 156 == 0:\n"
        "            before = self.train_epoch(epoch[:-1]) if len(epoch) > 1 else np.ones(1, dtype=np.float32)\n"
        "            self.count += 1\n            return np.append(before, before[-1])[-len(epoch) :]\n"
        "        losses = np.empty(len(epoch), dtype=np.float32)\n",
    ),
    fault(
        "last-batch-teaches-nothing",
        "the rate of every epoch's last step is 0",
        "engines/plan.py",
        "learning_rates=self.rates[number * self.steps : (number + 1) * self.steps],",
        "learning_rates=np.append(self.rates[number * self.steps : (number + 1) * self.steps - 1], np.float32(0)),",
    ),
    fault(
        "order-of-another-seed",
        "the order is that of seed 0, whatever the seed",
        "engines/plan.py",
        "order=epoch_order(self.images, self.training.batch_size, seed=seed, epoch=number),",
        "order=epoch_order(self.images, self.training.batch_size, seed=0, epoch=number),",
        command=f"{FUSED} --seed 5",
    ),
    fault(
        "rates-stale",
        "from the second epoch on, the rates are the first one's",
        "engines/plan.py",
        "learning_rates=self.rates[number * self.steps : (number + 1) * self.steps],",
        "learning_rates=self.rates[: self.steps],",
    ),
    fault(
        "rates-late",
        "every rate is that of the step before",
        "engines/plan.py",
        "learning_rates=self.rates[number * self.steps : (number + 1) * self.steps],",
        "learning_rates=np.roll(self.rates, 1)[number * self.steps : (number + 1) * self.steps],",
    ),
    fault(
        "rates-fall-to-a-twenty-fifth",
        "one-cycle ends at 1/25 of the peak",
        "engines/plan.py",
        "_LAST_SHARE = 1 / 10_000",
        "_LAST_SHARE = 1 / 25",
    ),
    fault(
        "rates-rounded",
        "rates are rounded to bf16",
        "engines/plan.py",
        "return (config.peak_rate * _share_of_peak(config, position)).astype(np.float32)",
        "rates = (config.peak_rate * _share_of_peak(config, position)).astype(np.float32)\n"
        "    return ((rates.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)",
    ),
    fault(
        "cosine-ends-early",
        "the cosine falls to 0 a tenth too early",
        "engines/plan.py",
        "return np.asarray((1 + np.cos(np.pi * position)) / 2)",
        "return np.asarray((1 + np.cos(np.pi * np.minimum(position * 1.1, 1))) / 2)",
        command=f"{FUSED} --schedule cosine",
    ),
    fault(
        "warm-up-ignored",
        "one-cycle rises for 30 % of the steps, whatever was asked for",
        "engines/plan.py",
        "_one_cycle(position, config.warmup)",
        "_one_cycle(position, 0.3)",
    ),
    fault(
        "masks-the-same",
        "all steps of an epoch have one dropout mask",
        "engines/plan.py",
        "return generator(seed, Stream.DROPOUT, epoch).integers(2**31, size=steps)",
        "return np.repeat(generator(seed, Stream.DROPOUT, epoch).integers(2**31, size=1), steps)",
        command=_DROPOUT,
    ),
    fault(
        "masks-of-the-first-epoch",
        "the dropout masks are the same in every epoch",
        "engines/plan.py",
        "return generator(seed, Stream.DROPOUT, epoch)",
        "return generator(seed, Stream.DROPOUT, 0)",
        command=_DROPOUT,
    ),
    fault(
        "weights-of-another-seed",
        "the first weights are those of seed 0",
        "engines/plan.py",
        "rng = generator(seed, Stream.WEIGHTS)",
        "rng = generator(0, Stream.WEIGHTS)",
        command=f"{FUSED} --seed 5",
    ),
    fault(
        "weights-too-wide",
        "Glorot's bound where He's is promised",
        "engines/plan.py",
        "return math.sqrt(6 / (inputs + units)) if activation in _SATURATING else math.sqrt(6 / inputs)",
        "return math.sqrt(6 / (inputs + units))",
    ),
    fault(
        "biases-not-zero",
        "biases begin at 0.01",
        "engines/plan.py",
        "parameters += [weight, aligned_zeros(units)]",
        "parameters += [weight, aligned_zeros(units) + np.float32(0.01)]",
    ),
)
