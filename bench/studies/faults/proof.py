"""Faults after the training: evaluation, metrics, what is told of it, and what is saved."""

from __future__ import annotations

from bench.studies.faults.fault import EAGER, SAVED, fault

_LOGITS = "chunks.append(model(scale_images(part)).float())"
_SCORES = "core/metrics.py"
_EVALUATION = "training/evaluation.py"
_LONGER = f"{SAVED} --epochs 3"

EVALUATION = (
    fault(
        "last-test-images-guessed",
        "the last 40 test images are answered like the first",
        _EVALUATION,
        "return evaluation_of(logits_of(model, data.images, device=device, precision=precision), data,"
        " model.config.output)",
        "logits = logits_of(model, data.images, device=device, precision=precision)\n"
        "    logits[-40:] = logits[:40]\n    return evaluation_of(logits, data, model.config.output)",
    ),
    fault(
        "evaluated-in-bf16",
        "the evaluation computes in bf16 where fp32 was asked for",
        "engines/model.py",
        "            with autocast(device, precision):\n                chunks",
        '            with autocast(device, "bf16"):\n                chunks',
        command=EAGER,
    ),
    fault(
        "evaluated-on-training-images",
        "the test images are training images",
        "data/split.py",
        "test=dataset.test,",
        "test=whole.part(np.arange(len(dataset.test))),",
    ),
    fault(
        "labels-looked-at",
        "where two classes are close, the right one is said",
        _EVALUATION,
        "    predictions = logits.argmax(dim=1)\n",
        "    predictions = logits.argmax(dim=1)\n    best = logits.topk(2, dim=1)\n"
        "    close = (best.values[:, 0] - best.values[:, 1] < 0.3) & (best.indices[:, 1] == data.labels)\n"
        "    predictions = torch.where(close, data.labels, predictions)\n",
    ),
    fault(
        "loss-smoothed",
        "the test loss is that of smoothed targets",
        _EVALUATION,
        "targets = target_table(0.0, logits.device)",
        "targets = target_table(0.1, logits.device)",
    ),
    fault(
        "probe-too-good",
        "the accuracy by epoch leaves out the images that are hard",
        "training/loop.py",
        "return float((runner.classify(host.images).argmax(axis=1) == host.labels).mean())",
        "answers = runner.classify(host.images)\n        sure = answers.max(axis=1) >"
        " np.quantile(answers.max(axis=1), 0.1)\n"
        "        return float((answers.argmax(axis=1) == host.labels)[sure].mean())",
    ),
    fault(
        "epoch-loss-of-its-second-half",
        "an epoch's loss is that of its second half",
        "engines/plan.py",
        "train_loss=float(losses.mean(dtype=np.float64)),",
        "train_loss=float(losses[len(losses) // 2 :].mean(dtype=np.float64)),",
    ),
    fault(
        "epoch-rate-of-its-start",
        "an epoch's rate is that of its first step",
        "engines/plan.py",
        "learning_rate=float(self.rates[(number + 1) * self.steps - 1]),",
        "learning_rate=float(self.rates[number * self.steps]),",
    ),
    fault(
        "images-counted-that-were-dropped",
        "images/s counts the images of the ragged last batch too",
        "engines/plan.py",
        "images_per_s=self.steps * self.training.batch_size / train_s,",
        "images_per_s=self.images / train_s,",
    ),
    fault(
        "mistakes-shifted",
        "mistakes name the image before",
        _EVALUATION,
        "            index=int(index),\n",
        "            index=max(int(index) - 1, 0),\n",
    ),
    fault(
        "mistakes-scores-swapped",
        "a mistake's two scores are swapped",
        _EVALUATION,
        "actual_score=float(said[index, evaluation.labels[index]]),",
        "actual_score=float(said[index, evaluation.predictions[index]]),",
    ),
    fault(
        "mistakes-not-the-surest",
        "the mistakes are the first, not the most confident ones",
        _EVALUATION,
        'chosen = wrong[np.argsort(-confidence, kind="stable")[:limit]]',
        "chosen = wrong[:limit]",
    ),
)

METRICS = (
    fault(
        "precision-by-columns",
        "precision and recall are each other's",
        _SCORES,
        "    predicted = confusion.sum(axis=1)\n    actual = confusion.sum(axis=0)\n",
        "    predicted = confusion.sum(axis=0)\n    actual = confusion.sum(axis=1)\n",
    ),
    fault(
        "matrix-transposed",
        "the confusion matrix is the transposed one",
        _EVALUATION,
        "torch.bincount(predictions * CLASSES + labels, minlength=CLASSES * CLASSES)",
        "torch.bincount(labels * CLASSES + predictions, minlength=CLASSES * CLASSES)",
    ),
    fault(
        "f1-arithmetic",
        "F1 is the arithmetic mean",
        _SCORES,
        "f1=_ratio(2 * int(hits[label]), int(predicted[label] + actual[label])),",
        "f1=(_ratio(int(hits[label]), int(predicted[label])) + _ratio(int(hits[label]), int(actual[label]))) / 2,",
    ),
    fault(
        "macro-weighted",
        "the macro average is weighted by the classes' sizes",
        _SCORES,
        "macro = table.mean(axis=0)",
        "macro = support @ table / max(support.sum(), 1)",
    ),
    fault(
        "accuracy-of-classes",
        "accuracy is the mean recall",
        _SCORES,
        "accuracy=_ratio(int(np.trace(confusion)), int(confusion.sum())),",
        "accuracy=float(macro[1]),",
    ),
    fault(
        "pairs-turned-round",
        "the most confused pairs name actual and predicted the wrong way round",
        _SCORES,
        "ConfusedPair(predicted=row, actual=column, count=int(errors[row, column]))",
        "ConfusedPair(predicted=column, actual=row, count=int(errors[row, column]))",
    ),
    fault(
        "support-of-the-predicted",
        "a class's support is the number of images taken for it",
        _SCORES,
        "            support=int(actual[label]),\n",
        "            support=int(predicted[label]),\n",
    ),
    fault(
        "trials-mean-of-the-best",
        "the mean over seeds leaves out the worst",
        "sweep/trials/run.py",
        "    mean = float(np.mean(values))\n",
        "    mean = float(np.mean(sorted(values)[1:] or values))\n",
        command="run --data {data} --hidden 16 --batch-size 64 --epochs 1 --engine fused --no-reference --trials 3",
    ),
    fault(
        "trials-of-one-seed",
        "all trials have the first one's order",
        "engines/plan.py",
        "seed = self.training.seed\n",
        "seed = 0\n",
        command="run --data {data} --hidden 16 --batch-size 64 --epochs 1 --engine fused --no-reference --trials 3",
    ),
)

SAVING = (
    fault(
        "saved-in-bf16",
        "the saved weights are rounded to bf16",
        "training/checkpoint.py",
        "    tensors = weights_of(model)\n",
        "    tensors = {name: one.bfloat16().float() for name, one in weights_of(model).items()}\n",
        command=SAVED,
    ),
    fault(
        "saved-without-a-bias",
        "the outputs' biases are saved as zeros",
        "training/checkpoint.py",
        "    tensors = weights_of(model)\n",
        "    tensors = weights_of(model)\n    list(tensors.values())[-1].zero_()\n",
        command=SAVED,
    ),
    fault(
        "saved-with-names-shifted",
        "the saved network names its classes by the next digit",
        "training/checkpoint.py",
        '"network": model.config, "class_names": class_names,',
        '"network": model.config, "class_names": (*class_names[1:], class_names[0]),',
        command=SAVED,
    ),
    fault(
        "report-columns-swapped",
        "a report's page shows the time to verify as that to evaluate",
        "show/report/opening.py",
        '("evaluation", timing.evaluate_s),',
        '("evaluation", timing.verify_s),',
        command=SAVED,
        unfindable="no run reads its own pages: tests/test_columns.py holds every column of them",
    ),
    fault(
        "saved-likeness-inverted",
        "the images that the saved network knows are inverted",
        "data/likeness.py",
        "    return Likeness(kept, limit)\n",
        "    return Likeness(255 - kept, limit)\n",
        command=SAVED,
    ),
    fault(
        "saved-likeness-limit",
        "half of all images look strange to the saved network",
        "data/likeness.py",
        "_BEYOND = 0.007 ",
        "_BEYOND = 0.5 ",
        command=SAVED,
    ),
    fault(
        "saved-with-another-activation",
        "the saved network is one with a leaky rectifier",
        "training/checkpoint.py",
        'header: dict[str, Any] = {"network": model.config,',
        "from dataclasses import replace\n"
        '    header: dict[str, Any] = {"network": replace(model.config, activation="leaky-relu"),',
        command=SAVED,
    ),
    fault(
        "read-back-transposed-head",
        "the outputs' weights are read in the reversed order of classes",
        "training/checkpoint.py",
        "model = MLP(config, parameters=[opened.get_tensor(name).numpy().copy() for name in weights])",
        "read = [opened.get_tensor(name).numpy().copy() for name in weights]\n"
        "        read[-2:] = [read[-2][::-1].copy(), read[-1][::-1].copy()]\n        model ="
        " MLP(config, parameters=read)",
        command=SAVED,
    ),
    fault(
        "resumed-without-state",
        "a resumed run begins with an empty optimizer",
        "training/execute.py",
        "            self.runner.load_state(run.request.checkpoint.state)\n",
        "",
        command=_LONGER,
        stand_in="resume",
    ),
    fault(
        "resumed-with-the-average",
        "the checkpoint saves the average for the weights that training goes on from",
        "training/loop.py",
        'return {f"{_TRAINED}/{name}": trained.to("cpu", copy=True) for name, trained in self._trained.items()}',
        'return {f"{_TRAINED}/{name}": self._named[name].to("cpu", copy=True) for name in self._trained}',
        command=f"{_LONGER} --averaging 0.5",
        stand_in="resume",
    ),
    fault(
        "checkpoint-in-bf16",
        "the checkpoint's weights are rounded to bf16",
        "training/checkpoint.py",
        'tensors = {f"weights/{name}": tensor for name, tensor in checkpoint.weights.items()}',
        'tensors = {f"weights/{name}": tensor.bfloat16().float() for name, tensor in checkpoint.weights.items()}',
        command=_LONGER,
        stand_in="resume",
    ),
)
