#!/usr/bin/env python3
"""How the model moves to and from a GPU, and what an edit takes by each plan, beside what the machine can do at most. Run by scripts/bench-gpu.

Usage: tests/bench/gpu.py BUILD_DIR [--device DEVICE] [--share X] [--folder DIR] [--json FILE] [--dry-run]

Makes a checkpoint of random weights of the released dimensions (SHARE of its blocks; all of them are 42 GB) in DIR. Prints one table. --dry-run
takes a tiny model and a device that is simulated: only whether everything runs. Exits with 0 whatever the figures are.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(SOURCE / "tests/support"), str(SOURCE / "tests/bench")]
import harness  # noqa: E402  (takes BUILD_DIR from the arguments)
import nvml  # noqa: E402
import residency  # noqa: E402
from residency import GIB  # noqa: E402

MIB = 1 << 20
CARDS = (24, 16, 12, 8)  # GB that a plan may use


class Table:
    def __init__(self):
        self.rows = []

    def row(self, what, value, unit, reference=None, goal=""):
        """reference: (what it is, its value)."""
        self.rows.append({"what": what, "value": round(value, 3), "unit": unit, "reference": reference, "goal": goal})
        beside = f"{reference[0]} {reference[1]:.2f}" if reference else ""
        print(f"  {what:<58} {value:10.2f} {unit:<6} {beside:<34} {goal}", flush=True)


class Peak(residency.Beside):
    """The most memory of the device that was in use: by the driver, or where there is none by the engine's own count."""

    def __init__(self, worker, gpu):
        self.worker, self.gpu, self.most = worker, gpu, 0

    def run(self):
        while not self.stop.wait(0.02):
            now = self.gpu.used() if self.gpu else self.worker.status()["devices"][0]["allocated_bytes"]
            self.most = max(self.most, now)


def copy_ceiling(device, size):
    done = subprocess.run([str(harness.BUILD / "tests/bench_device_copy"), device, str(size)], check=True, stdout=subprocess.PIPE)
    return float(done.stdout.split()[0])


def edit(worker, device, steps, size, **more):
    """The timings of one edit, whose model comes and stays."""
    torch = {"torch_dir": os.environ["STEP1X_TORCH_DIR"]} if os.environ.get("STEP1X_TORCH_DIR") else {}
    with worker.connect() as connection:
        connection.edit(model=worker.model, device=device, steps=steps, size=size, width=size, height=size,
                        timers={"offload_delay": 3600_000}, **torch, **more)
        event = connection.until("done", "error")
        if event["event"] == "error":
            return event["message"]
        return event["timings"]


def bench_moves(table, worker, options, files, size):
    device = options.device
    for cold in (True, False):
        worker.ask(op="release")
        worker.load("cpu", residency.SMALL)
        if cold:
            residency.drop_cache(files)
        raw = residency.reference("read", "huge", *files)
        if cold:
            residency.drop_cache(files)
        took = worker.load(device)
        name = "cold" if cold else "warm"
        table.row(f"disk to device, files {name}, engine started for it", took, "s", ("raw reads s", raw), "raw / 0.95 + 0.5 s")
    ceiling = copy_ceiling("cpu" if options.dry_run else device, size)
    offload, live, cold_engine = [], [], []
    for _ in range(options.runs):
        start = time.perf_counter()
        worker.ask(op="offload")
        offload.append((time.perf_counter() - start) * 1000)
        live.append(worker.load(device))
    for _ in range(options.runs):
        worker.kill_engine()
        cold_engine.append(worker.load(device))
    best = min(live)
    table.row("offload", max(offload), "ms", goal="<= 50")
    table.row("memory to device, engine there", best, "s", ("pinned copies s", ceiling), "<= 0.85 at 42 GB")
    table.row("  its rate", size / best / GIB, "GiB/s", ("pinned copies", size / ceiling / GIB), ">= 88 %")
    table.row("memory to device, engine started for it", min(cold_engine), "s")
    table.row("  of that, library, context and the rest", min(cold_engine) - best, "s", goal="<= 2")


def bench_idle(table, worker, options, gpu, base):
    worker.ask(op="offload")
    time.sleep(1)
    with_context = (gpu.used() - base) / MIB if gpu else worker.status()["devices"][0]["allocated_bytes"] / MIB
    table.row("memory on the device, idle, engine there", with_context, "MiB", goal="<= 600")
    # The next job's timers hold: its engine leaves at once.
    with worker.connect() as connection:
        torch = {"torch_dir": os.environ["STEP1X_TORCH_DIR"]} if os.environ.get("STEP1X_TORCH_DIR") else {}
        connection.edit(model=worker.model, device=options.device, steps=1, size=64, timers={"idle_timeout": 0, "offload_delay": 0}, **torch)
        connection.until("done", "error")
    harness.eventually(lambda: worker.status()["devices"][0]["pid"] is None, what="the engine's end")
    time.sleep(1)
    after = (gpu.used() - base) / MIB if gpu else worker.status()["devices"][0]["allocated_bytes"] / MIB
    table.row("memory on the device after idle_timeout", after, "MiB", goal="0")


def bench_plans(table, worker, options, gpu, base):
    steps, size = (2, 64) if options.dry_run else (8, 1024)
    plans = [("resident", None), ("staged", None), ("stream", None)]
    plans += [("stream", card * 1_000_000_000) for card in CARDS if not options.dry_run]
    resident = None
    for plan, limit in plans:
        name = f"{size} px, {plan}" + (f" in {limit // 1_000_000_000} GB" if limit else "")
        more = {"plan": plan} | ({"max_vram": limit} if limit else {})
        worker.ask(op="offload")
        timings = edit(worker, options.device, 1, size, **more)
        if isinstance(timings, str):
            print(f"  {name:<58} {timings}", flush=True)
            table.rows.append({"what": name, "failed": timings})
            continue
        with Peak(worker, gpu) as peak:
            timings = edit(worker, options.device, steps, size, **more)
        each = timings["denoise"] / steps
        resident = resident or each
        table.row(f"{name}: a step", each, "s", ("of resident's", each / resident), "<= 1.03" if plan == "stream" else "")
        table.row(f"{name}: encode and decode", timings["encode"] + timings["decode"], "s")
        table.row(f"{name}: most memory", (peak.most - base) / MIB, "MiB")


def machine(gpu_name):
    processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return f"{gpu_name}; {processor}, {os.cpu_count()} processors, {residency.meminfo('MemTotal') >> 30} GiB"


def gpu_name():
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip().replace("\n", "; ")
    except (OSError, subprocess.CalledProcessError):
        return "a GPU that nvidia-smi does not name"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--share", type=float, default=1.0, help="of the released model's blocks, 0 to 1")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="step1x-bench-", dir=options.folder))
    table = Table()
    try:
        model = folder / "model"
        if options.dry_run:
            options.runs, options.device = 1, "sim:1g"
            shutil.copytree(residency.SMALL, model)
        else:
            start = time.perf_counter()
            residency.harness.make_checkpoint(model, options.share)
            print(f"made the checkpoint in {time.perf_counter() - start:.0f} s", flush=True)
        files = sorted(model.rglob("*.safetensors"))
        worker = residency.Worker(folder, model)
        worker.load(options.device)
        status = worker.status()
        size, uuid = status["arena"]["bytes"], status["devices"][0]["uuid"]
        gpu = nvml.Gpu(uuid) if uuid else None
        worker.kill_engine()
        time.sleep(1)
        base = gpu.used() if gpu else 0
        title = f"{machine('simulated device' if options.dry_run else gpu_name())}; model {size / GIB:.2f} GiB"
        print(f"\n{title}, {100 * status['arena']['huge_bytes'] / size:.0f} % in huge pages", flush=True)
        bench_moves(table, worker, options, files, size)
        bench_plans(table, worker, options, gpu, base)
        bench_idle(table, worker, options, gpu, base)
        if options.json:
            options.json.write_text(json.dumps({"machine": title, "model_bytes": size, "rows": table.rows}, indent=1) + "\n")
    finally:
        residency.clean_up(folder)


if __name__ == "__main__":
    main()
