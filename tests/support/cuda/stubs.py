"""Makes the libraries that stand in for NVIDIA's, from the lists of symbols that libtorch's libraries miss.

Usage: stubs.py COMPILER TORCH_LIB_DIR OUT_DIR MISSING RUNTIME_SOURCES...

OUT_DIR gets a library for each that libtorch_cuda is linked with, but for the CUDA runtime. MISSING is a source file with those entry points of the
runtime that RUNTIME_SOURCES do not define; the stubs' sources lie beside it. A stub counts its call and returns 1, an error in all of these libraries.
"""

import collections
import pathlib
import re
import subprocess
import sys

LIBRARIES = ["libc10_cuda.so", "libtorch_cuda.so", "libtorch_cpu.so"]
RUNTIME = "libcudart.so.13"
THEIRS = re.compile(r"lib(cu|nv|nccl|torch_nvshmem)")
# What is looked for without a version: it may be found in any of them.
LOOSE = re.compile(r"cudnn|nvshmem|cufile|cuFile|nccl|cufft|cusparse|cublas|curand|cupti|_ZN4c10d")
# With another version libtorch would not choose cuDNN for attention.
ANSWERS = {"cudnnGetVersion": 91900}


def lines(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def main():
    compiler = sys.argv[1]
    torch, out, missing_source, *sources = map(pathlib.Path, sys.argv[2:])
    needed = set()
    wanted = collections.defaultdict(dict)  # library -> symbol -> version
    defined = set()
    loose = set()
    for name in LIBRARIES:
        path = torch / name
        needed |= {found for line in lines("readelf", "-d", path) for found in re.findall(r"NEEDED.*\[(.*)\]", line) if THEIRS.match(found)}
        library_of, current = {}, None
        for line in lines("readelf", "-VW", path):
            current = (re.findall(r"File: (\S+)", line) or [current])[0]
            for version in re.findall(r"Name: (\S+)", line):
                library_of[version] = current
        defined |= {line.split()[-1] for line in lines("nm", "-D", "--defined-only", path)}
        for line in lines("nm", "-D", "--undefined-only", path):
            symbol, _, version = line.split()[-1].partition("@")
            if library_of.get(version) and THEIRS.match(library_of[version]):
                wanted[library_of[version]][symbol] = version
            elif not version and LOOSE.match(symbol):
                loose.add(symbol)
    wanted["libcudnn.so.9"].update({symbol: "" for symbol in loose - defined})
    here = set(re.findall(r"\b_*cuda[A-Z]\w*(?=\()", "".join(source.read_text() for source in sources)))
    missing = sorted(set(wanted.pop(RUNTIME)) - here)
    missing_source.write_text("".join(f'extern "C" int {symbol}() {{ return 801; }}  // cudaErrorNotSupported\n' for symbol in missing))
    # libcupti is there: it needs no driver to be loaded.
    for name in sorted(needed - {RUNTIME, "libcupti.so.13"}):
        make(compiler, missing_source.parent, out, name, wanted[name])


def make(compiler, sources, out, name, symbols):
    source, versions = sources / f"{name}.cpp", sources / f"{name}.map"
    body = "".join(f'long {symbol}() {{ stand_in_called("{name} {symbol}"); return {ANSWERS.get(symbol, 1)}; }}\n' for symbol in sorted(symbols))
    source.write_text(f'extern "C" {{\nvoid stand_in_called(const char* name);\n{body}}}\n')
    by_version = collections.defaultdict(list)
    for symbol, version in sorted(symbols.items()):
        by_version[version].append(symbol)
    versions.write_text("".join(f"{version} {{ global: {'; '.join(all)}; }};\n" for version, all in by_version.items() if version))
    script = [f"-Wl,--version-script={versions}"] if versions.read_text() else []
    command = [compiler, "-w", "-O1", "-shared", "-fPIC", "-fno-builtin", source, *script, f"-Wl,-soname,{name}", "-o", out / name]
    subprocess.run(command, check=True)


main()
