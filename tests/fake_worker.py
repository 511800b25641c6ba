"""A worker with canned answers, which misbehaves as its argument says: `mode`, or `mode@request` at that request alone,
or `mode@request@word` if the case's name has that word.

It takes the time that it tells, in order or in one of its own, and gives the first weights for its own. It starts in a
moment, for it needs NumPy only where it writes an array.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HELLO = {"hello": "accelmnist worker", "protocol": 1, "versions": {"fake": "1.0"}, "threads": 1}
STEP_S = 2e-5
LONG_S = 600

# What is said instead of a hello.
HELLOS: dict[str, str] = {
    "banner": "Welcome to a library 1.0",
    "no-fields": "{}",
    "list": "[1, 2]",
    "other-hello": json.dumps(HELLO | {"hello": "somebody else"}),
    "other-version": json.dumps(HELLO | {"protocol": 7}),
    "text-version": json.dumps(HELLO | {"protocol": "1"}),
    "many-threads": json.dumps(HELLO | {"threads": 64}),
    "no-threads": json.dumps(HELLO | {"threads": -1}),
    "hello-twice": json.dumps(HELLO) + "\n" + json.dumps(HELLO),
}
# What is said instead of an answer.
ANSWERS: dict[str, bytes] = {
    "rubbish": b"what?",
    "empty": b"",
    "list": b"[1, 2]",
    "not-utf-8": b'{"error": "\xff\xfe"}',
    "half": b'{"seconds": 0.1, "ste',
    "error": b'{"error": "no such\\nthing"}',
    "unsupported": b'{"unsupported": "this is not for me"}',
    "twice": b'{"seconds": 0.1, "steps": 5}\n{}',
    "nan-seconds": b'{"seconds": NaN, "steps": 1}',
    "text-seconds": b'{"seconds": "0.1", "steps": 1}',
    "huge-seconds": b'{"seconds": 1e999, "steps": 1}',
    "no-seconds": b'{"steps": 1}',
    "null-losses": b'{"losses": [null]}',
    "deep": b"[" * 100_000,
}


class FakeWorker:
    """One that answers, and its fault."""

    def __init__(self, fault: str) -> None:
        self.mode, self.at, self.word = [*fault.split("@"), "", ""][:3]
        self.files: dict[str, str] = {}
        self.steps, self.first = 0, 0

    def serve(self) -> None:
        """Greet, answer, end with the input; but for the fault."""
        if self.mode in HELLOS and not self.at:
            say(HELLOS[self.mode].encode())
        else:
            self.misbehave("hello")
            say(json.dumps(HELLO).encode())
        for line in sys.stdin:
            request = json.loads(line)
            do = request.pop("do")
            if not self.misbehave(do, request.get("case", "")):
                answer = getattr(self, f"do_{do}")(**request)
                say(json.dumps(answer or {}).encode())
            if self.mode == "talks":
                print("one more step done", flush=True)
        if self.mode == "stays":
            time.sleep(LONG_S)

    def misbehave(self, do: str, case: str = "") -> bool:
        """Do wrong where it is time for it; whether that was the answer."""
        if self.at and (self.at != do or (self.word and self.word not in case.split())):
            return False
        if self.mode in ANSWERS and do != "hello":
            say(ANSWERS[self.mode])
            return True
        wrong = getattr(self, self.mode.replace("-", "_"), None)
        if wrong is not None:
            wrong()
        return False

    def exits(self) -> None:
        """End with an exit code, and a reason."""
        print("first line\nValueError: out of luck\n", file=sys.stderr)
        sys.exit(3)

    def ends(self) -> None:
        """End as if all were well."""
        sys.exit(0)

    def is_killed(self) -> None:
        """End by a signal, as who is out of memory."""
        os.kill(os.getpid(), signal.SIGKILL)

    def hangs(self) -> None:
        """Answer too late."""
        time.sleep(LONG_S)

    def hangs_hard(self) -> None:
        """Too late, deaf to whoever ends it politely, with a child that is as deaf."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({LONG_S})"])
        print(f"child {child.pid}", file=sys.stderr, flush=True)
        time.sleep(LONG_S)

    def leaves_a_daemon(self) -> None:
        """End, and leave a process that is nobody's child and of no group of this one's."""
        if os.fork() == 0:
            words = [sys.executable, "-c", f"import time; time.sleep({LONG_S})", __file__]
            subprocess.Popen(words, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            os._exit(0)
        os.wait()
        self.exits()

    def leaves_its_output(self) -> None:
        """End, and leave a child that holds its output open."""
        subprocess.Popen(
            [sys.executable, "-c", f"import time; time.sleep({LONG_S})", __file__], stdin=subprocess.DEVNULL
        )
        self.exits()

    def writes(self) -> None:
        """Write to what it was given to read."""
        with Path(self.files["labels"]).open("r+b") as file:
            file.seek(-8, os.SEEK_END)
            file.write(b"12345678")

    def removes(self) -> None:
        """Remove what all were given."""
        Path(self.files["images"]).unlink()

    def is_stopped(self) -> None:
        """Stand still."""
        os.kill(os.getpid(), signal.SIGSTOP)

    def closes(self) -> None:
        """Close its output and live on."""
        os.close(1)
        time.sleep(LONG_S)

    def half_hangs(self) -> None:
        """Begin an answer."""
        sys.stdout.write('{"seconds"')
        sys.stdout.flush()
        time.sleep(LONG_S)

    def floods(self) -> None:
        """Write much to its standard error."""
        for _ in range(64):
            sys.stderr.write("warning: nobody reads this\n" * 2000)

    def never_ends(self) -> None:
        """A line that doesn't end."""
        part = b"x" * (1 << 20)
        while True:
            sys.stdout.buffer.write(part)

    def do_ping(self) -> None:
        """Answer."""

    def do_prepare(self, case: str, mode: str, config: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
        """In an order of its own, unless it says otherwise."""
        self.files = files
        self.state = files["start"]
        return {"order": "given" if self.mode.startswith("given") else "own", "compile_s": None}

    def do_load(self, case: str, **source: str) -> None:
        """Take weights."""
        self.state = source.get("from", self.files["start"])

    def do_run(self, case: str, first: int, steps: int) -> dict[str, Any]:
        """Take the time of so many steps."""
        self.steps = steps
        seconds = STEP_S * (steps // 2 if self.mode == "half-the-steps" else steps)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
        told = {
            "half-seconds": seconds / 2,
            "less-seconds": 0.98 * seconds,
            "more-seconds": 2 * seconds,
            "zero-seconds": 0.0,
            "negative-seconds": -seconds,
        }
        return {"seconds": told.get(self.mode, seconds), "steps": steps // 2 if self.mode == "says-half" else steps}

    def do_losses(self, case: str) -> dict[str, Any]:
        """All alike."""
        loss = {"nan-losses": float("nan"), "infinite-losses": float("inf")}.get(self.mode, 2.25)
        return {"losses": [loss] * (self.steps - (self.mode == "given-few-losses"))}

    def do_save(self, case: str, to: str) -> None:
        """The weights that it took last, or what isn't them."""
        shutil.copyfile(self.state, to)
        damage(self.mode, to)

    def do_classify(self, case: str, images: str, to: str) -> None:
        """A digit of each: those that a variable has, or a 3."""
        import numpy as np

        if known := os.environ.get("FAKE_DIGITS"):
            shutil.copyfile(known, to)
            return
        count = len(np.load(images))
        shape = {"short-answer": (count - 1,), "cubic-answer": (count, 2, 5)}.get(self.mode, (count,))
        np.save(to, np.full(shape, 3, dtype=np.int64))
        damage(self.mode, to)


def damage(mode: str, path: str) -> None:
    """Make another file of the right one, if that is what the mode does."""
    file = Path(path)
    if mode in ("no-file", "folder", "pipe"):
        file.unlink()
    if mode == "folder":
        file.mkdir()
    elif mode == "pipe":
        os.mkfifo(path)
    elif mode == "no-array":
        file.write_text("weights")
    elif mode == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif mode == "pickled":
        import numpy as np

        np.savez(path, **{"layers.0.weight": np.array([print], dtype=object)})
    elif mode == "one-array":
        import numpy as np

        with file.open("wb") as opened:
            np.save(opened, np.zeros(3))
    elif path.endswith("state.npz") and mode.startswith("given"):
        damage_weights(mode, path)


def damage_weights(mode: str, path: str) -> None:
    """Other shapes, names or numbers."""
    import numpy as np

    arrays = dict(np.load(path))
    first = arrays["layers.0.weight"]
    changed = {
        "given-other-shape": {"layers.0.weight": first.T},
        "given-text": {"layers.0.weight": first.astype(str)},
        "given-complex": {"layers.0.weight": first.astype(np.complex64)},
        "given-more": {"layers.7.weight": first},
        "given-other-state": {"exp_avg/layers.0.weight": first.T},
        "given-nan": {"layers.0.weight": np.full_like(first, np.nan)},
    }
    arrays |= changed.get(mode, {})
    if mode == "given-no-weight":
        del arrays["layers.0.bias"]
    np.savez(path, **arrays)


def say(line: bytes) -> None:
    """A line of answer."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    FakeWorker(sys.argv[1] if len(sys.argv) > 1 else "").serve()
