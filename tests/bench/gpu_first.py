"""Stages of gpu.py that tell whether anything works: the machine, the tiny model, the reference's numbers, the sanitizer."""

import glob
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import subprocess

import gpu_support as support
import harness
import residency
from gpu_support import GIB, GOLDEN, Skip, on_libtorch, program

PLANS = ("resident", "staged", "stream")


def said(*command):
    """The one line that a program of the machine says; None where there is none."""
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True, timeout=30).stdout.strip().replace("\n", "; ")
    except (OSError, subprocess.SubprocessError):
        return None


def first_line(path, start=""):
    try:
        with open(path, encoding="utf-8") as file:
            return next(line for line in file if line.startswith(start)).strip()
    except (OSError, StopIteration):
        return None


def machine(options, rows):
    asked = "name,driver_version,memory.total,mig.mode.current,compute_mode,pcie.link.gen.current,pcie.link.width.current,power.limit,clocks.max.sm"
    rows.add("the card", said("nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"), fields=asked)
    rows.add("nvidia-smi -L", said("nvidia-smi", "-L"))
    rows.add("kernel's driver", first_line("/proc/driver/nvidia/version"))
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        rows.add(name, os.environ.get(name))
    rows.add("processor", (first_line("/proc/cpuinfo", "model name") or platform.machine()).partition(":")[2].strip() or platform.machine())
    rows.add("processors that may be used", len(os.sched_getaffinity(0)))
    rows.add("memory", residency.meminfo("MemTotal") / GIB, "GiB")
    rows.add("memory available", residency.meminfo("MemAvailable") / GIB, "GiB")
    rows.add("memory allowed to this group", first_line("/sys/fs/cgroup/memory.max"))
    for folder in ("/dev/shm", str(options.folder)):
        if os.path.isdir(folder):
            rows.add(f"free in {folder}", shutil.disk_usage(folder).free / GIB, "GiB")
    rows.add("memory that may be locked", str(resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]), "bytes")
    rows.add("huge pages in shared memory", first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled"))
    rows.add("kernel, C library", f"{platform.release()}, {' '.join(platform.libc_ver())}")
    rows.add("libtorch", first_line(pathlib.Path(os.environ["STEP1X_TORCH_DIR"]) / "torch/version.py", "__version__"))
    rows.add("step1x", said(harness.STEP1X, "--version"))
    # A library that is missing is known at once, not when a stage's time is up.
    for name in ("bench_residency", "bench_random_checkpoint", "bench_operator_times", "bench_device_probe", "golden-check"):
        done = subprocess.run(**on_libtorch(options, program(name), *(["--help"] if name == "golden-check" else [])), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if b"sage:" not in done.stdout:
            rows.fail(f"{name} starts", done.stdout.decode(errors="replace").strip() or f"exit status {done.returncode}")
    lines(rows, on_libtorch(options, program("bench_device_probe"), options.device, *(["--short"] if options.stand_in else [])))


def lines(rows, command, most=None):
    """Rows of a program that prints them, at most so many."""
    count = 0
    with subprocess.Popen(**command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                print(line, end="", flush=True)
                continue
            count += 1
            if "failed" in row:
                rows.fail(row["what"], row["failed"])
            elif most is None or count <= most or "share" not in row:
                beside = ("of all", row["share"]) if "share" in row else None
                rows.add(row.pop("what"), float(row.pop("value")), row.pop("unit"), beside, **row)
    if process.returncode != 0:
        rows.fail(pathlib.Path(command["args"][-1]).name if count else "it", f"{command['args']} ended with {process.returncode}")
    return count


def difference(a, b):
    """Mean and most, in levels of 255."""
    apart = [abs(x - y) for x, y in zip(a, b)]
    return sum(apart) / max(1, len(apart)), max(apart, default=0)


def compare(rows, what, expected, picture, limit):
    mean, most = difference(expected, picture)
    rows.check(what, len(expected) == len(picture) and mean <= limit, "the same" if expected == picture else f"{mean:.3f} mean, {most} most",
               "levels" if expected != picture else "", f"mean <= {limit}")


def tiny(options, rows):
    worker = support.Worker(options.stage_folder, GOLDEN / "bundle")
    pictures = {}
    size = 32 if options.stand_in else 64
    for plan in PLANS:
        timings, pictures[plan] = worker.edit(options.device, 4, size, plan=plan)
        rows.add(f"an edit, {plan}", timings["total"], "s", timings=timings)
        rows.check("  its plan", worker.plan() == plan, worker.plan(), "", plan)
    for plan in PLANS[1:]:
        compare(rows, f"{plan} beside resident", pictures["resident"], pictures[plan], 0.5)
    worker.kill_engine()
    _, on_cpu = worker.edit("cpu", 4, size)
    engines = worker.engines()
    _, on_gpu = worker.edit(options.device, 4, size, plan="resident")
    rows.check("one engine for the CPU, then the GPU", worker.engines() == engines, f"{len({*engines, *worker.engines()})} engine")
    compare(rows, "the GPU after the CPU, beside the GPU alone", pictures["resident"], on_gpu, 0.5)
    # Of random weights every rounding makes another picture: no check. Numbers are the next stage's matter.
    rows.add("the GPU (bf16) beside the CPU (float32), mean", difference(on_cpu, on_gpu)[0], "levels")
    log = (worker.runtime / "worker.log").read_text(errors="replace") if (worker.runtime / "worker.log").exists() else ""
    deaths = [line for line in re.findall(r" error engine \d+ (.*)", log) if "signal 9" not in line]
    rows.check("engines that died", not deaths, "; ".join(deaths) or 0)


def golden(options, rows):
    device = options.device
    # A stand-in is as slow as a CPU: some of it will do.
    folders = [GOLDEN / "diffusers-v1.1"] if options.stand_in else [GOLDEN]
    command = on_libtorch(options, program("golden-check"), *folders, "--tokenizer", GOLDEN / "qwen2-tokenizer", "--device", device)
    last = ""
    with subprocess.Popen(**command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            last = line.strip()
            match = re.match(r"(\S+) +(\S+) +(\S+) +(ok|FAIL|skipped.*)$", line)
            if not match:
                print(line, end="", flush=True)
                continue
            name, error, limit, state = match.groups()
            if state == "FAIL":
                rows.fail(name, f"{error} of {limit}" if error != "-" else "see the output")
            else:
                rows.add(name, float(error) if error != "-" else state, "", ("allowed", float(limit)) if limit != "-" else None)
    rows.check("golden-check", process.returncode == 0, last)


def find_sanitizer():
    folders = [*os.environ["PATH"].split(":"), "/usr/local/cuda/bin", f"{os.environ['STEP1X_TORCH_DIR']}/nvidia/*/bin", "/opt/nvidia/*/*/bin"]
    found = [path for folder in folders for path in sorted(glob.glob(f"{folder}/compute-sanitizer")) if os.access(path, os.X_OK)]
    if not found:
        raise Skip("there is no compute-sanitizer on this machine")
    return found[0]


def sanitizer(options, rows):
    log = options.stage_folder / "sanitizer.log"
    # With libtorch's own allocator between, one tensor's end would be another's beginning, and no error.
    prefix = ["/usr/bin/env", "PYTORCH_NO_CUDA_MEMORY_CACHING=1", find_sanitizer(), "--tool", "memcheck", "--log-file", str(log), "--print-limit", "20"]
    harness.STEP1X = support.programs_behind(options.stage_folder / "programs", [*support.on_stand_in(options), *prefix])
    worker = support.Worker(options.stage_folder, GOLDEN / "bundle")
    timings, _ = worker.edit(options.device, 1, 32, plan="stream")
    rows.add("an edit, stream, under compute-sanitizer", timings["total"], "s")
    rows.check("  its plan", worker.plan() == "stream", worker.plan(), "", "stream")
    # It writes its summary when the engine ends, and that ends with the worker.
    subprocess.run([harness.STEP1X, "worker", "stop"], env=worker.env, check=True)
    summary = re.compile(r"ERROR SUMMARY: (\d+) error")
    harness.eventually(lambda: log.exists() and summary.search(log.read_text(errors="replace")), 30, "the sanitizer's summary")
    text = log.read_text(errors="replace")
    print(text[:4000], flush=True)
    errors = int(summary.search(text).group(1))
    rows.check("errors that it found", errors == 0, errors, "", "0")
