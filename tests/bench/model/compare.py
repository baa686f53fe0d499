"""What the benchmarks of the model share: the program that times ours is asked for one run at a time, in turn with the
reference, so that a busy machine is busy for both; of each the least time counts."""

import argparse
import os
import platform
import subprocess
import time

import torch

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def arguments(description, sizes, **more):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="processor time, for a busy machine; with --threads 1")
    parser.add_argument("--dtype", nargs="*", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--size", type=int, nargs="*", default=sizes[0], help=sizes[1])
    for name, (value, text) in more.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=text)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def print_machine(options, model, libraries):
    with open("/proc/cpuinfo") as file:
        name = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    count = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in (torch, *libraries))
    print(f"{count:.0f} M parameters; {name}, {options.threads} of {os.cpu_count()} cores, load {load}; {versions}; "
          f"least {'processor' if options.cpu else 'wall'} time of {options.runs} runs", flush=True)


class Ours:
    """The program, waiting for the names of measures and figures."""

    def __init__(self, options, folder, inputs, dtype):
        self.process = subprocess.Popen(
            [options.program, str(folder), str(inputs), dtype, str(options.threads), "cpu" if options.cpu else "wall"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def __call__(self, name):
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().split()
        if not line or line[0] != name:
            raise SystemExit(f"{self.process.args[0]} ended when asked for '{name}'")
        values = [float(value) for value in line[1:]]
        return values[0] if len(values) == 1 else values


def alternate(options, ours, names, reference):
    """Least seconds by name, those of `reference` (name -> callable) among them. A first run does not count."""
    clock = time.process_time if options.cpu else time.perf_counter
    best = {}
    for run in range(options.runs + 1):
        for name in names:
            value = ours(name)
            if run > 0:
                best[name] = min(best.get(name, value), value)
        for name, work in reference.items():
            start = clock()
            work()
            value = clock() - start
            if run > 0:
                best[name] = min(best.get(name, value), value)
    return best


def memory_columns(ours):
    """Peak of the process, less the pages of its program and libraries, against that of the tensors, weights included, that
    libtorch held; all in MiB."""
    process, files, tensors = ours("memory")
    return f"({process:.0f} - {files:.0f}) / {tensors:.0f} = {(process - files) / tensors:.2f}"


def rms(a, b):
    return (a.double() - b.double()).square().mean().sqrt().item()
