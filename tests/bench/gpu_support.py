"""What the stages of gpu.py share: rows, the worker, programs on libtorch, and the model that is measured."""

import fcntl
import json
import math
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import harness
import nvml
import residency

GIB, MIB = 1 << 30, 1 << 20
GOLDEN = harness.BUILD / "golden"
WHOLE = 41_875_931_136  # bytes that the released model takes in memory
BLOCKS, TEXT_LAYERS = 57, 28  # of its transformer and of its text encoder


class Skip(Exception):
    """The stage cannot be done here, and that is no fault."""


class Rows:
    """The figures of one stage, each in the file as soon as it is there: a stage that is ended at its limit has said what it knew."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")
        self.failed = []

    def add(self, what, value=None, unit="", beside=None, goal="", **more):
        """beside: (what it is, its value). value: a number or a word."""
        row = {"what": what, "value": float(f"{value:.5g}") if isinstance(value, float) else value, "unit": unit}
        row |= ({"beside": [beside[0], float(f"{beside[1]:.5g}")]} if beside else {}) | ({"goal": goal} if goal else {}) | more
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        print(format_row(row), flush=True)

    def fail(self, what, why):
        self.add(what, failed=str(why))
        self.failed.append(f"{what}: {why}")

    def check(self, what, good, value, unit="", goal=""):
        self.add(what, value, unit, goal=goal)
        if not good:
            self.failed.append(f"{what}: {value} {unit}".rstrip())


def number(value):
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) >= 1:
        return str(int(value))
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def format_row(row):
    if row.get("failed"):
        return f"  {row['what']:<50} FAILED: {row['failed']}"
    value = row["value"]
    text = "-" if value is None else value if isinstance(value, str) else number(value)
    beside = f"{row['beside'][0]} {number(row['beside'][1])}" if row.get("beside") else ""
    return f"  {row['what']:<50} {text:>10} {row['unit']:<8} {beside:<28} {row.get('goal', '')}".rstrip()


def torch_library():
    return pathlib.Path(os.environ["STEP1X_TORCH_DIR"]) / "torch/lib"


def on_stand_in(options):
    """What a command begins with; nothing where there is a GPU."""
    if not options.stand_in:
        return []
    preload = (options.stand_in / "preload").read_text().strip()
    return ["/usr/bin/env", f"LD_LIBRARY_PATH={options.stand_in}/lib:{torch_library()}", f"LD_PRELOAD={preload}",
            # More of them wait for each other longer than they compute, with a model as small as that.
            "OMP_NUM_THREADS=1"]


def on_libtorch(options, *command):
    """The arguments of subprocess for a program that is linked with libtorch."""
    return {"args": [*on_stand_in(options), *map(str, command)], "env": {**os.environ, "LD_LIBRARY_PATH": str(torch_library())}}


def program(name):
    return harness.BUILD / "tests" / name


def programs_behind(folder, prefix):
    """A copy of the programs whose engine is started by other ones. Returns its step1x."""
    shutil.copytree(harness.BUILD / "bin", folder / "bin")
    engine = folder / "libexec/step1x/step1x-engine"
    engine.parent.mkdir(parents=True)
    words = " ".join(f"'{word}'" for word in [*map(str, prefix), str(harness.BUILD / "libexec/step1x/step1x-engine")])
    engine.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    engine.chmod(0o755)
    return str(folder / "bin/step1x")


def gradient(side):
    """A picture whose pixels differ, for a request."""
    row = bytes(x * 255 // side for x in range(side) for _ in range(3))
    fd = harness.picture(side, side, seals=0)
    os.pwrite(fd, b"".join(bytes([y * 255 // side]) + row[1:] for y in range(side)), 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd


class Worker(residency.Worker):
    def edit(self, device, steps, size, **more):
        """(timings, pixels) of one edit, whose model comes and stays. ValueError: what the worker said."""
        request = harness.edit_request(size, size, model=self.model, device=device, steps=steps, size=size,
                                       timers={"offload_delay": 3600_000, "idle_timeout": 3600_000}) | self.place() | more
        request["model"] = self.model
        with self.connect() as connection:
            fd = gradient(size)
            connection.send(request, fd)
            os.close(fd)
            event = connection.until("done", "error")
            if event is None or event["event"] == "error":
                raise ValueError(event["message"] if event else "the worker is gone")
            [picture] = connection.fds
            return event["timings"], os.pread(picture, event["width"] * event["height"] * 3, 0)

    def devices(self):
        return self.status().get("devices") or []

    def engines(self):
        return [device["pid"] for device in self.devices() if device["pid"]]

    def kill_engine(self):
        harness.kill(*self.engines())
        harness.eventually(lambda: not self.engines(), what="the engine's end")

    def plan(self):
        """By which the model is on the device; None where it is on none."""
        return next((device["plan"]["kind"] for device in self.devices() if device["plan"]), None)

    def allocated(self):
        return sum(device["allocated_bytes"] or 0 for device in self.devices())

    def gpu(self):
        """The driver's own count for the engine's GPU; None where the driver has none that can be asked for."""
        uuid = next((device["uuid"] for device in self.devices() if device["uuid"]), None)
        try:
            return nvml.Gpu(uuid) if uuid else None
        except OSError:
            return None

    def arena_bytes(self, rows):
        """What the model takes; where the worker has no arena for it, the size of its files, and why."""
        status = self.status()
        if status["arena"]:
            return status["arena"]["bytes"]
        rows.add("the worker keeps no copy in memory", str(status.get("arena_refused") or "it does not say why"))
        return sum(path.stat().st_size for path in weights(self.model))


class Peak(residency.Beside):
    """The most memory of the device that was in use: by the driver, or where it does not tell by the engine's own count."""

    def __init__(self, worker, gpu):
        self.worker, self.gpu, self.most = worker, gpu, 0

    def run(self):
        while not self.stop.wait(0.02):
            self.most = max(self.most, self.gpu.used() if self.gpu else self.worker.allocated())


def used(worker, gpu, base=0):
    """MiB now, above a `base` in MiB too."""
    if gpu:
        time.sleep(1)  # what a process gives back is free a little later
    return (gpu.used() if gpu else worker.allocated()) / MIB - base


def weights(model):
    return sorted(pathlib.Path(model).rglob("*.safetensors"))


def model_bytes(share):
    """About; one block of each kind is 4 GB."""
    return int(4e9 + share * (WHOLE - 4e9))


def model_folder(options, scratch):
    """In memory, if there is room for the files, the worker's copy and what else is needed."""
    shared, size = pathlib.Path("/dev/shm"), model_bytes(options.share)
    if options.stand_in or not shared.is_dir():
        return scratch
    available = residency.meminfo("MemAvailable")
    try:
        available = min(available, int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # "max"
        pass
    if shutil.disk_usage(shared).free < 1.05 * size or available < 2.3 * size + 8 * GIB:
        return scratch
    return pathlib.Path(tempfile.mkdtemp(prefix="step1x-bench-", dir=shared))


def model(options, rows):
    """The model that is measured, made by the first stage that needs it."""
    if (options.model / "made").exists():
        return options.model
    shutil.rmtree(options.model, ignore_errors=True)
    start = time.perf_counter()
    if options.stand_in:
        shutil.copytree(GOLDEN / "bundle", options.model)
    else:
        needed, free = model_bytes(options.share), shutil.disk_usage(options.model.parent).free
        if free < 1.05 * needed:
            raise ValueError(f"{options.model.parent} has {free / GIB:.1f} GiB free, and a model of share {options.share} needs "
                             f"{needed / GIB:.1f}: name another folder (--folder) or a smaller --share")
        tokenizer = GOLDEN / "qwen2-tokenizer/tokenizer.json"
        subprocess.run(**on_libtorch(options, program("bench_random_checkpoint"), options.model, tokenizer, options.share), check=True)
    (options.model / "made").touch()
    rows.add("random weights made", time.perf_counter() - start, "s")
    rows.add("  their files", sum(path.stat().st_size for path in weights(options.model)) / GIB, "GiB")
    return options.model


def blocks(options):
    """How many times as many blocks the released transformer has, and how many times as many layers its text encoder."""
    def part(count):  # as random_checkpoint.cpp rounds
        return max(1, int(count * options.share + 0.5))
    return BLOCKS / (part(19) + part(38)), TEXT_LAYERS / part(28)


def earlier(options, name, what):
    """A figure of another stage of this run or an earlier one."""
    try:
        [path] = options.out.glob(f"[0-9][0-9]-{name}.json")
        return next(row["value"] for row in json.loads(path.read_text())["rows"] if row["what"] == what and row["value"])
    except (ValueError, OSError, StopIteration, KeyError):
        return None
