"""`results/` keeps a record for each processor: where it lies, which one is shown, and what stands in the folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from accelmnist.core.files import make_folder
from accelmnist.engines.standing import hardware_of, slug_of
from accelmnist.measure.record import BenchRecord
from accelmnist.measure.recount import load_bench
from bench import processors
from bench.peers import __main__ as peers
from bench.processors import best_first, folder_here, links
from bench.studies.scaling import __main__ as scaling
from tests.bench_samples import sample_bench
from tests.samples import sample_environment


def test_each_processor_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for processor, level in (("AMD EPYC, Zen 3", "AVX2"), ("AMD EPYC, Zen 4", "AVX512"), ("AMD EPYC, Zen 5", "AVX512")):
        here = replace(sample_environment(), processor=processor, cores=2, cpu_capability=level)
        monkeypatch.setattr(processors, "describe_environment", lambda _device, here=here: here)
        names.append(folder_here(tmp_path).name)
    assert names == [
        "amd-epyc-zen-3-2-cores-avx2",
        "amd-epyc-zen-4-2-cores-avx512",
        "amd-epyc-zen-5-2-cores-avx512",
    ]


def test_the_narrowest_intervals_are_shown_and_the_others_linked(tmp_path: Path) -> None:
    record = sample_bench()
    unmeasured = replace(record, cases=tuple(replace(one, images_per_s=None) for one in record.cases))
    made = {"a-without": unmeasured, "b-measured": record}

    def load(folder: Path) -> list[BenchRecord]:
        return [made[folder.name]]

    with pytest.raises(FileNotFoundError):
        best_first(tmp_path, load)
    for name in made:
        (make_folder(tmp_path / name) / "bench.json").touch()
    make_folder(tmp_path / "c-empty")
    best, *others = best_first(tmp_path, load)
    assert (best.name, [one.name for one in others]) == ("b-measured", ["a-without"])
    said = links(others, "page.md", beside=tmp_path.parent / "README.md")
    assert said == f"Measured on other processors too: [a-without]({tmp_path.name}/a-without/page.md)."
    assert links([], "page.md", beside=tmp_path) == ""


@pytest.mark.parametrize(
    ("parent", "load"),
    [(peers.FOLDER, peers.records), (scaling.FOLDER, lambda folder: [load_bench(folder)])],
    ids=["peers", "scaling"],
)
def test_a_committed_record_lies_with_its_processor(
    parent: Path, load: Callable[[Path], Sequence[BenchRecord]]
) -> None:
    """An older record may know less of its processor than the folder's name says."""
    for folder, records in best_first(parent, load).items():
        for record in records:
            assert record.environment is not None
            own = slug_of(hardware_of(record.environment, "cpu", ""))
            assert set(own.split("-")) <= set(folder.name.split("-"))
