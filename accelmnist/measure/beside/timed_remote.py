"""A case of another side as a case of ours: what is timed, proven and judged here runs in its process.

Its seconds are its own, and held against this process's clocks around the request; so what passes between the two
processes is in no figure. What a region ends with is looked at in its weights and losses, as an engine's of ours is,
but for the time that it takes only in one of eight: which, chance decides when it is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import randrange
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from accelmnist.core.config import AMP_PRECISIONS, CLASSES, RunConfig
from accelmnist.core.errors import DeviceError
from accelmnist.core.records import Check
from accelmnist.data.types import DeviceSet
from accelmnist.device import Device, resolve
from accelmnist.engines.contract import Job, Runner, Snapshot
from accelmnist.engines.plan import Epoch, Floats, HostEpoch, TrainingPlan
from accelmnist.engines.step.rules import SLOTS
from accelmnist.measure.audit import CLOCKS_APART, TIMES_A_REQUEST, Region
from accelmnist.measure.beside.other_process import SEE_PROTOCOL
from accelmnist.measure.beside.protocol import Answer
from accelmnist.measure.beside.sides import OpenCase
from accelmnist.measure.limits.cost import cost_of
from accelmnist.measure.plan import Case
from accelmnist.measure.timed_case import TimedCase, TimedInference, TimedTraining, seconds_of
from accelmnist.training.evaluation import Evaluation, evaluation_of

REGION_S = 0.024  # the shorter a region, the more alike are two in a row; a request takes a quarter of a millisecond
_PINGS = 9
_LOOKED_AT = 8  # one region of so many
_MOST_S = 10.0  # of a region whose steps are asked for in several runs
_LONG, _TRIES = 10, 40  # regions of a long run, and how often it is tried
_UNSEEN_TRIES, _MOST_UNSEEN = 8, 0.02  # if none is seen, and the share of one that may pass beside its work
# What any way may do over torch's float32 product of large matrices by all processors, if each product counts: who
# leaves out what is zero does 4 times as much, a matrix unit in 16 bits 16 times, and a busy machine measures less.
_MOST_OVER_PRODUCT = {4: 64.0, 2: 512.0}  # by the bytes of a factor
_PRODUCT, _PRODUCTS = 1024, 8
# What a loss may take, a byte of weights with their state, an array that is written and read, and setting back: reading
# the start's small file three times took NumPy 8 ms on a busy machine.
_LOSS_S, _BYTE_S, _ARRAY_S, _SET_BACK_S = 3e-5, 6e-8, 5e-3, 2e-2


@dataclass
class _Spent:
    """What runs took: by the side's own clock, and by ours around them, without what a request takes just then."""

    seconds: float = 0.0
    raw_s: float = 0.0
    day_s: float = 0.0
    cpu_s: float = 0.0
    request_s: float = 0.0
    queued_s: float = 0.0
    waited_s: float = 0.0  # off the clock, beyond what that takes
    passed_s: float = 0.0  # in all, by our clock


class Remote(TimedCase):
    """What cases of another side share."""

    other: OpenCase
    whole: int  # steps that can be run at once
    is_remote = True
    most_slices, least_s = 1, REGION_S

    def connect(self, other: OpenCase) -> None:
        """Take the case over there; of its threads it alone may know."""
        self.other, self._given, self._at, self._spent = other, 0, 0, _Spent()
        self._is_region = False
        self.engine, self.compile_s = None, other.prepared.compile_s
        self.threads = other.threads or 0
        self.watches_processor = other.threads is not None and other.process.cpu_s() is not None
        pings = [other.process.ask_timed(Answer, "ping") for _ in range(_PINGS)]
        self.ping_s = median(ping.raw_s for ping in pings)

    def warms_up(self, _steps: int) -> bool:
        """Always: what ran last is another program, and nothing of this one is in the caches."""
        return True

    def ran(self, first: int, steps: int) -> None:
        """Run steps over there."""
        if self._is_region and self._spent.passed_s > _MOST_S:
            raise DeviceError(f"a region takes it more than {_MOST_S:.0f} s: before, it said less of as many steps")
        before, queued_s = self.other.process.cpu_s(), self.other.process.queued_s()
        asked = self.other.run(first, steps)
        self._spent.passed_s += asked.raw_s
        answer = asked.answer
        if not (np.isfinite(answer.seconds) and answer.seconds > 0):
            raise DeviceError(f"{steps} steps took it {answer.seconds} s", remedy="Let it tell the seconds that passed")
        self._given += answer.steps * self.case.batch_size
        request_s, after = self.other.process.ask_timed(Answer, "ping").raw_s, self.other.process.cpu_s()
        self._spent.seconds += answer.seconds
        self._spent.raw_s += asked.raw_s - request_s
        self._spent.day_s += asked.day_s - request_s
        self._spent.cpu_s += 0.0 if before is None or after is None else after - before
        self._spent.request_s += request_s
        self._spent.queued_s += self.other.process.queued_s() - queued_s
        self._waited(request_s - (self.other.process.queued_s() - queued_s), 0.0)

    def _now_s(self) -> float:
        """A clock that stands still while a processor is waited for."""
        return time.perf_counter() - self.other.process.queued_s()

    def _waited(self, seconds: float, for_s: float) -> None:
        """Keep what a request off the clock took beyond an empty one, and `for_s`, which it may take."""
        self._spent.passed_s += seconds
        self._spent.waited_s = max(self._spent.waited_s, seconds - self.ping_s - for_s)

    def check_clock(self) -> tuple[Check, ...]:
        """Its seconds of a run that is as long as can be: what a request takes is less than a hundredth of that.

        A busy machine makes a request longer, and what waited for a processor may hide anything: one run that is quick
        and seen will do. If none is seen, the clock is in doubt.
        """
        seen, less, unseen = math.inf, math.inf, math.inf
        for tries in range(1, _TRIES + 1):
            self.restore()
            self._spent = _Spent()
            self.run(min(_LONG * self.steps, self.whole))
            spent = self._spent
            passed_s = min(spent.raw_s, spent.day_s, key=lambda seconds: abs(seconds - spent.seconds))
            spared_s = TIMES_A_REQUEST * spent.request_s + spent.queued_s
            error = (passed_s - spent.seconds - spared_s) / spent.seconds
            share = spared_s / passed_s if passed_s > spared_s else 1.0
            less, unseen = min(less, error), min(unseen, share)
            if share <= _MOST_UNSEEN:
                seen = min(seen, error)
            if seen <= CLOCKS_APART or (seen == math.inf and less <= CLOCKS_APART and tries >= _UNSEEN_TRIES):
                break
        self.restore()
        check = Check.at_most(
            "error of the clock, long runs",
            max(less if seen == math.inf else seen, 0.0),
            CLOCKS_APART,
            detail="less than passed around a request, beyond what one takes",
            reason="good clocks are within a thousandth",
        )
        doubt = Check.at_most(
            "clock unseen",
            unseen,
            _MOST_UNSEEN,
            detail=f"requests and waiting for a processor took {100 * unseen:.0f} % of a run, and may hide as much",
            reason="stop what else is running, or give more images",
        )
        return (check, replace(doubt, condemns=False))

    def check_speed(self, product_flop_s: float) -> Check:
        """That so much can be done at all, where torch's product of large matrices does `product_flop_s`."""
        element = 2 if self.case.precision in AMP_PRECISIONS else 4
        return Check.at_most(
            "speed over a product's",
            self.steps * cost_of(self.case).flops / self.region_s / product_flop_s,
            _MOST_OVER_PRODUCT[element],
            detail="the arithmetic of all that it says it did, over that of torch's float32 product of large matrices",
            reason="nobody computes that much: results are kept, or steps left out",
        )

    @property
    def given(self) -> int:
        """Images that it says it was given so far."""
        return self._given

    def _observed(self, clock: Callable[[], float]) -> float:
        """The seconds by its own clock; what is seen of them from here is kept."""
        given, self._spent = self.given, _Spent(waited_s=self._spent.waited_s)
        self._is_region = True
        clock()
        self._is_region, spent = False, self._spent
        if self.anchor is not None:
            deviation = self.anchor.deviation() if randrange(_LOOKED_AT) == 0 else None
            region = Region(
                images=self.given - given,
                seconds=spent.seconds,
                raw_s=spent.raw_s,
                day_s=spent.day_s,
                cpu_s=spent.cpu_s,
                threads=self.threads,
                settle_s=spent.waited_s,
                deviation=deviation,
                request_s=spent.request_s,
                queued_s=spent.queued_s,
            )
            self.regions.append(region)
        return spent.seconds

    @property
    def protocol_share(self) -> float | None:
        """What passes around a region's run, as a share of it, in the median; None before the first region."""
        return median((one.clock_gap_s + one.request_s) / one.seconds for one in self.regions) if self.regions else None

    def overhead_s(self) -> float:
        """Nothing of this process is in a region."""
        return 0.0


class _Looked(dict[str, NDArray[Any]]):
    """What `look` gives, with the `exact` numbers over there: from rounded ones, training would end elsewhere."""

    def __init__(self, arrays: Snapshot, exact: Snapshot) -> None:
        super().__init__(arrays)
        self.exact = exact


def product_flop_s() -> float:
    """Flop/s of torch's product of large matrices in float32: the best of some, by all threads there are."""
    left, right = torch.rand(2, _PRODUCT, _PRODUCT)
    seconds = min(seconds_of(lambda: torch.mm(left, right), resolve("cpu")) for _ in range(_PRODUCTS))
    return 2 * _PRODUCT**3 / seconds


class RemoteTraining(Remote, TimedTraining):
    """A training over there."""

    def __init__(self, case: Case, device: Device, config: RunConfig, data: DeviceSet, other: OpenCase) -> None:
        TimedCase.__init__(self, case, device)
        self.connect(other)
        self.job = Job(config, device, data)
        self.follows_order = other.prepared.order == "given"
        plan = TrainingPlan(config, len(data))
        epochs = [plan.epoch(number) for number in range(config.training.epochs)]
        order = np.concatenate([epoch.order for epoch in epochs])
        self.whole = len(order)
        self._numbers = {row.tobytes(): number for number, row in enumerate(order)}
        self.runner = Runner(
            train_epoch=self._train,
            state=dict,
            load_state=lambda _: None,  # the state is over there
            upload=self._numbered,
            look=self.look,
            put_back=self._put_back,
        )
        self._epochs = [self._numbered(epoch) for epoch in epochs]
        self._losses = []

    def _numbered(self, epoch: HostEpoch) -> Epoch[Any]:
        """The plan with the numbers of its steps, counted over all epochs, for an order."""
        first = self._numbers[epoch.order[0].tobytes()]
        numbers = np.arange(first, first + len(epoch))[:, None]
        return Epoch(numbers, epoch.learning_rates, epoch.dropout_seeds)

    def _train(self, part: Epoch[Any]) -> Floats:
        self.ran(int(part.order[0, 0]), len(part))
        began = self._now_s()
        losses = self.other.losses()
        self._waited(self._now_s() - began, _LOSS_S * len(part))
        if len(losses) != len(part) and self.follows_order:
            raise DeviceError(f"it gave {len(losses)} losses of {len(part)} steps", remedy="Give one for every step")
        return losses

    def look(self) -> Snapshot:
        """Weights and state over there, as float32: raises DeviceError for weights of other shapes."""
        found = self.other.look()
        shapes = {name: tuple(weight.shape) for name, weight in self.job.model.named_parameters()}
        for name in {**shapes, **found}:
            shape = found[name].shape if name in found else "none"
            of = name.rpartition("/")[2]
            is_scalar = name.startswith("scalar/") and name in found and found[name].size == 1
            if not is_scalar and shape != shapes.get(of):
                cause = f"{name} has shape {shape}, and not {shapes.get(of, 'any: it is no weight')}"
                raise DeviceError(cause, remedy=SEE_PROTOCOL)
        slots = SLOTS[self.job.config.training.optimizer] if self.follows_order else ()
        missing = next((f"{slot}/{name}" for slot in slots for name in shapes if f"{slot}/{name}" not in found), None)
        if missing is not None:
            raise DeviceError(f"save left out {missing}, which the optimizer keeps", remedy=SEE_PROTOCOL)
        return _Looked(
            {name: array.astype(np.float32) if name in shapes else array for name, array in found.items()}, found
        )

    def _put_back(self, snapshot: Snapshot) -> None:
        self.other.put_back(snapshot.exact if isinstance(snapshot, _Looked) else snapshot)

    @property
    def is_finite(self) -> bool:
        """Whether the losses of the last run are."""
        return bool(np.isfinite(self.losses).all())

    def restore(self) -> None:
        """The start; what that takes is held against what comes next."""
        began, self._spent = self._now_s(), _Spent()
        self.other.put_back(None)
        own_bytes = sum(weight.nbytes for weight in self.job.model.parameters())
        self._waited(self._now_s() - began, _BYTE_S * own_bytes + _SET_BACK_S)
        self._at = 0

    def begin_from(self, weights: Sequence[torch.Tensor]) -> None:
        """The first step comes next, from these weights."""
        names = [name for name, _ in self.job.model.named_parameters()]
        self.other.put_back({name: weight.cpu().numpy() for name, weight in zip(names, weights, strict=True)})
        self._at = 0

    @property
    def weights(self) -> list[torch.Tensor]:
        """The weights over there, as they are now."""
        found = self.look()
        return [torch.from_numpy(found[name]) for name, _ in self.job.model.named_parameters()]

    @torch.no_grad()
    def evaluated(self, test: DeviceSet) -> Evaluation:
        """What it says itself of the test images; its weights are brought into the network here."""
        if self.follows_order:
            torch._foreach_copy_(list(self.job.model.parameters()), self.weights)
        said = self.other.classify(test.images.cpu().numpy())
        if said.ndim == 1:  # digits: as sure as can be
            said = np.where(np.arange(CLASSES) == said[:, None], 1.0, 0.0)
        logits = torch.from_numpy(said.astype(np.float32)).to(test.images.device)
        return evaluation_of(logits, test, self.job.config.model.output)


class RemoteInference(Remote, TimedInference):
    """Calls of a classifier over there, in batches of the test images that go round and round."""

    def __init__(self, case: Case, device: Device, images: torch.Tensor, other: OpenCase) -> None:
        TimedCase.__init__(self, case, device)
        self.connect(other)
        if case.batch_size > len(images):
            raise DeviceError(f"a batch of {case.batch_size} is larger than the {len(images)} images there are")
        self.classify = self._classify
        self.whole = 1 << 30
        self._batches = torch.split(images[: len(images) // case.batch_size * case.batch_size], case.batch_size)

    def run(self, steps: int) -> None:
        """Classify `steps` batches."""
        self.ran(self._at, steps)
        self._at += steps

    def go_to(self, step: int) -> None:
        """Batch number `step` comes next."""
        self._at = step

    @property
    def answered(self) -> tuple[torch.Tensor, int]:
        """The logits of the last batch, and which it was."""
        began = self._now_s()
        said = self.other.last(self.case.batch_size).astype(np.float32)
        self._waited(self._now_s() - began, _BYTE_S * said.nbytes + _ARRAY_S)
        return torch.from_numpy(said), (self._at - 1) % len(self._batches)

    def _classify(self, images: torch.Tensor) -> torch.Tensor:
        said = self.other.classify(images.cpu().numpy())
        if said.ndim != 2:
            raise DeviceError("classify gave digits, and no logits", remedy=SEE_PROTOCOL)
        return torch.from_numpy(said.astype(np.float32)).to(images.device)
