"""A process that has everything loaded, and starts others by fork: in the middle of a batch, or as servers.

It reads lines of JSON and answers each with one: ``{"batch": …}`` see :func:`_batch`, ``{"serve": FOLDER, "more": ARGUMENTS}``
with the address that the server prints and its process id, ``{"end": PID}`` with how the server ended, ``{"push": ARGUMENTS}``
and ``{"check": ARGUMENTS}`` with how that command ended.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults import batched

from partwise.cli import main as partwise
from partwise.client import pacing

ROOT = Path(__file__).parents[2]
Ask = Callable[..., Any]


@contextmanager
def forking(*within: str) -> Iterator[Ask]:
    """Starts that process, by the command ``within``; what it gives sends a line, written as keywords, and returns the answer."""
    with subprocess.Popen(
        [*within, sys.executable, "-m", "tests.faults.forking"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "server"), "HOME": "/nonexistent"},
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None and stdout is not None

        def ask(**said: Any) -> Any:
            stdin.write(json.dumps(said) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield ask


def _forked(work: Callable[[int], int]) -> tuple[int, int]:
    """A process that does ``work`` with the writing end of a pipe, and ends with what it gives; its id, and the reading end."""
    read, write = os.pipe()
    process = os.fork()
    if not process:
        os.close(read)
        try:
            os._exit(work(write))
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(write)
    return process, read


def _batch(said: dict[str, Any]) -> Any:
    """``{"batch": NAME, "folder": …, "step": N, "first": …}``: how it ended, the rows that were told, the
    names of the steps, and the numbers of those that are worth a kill.
    """

    def work(write: int) -> int:
        say = os.write  # not the one that is counted
        steps = batched.run(
            said["folder"], said["batch"], said["step"], lambda line: say(write, line), first=said.get("first", False)
        )
        say(write, json.dumps([steps.counted, steps.moments]).encode())
        return 0

    process, read = _forked(work)
    with os.fdopen(read) as pipe:
        lines = [json.loads(line) for line in pipe]
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    rows = [line for line in lines if isinstance(line, dict)]
    steps, moments = next((line for line in lines if isinstance(line, list)), ([], []))
    return {"code": code, "rows": rows, "steps": steps, "moments": moments}


def _serve(folder: str, more: list[str]) -> Any:
    def work(write: int) -> int:
        os.dup2(write, 1)
        os.close(0)
        return partwise(["serve", folder, "--port", "0", *more])

    process, read = _forked(work)
    with os.fdopen(read) as pipe:
        return {"pid": process, "says": pipe.readline()}


def _command(*arguments: str) -> int:
    def work(write: int) -> int:
        # A server on the same machine is back soon.
        pacing._FIRST_PAUSE = 0.01
        os.close(0)
        os.dup2(write, 1)
        return partwise([*arguments])

    process, read = _forked(work)
    with os.fdopen(read) as pipe:
        pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> None:
    # Once here, so that what is made at the first use need not be made in every process.
    with tempfile.TemporaryDirectory() as folder:
        batched.receive(folder, batched.BATCHES["atomic operations"]).close()
    gc.freeze()
    servers = set()
    for line in sys.stdin:
        said = json.loads(line)
        if "batch" in said:
            answer = _batch(said)
        elif "serve" in said:
            answer = _serve(said["serve"], said.get("more", []))
            servers.add(answer["pid"])
        elif "push" in said:
            answer = _command("push", *said["push"])
        elif "check" in said:
            answer = _command("check", *said["check"])
        else:
            servers.remove(said["end"])
            answer = os.waitstatus_to_exitcode(os.waitpid(said["end"], 0)[1])
        print(json.dumps(answer), flush=True)
    for process in servers:
        os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
