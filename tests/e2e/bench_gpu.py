"""scripts/bench-gpu as it goes to a machine with a GPU: packed, run with nothing in the environment and libtorch elsewhere, on the stand-in for CUDA."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import harness
import memory_group

SCRIPT = harness.SOURCE / "scripts/bench-gpu"
STAGES = ["machine", "tiny", "golden", "quarter", "pictures", "operators", "sanitizer", "cards"]
SANITIZER = """#!/bin/sh
# As compute-sanitizer takes its options, with nothing to say.
while [ "${1#--}" != "$1" ]; do
  [ "$1" = --log-file ] && log=$2
  shift 2
done
"$@" 3>&3
echo "========= ERROR SUMMARY: 0 errors" >"$log"
"""


def needed(path):
    text = subprocess.run(["readelf", "-d", path], check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", text), re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", text)


class Case(unittest.TestCase):
    """All tests share one pack, and one libtorch that is not where the build knows it."""

    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="step1x-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        [run_path] = needed(harness.BUILD / "libexec/step1x/step1x-model.so")[1]
        cls.torch = cls.dir / "elsewhere"
        (cls.torch / "nvidia/sanitizer/bin").mkdir(parents=True)
        home = pathlib.Path(run_path.split(":")[0]).parents[1]
        (cls.torch / "torch").symlink_to(home / "torch")
        for each in (home / "nvidia").iterdir():
            (cls.torch / "nvidia" / each.name).symlink_to(each)
        cls.sanitizer = cls.torch / "nvidia/sanitizer/bin/compute-sanitizer"
        cls.sanitizer.write_text(SANITIZER)
        cls.sanitizer.chmod(0o755)
        cls.pack = cls.dir / "pack"
        cls.packed = cls.run_script(SCRIPT, "--pack", cls.pack, "--build", harness.BUILD, check=0)

    @classmethod
    def run_script(cls, script, *arguments, check=None, before=None, **environment):
        environment = [f"{name}={value}" for name, value in environment.items()]
        done = subprocess.run(["/usr/bin/env", "-i", *environment, script, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=harness.HANG * 5, preexec_fn=before)
        if check is not None and done.returncode != check:
            raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout}")
        return done

    def setUp(self):
        self.out = pathlib.Path(tempfile.mkdtemp(dir=self.dir))
        self.scratch = pathlib.Path(tempfile.mkdtemp(dir=self.dir))

    def bench(self, *arguments, check=0, pack=None, **environment):
        """What is printed, and the files by their names."""
        environment = {"STEP1X_TORCH_DIR": self.torch, "OUT": self.out} | environment
        done = self.run_script((pack or self.pack) / "scripts/bench-gpu", "--stand-in", harness.BUILD / "cuda", "--folder", self.scratch, "--runs", 1,
                               *arguments, check=check, **environment)
        self.left_behind()
        return done.stdout, {path.name: json.loads(path.read_text()) for path in sorted(self.out.glob("*.json"))}

    def left_behind(self):
        self.assertEqual(list(self.scratch.iterdir()), [])
        self.assertEqual([pid for pid in harness.processes("step1xd") if str(self.scratch).encode() in harness.command_line(pid)], [])

    def broken(self, *changes):
        """A pack in which parts of a file are others."""
        pack = pathlib.Path(tempfile.mkdtemp(dir=self.dir))
        for each in self.pack.iterdir():
            if each.name in ("scripts", "tests"):
                shutil.copytree(each, pack / each.name, copy_function=os.link)
            else:
                (pack / each.name).symlink_to(each)
        for name, old, new in changes:
            path = pack / "tests/bench" / name
            text = path.read_text()
            self.assertEqual(text.count(old), 1, f"{name}: {old}")
            path.unlink()
            path.write_text(text.replace(old, new))
        return pack


class Pack(Case):
    def test_it_is_small_and_needs_nothing_that_another_machine_may_not_have(self):
        files = [path for path in self.pack.rglob("*") if path.is_file()]
        self.assertLess(sum(path.stat().st_size for path in files), 60 << 20)
        programs = [path for path in files if path.read_bytes()[:4] == b"\x7fELF"]
        self.assertGreater(len(programs), 7)
        for path in programs:
            libraries, run_path = needed(path)
            self.assertEqual(run_path, [], path)
            self.assertEqual([name for name in libraries if not re.match(r"(libc|libm|libstdc\+\+|libgcc_s|libz|ld-linux-x86-64|libtorch_cpu|libc10)\.so", name)],
                             [], path)

    def test_what_must_not_be_carried_is_refused_in_a_line(self):
        def refuses(pattern, build):
            target = self.scratch / "pack"
            done = self.run_script(SCRIPT, "--pack", target, "--build", build, check=1)
            self.assertRegex(done.stdout, pattern)
            self.assertEqual(len(done.stdout.strip().splitlines()), 1, done.stdout)
            self.assertFalse(target.exists())

        build = self.scratch / "build"
        build.mkdir()
        for name in ("bin", "libexec", "tests"):
            (build / name).symlink_to(self.pack / name)
        shutil.copytree(harness.BUILD / "golden", build / "golden")
        with open(build / "golden/large", "wb") as file:
            file.truncate(40 << 20)
        refuses(r"[0-9.]+ MiB are more than the 60 that can be carried; the largest is golden/large", build)
        (build / "bin").unlink()
        (build / "bin").mkdir()
        shutil.copy(self.pack / "bin/step1xd", build / "bin/step1xd")
        # A program of the system that is linked with more than that.
        shutil.copy(shutil.which("cmake"), build / "bin/step1x")
        refuses(r"step1x needs lib.*, which the other machine may not have", build)
        done = self.run_script(SCRIPT, "--pack", self.pack, "--build", harness.BUILD, check=1)
        self.assertIn("exists and is not empty", done.stdout)


class Run(Case):
    def test_every_stage_says_what_it_found(self):
        printed, files = self.bench()
        self.assertEqual([name[3:-5] for name in files], STAGES)
        for name, result in files.items():
            self.assertEqual((result["status"], result["stage"]), ("done", name[3:-5]), result)
            self.assertGreater(len(result["rows"]), 1, name)
            self.assertIn(f"{result['stage']}: done in", printed)
        rows = {result["stage"]: {row["what"]: row for row in result["rows"]} for result in files.values()}
        self.assertGreater(rows["machine"]["copy to the device, pinned"]["value"], 0)
        self.assertEqual(rows["machine"]["share of a sealed mapping that is registered"]["value"], 1)
        self.assertEqual([row["value"] for row in files["02-tiny.json"]["rows"] if row["what"] == "  its plan"], ["resident", "staged", "stream"])
        self.assertEqual(rows["tiny"]["stream beside resident"]["value"], "the same")
        self.assertEqual(rows["tiny"]["one engine for the CPU, then the GPU"]["value"], "1 engine")
        self.assertRegex(rows["golden"]["golden-check"]["value"], r"[1-9]\d* passed, 0 failed")
        for what in ("offload, most", "memory to device, engine there, least", "files to device, engine there"):
            self.assertGreater(rows["quarter"][what]["value"], 0, what)
        self.assertEqual(rows["quarter"]["memory on the device after idle_timeout"]["value"], 0)
        for prompt in ("short prompt", "long prompt"):
            for plan in ("resident", "stream"):
                whole = rows["pictures"][f"{plan}, {prompt}: 28 steps of the whole model"]
                self.assertRegex(whole["formula"], r"^28 \* [0-9.]+ s \* 3\.80 \(blocks\)")
        self.assertGreater(rows["operators"]["aten::addmm"]["value"], 0)
        self.assertEqual(rows["sanitizer"]["errors that it found"]["value"], 0)
        self.assertEqual((self.out / "table.txt").read_text().strip(), printed[printed.index("\nmachine: done in"):].strip())

    def test_memory_that_the_worker_does_not_give_is_said(self):
        try:
            group = memory_group.Group(480 << 20)  # less than what must stay free
        except OSError as problem:
            self.skipTest(f"no memory control group can be made here: {problem}")
        self.addCleanup(group.remove)
        printed, files = self.bench("--stage", "quarter", "--stage", "pictures", check=1, before=group.enter)
        quarter, pictures = files["04-quarter.json"], files["05-pictures.json"]
        self.assertEqual(quarter["status"], "done", quarter)
        rows = {row["what"]: row for row in quarter["rows"]}
        self.assertRegex(rows["the worker keeps no copy in memory"]["value"], r"the model takes .* of RAM and .* are free")
        # Nothing can be streamed then, which would else pass for a figure of it.
        self.assertIn("stream, short prompt: the plan is resident", printed)
        self.assertEqual(pictures["status"], "failed")
        # Unless who runs it knows better.
        printed, files = self.bench("--stage", "quarter", before=group.enter, STEP1X_MAX_RAM="256M")
        self.assertNotIn("keeps no copy", printed)
        self.assertEqual(files["04-quarter.json"]["status"], "done")

    def test_one_stage_alone_and_without_what_it_needs_is_skipped(self):
        self.sanitizer.rename(self.sanitizer.with_name("gone"))
        self.addCleanup(self.sanitizer.with_name("gone").rename, self.sanitizer)
        printed, files = self.bench("--stage", "sanitizer")
        self.assertEqual([*files], ["07-sanitizer.json"])
        self.assertEqual((files["07-sanitizer.json"]["status"], files["07-sanitizer.json"]["reason"]), ("skipped", "there is no compute-sanitizer on this machine"))

    def test_stages_that_no_longer_fit_are_left_out_and_say_so(self):
        printed, files = self.bench("--budget", 1)
        self.assertEqual([name[3:-5] for name in files], STAGES)
        for result in files.values():
            self.assertEqual(result["status"], "left out")
            self.assertRegex(result["reason"], r"it needs \d+ s and 1 of 1 are left")
        self.assertIn("cards: left out (it needs", printed)

    def test_told_to_end_it_leaves_what_it_knows_and_nothing_else(self):
        pack = self.broken(("gpu_first.py", "    pictures = {}\n", '    worker.load("cpu")\n    rows.add("before", 1)\n    import time; time.sleep(600)\n'))
        process = subprocess.Popen(["/usr/bin/env", "-i", f"STEP1X_TORCH_DIR={self.torch}", f"OUT={self.out}", pack / "scripts/bench-gpu", "--stand-in",
                                    harness.BUILD / "cuda", "--folder", self.scratch, "--stage", "tiny"], stdout=subprocess.PIPE, text=True)
        harness.eventually(lambda: any(path.stat().st_size for path in self.scratch.glob("*/tiny/rows")), what="the stage's first row")
        process.terminate()
        printed, _ = process.communicate(timeout=harness.HANG)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        result = json.loads((self.out / "02-tiny.json").read_text())
        self.assertEqual((result["status"], result["reason"]), ("failed", "bench-gpu was told to end"))
        self.assertRegex(printed, r"tiny: failed in .*\n  before +1\n")
        self.left_behind()

    def test_a_stage_that_hangs_or_fails_does_not_stop_the_next(self):
        # The row comes first: on a busy machine the model may not be there in time, and the limit is short so as not to wait.
        hanging = ("gpu_first.py", "    pictures = {}\n", '    rows.add("before", 1)\n    worker.load("cpu")\n    import time; time.sleep(600)\n')
        limit = ("gpu.py", '"tiny", gpu_first.tiny, 10, 90', '"tiny", gpu_first.tiny, 1, 5')
        dying = ("gpu_first.py", "    device = options.device\n", "    None['bytes']\n")
        self.sanitizer.write_text(SANITIZER.replace("0 errors", "3 errors"))
        self.addCleanup(self.sanitizer.write_text, SANITIZER)
        printed, files = self.bench("--stage", "tiny", "--stage", "golden", "--stage", "sanitizer", check=1, pack=self.broken(hanging, limit, dying))
        tiny, golden, sanitizer = files["02-tiny.json"], files["03-golden.json"], files["07-sanitizer.json"]
        self.assertEqual((tiny["status"], tiny["reason"], tiny["rows"]), ("too long", "ended at its limit of 5 s", [{"what": "before", "value": 1, "unit": ""}]))
        self.assertEqual((golden["status"], golden["reason"]), ("failed", "TypeError: 'NoneType' object is not subscriptable"))
        # What it finds is a failure too.
        self.assertEqual((sanitizer["status"], sanitizer["reason"]), ("failed", "errors that it found: 3"))

    def test_a_machine_without_torch_or_with_another_is_told_so(self):
        printed, _ = self.bench(check=1, STEP1X_TORCH_DIR="")
        self.assertIn("no libtorch: neither STEP1X_TORCH_DIR nor a Python with torch", printed)
        other = self.scratch / "torch"
        (other / "torch/lib").mkdir(parents=True)
        (other / "torch/lib/libtorch_cuda.so").touch()
        (other / "torch/version.py").write_text("__version__ = '2.9.0'\n")
        done = self.run_script(self.pack / "scripts/bench-gpu", "--stand-in", harness.BUILD / "cuda", check=1, STEP1X_TORCH_DIR=other)
        self.assertIn("holds another torch than the 2.11", done.stdout)


if __name__ == "__main__":
    harness.main()
