"""What an audit draws keeps its promise, and no step of it can be foreseen."""

from __future__ import annotations

import numpy as np
import pytest

from accelmnist.core.config import AUDIT_WINDOWS
from accelmnist.training.reference.audit import WHOLE, draw_calls, draw_steps, expected_copies, lasting_share
from accelmnist.training.reference.witness import Bounded, _furthest

STEPS, EPOCHS = 234, 4
TOTAL = STEPS * EPOCHS


def _drawn(epochs: int = EPOCHS, windows: int = AUDIT_WINDOWS) -> np.ndarray:
    return draw_steps(STEPS, epochs, windows, np.random.default_rng(), WHOLE)


def _share_found(faulty: np.ndarray, trainings: int = 600) -> float:
    """In how many trainings at least one of these steps is drawn, the first 16 aside."""
    return float(np.mean([np.isin(_drawn(), faulty).any() for _ in range(trainings)]))


def test_what_lasts_for_the_stated_share_is_found_in_95_of_100_trainings() -> None:
    share = lasting_share(AUDIT_WINDOWS, TOTAL)
    assert share == pytest.approx(0.02, abs=0.0005)
    lasts = int(np.ceil(share * TOTAL))
    for start in (200, 469, TOTAL - lasts):  # in an epoch, over a border, in the end
        assert _share_found(np.arange(start, start + lasts)) >= 0.95 - 3 * 0.009


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_what_touches_scattered_steps_is_found_as_promised(share: float) -> None:
    scattered = np.random.default_rng(0).choice(np.arange(16, TOTAL), int(share * TOTAL), replace=False)
    promised = 1 - (1 - share) ** AUDIT_WINDOWS
    assert _share_found(scattered) >= promised - 3 * 0.02


def test_first_steps_borders_and_every_epoch_are_among_them() -> None:
    drawn = _drawn()
    assert set(range(16)) <= set(drawn)
    assert {STEPS - 1, STEPS, 2 * STEPS - 1, 2 * STEPS, 3 * STEPS - 1, 3 * STEPS} <= set(drawn)
    assert set(_drawn(epochs=300) // STEPS) == set(range(300))
    assert _drawn(windows=0).size == 0
    assert _drawn(windows=TOTAL).tolist() == list(range(TOTAL))
    assert set(_drawn()) != set(_drawn())


def test_room_is_made_for_the_copies_of_the_steps_drawn() -> None:
    kept = len(set(_drawn()) | {step + 1 for step in _drawn()})
    assert kept <= expected_copies(AUDIT_WINDOWS, size=1) <= 2 * kept
    assert expected_copies(AUDIT_WINDOWS, size=2**40) == expected_copies(0, size=1) == 0


@pytest.mark.parametrize("steps", [1, 2, 40, STEPS])
def test_calls_lie_within_an_epoch_and_do_not_meet(steps: int) -> None:
    for _ in range(50):
        calls = draw_calls(steps, EPOCHS, np.random.default_rng(), WHOLE)
        longest = max(64, steps * EPOCHS // 32)
        assert [max(map(len, calls))] == [min(longest, steps)] if steps > 1 else not calls
        assert all(call.start // steps == (call.stop - 1) // steps for call in calls)
        taken = [step for call in calls for step in call]
        assert len(taken) == len(set(taken))


@pytest.mark.parametrize(
    ("found", "far"), [((1.05, 7.0), 0.5), ((1.2, 7.0), 2.0), ((1.0, np.nan), np.inf), ((1.0, np.inf), np.inf)]
)
def test_a_bound_that_overflowed_condemns_no_finite_number(found: tuple[float, float], far: float) -> None:
    expected = Bounded(np.array([1.0, 2.0]), np.array([0.1, np.nan]))
    assert _furthest(expected, np.array(found)) == pytest.approx(far)
