"""Faults of measurement and of what is made of the samples."""

from __future__ import annotations

from bench.studies.faults.fault import BENCH, EAGER, FUSED, INFERENCE, Edit, Fault, fault

_TIMED = "measure/timed_case.py"
_RUN_CLOCK = "self.seconds += ended - self._started"
_SECONDS = "    work()\n    synchronize(device)\n    return time.perf_counter() - started\n"
_CLOCK = "        with clock:\n            if average is not None:\n                average.resume_training()\n"
_THREADS = f"{BENCH} --threads 1,2"

MEASUREMENT = (
    fault(
        "half-the-steps",
        "half of the steps run, and all are counted",
        _TIMED,
        "        self._losses, whole = [], len(self._epochs[0])\n        while steps:\n",
        "        self._losses, whole, steps = [], len(self._epochs[0]), max(steps // 2, 1)\n        while steps:\n",
        command=BENCH,
    ),
    fault(
        "half-the-batch",
        "half of every batch is trained on while it is timed",
        _TIMED,
        "        self._weights = [weight.detach()",
        "        self._epochs[0] = self._epochs[0].map(lambda one: one[:, : one.shape[1] // 2].copy() if one.ndim == 2"
        " and isinstance(one, np.ndarray) else one[:, : one.shape[1] // 2].contiguous() if one.ndim == 2 else one)\n"
        "        self._weights = [weight.detach()",
        command=BENCH,
    ),
    fault(
        "half-the-units",
        "the network that is timed has half of the hidden units",
        "measure/case_builder.py",
        'return TimedTraining(case, device, run_config(case, self.config), self._given("train", case))',
        "config = run_config(case, self.config)\n"
        "            config = replace(config, model=replace(config.model, hidden=(config.model.hidden[0] // 2,)))\n"
        '            return TimedTraining(case, device, config, self._given("train", case))',
        command=BENCH,
    ),
    fault(
        "clock-slow",
        "the clock of a region is 2 % slow",
        _TIMED,
        _SECONDS,
        _SECONDS.replace("time.perf_counter() - started", "0.98 * (time.perf_counter() - started)"),
        command=BENCH,
    ),
    fault(
        "clock-of-the-run-slow",
        "the clock of a run's epochs is 2 % slow",
        "training/loop.py",
        _RUN_CLOCK,
        "self.seconds += 0.98 * (ended - self._started)",
    ),
    fault(
        "clock-of-the-processor",
        "the clock of a region counts the process's own time over the cores",
        _TIMED,
        "    started = time.perf_counter()\n    work()\n    synchronize(device)\n    return"
        " time.perf_counter() - started\n",
        "    started = time.process_time()\n    work()\n    synchronize(device)\n"
        "    return (time.process_time() - started) / torch.get_num_threads() or 1e-9\n",
        command=BENCH,
    ),
    fault(
        "warm-up-counted",
        "the step that warms is counted among those timed",
        _TIMED,
        "return self.slice_images / self.time(self.slice_steps)",
        "return (self.slice_images + self.step_images) / self.time(self.slice_steps)",
        command=BENCH,
    ),
    fault(
        "warm-up-on-the-clock",
        "the step that warms is on the clock and not counted",
        _TIMED,
        "lambda: seconds_of(lambda: self.run(steps), self.device)",
        "lambda: seconds_of(lambda: self.run(steps + 1), self.device)",
        command=BENCH,
    ),
    fault(
        "replay-stale",
        "losses of steps that were seen before are told again, and nothing runs",
        "engines/native/network.py",
        "        losses = np.empty(len(epoch), dtype=np.float32)\n",
        "        kept, key = self.__dict__.setdefault('kept', {}), (int(epoch.order[0, 0]), len(epoch))\n"
        "        if len(kept.setdefault(key, [])) > 9:\n            return kept[key][0]\n"
        "        losses = np.empty(len(epoch), dtype=np.float32)\n        kept[key].append(losses)\n",
        command=BENCH,
    ),
    fault(
        "first-steps-over-and-over",
        "a region runs its first step over and over",
        _TIMED,
        "part = self._epochs[number][at : at + steps]",
        "part = self._epochs[0].map(lambda one: one[:1].repeat(steps, *(1,) * (one.ndim - 1))"
        " if isinstance(one, torch.Tensor) else one[:1].repeat(steps, axis=0))",
        command=BENCH,
    ),
    fault(
        "not-set-back",
        "the weights are not set back before a region",
        _TIMED,
        "        torch._foreach_copy_(self.weights, list(weights))\n",
        "",
        command=BENCH,
    ),
    fault(
        "another-engine",
        "the case eager is timed with the engine fused",
        _TIMED,
        "        runner = prepare(engine, self.job)\n",
        '        runner = prepare(engine_class("fused" if case.engine == "eager" else case.engine), self.job)\n',
        command=BENCH,
    ),
    fault(
        "samples-swapped",
        "the samples of the cases lie under each other's names",
        _TIMED,
        "    return {key: failures[key] if key in failures else harmonic_mean(rates[key]) for key in samplers}",
        "    named = dict(zip(samplers, [*list(samplers)[1::-1], *list(samplers)[2:]], strict=True))\n"
        "    return {key: failures[key] if key in failures else harmonic_mean(rates[named[key]]) for key in samplers}",
        command=BENCH,
    ),
    fault(
        "threads-not-set",
        "the number of threads of a case is not set",
        _TIMED,
        "            set_threads(self._threads)\n        with memory_errors",
        "            pass\n        with memory_errors",
        command=_THREADS,
    ),
    fault(
        "threads-all-native",
        "the native kernels take all cores, whatever was asked for",
        "engines/native/network.py",
        "            threads=self.threads,\n            precision=self",
        "            threads=2,\n            precision=self",
        command=_THREADS,
    ),
    fault(
        "best-slice",
        "a sample is the rate of its best slice",
        _TIMED,
        "harmonic_mean(rates[key]) for key in samplers}",
        "max(rates[key]) for key in samplers}",
        command=BENCH,
    ),
    fault(
        "slow-slice-dropped",
        "a sample leaves out its slowest slice",
        _TIMED,
        "harmonic_mean(rates[key]) for key in samplers}",
        "harmonic_mean(sorted(rates[key])[1:] or rates[key]) for key in samplers}",
        command=BENCH,
    ),
    Fault(
        "order-off-the-clock",
        "the order of an epoch is made before its clock starts",
        (
            Edit("training/loop.py", _CLOCK, f"        made = plan.epoch(number)\n{_CLOCK}"),
            Edit("training/loop.py", "job.own_rows(plan.epoch(number))", "job.own_rows(made)"),
        ),
    ),
    Fault(
        "augmentation-off-the-clock",
        "the images are moved before the clock starts",
        (
            Edit("training/loop.py", _CLOCK, f"        job.augmentation.write(number)\n{_CLOCK}"),
            Edit(
                "training/loop.py",
                "            if job.augmentation is not None:\n                job.augmentation.write(number)\n",
                "",
            ),
        ),
        command=f"{FUSED} --augment affine",
    ),
    fault(
        "average-off-the-clock",
        "the weights are averaged after the clock stopped",
        "training/loop.py",
        "            with clock:\n                average.take_in(number + 1)\n",
        "            average.take_in(number + 1)\n",
        command=f"{EAGER} --averaging 0.5",
    ),
    fault(
        "train-time-of-half-the-epochs",
        "the training's time leaves out the slowest epoch",
        "training/run.py",
        "train_s = sum(figures.train_s for figures in epochs)",
        "train_s = sum(sorted(figures.train_s for figures in epochs)[:-1])",
    ),
    fault(
        "rate-of-the-best-epoch",
        "the run's images/s are those of its best epoch",
        "training/run.py",
        "images_per_s=images / train_s if train_s else None)",
        "images_per_s=max((figures.images_per_s for figures in epochs), default=None))",
    ),
    fault(
        "p99-is-p90",
        "p99 is p90",
        "measure/benchmark.py",
        "latency=prepared.latency,",
        "latency=(lambda one: one and type(one)(**vars(one) | {'p99_s': one.p90_s}))(prepared.latency),",
        command=INFERENCE,
    ),
    fault(
        "slow-calls-shortened",
        "a call that takes twice the median counts as twice the median",
        _TIMED,
        "self.latencies += timed.latencies(_LATENCY_CALLS)",
        "self.latencies += [min(one, 2 * median(self.latencies or [one])) for one in timed.latencies(_LATENCY_CALLS)]",
        command=INFERENCE,
    ),
    fault(
        "single-calls-scaled",
        "a single call counts as nine tenths of its time",
        _TIMED,
        "self.latencies_s.append(seconds_of(work, self.device))",
        "self.latencies_s.append(0.9 * seconds_of(work, self.device))",
        command=INFERENCE,
    ),
    fault(
        "peak-of-a-case-in-kib",
        "a case's peak of memory is told in KiB",
        "measure/machine.py",
        "added = max(peak - self._before, 0)",
        "added = max(peak - self._before, 0) // 1024",
        command=BENCH,
    ),
    fault(
        "peak-of-a-run-in-thousands",
        "the kernel's kB are taken for thousands of bytes",
        "device/memory.py",
        "return int(peak_kib[1]) * 1024",
        "return int(peak_kib[1]) * 1000",
    ),
    fault(
        "evaluation-half-timed",
        "evaluating takes half of the time that it takes",
        "training/run.py",
        "self.time(**{name: clock.seconds})",
        "self.time(**{name: clock.seconds / 2 if name == 'evaluate_s' else clock.seconds})",
    ),
    fault(
        "loading-in-milliseconds",
        "the time to load is told in milliseconds",
        "training/run.py",
        "self.time(**{name: clock.seconds})",
        "self.time(**{name: clock.seconds * (1000 if name == 'load_s' else 1)})",
    ),
    fault(
        "trials-told-faster",
        "all seeds together are told to take a quarter of their time",
        "sweep/trials/run.py",
        "        total_s=total_s,\n        images_per_s=images / total_s if images else None,",
        "        total_s=total_s / 4,\n        images_per_s=4 * images / total_s if images else None,",
        command=f"{FUSED} --trials 3 --threads 2",
    ),
    fault(
        "inference-of-one-image",
        "every call classifies the first image again",
        _TIMED,
        "zip(map(self.classify, cycle(self._batches)), count(), strict=False)",
        "zip(map(self.classify, cycle(self._batches[:1])), count(), strict=False)",
        command=INFERENCE,
    ),
    fault(
        "inference-half-the-calls",
        "every other call is left out",
        _TIMED,
        "(self._last,) = deque(islice(self._answers, steps), maxlen=1)",
        "(self._last,) = deque(islice(self._answers, max(steps // 2, 1)), maxlen=1)",
        command=INFERENCE,
    ),
    fault(
        "flops-twice",
        "a step's arithmetic is counted twice",
        "measure/limits/cost.py",
        "return 2 * self.rows * self.inner * self.columns",
        "return 4 * self.rows * self.inner * self.columns",
        command=BENCH,
    ),
    fault(
        "probe-half",
        "the matrix product that is the limit counts as half of its arithmetic",
        "measure/limits/probes.py",
        "amount=2 * side**3,",
        "amount=side**3,",
        command=BENCH,
    ),
    fault(
        "compile-time-left-out",
        "the time that an engine compiles is told as 0",
        "training/loop.py",
        "prepare_s=clock.seconds, prepare_seen",
        "prepare_s=0.0, prepare_seen",
        command="run --data {data} --hidden 32 --batch-size 64 --epochs 1 --engine compiled --threads 1 --no-reference",
    ),
)

_SUMMARY = "measure/statistics/summary.py"
_COMPARISON = "measure/statistics/comparison.py"
_CONCLUSION = "measure/conclusion.py"

STATISTICS = (
    fault(
        "best-for-the-median",
        "the best sample stands for the median",
        _SUMMARY,
        "return Summary(median=median, low=low, high=high,",
        "return Summary(median=float(ordered[-1]), low=low, high=high,",
        command=BENCH,
    ),
    fault(
        "mean-for-the-median",
        "the mean stands for the median",
        _SUMMARY,
        "return Summary(median=median, low=low, high=high,",
        "return Summary(median=float(ordered.mean()), low=low, high=high,",
        command=BENCH,
    ),
    fault(
        "interval-of-half",
        "the interval covers 50 %, and says 95",
        _SUMMARY,
        "    low, high = _median_interval(ordered, confidence)\n    return Summary",
        "    low, high = _median_interval(ordered, 0.5)\n    return Summary",
        command=BENCH,
    ),
    fault(
        "interval-of-ninety",
        "the interval covers 90 %, and says 95",
        _SUMMARY,
        "    low, high = _median_interval(ordered, confidence)\n    return Summary",
        "    low, high = _median_interval(ordered, 0.9)\n    return Summary",
        command=BENCH,
    ),
    fault(
        "slow-sample-dropped",
        "the slowest sample of a case is thrown away",
        "measure/record.py",
        "images_per_s=summarize((*before, speed)), rounds=(*result.rounds, number))",
        "images_per_s=summarize((*before, speed) if not before or speed > min(before) else (*before, max(before))),"
        " rounds=(*result.rounds, number))",
        command=BENCH,
    ),
    fault(
        "speed-up-over-another",
        "a speed-up is over the slowest case, not over its baseline",
        _CONCLUSION,
        "over = None if base is None or base == case else paired(results[base], result)",
        "over = None if base is None or base == case else paired(result, results[base])",
        command=BENCH,
    ),
    fault(
        "speed-up-over-itself",
        "a speed-up is over half of the case's own speed",
        _COMPARISON,
        "ratio, low, high = math.exp(estimate), math.exp(low), math.exp(high)",
        "ratio, low, high = math.exp(estimate) * 1.05, math.exp(low) * 1.05, math.exp(high) * 1.05",
        command=BENCH,
    ),
    fault(
        "p-value-one-sided",
        "the p-value is one-sided",
        _COMPARISON,
        "return math.erfc(max(surplus - 0.5, 0) / contrasts.deviation / math.sqrt(2))",
        "return math.erfc(max(surplus - 0.5, 0) / contrasts.deviation / math.sqrt(2)) / 2",
        command=BENCH,
    ),
    fault(
        "ranks-turned-round",
        "the slowest case has rank 1",
        _CONCLUSION,
        "sorted(medians, key=medians.__getitem__, reverse=True)",
        "sorted(medians, key=medians.__getitem__)",
        command=BENCH,
    ),
    fault(
        "rounds-unpaired",
        "a pair's samples are of neighbouring rounds",
        _CONCLUSION,
        "before, after = [theirs[number] for number in common], [ours[number] for number in common]",
        "before, after = [theirs[number] for number in common], [ours[number] for number in reversed(common)]",
        command=BENCH,
    ),
    fault(
        "symptoms-hidden",
        "no symptom is ever told",
        "measure/statistics/symptoms.py",
        "    return tuple(filter(None, [*symptoms, _machine_busy(load), _gpu_throttled(load)]))",
        "    return tuple(filter(None, [*symptoms, _machine_busy(load), _gpu_throttled(load)]))[:0]",
        command=BENCH,
        unfindable="on a quiet machine there is none, and a record doesn't say what the machine was like otherwise",
    ),
    fault(
        "wrong-case-ranked",
        "a failed verdict is forgotten",
        "measure/case_builder.py",
        "        timed.restore()\n        return evaluation.metrics.accuracy, verdict",
        "        timed.restore()\n        return evaluation.metrics.accuracy, replace(verdict, passed=True)",
        command=BENCH,
        unfindable="in a right program no verdict fails, so there is nothing to forget",
    ),
)


def _harmless(name: str, what: str, *edits: Edit, command: str = FUSED) -> Fault:
    return Fault(name, what, edits, command=command, harmless=True)


HARMLESS = (
    _harmless(
        "relu-slope-at-zero",
        "the rectifier's slope at exactly 0 is 1",
        Edit("engines/model.py", '"relu": F.relu,', '"relu": lambda values: values.where(values >= 0, 0.0),'),
        command=EAGER,
    ),
    _harmless(
        "native-leaky-slope-at-zero",
        "the leaky rectifier's slope at exactly 0 is 1, in C++",
        Edit(
            "engines/native/src/activation.h",
            "grad = x > 0.0f ? broadcast(1.0f) : broadcast(0.01f);",
            "grad = x >= 0.0f ? broadcast(1.0f) : broadcast(0.01f);",
        ),
        command=f"{FUSED} --activation leaky-relu",
    ),
    _harmless(
        "native-another-order",
        "the C++ adds the classes up one by one, from the last to the first",
        Edit(
            "engines/native/src/head.h",
            "            for (int label = 0; label < kClasses; label += 2) {\n"
            "                even += gradients[label] * load(weights + label * panel.width);\n"
            "                odd += gradients[label + 1] * load(weights + (label + 1) * panel.width);\n            }\n",
            "            for (int label = kClasses - 1; label >= 0; --label)\n"
            "                even += gradients[label] * load(weights + label * panel.width);\n",
        ),
    ),
    _harmless(
        "native-without-fma",
        "the C++ multiplies and adds in two roundings",
        Edit(
            "engines/native/src/vector.h", "#pragma once\n", '#pragma once\n#pragma GCC optimize("fp-contract=off")\n'
        ),
    ),
    _harmless(
        "one-thread",
        "the native kernels take one thread",
        Edit(
            "engines/native/network.py",
            "return max(1, min(threads, max(hidden, default=1) // _LEAST_UNITS))",
            "return 1",
        ),
    ),
    _harmless(
        "loss-by-targets",
        "the loss is computed from log-probabilities, image by image",
        Edit(
            "engines/model.py",
            'return F.cross_entropy(logits, targets, reduction="none")',
            "return -(targets * torch.log_softmax(logits, dim=-1)).sum(dim=-1)",
        ),
        command=EAGER,
    ),
    _harmless(
        "products-in-float64",
        "the last layer is computed in float64 and rounded",
        Edit(
            "engines/model.py",
            "return F.linear(values, parameters[last], parameters[last + 1])",
            "return F.linear(values.double(), parameters[last].double(), parameters[last +"
            " 1].double()).to(values.dtype)",
        ),
        command=EAGER,
    ),
    _harmless(
        "update-not-fused",
        "the update is torch's plain one",
        Edit(
            "engines/step/torch_update.py",
            "self.torch_update = TorchUpdate(self.parameters, job.config.training, fused=True)",
            "self.torch_update = TorchUpdate(self.parameters, job.config.training, fused=False)",
        ),
        command=EAGER,
    ),
    _harmless(
        "scaled-by-division",
        "pixels are divided by 255, not multiplied by its inverse",
        Edit("engines/model.py", "return images.float() * PIXEL_SCALE", "return images.float() / 255"),
        command=EAGER,
    ),
    _harmless(
        "layers-in-halves",
        "the first layer's sums are those of two halves of the inputs",
        Edit(
            "engines/model.py",
            "values = activation(F.linear(values, parameters[position], parameters[position + 1]))",
            "half = values.shape[1] // 2\n"
            "        first = F.linear(values[:, half:], parameters[position][:, half:])\n"
            "        values = activation(first + F.linear(values[:, :half], parameters[position][:, :half],"
            " parameters[position + 1]))",
        ),
        command=EAGER,
    ),
    _harmless(
        "dropout-threshold-by-one",
        "dropout keeps one of the 2^32 hashes more",
        Edit("engines/step/loss.py", ">= int(probability * 2**32)", "> int(probability * 2**32) - 1"),
        command=f"{EAGER} --dropout 0.2",
    ),
    _harmless(
        "quartiles-by-sorting",
        "the median is the middle of the sorted samples",
        Edit(
            _SUMMARY,
            "    low, high = _median_interval(ordered, confidence)\n    return Summary",
            "    median = float(ordered[(ordered.size - 1) // 2] + ordered[ordered.size // 2]) / 2\n"
            "    low, high = _median_interval(ordered, confidence)\n    return Summary",
        ),
        command=BENCH,
    ),
    _harmless(
        "rounds-in-order",
        "the slices of a turn are not shuffled",
        Edit(_TIMED, "        rng.shuffle(order)\n", ""),
        command=BENCH,
    ),
)
