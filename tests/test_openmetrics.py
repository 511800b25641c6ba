"""OpenMetrics text, read back by Prometheus' own parser."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from accelmnist.core.text import printable
from accelmnist.show.openmetrics import Family, openmetrics_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def read_back(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """The samples by family and labels; raises ValueError for what OpenMetrics forbids."""
    families = list(text_string_to_metric_families(text))
    assert all(family.type == "gauge" for family in families)
    return {
        family.name: {frozenset(sample.labels.items()): sample.value for sample in family.samples}
        for family in families
    }


@given(text=TEXTS, other=TEXTS, value=st.floats() | st.integers(-(2**53), 2**53))
def test_any_text_and_any_number_come_back(text: str, other: str, value: float) -> None:
    family = Family(name="accelmnist_train_seconds", help=other, unit="seconds")
    family.add(value, device=text, engine="")
    (parsed,) = text_string_to_metric_families(openmetrics_text([family]))
    (sample,) = parsed.samples
    assert (parsed.unit, sample.name, sample.labels) == ("seconds", family.name, {"device": printable(text)})
    assert parsed.documentation.strip() == printable(other).strip()  # the parser takes white space for none
    assert sample.value == value or (math.isnan(value) and math.isnan(sample.value))
    assert sample.timestamp is None


def test_families_without_unit_labels_or_samples() -> None:
    passed, empty = Family(name="accelmnist_passed", help="Right."), Family(name="accelmnist_b", help="None.")
    passed.add(1)
    text = openmetrics_text([passed, empty])
    assert text == "# TYPE accelmnist_passed gauge\n# HELP accelmnist_passed Right.\naccelmnist_passed 1\n# EOF\n"
    assert read_back(text) == {"accelmnist_passed": {frozenset(): 1.0}}
    assert read_back(openmetrics_text([])) == {}


@pytest.mark.parametrize(("name", "unit"), [("a_seconds", "bytes"), ("a b", ""), ("1a", ""), ("seconds", "seconds")])
def test_a_name_that_the_standard_forbids_is_a_bug_of_ours(name: str, unit: str) -> None:
    with pytest.raises(AssertionError, match="no name"):
        Family(name=name, help="?", unit=unit)
