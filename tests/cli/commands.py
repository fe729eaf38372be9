"""A process that has the whole command line loaded, and runs each command in a fork of itself: loading takes longest.

It reads lines of JSON, ``[arguments, environment]``, and answers each with ``[exit code, output, errors]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import partwise.cli.push
import partwise.cli.serve  # noqa: F401
from partwise.cli import main

Run = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str, str]]


@contextmanager
def commands(environment: Mapping[str, str]) -> Iterator[Run]:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cli.commands"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env=environment,
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None and stdout is not None

        def run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
            stdin.write(json.dumps([arguments, environment]) + "\n")
            stdin.flush()
            code, output, errors = json.loads(stdout.readline())
            return code, output, errors

        yield run


def _in_fork(arguments: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = os.fork()
        if not process:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            os.environ.update(environment)
            os._exit(_exit_code(arguments))
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        output.seek(0)
        errors.seek(0)
        return code, output.read(), errors.read()


def _exit_code(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(_in_fork(*json.loads(line))), flush=True)
