"""Spoil files by the thousand: ``make fuzz``, or

    python tests/fuzz/nightly.py [--inputs 50000] [--seed 1] [--from 0]

Ends with status 1 at the first input that is neither read nor refused within `fuzzing.SECONDS`, which it
writes to a file, or when more memory was used than may be. Prints counts, the slowest input, the most memory.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from fuzzing import look, spoil, valid_files

MOST_MEMORY = 1500
"""Megabytes, of this process and of each helper that decodes."""


def peak(process: int | str = "self") -> int:
    """Megabytes that a process ever had in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def helpers() -> list[int]:
    """The processes that decode for this one."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(child) for child in found.split()]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--inputs", type=int, default=50_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--from", dest="first", type=int, default=0)
    chosen = arguments.parse_args()
    warnings.simplefilter("ignore")  # outside of tests these libraries only warn of damage
    logging.disable()
    outcomes: Counter[str] = Counter()
    slowest, most, kinds, begun = (0.0, "", 0), 0, list(valid_files()), time.perf_counter()
    for number in range(chosen.first, chosen.first + chosen.inputs):
        kind = kinds[number % len(kinds)]
        content = spoil(kind, np.random.default_rng([chosen.seed, number]))
        start = time.perf_counter()
        try:
            outcomes[look(content)] += 1
        except BaseException as error:
            path = Path(f"fuzz-{chosen.seed}-{number}.bin")
            path.write_bytes(content)
            print(f"input {number} of seed {chosen.seed}, {kind}: {error!r}; written to {path}")
            raise
        slowest = max(slowest, (time.perf_counter() - start, kind, number))
        if number % 500 == 0:
            most = max([most, *map(peak, helpers())])
    most = max([most, peak(), *map(peak, helpers())])
    print(f"{chosen.inputs:,} inputs of seed {chosen.seed}, from {chosen.first:,}: {dict(outcomes)}")
    took, (seconds, kind, number) = time.perf_counter() - begun, slowest
    print(f"in {took:.0f} s; slowest {seconds:.2f} s ({kind}, number {number:,})")
    print(f"most memory {most} MB")
    return int(most > MOST_MEMORY)


if __name__ == "__main__":
    sys.exit(main())
