"""One edit, the whole way: client, socket, worker, engine, and back to a file."""

import hashlib
import json
import os
import pathlib
import struct
import subprocess

import harness


class Edit(harness.Case):
    def test_gives_a_picture_and_says_where(self):
        out = self.dir / "out.png"
        done = self.run_step1x(*self.edit_arguments(out), check=0)
        self.assertEqual(done.stdout, f"{out}\n")
        self.assertEqual(done.stderr, "")
        self.assertTrue(out.read_bytes().startswith(b"\x89PNG"))

    def test_the_same_seed_gives_the_same_bytes_and_another_one_others(self):
        digests = []
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            self.run_step1x(*self.edit_arguments(self.dir / f"{name}.png", seed=seed), check=0)
            digests.append(hashlib.sha256((self.dir / f"{name}.png").read_bytes()).hexdigest())
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[0], digests[2])

    def test_without_o_no_file_is_ever_replaced(self):
        source = self.dir / "a.jpg"
        source.write_bytes(pathlib.Path(harness.PHOTO).read_bytes())
        arguments = ["edit", source, "-p", "red", "--model", "fake:", "--steps", 1]
        names = [self.run_step1x(*arguments, check=0).stdout.strip() for _ in range(3)]
        self.assertEqual(names, [str(self.dir / name) for name in ("a-edited.png", "a-edited-2.png", "a-edited-3.png")])

    def test_standard_input_to_standard_output(self):
        done = self.run_step1x("edit", "-", "-p", "red", "--model", "fake:", "-o", "-", "--steps", 1, input=pathlib.Path(harness.PHOTO).read_bytes(), text=False, check=0)
        self.assertTrue(done.stdout.startswith(b"\x89PNG"))

    def test_json_is_one_record_with_seed_sizes_timings_and_model(self):
        done = self.run_step1x(*self.edit_arguments(self.dir / "o.png"), "--json", check=0)
        record = json.loads(done.stdout)
        self.assertEqual((record["seed"], record["width"], record["height"], record["model"]), (1, 600, 400, "fake:"))
        self.assertIn("total", record["timings"])

    def test_progress_json_is_lines_of_json_on_standard_error(self):
        done = self.run_step1x(*self.edit_arguments(self.dir / "o.png", fake="load=50ms,step=5ms"), "--progress-json", "-q", check=0)
        events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
        self.assertEqual(events[0], "queued")
        self.assertIn("loading", events)
        self.assertEqual(events.count("step"), 4)

    def test_errors_are_one_line_with_a_code_of_their_own(self):
        text = self.dir / "text.png"
        text.write_text("no picture")
        cases = [
            (["edit", self.dir / "none.png", "-p", "x", "--model", "fake:"], 6),
            (["edit", text, "-p", "x", "--model", "fake:"], 6),
            (["edit", harness.PHOTO, "-p", "x"], 4),
            (["edit", harness.PHOTO, "-p", "x", "--model", self.dir / "no-model"], 4),
            (["edit", harness.PHOTO, "-p", "", "--model", "fake:"], 2),
            (["edit", harness.PHOTO, "-p", "x", "--steps", "0", "--model", "fake:"], 2),
            (["edit", harness.PHOTO, "-p", "x", "--nonsense"], 2),
            (["edit", harness.PHOTO, "-p", "x", "--model", "fake:", "-o", self.dir / "no/such/o.png"], 2),
            (["edit", harness.PHOTO, "-p", "x", "--model", "fake:nonsense=1", "-o", self.dir / "o.png"], 2),
            (["edit", harness.PHOTO, "-p", "x", "--model", "fake:oom@load", "-o", self.dir / "o.png"], 5),
            (["edit", harness.PHOTO, "-p", "x", "--model", "fake:step=10s", "--timeout", "200ms", "-o", self.dir / "o.png"], 75),
        ]
        for arguments, code in cases:
            with self.subTest(arguments=arguments):
                done = self.run_step1x(*arguments, check=code)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, r"\Astep1x: [^\n]+\n\Z")
        self.assertFalse((self.dir / "o.png").exists())

    def test_an_isolated_worker_ends_with_its_command_and_leaves_nothing(self):
        self.run_step1x(*self.edit_arguments(self.dir / "o.png"), "--isolated", check=0)
        harness.eventually(lambda: not self.worker_pids(), what="the private worker is gone")
        harness.eventually(lambda: not list(self.runtime.glob("isolated-*")), what="its directory is gone")

    def test_a_full_standard_output_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            done = self.run_step1x(*self.edit_arguments("-"), stdout=full, stderr=-1, capture_output=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)


class Generate(harness.Case):
    def generate(self, *more, **kwargs):
        return self.run_step1x("generate", "-p", "a lighthouse", "--model", "fake:", "--steps", 2, "--seed", 3, *more, **kwargs)

    def test_makes_a_picture_of_the_size_asked_for(self):
        out = self.dir / "out.png"
        done = self.generate("--width", 96, "--height", 64, "-o", out, "--json", check=0)
        record = json.loads(done.stdout)
        self.assertEqual((record["width"], record["height"], record["seed"], record["output"]), (96, 64, 3, str(out)))
        self.assertNotIn("input", record)
        width, height = struct.unpack(">II", out.read_bytes()[16:24])
        self.assertEqual((width, height), (96, 64))

    def test_without_o_no_file_is_ever_replaced(self):
        for name in ("generated.png", "generated-2.png"):
            self.assertEqual(self.generate("--width", 32, "--height", 32, check=0, cwd=self.dir).stdout, f"{name}\n")

    def test_a_word_that_is_no_damping_is_named(self):
        done = self.generate("--guidance-damping", "often", check=2)
        self.assertIn("'often' is none of all, early, off", done.stderr)


class Model(harness.Case):
    def refused(self, model):
        done = self.run_step1x("edit", harness.PHOTO, "-p", "x", "--model", model, check=4)
        self.assertEqual(done.stderr.count("\n"), 1)
        return done.stderr

    def test_what_is_no_model_is_said_with_what_would_be_one(self):
        self.assertIn("is not there; give a folder", self.refused("nowhere"))
        self.assertIn("is neither a folder nor", self.refused(harness.PHOTO))

    def test_a_hub_id_that_was_never_downloaded_is_named_with_the_cache(self):
        message = self.refused("some/model")
        self.assertIn("some/model", message)
        self.assertIn(str(self.dir / ".cache/huggingface/hub"), message)


class Worker(harness.Case):
    def test_status_without_a_worker_says_unloaded_and_starts_none(self):
        status = self.status()
        self.assertEqual(status["model_location"], "Unloaded")
        for key in ("idle_time", "gpu_memory_allocated_gb", "gpu_memory_reserved_gb", "statistics"):
            self.assertIn(key, status)
        harness.eventually(lambda: not self.worker_pids(), what="the end of the worker")

    def test_load_brings_the_model_without_an_edit(self):
        done = self.run_step1x("gpu", "load", "--model", "fake:load=10ms", "--keep", "10m", "--json", check=0)
        record = json.loads(done.stdout)
        self.assertEqual((record["model"], record["device"], record["worker"]["spawned"]), ("fake:load=10ms", "auto", True))
        status = self.status()
        self.assertEqual((status["model_location"], status["statistics"]["total_loads"]), ("GPU", 1))
        record = json.loads(self.run_step1x(*self.edit_arguments(self.dir / "o.png", fake="load=10ms"), "--json", check=0).stdout)
        self.assertEqual(record["device"], "auto")
        self.assertEqual(self.status()["statistics"]["total_loads"], 1)
        self.assertIn("none", self.run_step1x("gpu", "load", "--model", "./none", check=4).stderr)

    def test_offload_follows_the_job_at_once_and_status_counts_it(self):
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), check=0)
        harness.eventually(lambda: self.status()["model_location"] == "CPU", what="offloaded")
        self.run_step1x(*self.edit_arguments(self.dir / "b.png"), check=0)
        harness.eventually(lambda: self.status()["statistics"]["gpu_to_cpu"] == 2, what="offloaded again")
        statistics = self.status()["statistics"]
        self.assertEqual((statistics["total_loads"], statistics["cpu_to_gpu"]), (1, 1))

    def test_keep_holds_the_model_on_the_gpu(self):
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), "--keep", "10m", check=0)
        status = self.status()
        self.assertEqual((status["model_location"], status["next"]["transition"]), ("GPU", "offload"))
        self.run_step1x("gpu", "offload", check=0)
        self.assertEqual(self.status()["model_location"], "CPU")
        self.run_step1x("gpu", "release", check=0)
        self.assertEqual(self.status()["model_location"], "Unloaded")
        self.assertEqual(self.engine_pids(), [])

    def test_offload_during_a_job_is_refused_and_force_cancels_it(self):
        job = self.start_step1x(*self.edit_arguments(self.dir / "a.png", fake="step=20s"))
        harness.eventually(lambda: self.worker_pids() and self.status()["state"] in ("Working", "Loading"), what="the job runs")
        done = self.run_step1x("gpu", "offload", check=75)
        self.assertIn("a job is running", done.stderr)
        self.run_step1x("gpu", "offload", "--force", check=0)
        self.assertEqual(job.wait(harness.HANG), 130)
        self.assertFalse((self.dir / "a.png").exists())
        job.communicate()

    def test_offload_and_release_can_wait_for_the_lease_and_the_job_in_the_way(self):
        for command, location in (("offload", "CPU"), ("release", "Unloaded")):
            hold = self.start_step1x("gpu", "hold", "--", "sh", "-c", "echo held; read line", stdin=subprocess.PIPE)
            self.assertEqual(hold.stdout.readline(), "held\n")
            self.run_step1x(*self.edit_arguments(self.dir / "a.png", fake="step=100ms"), check=0)
            self.assertIn("holds a lease", self.run_step1x("gpu", command, check=75).stderr)
            waiting = self.start_step1x("gpu", command, "--wait")
            job = self.start_step1x(*self.edit_arguments(self.dir / f"{command}.png", fake="step=100ms"))
            self.assertEqual(job.wait(harness.HANG), 0)
            job.communicate()
            self.assertTrue((self.dir / f"{command}.png").exists())
            # The lease is left.
            self.assertIsNone(waiting.poll())
            self.assertEqual(self.status()["model_location"], "GPU")
            hold.communicate("\n")
            self.assertEqual(waiting.wait(harness.HANG), 0)
            waiting.communicate()
            self.assertEqual(self.status()["model_location"], location)

    def test_hold_is_a_lease_that_ends_with_its_command(self):
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), check=0)
        script = f"{harness.STEP1X} edit {harness.PHOTO} -p red --model fake: --steps 1 -o {self.dir}/b.png && {harness.STEP1X} gpu status --json; exit 9"
        done = self.run_step1x("gpu", "hold", "--", "sh", "-c", script, check=9)
        self.assertIn('"model_location": "GPU"', done.stdout)
        harness.eventually(lambda: self.status()["model_location"] == "CPU", what="offloaded after the lease")

    def test_start_and_stop_can_be_said_twice(self):
        first = self.run_step1x("worker", "start", check=0).stdout
        self.assertEqual(self.run_step1x("worker", "start", check=0).stdout, first)
        for _ in range(2):
            self.run_step1x("worker", "stop", check=0)
            harness.eventually(lambda: not self.worker_pids(), what="the end of the worker")

    def test_timers_end_the_engine_and_then_the_worker(self):
        env = self.env(GPU_IDLE_TIMEOUT="0.2", STEP1X_EXIT_TIMEOUT="0.2")
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), env=env, check=0)
        harness.eventually(lambda: not self.engine_pids(), what="the engine has ended")
        harness.eventually(lambda: not self.worker_pids(), what="the worker has ended")
        self.assertFalse((self.runtime / "worker.sock").exists())

    def test_a_worker_whose_directory_is_removed_leaves(self):
        self.run_step1x("worker", "start", check=0)
        os.unlink(self.runtime / "worker.sock")
        harness.eventually(lambda: not self.worker_pids(), what="the worker has left")


if __name__ == "__main__":
    harness.main()
