"""What a run leaves in its folder beside its record: the whole profile as text, and all seeds as Markdown."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from accelmnist.core.files import write_atomically
from accelmnist.core.records import ProfileSummary, RunRecord, TrialsSummary
from accelmnist.show.profile import whole_profile
from accelmnist.show.render.console import print_document
from accelmnist.show.render.markdown import render_markdown
from accelmnist.show.trials import trials_note

PROFILE_NAME, TRIALS_NAME = "profile.txt", "trials.md"
_WIDTH, _NAME_WIDTH = 120, 66  # of a line, and of an operation's name in it


def write_profile(profile: ProfileSummary, folder: Path) -> str:
    """Write notes and all rows into `folder`; returns the file's name, raises OutputError."""
    text = io.StringIO()
    console = Console(file=text, width=_WIDTH, color_system=None, highlight=False)
    print_document(whole_profile(profile, name_width=_NAME_WIDTH), console)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    write_atomically(folder / PROFILE_NAME, "\n".join([*lines, ""]).encode())
    return PROFILE_NAME


def write_trials(record: RunRecord, summary: TrialsSummary, folder: Path) -> str:
    """Write all seeds into `folder`; returns the file's name, raises OutputError."""
    write_atomically(folder / TRIALS_NAME, render_markdown(trials_note(record, summary)).encode())
    return TRIALS_NAME
