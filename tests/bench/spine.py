#!/usr/bin/env python3
"""What the way from the command to the worker and back costs, each figure beside its reference in the same run.

Usage: tests/bench/spine.py [BUILD_DIR] [--short]     (BUILD_DIR: build/release)

Prints a table: minimum, median and 90th percentile in milliseconds, and the goal. Exits with 0 whatever the figures
are; a command that fails ends it. The runs of a figure and of its reference alternate, so that both see the same load.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PHOTO = SOURCE / "tests/data/coffee.jpg"


class Bench:
    def __init__(self, build, short):
        self.step1x = str(build / "bin/step1x")
        self.short = short
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="step1x-bench-"))
        self.runtime = self.folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8",
                    "STEP1X_RUNTIME_DIR": str(self.runtime)}
        self.null = os.open(os.devnull, os.O_RDWR)

    def count(self, full):
        return max(5, full // 10) if self.short else full

    def run(self, arguments):
        """Milliseconds from posix_spawn to the end of the process; nothing of Python in between."""
        actions = [(os.POSIX_SPAWN_DUP2, self.null, fd) for fd in (0, 1, 2)]
        start = time.perf_counter()
        pid = os.posix_spawnp(arguments[0], arguments, self.env, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        took = (time.perf_counter() - start) * 1000
        if status != 0:
            raise SystemExit(f"{' '.join(arguments)}: status {status}")
        return took

    def alternate(self, commands, repeats):
        """commands: {name: arguments}. {name: [milliseconds]}."""
        times = {name: [] for name in commands}
        for _ in range(repeats):
            for name, arguments in commands.items():
                times[name].append(self.run(arguments))
        return times

    def stop_worker(self):
        self.run([self.step1x, "worker", "stop", "--force"])

    def worker_pid(self):
        done = subprocess.run([self.step1x, "worker", "start"], env=self.env, check=True, stdout=subprocess.PIPE)
        return int(done.stdout)

    def edit(self, picture, output, *more, steps=1):
        return [self.step1x, "edit", str(picture), "-p", "red", "--seed", "1", "--steps", str(steps), "--model", "fake:",
                "-o", str(output), "-q", *more]


def row(name, times, goal=""):
    ordered = sorted(times)
    print(f"  {name:<46} {ordered[0]:8.2f} {statistics.median(ordered):8.2f} "
          f"{ordered[int(0.9 * (len(ordered) - 1))]:8.2f}   {goal}", flush=True)


def heading(title):
    print(f"\n{title}\n  {'milliseconds':<46} {'min':>8} {'median':>8} {'p90':>8}   goal (median)")


def bench_status(bench):
    references = {"/bin/true": ["/bin/true"], "python3 -c pass": ["python3", "-c", "pass"]}
    status = [bench.step1x, "gpu", "status", "--json"]
    heading("gpu status")
    times = bench.alternate({**references, "gpu status, no worker": status}, bench.count(200))
    for name in times:
        row(name, times[name], "<= 5" if "no worker" in name else "")
    bench.worker_pid()
    times = bench.alternate({**references, "gpu status, worker": status}, bench.count(200))
    for name in times:
        row(name, times[name], "<= 8" if ", worker" in name else "")
    bench.stop_worker()


def first_event(bench):
    """From the command to its first event on standard error, with no worker running."""
    arguments = [a for a in bench.edit(PHOTO, bench.folder / "first.png", "--progress-json") if a != "-q"]
    start = time.perf_counter()
    process = subprocess.Popen(arguments, env=bench.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, bufsize=0)
    line = process.stderr.readline()
    took = (time.perf_counter() - start) * 1000
    process.stderr.read()
    if process.wait() != 0 or not line.startswith(b"{"):
        raise SystemExit(f"{arguments}: {line}")
    bench.stop_worker()
    return took


def bench_first_event(bench):
    heading("the first event of an edit that has to start the worker")
    python, ours = [], []
    for _ in range(bench.count(50)):
        python.append(bench.run(["python3", "-c", "import json, socket, subprocess"]))
        ours.append(first_event(bench))
    row("python3, importing what a client would need", python)
    row("step1x edit, first event, no worker", ours, "<= 100")


def bench_edit(bench):
    square = bench.folder / "square.png"
    subprocess.run(["vips", "thumbnail", str(PHOTO), str(square), "1024", "--height", "1024", "--size", "force"], check=True)
    edited = bench.folder / "edited.png"
    bench.run(bench.edit(square, edited))  # what the reference writes is what the edit writes
    out = bench.folder / "out.png"
    reference = ["vips", "copy", str(edited), f"{bench.folder}/ref.png[compression=3,filter=paeth]"]
    heading("an edit with a 0 ms engine against libvips alone, 1024x1024 PNG to PNG")
    times = bench.alternate({"vips copy": reference, "step1x edit, warm worker": bench.edit(edited, out)}, bench.count(60))
    for name in times:
        row(name, times[name])
    row("difference", [a - b for a, b in zip(times["step1x edit, warm worker"], times["vips copy"])], "<= 25")
    bench.stop_worker()


def memory_kib(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/{pid}/status has no {key}")


def bench_memory(bench):
    pid = bench.worker_pid()
    python = subprocess.Popen(["python3", "-c", "import asyncio, json, time; print(1, flush=True); time.sleep(60)"],
                              stdout=subprocess.PIPE)
    python.stdout.readline()
    print("\nresident memory with nothing loaded (VmRSS)")
    print(f"  python3 with asyncio and json   {memory_kib(python.pid, 'VmRSS') / 1024:6.2f} MiB")
    print(f"  step1xd                         {memory_kib(pid, 'VmRSS') / 1024:6.2f} MiB   goal <= 8")
    python.kill()
    python.wait()
    bench.stop_worker()


def bench_soak(bench):
    repeats = bench.count(1000)
    out = bench.folder / "soak.png"
    small = bench.folder / "small.png"
    subprocess.run(["vips", "thumbnail", str(PHOTO), str(small), "128"], check=True)
    pid = bench.worker_pid()
    print(f"\n{repeats} edits in a row: the worker's descriptors and VmRSS")
    marks = {repeats // 10, repeats // 2, repeats}
    for i in range(1, repeats + 1):
        bench.run(bench.edit(small, out))
        if i in marks:
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            print(f"  after {i:5}   {descriptors:4} descriptors   {memory_kib(pid, 'VmRSS') / 1024:6.2f} MiB", flush=True)
    bench.stop_worker()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=SOURCE / "build/release")
    parser.add_argument("--short", action="store_true", help="a tenth of the runs: to see that it works")
    options = parser.parse_args()
    if not shutil.which("vips"):
        raise SystemExit("the reference `vips` is missing: scripts/install --tests")
    bench = Bench(options.build.resolve(), options.short)
    try:
        for part in (bench_status, bench_first_event, bench_edit, bench_memory, bench_soak):
            part(bench)
    finally:
        try:
            bench.stop_worker()
        finally:
            shutil.rmtree(bench.folder)


if __name__ == "__main__":
    sys.exit(main())
