#!/usr/bin/env python3
"""Puts what scripts/bench-gpu needs on a bare machine into a folder, and checks that it is all, and little enough.

Usage: tests/bench/gpu_pack.py BUILD_DIR DIR        (scripts/bench-gpu --pack DIR)
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MOST = 60 << 20
# Of the machine: the C and C++ libraries and zlib. Of torch: what the programs are linked with.
ALLOWED = re.compile(r"(libc|libm|libstdc\+\+|libgcc_s|libz|ld-linux-x86-64|libtorch_cpu|libc10)\.so(\.\d+)?$")
GLIBC = (2, 39)  # Ubuntu 24.04
PROGRAMS = ["bin/step1x", "bin/step1xd", "libexec/step1x/step1x-engine", "libexec/step1x/step1x-model.so", "tests/golden-check",
            "tests/bench_device_probe", "tests/bench_operator_times", "tests/bench_random_checkpoint", "tests/bench_residency"]
FILES = ["LICENSE", "scripts/bench-gpu", "scripts/common.sh", "tests/support/harness.py", "tests/support/nvml.py", "tests/bench/residency.py",
         "tests/bench/gpu.py", "tests/bench/gpu_first.py", "tests/bench/gpu_model.py", "tests/bench/gpu_support.py"]


def fail(why):
    sys.exit(f"scripts/bench-gpu: {why}")


def run(*command):
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    except FileNotFoundError:
        fail(f"--pack needs {command[0]}, which is not installed")
    except subprocess.CalledProcessError as problem:
        fail(f"{' '.join(map(str, command))} ended with {problem.returncode}")


def pack_program(build, target, name):
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (build / name).exists():
        fail(f"{build / name} is not built")
    run("strip", "-o", path, build / name)
    # The libtorch of the build is nothing that another machine has: it must be found by the environment, here too.
    script = target / "remove.cmake"
    script.write_text(f'file(RPATH_REMOVE FILE "{path}")\n')
    run("cmake", "-P", script)
    script.unlink()


def check_program(path):
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", path))
    foreign = [library for library in needed if not ALLOWED.match(library)]
    if foreign:
        fail(f"{path.name} needs {', '.join(foreign)}, which the other machine may not have: link it statically")
    if re.search(r"\((RUNPATH|RPATH)\)", run("readelf", "-d", path)):
        fail(f"{path.name} still has the run path of this build")
    versions = {tuple(map(int, found)) for found in re.findall(r"GLIBC_(\d+)\.(\d+)", run("readelf", "-V", path))}
    if max(versions, default=GLIBC) > GLIBC:
        fail(f"{path.name} needs glibc {'.'.join(map(str, max(versions)))}, and Ubuntu 24.04 has {'.'.join(map(str, GLIBC))}")


def size_of(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        fail(f"{target} exists and is not empty")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that what was refused is not taken for something to carry.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        new = pathlib.Path(folder) / "pack"
        for name in PROGRAMS:
            pack_program(build, new, name)
            check_program(new / name)
        for name in FILES:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, new / name)
        shutil.copytree(build / "golden", new / "golden")
        size = size_of(new)
        if size > MOST:
            largest = max((path for path in new.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
            fail(f"{size / (1 << 20):.1f} MiB are more than the {MOST >> 20} that can be carried; the largest is {largest.relative_to(new)}")
        if target.exists():
            target.rmdir()
        new.rename(target)
    print(f"{target}: {size / (1 << 20):.1f} MiB, of which programs {sum((target / name).stat().st_size for name in PROGRAMS) / (1 << 20):.1f}; "
          "on the other machine run scripts/bench-gpu in it")


if __name__ == "__main__":
    main()
