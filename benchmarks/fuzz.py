"""Any bytes to everything that reads a file of somebody else's: a value or an InputError, within ten seconds.

    python -m pip install atheris
    python -m benchmarks.fuzz --seconds 40 --found found     # every parser in turn, each for 40 seconds

atheris leads its mutations by what code they reach. What it finds is written to ``--found`` as a file, and ends the run
with its traceback: keep it as a line of ``KEPT`` in tests/whole/test_any_bytes.py. Without atheris the bytes are those
of tests/helpers/parsers.py, mixed up blindly.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

LONGEST_S = 10
"""Of one input."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--seconds", type=int, default=40, help="for each parser")
    options.add_argument("--found", type=Path, default=Path("found"), help="folder of inputs that end it")
    options.add_argument("--parser", help="only this one, in this process")
    asked = options.parse_args()
    asked.found.mkdir(exist_ok=True)
    if asked.parser is not None:
        fuzz(asked.parser, asked.seconds, asked.found)
        return
    from tests.helpers.parsers import PARSERS

    for name in PARSERS:
        began = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.fuzz", "--parser", name]
        ended = subprocess.run(
            [*command, "--seconds", str(asked.seconds), "--found", str(asked.found)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        runs = [line for line in ended.stderr.splitlines() if line.startswith(("Done", "DONE", "inputs"))]
        print(
            f"{name}: {'nothing found' if ended.returncode == 0 else 'FOUND'} in {time.monotonic() - began:.0f} s; {' '.join(runs[-1:])}",
            flush=True,
        )
        if ended.returncode:
            print(ended.stderr[-3_000:], flush=True)


def fuzz(name: str, seconds: int, found: Path) -> None:
    """Until something is found, or the time is over."""
    try:
        import atheris
    except ImportError:
        blindly(name, seconds, found)
        return
    with atheris.instrument_imports(include=["supernet", "cost_models", "search", "yaml"]):
        from tests.helpers.parsers import ODD, PARSERS
    from supernet.errors import InputError

    parser = PARSERS[name]
    with TemporaryDirectory() as folder:
        corpus, words = Path(folder) / "corpus", Path(folder) / "words"
        corpus.mkdir()
        (corpus / "sound").write_text(parser.sound)
        words.write_text("".join(f'"{as_word(odd[:60])}"\n' for odd in ODD))
        file = Path(folder) / f"given{parser.suffix}"

        def one(data: bytes) -> None:
            file.write_bytes(data)
            with suppress(InputError):
                parser.read(file)

        atheris.Setup(
            [sys.argv[0], str(corpus), f"-dict={words}", f"-max_total_time={seconds}", f"-timeout={LONGEST_S}",
             "-max_len=20000", "-rss_limit_mb=4096", f"-artifact_prefix={found}/{name.replace(' ', '_')}-"],
            one,
        )  # fmt: skip
        atheris.Fuzz()


def as_word(piece: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in piece)


def blindly(name: str, seconds: int, found: Path) -> None:
    from supernet.errors import InputError
    from tests.helpers.parsers import PARSERS, mixed_up

    parser, rng, end, count = PARSERS[name], np.random.default_rng(), time.monotonic() + seconds, 0
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"given{parser.suffix}"
        while time.monotonic() < end:
            data, count = mixed_up(parser.sound.encode(), rng), count + 1
            file.write_bytes(data)
            try:
                parser.read(file)
            except InputError:
                continue
            except BaseException:
                (found / f"{name.replace(' ', '_')}-{count}").write_bytes(data)
                raise
    print(f"inputs: {count}", file=sys.stderr)


if __name__ == "__main__":
    main()
