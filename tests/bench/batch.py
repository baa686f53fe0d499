#!/usr/bin/env python3
"""How well a batch keeps the engine busy: 12-megapixel JPEGs in and out, beside other ways to do the same.

Usage: tests/bench/batch.py [BUILD_DIR] [--short]     (BUILD_DIR: build/release)

The fake engine takes 200 ms for each picture. Its own rate is that of pictures sent to it as pixels, two at a time, with
nothing to decode or to encode; a batch that overlaps all else with it comes to the same rate. Exits with 0 whatever the
figures are; a command that fails ends it.
"""

import argparse
import pathlib
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/support"))
WIDTH, HEIGHT = 4000, 3000
ITEM = 0.2  # seconds
GOAL = 0.95


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", default=str(SOURCE / "build/release"))
    parser.add_argument("--short", action="store_true", help="a few pictures: to see that it runs")
    return parser.parse_args()


class Bench:
    def __init__(self, harness, count):
        self.harness = harness
        self.count = count
        self.case = harness.Case()
        self.case.setUp()
        self.photos = self.case.dir / "photos"
        self.photos.mkdir()
        for n in range(count):
            self.make_picture(n)
        self.step = ITEM - self.engine_seconds("step=0ms", min(count, 20))
        if self.step < 0:
            raise SystemExit("this machine's fake engine is slower than 200 ms by itself")
        self.fake = f"step={self.step * 1000:.0f}ms"

    def make_picture(self, n):
        """Photographs with detail down to the pixel, each another part of a larger one."""
        big = self.case.dir / "big.v"
        if not big.exists():
            scale = HEIGHT / 400
            self.vips("resize", self.harness.PHOTO, self.case.dir / "smooth.v", str(scale))
            self.vips("gaussnoise", self.case.dir / "noise.v", str(int(600 * scale)), str(HEIGHT), "--sigma", "6", "--mean", "0")
            self.vips("add", self.case.dir / "smooth.v", self.case.dir / "noise.v", self.case.dir / "sum.v")
            self.vips("cast", self.case.dir / "sum.v", big, "uchar")
        self.vips("crop", big, f"{self.photos}/p{n:03}.jpg[Q=90]", str(n * 5 % 500), "0", str(WIDTH), str(HEIGHT))

    @staticmethod
    def vips(*command):
        subprocess.run(["vips", *map(str, command)], check=True)

    def engine_seconds(self, fake, count):
        """Of each picture, when pixels are all that comes and goes."""
        self.case.run_step1x("worker", "start", check=0)
        picture = self.harness.picture(WIDTH, HEIGHT)
        with self.case.connect() as connection:
            connection.send({"op": "lease", "model": f"fake:{fake}"})
            sent, done, start = 0, 0, None
            while done < count + 1:
                while sent < done + 2:
                    sent += 1
                    connection.send(self.harness.edit_request(WIDTH, HEIGHT, fake, steps=1, id=sent), picture)
                event = connection.until("done", "error")
                if event["event"] == "error":
                    raise SystemExit(event)
                connection.close_fds()
                done += 1
                # The first one loads.
                start = start or time.monotonic()
            took = time.monotonic() - start
        self.case.run_step1x("worker", "stop", "--force", check=0)
        return took / count

    def step1x(self, *command):
        self.case.run_step1x(*command, "-p", "red", "--seed", 1, "--steps", 1, "--model", f"fake:{self.fake}", check=0)

    def batch_seconds(self):
        self.case.run_step1x("worker", "start", check=0)
        start = time.monotonic()
        # The hang guard of the tests is too short for this one.
        subprocess.run([self.harness.STEP1X, "batch", "-i", self.photos, "-o", self.case.dir / "out", "-p", "red", "--seed", "1", "--steps", "1", "--model",
                        f"fake:{self.fake}"], check=True, env=self.case.env())
        return (time.monotonic() - start) / self.count

    def edits_seconds(self, count):
        start = time.monotonic()
        for n in range(count):
            self.step1x("edit", self.photos / f"p{n:03}.jpg", "-o", self.case.dir / "edited.jpg")
        return (time.monotonic() - start) / count

    def vips_seconds(self, count):
        """Decoding and encoding alone, as step1x does it, one process for each."""
        start = time.monotonic()
        for n in range(count):
            self.vips("copy", self.photos / f"p{n:03}.jpg", f"{self.case.dir}/copy.jpg[Q=95,subsample_mode=off]")
        return (time.monotonic() - start) / count


def main():
    options = arguments()
    sys.argv = [sys.argv[0], options.build]
    import harness

    bench = Bench(harness, 6 if options.short else 100)
    few = min(bench.count, 20)
    try:
        # Before and after, because machines change their minds.
        before = bench.engine_seconds(bench.fake, few)
        batch = bench.batch_seconds()
        engine = (before + bench.engine_seconds(bench.fake, few)) / 2
        figures = [("the engine alone, pixels in and out", engine, ""), ("step1x batch", batch, f">= {GOAL}"),
                   ("step1x edit, one after the other", bench.edits_seconds(few), ""), ("vips copy, one after the other, no engine", bench.vips_seconds(few), "")]
    finally:
        bench.case.doCleanups()
    print(f"{bench.count} pictures of {WIDTH}x{HEIGHT}, JPEG in and out")
    print(f"  {'':<44} {'ms each':>8} {'a minute':>9} {'of the engine':>14}   goal")
    for name, seconds, goal in figures:
        print(f"  {name:<44} {seconds * 1000:8.1f} {60 / seconds:9.1f} {engine / seconds:14.3f}   {goal}")


if __name__ == "__main__":
    main()
