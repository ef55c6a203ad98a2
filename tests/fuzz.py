"""Hostile inputs by the thousand: each must end in finite numbers or in one of our errors.

    python tests/fuzz.py --cases 20000 --seed 0      # all, in a process that is watched
    python tests/fuzz.py --seed 0 --only 1234        # one, with its traceback

Files of every format that is read, crystals, parameters, and folders of weights, models and indexes
are changed at random, byte by byte or value by value. A case may take 5 s of processor time and 1
GiB of memory, and leaves no file behind.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

SECONDS = 5.0
BYTES = 2**30
_WARM = 20  # cases that are not counted, so that no case pays for compiling
_SILENT = 120.0  # seconds of processor time without a word after which a process counts as hung
_IDLE = 3600.0  # seconds without a word, and without work


def _peak() -> int:
    """Largest resident memory since the last reset, bytes."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def work(start: int, stop: int, seed: int, kinds: list[str], stop_at_fault: bool = False) -> None:
    """Run cases and print a line of JSON for each."""
    from fuzz_cases import run_case
    from fuzz_seeds import Seeds

    root = Path(tempfile.mkdtemp(prefix="ssatom-fuzz-"))
    os.chdir(root)
    (root / "seeds").mkdir()
    seeds = Seeds(root / "seeds")
    try:
        for number in range(-_WARM, 0):  # compiles the loops
            run_case(number, seed, root / "case", seeds, kinds)
        resource.setrlimit(resource.RLIMIT_AS, (64 * BYTES,) * 2)
        for number in range(start, stop):
            _reset_peak()
            memory, began, fault, kind, outcome = _peak(), time.process_time(), "", "", ""
            try:
                kind, outcome = run_case(number, seed, root / "case", seeds, kinds)
            except Exception as error:
                if stop_at_fault:
                    raise
                where = traceback.extract_tb(error.__traceback__)[-1]
                fault = f"{type(error).__name__}: {error!s:.200} ({where.filename}:{where.lineno})"
            took, grown = time.process_time() - began, _peak() - memory
            if not fault and (took > SECONDS or grown > BYTES):
                fault = f"takes {took:.1f} s and {grown / 2**20:.0f} MiB"
            told = {"number": number, "kind": kind, "outcome": outcome, "fault": fault}
            print(json.dumps({**told, "seconds": took, "bytes": grown}), flush=True)
        if extra := {path.name for path in root.iterdir()} - {"seeds"}:
            raise SystemExit(f"files are left behind: {sorted(extra)}")
    finally:
        os.chdir("/")
        seeds.close()
        root.rmdir()


def watch(cases: int, seed: int, kinds: list[str]) -> list[dict[str, Any]]:
    """Run all cases in a process that is started again where it dies or hangs."""
    told: list[dict[str, Any]] = []
    while len(told) < cases:
        command = [sys.executable, __file__, "--worker", str(len(told)), str(cases)]
        command += ["--seed", str(seed), "--kinds", *kinds]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            ended = _listen(process, told)
        if len(told) < cases:
            fault = f"the process {ended} (exit code {process.returncode})"
            told.append({"number": len(told), "kind": "", "outcome": "", "fault": fault,
                         "seconds": 0.0, "bytes": 0})  # fmt: skip
            print(f"case {told[-1]['number']}: {fault}", flush=True)
    return told


def _listen(process: Any, told: list[dict[str, Any]]) -> str:
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        spoke, worked = time.monotonic(), 0.0
        while time.monotonic() - spoke < _IDLE and _worked(process.pid) - worked < _SILENT:
            if not selector.select(5.0):
                continue
            line = process.stdout.readline()
            if not line:
                return "died"
            spoke, worked = time.monotonic(), _worked(process.pid)
            told.append(json.loads(line))
            if told[-1]["fault"]:
                print(f"case {told[-1]['number']}: {told[-1]['fault']}", flush=True)
    process.kill()
    return "hung"


def _worked(pid: int) -> float:
    """Processor time of a process, s; on a busy machine the clock tells nothing."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run what the command line asks for; 1 if anything is at fault."""
    every = ["file", "crystals", "parameters", "folder"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone")
    parser.add_argument("--kinds", nargs="+", choices=every, default=every)
    parser.add_argument("--worker", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only is not None:
        work(given.only, given.only + 1, given.seed, given.kinds, stop_at_fault=True)
        return 0
    if given.worker:
        work(*given.worker, given.seed, given.kinds)
        return 0
    told = watch(given.cases, given.seed, given.kinds)
    for (kind, outcome), count in sorted(Counter((t["kind"], t["outcome"]) for t in told).items()):
        print(f"{kind or 'unknown':12} {outcome or 'fault':10} {count:8,}")
    faults = sum(bool(one["fault"]) for one in told)
    slowest, largest = (max(told, key=lambda one: one[key]) for key in ("seconds", "bytes"))
    print(f"slowest: {slowest['seconds']:.2f} s (case {slowest['number']})")
    print(f"largest: {largest['bytes'] / 2**20:.0f} MiB (case {largest['number']})")
    print(f"{len(told):,} cases, {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
