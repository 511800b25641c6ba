"""The native classifier: right to the bit at every size, level and thread count, safe from several threads, and frugal.

Random networks and calls are held against float64 by `tests/native/fuzz.cpp` too, under the sanitizers.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelmnist.engines import native
from tests.rounding import logits_and_bound

pytestmark = pytest.mark.skipif(native.why_missing() is not None, reason=str(native.why_missing()))

NETWORKS = {"no hidden layer": (), "one": (128,), "ragged": (70, 33)}
MANY = 700  # images: enough work for several threads, and chunks of several sizes
SIZES = (1, 2, 3, 4, 5, 31, 33, 127, 128, 129, 255, 384, MANY)


def network(hidden: tuple[int, ...] = (128,), *, seed: int = 0) -> tuple[np.ndarray, ...]:
    chance, sizes = np.random.default_rng(seed), (784, *hidden, 10)
    shapes = [(outputs, inputs) for inputs, outputs in pairwise(sizes)]
    arrays = [(chance.normal(0, shape[1] ** -0.5, shape), chance.normal(0, 0.1, shape[0])) for shape in shapes]
    return tuple(array.astype(np.float32) for pair in arrays for array in pair)


def some_images(count: int, *, seed: int = 1) -> np.ndarray:
    """As MNIST's: four pixels in five are black."""
    chance = np.random.default_rng(seed)
    return np.where(chance.random((count, 784)) < 0.2, chance.integers(0, 256, (count, 784)), 0).astype(np.uint8)


def made(
    parameters: Any,
    *,
    activation: str = "relu",
    threads: int = 2,
    precision: str = "fp32",
    level: str | None = None,
) -> Any:
    return native.extension().make_classifier(
        parameters, activation=activation, threads=threads, precision=precision, level=level or native.levels()[-1]
    )


def logits_by(classifier: Any, images: np.ndarray) -> np.ndarray:
    logits = np.full((len(images), 10), np.nan, np.float32)
    native.extension().classify(classifier, images, logits)
    return logits


def assert_right(logits: np.ndarray, parameters: tuple[np.ndarray, ...], images: np.ndarray) -> None:
    """Against float64, within what rounding may do."""
    expected, bound = logits_and_bound(parameters, images)
    assert (np.abs(logits - expected) <= bound).all()


# --- the numbers


@pytest.mark.parametrize("level", native.levels() if native.why_missing() is None else ())
@pytest.mark.parametrize("hidden", NETWORKS.values(), ids=NETWORKS)
def test_every_size_and_thread_count_gives_the_same_bits_and_the_right_ones(
    hidden: tuple[int, ...], level: str
) -> None:
    parameters, images = network(hidden), some_images(MANY)
    classifiers = [made(parameters, threads=threads, level=level) for threads in (1, 2, 3, 8)]
    whole = logits_by(classifiers[0], images)
    assert_right(whole, parameters, images)
    for classifier in classifiers:
        for size in SIZES:
            assert np.array_equal(logits_by(classifier, images[-size:]), whole[-size:])


def test_what_becomes_of_the_arrays_that_it_was_made_from_changes_nothing() -> None:
    parameters, images = network(), some_images(50)
    classifier = made(parameters)
    before = logits_by(classifier, images)
    for array in parameters:
        array[:] = np.nan
    del parameters, array
    gc.collect()
    assert np.array_equal(logits_by(classifier, images), before)


def test_the_images_may_lie_where_the_logits_are_written() -> None:
    """Nobody asks for it; it gives some numbers and no crash."""
    memory, classifier = some_images(MANY), made(network())
    logits = memory.reshape(-1)[: MANY * 40].view(np.float32).reshape(MANY, 10)
    native.extension().classify(classifier, memory, logits)


# --- several threads


def test_calls_from_several_threads_at_once_don_t_disturb_each_other() -> None:
    parameters, images = network(), some_images(MANY)
    classifier = made(parameters)
    whole = logits_by(classifier, images)

    def calls(seed: int) -> bool:
        chance = np.random.default_rng(seed)
        spans = [sorted(chance.integers(0, MANY + 1, 2)) for _ in range(60)]
        return all(np.array_equal(logits_by(classifier, images[a:b]), whole[a:b]) for a, b in spans)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(calls, range(4)))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can't be chosen here")
def test_threads_may_run_wherever_the_process_may() -> None:
    """Where they begin is chosen for them; after that, and on a single processor too, all is as it was."""
    images, before = some_images(20_000), os.sched_getaffinity(0)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(logits_by, made(network(), threads=3), images)
        seen = []
        while not call.done():
            with contextlib.suppress(OSError):  # a thread that has just ended
                seen += [os.sched_getaffinity(int(task.name)) for task in Path("/proc/self/task").iterdir()]
        free = call.result()
    assert os.sched_getaffinity(0) == before
    assert sum(mask == before for mask in seen) > 0.9 * len(seen) > 0
    os.sched_setaffinity(0, {min(before)})
    try:
        bound = logits_by(made(network(), threads=3), images)
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)
    np.testing.assert_array_equal(free, bound)


def test_a_call_keeps_its_classifier_alive() -> None:
    """The caller's last name for it goes while the call runs: its memory must not."""
    parameters, images = network((512, 512)), some_images(3000)
    whole = logits_by(made(parameters), images)
    logits, holder = np.zeros((3000, 10), np.float32), [made(parameters)]
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lambda: native.extension().classify(holder.pop(), images, logits))
        while holder:
            pass  # until the call has taken it
        gc.collect()
        call.result()
    assert np.array_equal(logits, whole)


# --- the border


BAD_CALLS: dict[str, tuple[Callable[[], tuple[Any, Any, Any]], type[Exception]]] = {
    "images of 783 pixels": (lambda: (made(network()), np.zeros((3, 783), np.uint8), logits_for(3)), ValueError),
    "images turned": (lambda: (made(network()), np.zeros((784, 3), np.uint8), logits_for(3)), ValueError),
    "pixels of another type": (lambda: (made(network()), np.zeros((3, 784), np.int8), logits_for(3)), TypeError),
    "images with gaps": (lambda: (made(network()), some_images(6)[::2], logits_for(3)), ValueError),
    "fewer logits": (lambda: (made(network()), some_images(3), logits_for(2)), ValueError),
    "more logits": (lambda: (made(network()), some_images(3), logits_for(4)), ValueError),
    "logits with gaps": (lambda: (made(network()), some_images(3), logits_for(6)[::2]), ValueError),
    "logits in float64": (lambda: (made(network()), some_images(3), np.zeros((3, 10))), TypeError),
    "logits that can't be written": (
        lambda: (made(network()), some_images(3), np.broadcast_to(np.float32(0), (3, 10)).copy().data.toreadonly()),
        ValueError,
    ),
    "weights in its place": (lambda: (network(), some_images(3), logits_for(3)), TypeError),
    "None in its place": (lambda: (None, some_images(3), logits_for(3)), TypeError),
    "another library's capsule": (lambda: (datetime.datetime_CAPI, some_images(3), logits_for(3)), TypeError),
    "a set of pixels": (
        lambda: (
            native.extension().list_pixels(some_images(3), threads=1, level=native.levels()[-1]),
            some_images(3),
            logits_for(3),
        ),
        TypeError,
    ),
}


def logits_for(count: int) -> np.ndarray:
    return np.zeros((count, 10), np.float32)


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_wrong_call_is_refused_and_writes_nothing(case: str) -> None:
    make, error = BAD_CALLS[case]
    classifier, images, logits = make()
    with pytest.raises(error):
        native.extension().classify(classifier, images, logits)
    assert not np.asarray(logits).any()


BAD_NETWORKS: dict[str, tuple[dict[str, Any], str]] = {
    "no parameters": ({"parameters": ()}, "the number of layers is out of range"),
    "a bias missing": ({"parameters": network()[:-1]}, "the number of parameters is wrong"),
    "layers that don't fit": ({"parameters": network((40, 30))[2:]}, "a layer's inputs are not the units"),
    "nine outputs": (
        {"parameters": (np.zeros((9, 784), np.float32), np.zeros(9, np.float32))},
        "the last layer has not ten units",
    ),
    "no units": (
        {"parameters": (np.zeros((0, 784), np.float32), np.zeros(0, np.float32))},
        "a layer's number of units is out of range",
    ),
    "an unknown activation": ({"activation": "step"}, "step is not known"),
    "an unknown level": ({"level": "mmx"}, "mmx is not known"),
    "no threads": ({"threads": 0}, "the number of threads is out of range"),
    "too many threads": ({"threads": 10**6}, "the number of threads is out of range"),
}


@pytest.mark.parametrize("case", BAD_NETWORKS)
def test_a_network_that_can_t_be_run_is_refused(case: str) -> None:
    changed, message = BAD_NETWORKS[case]
    arguments = {"parameters": network(), **changed}
    with pytest.raises(ValueError, match=message):
        made(arguments.pop("parameters"), **arguments)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**32 - 1)), min_size=1, max_size=8), st.integers(1, 9))
def test_sizes_that_grow_and_shrink_are_right(calls: Any, threads: Any) -> None:
    parameters = network((20,))
    classifier = made(parameters, threads=threads)
    for size, seed in calls:
        images = some_images(size, seed=seed)
        assert_right(logits_by(classifier, images), parameters, images)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=2), st.sampled_from([np.uint8, np.float32, np.int64]))
def test_no_arrays_crash_it(lengths: Any, kind: Any) -> None:
    with contextlib.suppress(TypeError, ValueError):
        native.extension().classify(
            made(network((3,))), np.zeros((lengths[0], 784), kind), np.zeros((lengths[1], 10), np.float32)
        )


# --- memory


@pytest.mark.slow  # 3,000 calls of a wide network
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_calls_or_with_classifiers() -> None:
    parameters, images = network((512,)), some_images(130)
    classifier = made(parameters)

    def use() -> None:
        for call in range(1500):
            logits_by(classifier, images[: 1 + call % 130])
        for _ in range(40):
            logits_by(made(parameters), images[:3])  # 1.6 MB of weights each

    use()
    before = resident_bytes()
    use()
    assert resident_bytes() - before < 8 * 2**20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
