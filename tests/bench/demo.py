#!/usr/bin/env python3
"""How long an edit with the demo model takes, from the command to the file, beside the same with the stand-in engine.

Usage: tests/bench/demo.py [BUILD_DIR] [--short]     (BUILD_DIR: build/release)

"cold": nothing is running, so worker, engine, libtorch and model are loaded; "warm": the model is in memory. The runs of
a figure and of its reference alternate. Exits with 0 whatever the figures are; a command that fails ends it.
"""

import argparse
import pathlib
import shutil
import sys

import spine


def bench_demo(bench):
    def edit(model):
        return [bench.step1x, "edit", str(spine.PHOTO), "-p", "make it black and white", "--seed", "1", "--device", "cpu",
                "--model", model, "-o", str(bench.folder / "out.png"), "-q"]

    models = {"step1x edit --model fake:": "fake:", "step1x edit --model demo": "demo"}
    goals = {"cold": "<= 6000", "warm": "<= 3000"}
    spine.heading("a 600x400 photograph")
    for state, goal in goals.items():
        times = {name: [] for name in models}
        for _ in range(bench.count(20)):
            for name, model in models.items():
                bench.stop_worker()
                if state == "warm":
                    bench.run(edit(model))
                times[name].append(bench.run(edit(model)))
        for name in models:
            spine.row(f"{name}, {state}", times[name], goal if "demo" in name else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=spine.SOURCE / "build/release")
    parser.add_argument("--short", action="store_true", help="a quarter of the runs: to see that it works")
    options = parser.parse_args()
    bench = spine.Bench(options.build.resolve(), options.short)
    try:
        bench_demo(bench)
    finally:
        try:
            bench.stop_worker()
        finally:
            shutil.rmtree(bench.folder)


if __name__ == "__main__":
    sys.exit(main())
