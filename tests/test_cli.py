"""The command line as a user meets it: exact lines for mistakes, exit codes, streams, and what loads when."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from accelmnist import cli
from accelmnist.cli import invoke
from accelmnist.cli.options import Option
from accelmnist.core.records import RunRecord, load_record
from accelmnist.data.idx import write_idx
from accelmnist.data.types import Dataset
from accelmnist.device.loading import importing

QUICK = ["run", "--synthetic", "--hidden", "16", "--epochs", "2", "--batch-size", "64", "--device", "cpu"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # all is loaded here already: a helper would only be waited for


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong command answers with; checks exit code 2, one line, nothing on standard output."""
    code = invoke(arguments)
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1, captured.err
    return captured.err.removeprefix("error: ").rstrip("\n")


MISTAKES: dict[str, str | None] = {
    "--epochs 0": "--epochs: 0 is too few. Give 1 or more",
    "--epochs two": "Invalid value for '--epochs': 'two' is not a valid integer. See accelmnist run --help",
    "--epochs": "Option '--epochs' requires an argument",
    "--lr 0": "--lr: 0.0 is not a positive number. Give one such as 0.01",
    "--lr nan": "--lr: nan is not a positive number. Give one such as 0.01",
    "--batch-size 0": "--batch-size: 0 is too small. Give 1 or more",
    "--dropout 1": "--dropout: 1.0 is out of range. Give a number from 0 up to, not including, 1",
    "--hidden 12,x": None,
    "--hidden 0": "--hidden: a size is not between 1 and 65536. Give sizes such as 128 or 512,256, or none",
    "--momentum 0.8": "--momentum has no effect with --optimizer adamw. Add --optimizer sgd-momentum, or leave it out",
    "--warmup 0.1 --schedule cosine": (
        "--warmup has no effect with --schedule cosine. Add --schedule one-cycle, or leave it out"
    ),
    "--nesterov": "--nesterov: adamw has no Nesterov form. Add --optimizer sgd-momentum",
    "--seed -1": "--seed: -1 is out of range. Give 0 up to 2^63 - 1",
    "--compile --engine eager": "--compile contradicts --engine eager. Give one of them",
    "--amp --precision tf32": "--amp bf16 contradicts --precision tf32. Give one of them",
    "--amp --precision fp32": "--amp bf16 contradicts --precision fp32. Give one of them",
    "--amp fp16 --precision bf16": "--amp fp16 contradicts --precision bf16. Give one of them",
    "--synthetic --dataset kmnist": "--synthetic contradicts --dataset. Give one of them",
    "--no-save --out x": "--no-save contradicts --out. Give one of them",
    "--quiet --json": "--quiet contradicts --json. Give one of them",
    "--device gpu": "--device: 'gpu' is not a device. Choose auto, cpu, cuda, cuda:N or mps; here: {there}",
    "--device cpu:1": "--device: 'cpu:1' is not a device. Choose auto, cpu, cuda, cuda:N or mps; here: {there}",
    "--device cpu --precision tf32": None,
    "--frobnicate": None,
    "--engine warp": None,
    "--data nowhere": None,
    "--resume nowhere": "cannot read nowhere: no such file or directory. Give the folder of a run",
    "--resume nowhere --epochs 3": (
        "--resume goes on with the saved run's own configuration, so --epochs has no place. Leave out --epochs"
    ),
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_one_line(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    from accelmnist.device import available

    found, line = fails(capsys, "run", *arguments.split()), MISTAKES[arguments]
    if line is not None:
        assert found == line.format(there=", ".join(available()))
    assert len(found) > 20
    assert not Path("results").exists()


@pytest.mark.parametrize("command", [["run", "--threads", "4096"], ["bench", "--threads", "1,4096"]])
def test_more_threads_than_make_sense_are_refused(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert fails(capsys, *command) == "--threads: 4096 is too many for the 3 processors here. Give 12 or fewer"
    assert not Path("results").exists()


def test_an_absent_device_names_those_that_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    from accelmnist.device import available

    absent = next(name for name in ("mps", "cuda:63") if name not in available())
    line = fails(capsys, "run", "--device", absent)
    assert line.startswith(f"--device {absent} is not available: ")
    assert line.endswith(f"Choose one that is here: {', '.join(available())}")


def test_a_batch_larger_than_the_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "run", "--synthetic", "--batch-size", "5000") == (
        "--batch-size: 5000 is larger than the 4096 training images. Give 4096 or fewer"
    )


def test_a_validation_split_that_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "run", "--synthetic", "--validation", "4096") == (
        "--validation: 4096 of 4096 training images leave nothing to train on. Hold out fewer"
    )


def test_a_folder_that_lacks_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, mnist: Dataset) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", mnist.train.images[:10].reshape(-1, 28, 28))
    assert "train-labels-idx1-ubyte" in fails(capsys, "run", "--data", str(tmp_path))


def test_an_unwritable_results_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    line = fails(capsys, *QUICK, "--out", "file/run")
    assert line == ("cannot write file/run: not a directory. Choose another place with --out, or make room there")


def test_a_full_disk_in_the_middle_loses_nothing_saved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelmnist.core.errors import OutputError
    from accelmnist.training import checkpoint as module

    saved = module.save_checkpoint
    calls = []

    def fails_the_second_time(checkpoint: Any, path: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OutputError(f"cannot write {path}: no space left on device", remedy="Make room there")
        saved(checkpoint, path)

    monkeypatch.setattr(module, "save_checkpoint", fails_the_second_time)
    code = invoke([*QUICK, "--epochs", "4", "--out", "run", "--quiet"])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err == "error: cannot write run/checkpoint.safetensors: no space left on device. Make room there\n"
    record = load_record(Path("run"))
    assert record.status == "failed"
    assert len(record.epochs) == 2
    assert Path("run/checkpoint.safetensors").exists()


def test_running_out_of_memory_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from accelmnist.training import execute as module

    def no_memory(*_arguments: Any, **_settings: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(module, "train", no_memory)
    code = invoke([*QUICK, "--quiet", "--no-save"])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("error: out of memory on cpu (")
    assert captured.err.endswith("Try a smaller --batch-size or --hidden, or another --device\n")


def test_a_run_saves_everything_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke([*QUICK, "--out", "run"])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    record = load_record(Path("run"))
    assert record.status == "done"
    assert record.verdict is not None
    assert record.verdict.passed
    assert record.metrics is not None
    assert record.metrics.accuracy > 0.8
    assert record.environment is not None
    assert record.environment.torch
    assert set(record.files) == {str(path.relative_to("run")) for path in Path("run").rglob("*") if path.is_file()}
    for words in ("PASS", "macro F1", "Confusion matrix", "Scores by class", "asked for"):
        assert words in captured.out
    assert all(len(line) <= 80 for line in captured.out.splitlines())
    assert "\x1b" not in captured.out


def test_json_is_one_document_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke([*QUICK, "--no-save", "--json"])
    captured = capsys.readouterr()
    record = msgspec.json.decode(captured.out, type=RunRecord)
    assert code == 0
    assert json.loads(captured.out)["metrics"]["accuracy"] == record.metrics.accuracy
    assert "How it will run" in captured.err
    assert not Path("results").exists()


def test_quiet_says_only_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--no-save", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("PASS ")
    assert (captured.out.count("\n"), captured.err) == (1, "")


def test_a_default_folder_is_named_by_time_device_and_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--engine", "eager", "--quiet"]) == 0
    (folder,) = Path("results").iterdir()
    assert folder.name.endswith("-cpu-eager")


def test_a_run_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--quiet", "--out", "run"]) == 0
    capsys.readouterr()
    assert fails(capsys, *QUICK, "--out", "run") == (
        "--out run already holds a result. Choose another folder, or go on with it by --resume"
    )
    assert fails(capsys, "run", "--resume", "run") == (
        "--resume run: that run is finished. Start a new one, or give a stopped run"
    )


def test_a_diverging_run_says_where_and_why_and_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke([*QUICK, "--optimizer", "sgd", "--lr", "1e30", "--output", "linear", "--out", "run", "--quiet"])
    captured = capsys.readouterr()
    assert code == 1
    assert captured.err.startswith("error: the loss is ")
    assert "of epoch 1" in captured.err
    assert captured.err.rstrip().endswith("try --lr 0.5")
    assert load_record(Path("run")).status == "diverged"


def test_a_wrong_run_exits_1_and_names_the_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelmnist.engines import model

    monkeypatch.setattr(model, "scale_images", lambda images: images * (1 / 300))
    code = invoke([*QUICK, "--no-save", "--quiet"])
    captured = capsys.readouterr()
    assert code == 1
    assert captured.out.startswith("FAIL ")
    assert "failed: logits" in captured.out


def test_softmax_regression_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--hidden", "none", "--out", "run", "--quiet"]) == 0
    assert len(list(Path("run/weights").iterdir())) == 10


def test_validation_images_are_held_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*QUICK, "--validation", "500", "--no-save", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["training_images"], data["validation_images"]) == (3596, 500)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["run", "--frobnicate"]])
def test_help_and_mistakes_load_neither_torch_nor_matplotlib(arguments: list[str]) -> None:
    program = (
        "import sys; from accelmnist.cli import invoke; invoke(sys.argv[1:]); "
        "print('LOADED', [m for m in ('torch', 'matplotlib', 'numpy', 'rich', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout


def test_only_the_command_that_is_wanted_is_loaded() -> None:
    program = (
        "import sys; from accelmnist.cli import NAMES, invoke; invoke(['run', '--help']); "
        "print('LOADED', [name for name in NAMES if f'accelmnist.cli.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "LOADED ['run']" in done.stdout


def test_every_command_is_listed_and_a_slip_of_the_finger_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py") if "@click.command" in path.read_text()}
    assert [line.split()[0] for line in listed] == sorted(files) == list(cli.NAMES)
    assert "Did you mean 'sweep'?" in fails(capsys, "sweeep")


HELP_PAGES = ((), *((name,) for name in cli.NAMES))


@pytest.mark.parametrize("command", HELP_PAGES)
def test_help_fits_eighty_columns(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([*command, "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_each_command_is_listed_with_a_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(listed) == len(cli.NAMES)  # a line each
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("name", cli.NAMES)
def test_every_option_stands_under_a_heading_and_says_what_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = cli.commands.get_command(click.Context(cli.commands), name)
    assert command is not None
    options = [parameter for parameter in command.params if isinstance(parameter, Option) and not parameter.hidden]
    assert [option.name for option in options if option.heading == Option.heading or not option.help] == []
    assert invoke([name, "--help"]) == 0
    page = capsys.readouterr().out
    headings = re.findall(r"^(\S.*):$", page, re.MULTILINE)
    assert headings == [*dict.fromkeys(option.heading for option in options), "Other"]
    for option in options:
        assert re.search(rf"^  {option.opts[0]}\b", page, re.MULTILINE)


@pytest.mark.parametrize(
    ("shell", "program"),
    [
        ("bash", "_accelmnist_completion() {"),
        ("zsh", "#compdef accelmnist"),
        ("fish", "function _accelmnist_completion"),
    ],
)
def test_help_says_how_to_switch_completion_on(shell: str, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  {shell} "))
    assert f"_ACCELMNIST_COMPLETE={shell}_source accelmnist" in line
    assert program in completed(shell=f"{shell}_source")


def completed(*words: str, shell: str = "bash_complete") -> str:
    """What a shell is answered when Tab is pressed after `words`."""
    environment = os.environ | {
        "_ACCELMNIST_COMPLETE": shell,
        "COMP_WORDS": " ".join(("accelmnist", *words)),
        "COMP_CWORD": str(len(words)),
    }
    command = [sys.executable, "-m", "accelmnist"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_commands_options_and_choices_complete() -> None:
    assert completed("sw").split() == ["plain,sweep"]
    assert {line.partition(",")[2] for line in completed("").split()} == set(cli.NAMES)
    assert completed("run", "--batch").split() == ["plain,--batch-size"]
    assert "plain,--part" not in completed("bench", "--p").split()
    assert completed("run", "--optimizer", "sgd").split() == ["plain,sgd", "plain,sgd-momentum"]


def test_imports_are_not_interrupted_by_the_collector_and_what_they_made_is_set_aside() -> None:
    def import_something() -> None:
        with importing("a_module_that_is_not_there"):
            assert not gc.isenabled()
            raise ImportError

    before = gc.get_freeze_count()
    try:
        with pytest.raises(ImportError):
            import_something()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        with importing("sys"):
            assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_the_module_runs_as_the_program() -> None:
    done = subprocess.run([sys.executable, "-m", "accelmnist", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("accelmnist, version ")


def test_a_network_too_large_for_the_machine_is_refused_before_it_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "run", "--synthetic", "--hidden", "65536,65536,65536,65536", "--device", "cpu")
    assert line.startswith("784-65536-65536-65536-65536-10 takes about 623.0 GB to train and check; this machine has ")
    assert line.endswith("GB free. Try a smaller --hidden or --batch-size")
    assert not Path("results").exists()


def test_two_runs_of_one_second_get_a_folder_each(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelmnist.core.files import new_folder

    monkeypatch.setattr("time.strftime", lambda _format: "20260101-000000")
    names = [new_folder(None, label="cuda0-eager").name for _ in range(3)]
    assert names == ["20260101-000000-cuda0-eager", "20260101-000000-cuda0-eager-2", "20260101-000000-cuda0-eager-3"]


def test_pictures_that_cannot_be_written_do_not_hide_the_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelmnist.core.errors import OutputError
    from accelmnist.show import pictures

    def full(*_arguments: Any, **_settings: Any) -> None:
        raise OutputError("cannot write run/weights.png: no space left on device", remedy="Make room there")

    monkeypatch.setattr(pictures, "write_pictures", full)
    code = invoke([*QUICK, "--out", "run", "--quiet"])
    captured = capsys.readouterr()
    assert (code, captured.out[:5]) == (2, "PASS ")
    assert captured.err == "error: cannot write run/weights.png: no space left on device. Make room there\n"
    assert load_record(Path("run")).status == "failed"


def test_a_folder_with_other_files_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/confusion.png").write_text("mine")
    assert fails(capsys, *QUICK, "--out", "mine") == (
        "--out mine holds other files, which could be replaced. Choose a new folder"
    )
    assert Path("mine/confusion.png").read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.slow
def test_an_output_that_cannot_be_written_is_one_line() -> None:
    command = [sys.executable, "-m", "accelmnist", *QUICK, "--no-save", "--quiet"]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, not a file
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: cannot write the output: no space left on device\n")


def test_json_of_a_diverged_run_is_its_record(capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke([*QUICK, "--optimizer", "sgd", "--lr", "1e30", "--output", "linear", "--no-save", "--json"])
    captured = capsys.readouterr()
    assert code == 1
    assert json.loads(captured.out)["status"] == "diverged"
