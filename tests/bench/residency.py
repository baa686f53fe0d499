#!/usr/bin/env python3
"""How fast the model moves between files, host memory and device, beside the same bytes moved in the plainest way.

Usage: tests/bench/residency.py [BUILD_DIR] [--share X] [--runs N] [--short]     (BUILD_DIR: build/release)

Makes a checkpoint of random weights of the released widths (SHARE 0, one block of each kind: 3.7 GB), which takes its size on the disk
and several times in memory. The device is `sim`: memory of the CPU apart from the arena. Exits with 0 whatever the figures are.

The figure of a row is the least of its runs. Memory that a virtual machine has given back to its host takes several times as long to
get again, at moments that nobody here chooses: the medians, in brackets, say how much of that there was.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/support"))
if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
    sys.argv.insert(1, str(SOURCE / "build/release"))
import harness  # noqa: E402  (takes BUILD_DIR from the arguments)

GIB = 1 << 30
SMALL = harness.BUILD / "golden/bundle"


def most_ram():
    """What STEP1X_MAX_RAM says, as a request has it; nothing where it is not set."""
    written = os.environ.get("STEP1X_MAX_RAM", "")
    found = re.fullmatch(r"(\d+)([kmgt]?)", written.lower())
    if written and not found:
        raise SystemExit(f"STEP1X_MAX_RAM={written}: not a size like 96G")
    return {"max_ram": int(found[1]) << 10 * " kmgt".index(found[2] or " ")} if found else {}


class Worker:
    """A worker of our own, spoken to in its protocol: a command line would add its own milliseconds."""

    def __init__(self, folder, model):
        self.model = str(model)
        self.runtime = folder / "run"
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "STEP1X_RUNTIME_DIR": str(self.runtime)}
        self.start()

    def start(self):
        self.pid = int(subprocess.run([harness.STEP1X, "worker", "start"], env=self.env, check=True, stdout=subprocess.PIPE).stdout)

    def connect(self):
        return harness.Connection(str(self.runtime / "worker.sock"))

    def ask(self, **request):
        with self.connect() as connection:
            connection.send(request)
            return connection.receive()

    def status(self):
        return self.ask(op="status")

    @staticmethod
    def place():
        """What a client says of its environment: where libtorch is, how much RAM there is, and which GPUs it was given."""
        said = {"torch_dir": "STEP1X_TORCH_DIR", "visible_devices": "CUDA_VISIBLE_DEVICES", "container_devices": "NVIDIA_VISIBLE_DEVICES"}
        return {member: os.environ[name] for member, name in said.items() if os.environ.get(name)} | most_ram()

    def load(self, device, model=None):
        """Seconds from the request to the end of the load; then the job is cancelled, and the model stays."""
        with self.connect() as connection:
            start = time.perf_counter()
            connection.edit(model=str(model or self.model), device=device, steps=1, size=32, timers={"offload_delay": 3600_000}, **self.place())
            while True:
                event = connection.receive()
                if event["event"] == "error":
                    raise SystemExit(f"{device}: {event['message']}")
                # Where the engine finds it in the arena and computes on that there is nothing to load.
                if event["event"] in ("step", "done") or event["event"] == "loading" and event["done"] >= event["total"]:
                    break
            took = time.perf_counter() - start
            # Cancelled before it is sealed, the arena would be given up.
            if event["event"] == "loading":
                event = connection.until("step", "done", "error")
            if event["event"] == "step":
                connection.send({"op": "cancel"})
                connection.until("error", "done")
        return took

    def kill_engine(self):
        [pid] = [device["pid"] for device in self.status()["devices"]]
        os.kill(pid, signal.SIGKILL)
        harness.eventually(lambda: self.status()["devices"][0]["pid"] is None, what="the engine's end")


class Beside:
    """A thread that watches while something else is done."""

    def __enter__(self):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Latency(Beside):
    """Asks for the status all the time, and remembers how long the answers took."""

    def __init__(self, worker):
        self.worker, self.times = worker, []

    def run(self):
        with self.worker.connect() as connection:
            while not self.stop.is_set():
                start = time.perf_counter()
                connection.send({"op": "status"})
                connection.receive()
                self.times.append((time.perf_counter() - start) * 1000)
                time.sleep(0.002)

    def row(self, what):
        ordered = sorted(self.times)
        print(f"  status during {what:<38} {len(ordered):>6} asked, median {statistics.median(ordered):.2f} ms, "
              f"p99 {ordered[int(0.99 * (len(ordered) - 1))]:.2f} ms   goal p99 <= 20", flush=True)


def meminfo(key):
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":")) * 1024


class MemoryTaken(Beside):
    """By all processes together, at most; files in the page cache do not count."""

    def __init__(self):
        self.before = self.least = meminfo("MemAvailable")

    @property
    def most(self):
        return self.before - self.least

    def run(self):
        while not self.stop.wait(0.005):
            self.least = min(self.least, meminfo("MemAvailable"))


def reference(*arguments):
    done = subprocess.run([str(harness.BUILD / "tests/bench_residency"), *map(str, arguments)], check=True, stdout=subprocess.PIPE)
    return float(done.stdout.split()[0])


def pair(what, ours, plain, size, goal):
    """The least of both, and the share of the plain rate that ours reaches."""
    a, b = min(ours), min(plain)
    print(f"  {what:<46} {a:6.2f} s ({statistics.median(ours):5.2f}) {size / GIB / a:5.2f} GiB/s   "
          f"plain {b:6.2f} s ({statistics.median(plain):5.2f}) {size / GIB / b:5.2f} GiB/s   {b / a:5.2f}   {goal}", flush=True)


def drop_cache(files):
    for path in files:
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def bench_load(worker, files, size, runs, shared_before):
    for cold in (False, True):
        times, taken, latency = {"huge": [], "plain": [], "ours": [], "asked": []}, [], Latency(worker)
        for run in range(runs):
            # In turns, each in each place: what comes second gets the memory that the first has just given back.
            order = [*times][run % len(times):] + [*times][:run % len(times)]
            for kind in order:
                worker.ask(op="release")
                # The engine is there, with a model that is not worth mentioning.
                worker.load("cpu", SMALL)
                harness.eventually(lambda: meminfo("Shmem") < shared_before + 0.01 * size + (64 << 20), what="the memory of the last load")
                if cold:
                    drop_cache(files)
                if kind == "ours":
                    times[kind].append(worker.load("cpu"))
                elif kind == "asked":
                    # Apart: whoever asks takes a processor from those who load.
                    with latency, MemoryTaken() as memory:
                        worker.load("cpu")
                    taken.append(memory.most)
                else:
                    times[kind].append(reference("read", kind, *files))
        name = "cold" if cold else "warm"
        pair(f"load, files {name}", times["ours"], times["huge"], size, "goal >= 0.9")
        pair(f"the same against 4 KiB pages, files {name}", times["ours"], times["plain"], size, "")
        latency.row(f"a load, files {name}")
        print(f"  memory taken at most by a load: {max(taken) / GIB:.2f} GiB for {size / GIB:.2f} GiB of weights   "
              f"goal <= {(1.05 * size + (512 << 20)) / GIB:.2f}", flush=True)


def bench_reload(worker, size, runs):
    device = f"sim:{int(size * 1.2)}"
    worker.load(device)
    live, cold, plain, offload = [], [], [], []
    for _ in range(runs):
        start = time.perf_counter()
        worker.ask(op="offload")
        offload.append((time.perf_counter() - start) * 1000)
        plain.append(reference("copy", size))
        with Latency(worker) as latency:
            live.append(worker.load(device))
        worker.kill_engine()
        cold.append(worker.load(device))
    pair("arena to device, engine there", live, plain, size, "goal >= 0.9")
    pair("arena to device, engine started for it", cold, plain, size, "")
    print(f"  offload: median {statistics.median(offload):.1f} ms, most {max(offload):.1f} ms   goal <= 50", flush=True)
    latency.row("a reload")


def bench_kill(worker, size):
    worker.load("cpu")
    before = meminfo("Shmem")
    start = time.perf_counter()
    os.kill(worker.pid, signal.SIGKILL)
    # The kernel counts a few pages late, on each processor.
    while meminfo("Shmem") > before - size + max(0.05 * size, 4 << 20):
        if time.perf_counter() - start > 60:
            raise SystemExit("the memory does not come back")
        time.sleep(0.002)
    print(f"  kill -9 of the worker to its {size / GIB:.1f} GiB free: {time.perf_counter() - start:.2f} s   goal <= 2", flush=True)


def clean_up(folder):
    """Its worker, if it still lives, and everything that was made."""
    subprocess.run([harness.STEP1X, "worker", "stop", "--force"], env={**os.environ, "STEP1X_RUNTIME_DIR": str(folder / "run")},
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--share", type=float, default=0.0, help="of the released model's blocks, 0 to 1")
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--short", action="store_true", help="a tiny model, once: only whether it runs")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="step1x-bench-"))
    try:
        model = folder / "model"
        if options.short:
            options.runs = 1
            shutil.copytree(SMALL, model)
        else:
            harness.make_checkpoint(model, options.share)
        files = sorted(model.rglob("*.safetensors"))
        shared_before = meminfo("Shmem")
        worker = Worker(folder, model)
        worker.load("cpu")
        arena = worker.status()["arena"]
        size = arena["bytes"]
        print(f"\n{sum(path.stat().st_size for path in files) / GIB:.2f} GiB of files, arena {size / GIB:.2f} GiB, "
              f"{100 * arena['huge_bytes'] / size:.0f} % of it in huge pages; {os.cpu_count()} processors; the least of {options.runs} (median)")
        bench_load(worker, files, size, options.runs, shared_before)
        bench_reload(worker, size, options.runs)
        worker.kill_engine()
        bench_kill(worker, size)
    finally:
        clean_up(folder)


if __name__ == "__main__":
    main()
