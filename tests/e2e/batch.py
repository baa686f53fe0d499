"""A folder of pictures: what is done, what is left, and what a batch says of it."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import batch_case
import harness
import pictures


class Done(batch_case.Case):
    def test_every_picture_in_its_place_and_nothing_said(self):
        self.fill(3)
        pictures.fill_folder(self.photos / "sub/deep", 2)
        (self.photos / "notes.txt").write_text("no picture")
        (self.photos / ".hidden.png").write_bytes(pictures.png())
        done = self.batch("-r", check=0)
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        self.assertEqual(sorted(self.hashes()), ["p000.png", "p001.png", "p002.png", "sub/deep/p000.png", "sub/deep/p001.png"])
        kinds = [line["kind"] for line in self.journal()]
        self.assertEqual((kinds[0], kinds.count("item"), kinds[-1]), ("run", 5, "end"))
        for item in self.items():
            self.assertEqual((item["state"], item["attempt"], item["output"]), ("done", 1, item["key"]))
            self.assertEqual(item["output_sha256"], self.hashes()[item["output"]])
        # Each has a seed of its own, and it is the picture that `edit` makes of it.
        item = self.items()[0]
        single = self.dir / "single.png"
        self.run_step1x("edit", self.photos / item["key"], "-p", "make it red", "--steps", 2, "--model", "fake:", "--seed", item["parameters"]["seed"],
                        "-o", single, check=0)
        self.assertEqual(single.read_bytes(), (self.out / item["output"]).read_bytes())
        self.assertEqual(len({item["parameters"]["seed"] for item in self.items()}), 5)

    def test_the_same_command_again_does_nothing_and_starts_nothing(self):
        self.fill(4)
        self.batch(check=0)
        before = self.hashes()
        self.run_step1x("worker", "stop", check=0)
        done = self.batch("--json", check=0)
        record = json.loads(done.stdout)
        self.assertEqual((record["done"], record["skipped"], record["left"]), (0, 4, 0))
        self.assertEqual((self.hashes(), self.worker_pids()), (before, []))
        self.assertEqual(len(self.items()), 4)

    def test_only_what_is_missing_or_changed_is_done(self):
        self.fill(6)
        self.batch(check=0)
        before = self.hashes()
        self.fill(1, first=6)                                             # new
        (self.out / "p001.png").unlink()                                  # gone
        (self.out / "p002.png").write_bytes(b"not what was written")      # spoilt
        (self.photos / "p003.png").write_bytes(pictures.png(9, 9))        # another picture
        os.utime(self.photos / "p004.png")                                # touched, and the same
        todo = json.loads(self.batch("--dry-run", "--json", check=0).stdout)
        self.assertEqual({item["key"]: item["state"] for item in todo["items"] if item["todo"]},
                         {"p001.png": "missing", "p002.png": "changed", "p003.png": "changed", "p006.png": "missing"})
        record = json.loads(self.batch("--json", check=0).stdout)
        self.assertEqual((record["done"], record["skipped"]), (4, 3))
        after = self.hashes()
        self.assertEqual({key for key in after if after[key] != before.get(key)}, {"p003.png", "p006.png"})
        # Other parameters are another picture; so is another model.
        self.assertEqual(json.loads(self.batch("--json", check=0, prompt="make it blue").stdout)["done"], 7)
        self.assertEqual(json.loads(self.batch("--json", check=0, prompt="make it blue", fake="step=1ms").stdout)["done"], 7)
        self.assertEqual(json.loads(self.batch("--json", "--force", check=0, prompt="make it blue", fake="step=1ms").stdout)["done"], 7)

    def test_a_dry_run_says_how_long_and_does_nothing(self):
        self.fill(3)
        done = self.batch("--dry-run", check=0)
        self.assertIn("3 of 3 to do, 3 missing", done.stdout)
        self.assertFalse(self.out.exists())
        self.batch(check=0, fake="step=50ms")
        self.fill(2, first=3)
        self.assertRegex(self.batch("--dry-run", check=0, fake="step=50ms").stdout, r"2 of 5 to do.*about \d+.*s each so far")


class Failures(batch_case.Case):
    def test_what_cannot_be_read_is_told_marked_and_passed_over(self):
        self.fill(3)
        (self.photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        (self.photos / "text.jpg").write_text("no picture")
        done = self.batch(check=3)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 3, done.stderr)
        self.assertTrue(lines[0].startswith("step1x: bad.png: ") and lines[1].startswith("step1x: text.jpg: "), done.stderr)
        self.assertRegex(lines[2], r"^step1x: 3 done, 2 failed; ")
        self.assertEqual(len(self.hashes()), 3)
        failed = {item["key"]: item["error"]["code"] for item in self.items() if item["state"] == "failed"}
        self.assertEqual(failed, {"bad.png": "bad_image", "text.jpg": "bad_image"})
        # Not again, until it is another file, or it is asked for.
        self.assertIn("2 failed earlier (--retry-failed", self.batch(check=3).stderr)
        self.assertEqual(len(self.items()), 5)
        (self.photos / "text.jpg").write_bytes(pictures.png())
        self.assertEqual(json.loads(self.batch("--json", check=3).stdout)["done"], 1)
        self.batch("--retry-failed", check=3)
        self.assertEqual([item["attempt"] for item in self.items() if item["key"] == "bad.png"], [1, 2])

    def test_when_nothing_works_the_exit_code_says_so(self):
        self.photos.mkdir()
        (self.photos / "bad.png").write_bytes(b"no picture")
        self.batch(check=1)

    def test_what_ends_every_picture_ends_the_batch(self):
        self.fill(5)
        done = self.run_step1x("batch", "-i", self.photos, "-o", self.out, "-p", "red", "--model", self.dir / "none", check=4)
        self.assertRegex(done.stderr, r"\Astep1x: model [^\n]*\n\Z")
        # What an engine says of one job is that job's, and the others are done.
        self.batch(check=3, fake="fail@load")
        self.assertEqual(sorted(item["state"] for item in self.items()), ["done"] * 4 + ["failed"])

    def test_after_so_many_failures_it_stops(self):
        self.fill(3)
        for n in range(10):
            (self.photos / f"bad{n}.png").write_bytes(b"no picture")
        done = self.batch("--max-failures", 4, "--json")
        record = json.loads(done.stdout)
        self.assertGreaterEqual(record["failed"], 4)
        self.assertIn("--max-failures", record["stopped"])
        # In the order of their names the bad ones come first.
        self.assertEqual((done.returncode, record["done"]), (1, 0))
        self.assertGreater(record["left"], 0)
        self.assertEqual(sum(record[key] for key in ("done", "failed", "skipped", "left")), record["total"])

    def test_the_last_failure_that_is_allowed_is_the_last_one(self):
        self.fill(4)
        (self.photos / "bad.png").write_bytes(b"no picture")
        record = json.loads(self.batch("--max-failures", 1, "--json", check=1, fake="step=500ms").stdout)
        self.assertEqual((record["done"], record["failed"], record["left"]), (0, 1, 4))

    def test_a_picture_that_takes_too_long_is_given_up_and_the_next_one_done(self):
        self.fill(3)
        manifest = self.dir / "steps.csv"
        manifest.write_text("input,steps\np000.png,1\np001.png,1000\np002.png,1\n")
        done = self.batch("--manifest", manifest, "--timeout", "3s", "--json", fake="step=100ms")
        self.assertEqual(done.returncode, 3)
        self.assertEqual([(item["key"], item["state"]) for item in self.items()], [("p000.png", "done"), ("p001.png", "failed"), ("p002.png", "done")])
        self.assertEqual(self.items()[1]["error"]["code"], "timeout")


class Stopping(batch_case.Case):
    def test_an_interrupt_ends_it_soon_and_the_same_command_goes_on(self):
        self.fill(20)
        expected = self.undisturbed(fake="step=30ms")
        for sign, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130)):
            before = len(list(self.out.glob("*.png")))
            client = self.start_batch(fake="step=30ms")
            harness.eventually(lambda: len(list(self.out.glob("*.png"))) >= before + 2, what="two pictures")
            start = time.monotonic()
            client.send_signal(sign)
            _, error = client.communicate(timeout=harness.HANG)
            self.assertEqual(client.returncode, code, error)
            self.assertIn("stopped: interrupted", error)
            print(f"ended {1000 * (time.monotonic() - start):.0f} ms after the signal")
            self.assertLess(len(self.hashes()), 20)
            self.assertEqual(self.journal()[-1]["kind"], "end")
        self.batch(check=0, fake="step=30ms")
        self.assertEqual(self.hashes(), expected)
        self.assertEqual(sorted(item["key"] for item in self.items()), sorted(expected))

    def test_no_picture_is_begun_when_the_time_is_over(self):
        self.fill(30)
        done = self.batch("--max-runtime", "1s", "--json", check=0, fake="step=100ms")
        record = json.loads(done.stdout)
        self.assertGreater(record["left"], 0)
        self.assertEqual(record["stopped"], "its time is over (--deadline, --max-runtime)")
        self.assertEqual(record["done"], len(self.hashes()))
        self.assertRegex(done.stderr, r"\Astep1x: \d+ done, \d+ left; [^\n]*stopped: its time is over \(--deadline, --max-runtime\)\n\Z")
        self.batch("--deadline", "25:00", check=2)

    def test_the_picture_that_is_computed_when_the_time_is_over_is_finished(self):
        self.fill(3)
        self.run_step1x("worker", "start", check=0)
        said = self.batch("--max-runtime", "500ms", "--progress-json", check=0, fake="step=1s", steps=1).stderr
        events = [json.loads(line) for line in said.splitlines()]
        begun = {event["key"] for event in events if event["event"] in ("loading", "step")}
        self.assertEqual({event["key"] for event in events if event["event"] == "item"}, begun)
        self.assertLess(len(begun), 3)

    def test_the_second_batch_on_a_folder_is_refused_with_the_firsts_process(self):
        self.fill(10)
        first = self.start_batch(fake="step=100ms")
        harness.eventually(lambda: self.out.exists() and list(self.out.glob("*.png")), what="a picture")
        done = self.batch(check=75)
        self.assertIn(f"process {first.pid} on", done.stderr)
        status = json.loads(self.run_step1x("batch", "--status", self.out, "--json", check=0).stdout)
        self.assertEqual((status["running"], status["total"], status["last_run"]["pid"]), (1, 10, first.pid))
        self.assertEqual(first.wait(timeout=harness.HANG), 0)
        first.communicate()
        text = self.run_step1x("batch", "--status", self.out, check=0).stdout
        self.assertIn("10 of 10 done, 0 failed, 0 left", text)


class Gpu(batch_case.Case):
    FAKE = "step=30ms,load=50ms,vram=1000000"

    def test_the_model_comes_once_and_goes_at_the_end(self):
        self.fill(8)
        (self.photos / "bad.png").write_bytes(b"no picture")
        self.batch(check=3, fake=self.FAKE)
        status = self.status()
        self.assertEqual((status["statistics"]["total_loads"], status["queue"]["leases"]), (1, 0))
        self.offloaded(1)

    def offloaded(self, times):
        harness.eventually(lambda: self.status()["statistics"]["gpu_to_cpu"] >= times and self.status()["model_location"] != "GPU", what="offloaded")
        self.assertEqual(self.status()["statistics"]["gpu_to_cpu"], times)

    def test_however_it_ends_the_model_goes(self):
        self.fill(30)
        for n, sign in enumerate((signal.SIGKILL, signal.SIGHUP, signal.SIGINT)):
            client = self.start_batch("--force", fake=self.FAKE)
            harness.eventually(lambda: self.worker_pids() and self.status()["model_location"] == "GPU", what="on the GPU")
            client.send_signal(sign)
            client.communicate(timeout=harness.HANG)
            harness.eventually(lambda: self.status()["queue"]["running"] == 0, what="idle")
            self.offloaded(n + 1)

    def test_an_edit_comes_between_two_pictures(self):
        self.fill(20)
        client = self.start_batch(fake="step=150ms,load=10ms")
        harness.eventually(lambda: list(self.out.glob("*.png")) if self.out.exists() else False, what="a picture")
        done = self.run_step1x(*self.edit_arguments(self.dir / "edit.png", fake="step=150ms,load=10ms", steps=1), "--progress-json", check=0)
        self.assertIsNone(client.poll(), "the batch was over before the edit: this test has shown nothing")
        positions = [event["position"] for event in map(json.loads, done.stderr.splitlines()) if event["event"] == "queued"]
        # Before it the picture that is computed, and not the one that waits.
        self.assertLessEqual(max(positions), 1)
        client.communicate(timeout=harness.HANG)
        self.assertEqual(len(self.hashes()), 20)

    def test_several_devices_share_the_work(self):
        self.fill(12)
        done = self.batch("--devices", "sim:1g,sim:2g", "--json", check=0, fake="step=100ms,load=10ms")
        self.assertEqual(json.loads(done.stdout)["done"], 12)
        devices = {device["device"] for device in self.status()["devices"]}
        self.assertEqual(devices, {"sim:1g", "sim:2g"})


class Said(batch_case.Case):
    def test_progress_as_lines_of_json(self):
        self.fill(3)
        done = self.batch("--progress-json", "--json", check=0)
        events = [json.loads(line) for line in done.stderr.splitlines()]
        items = [event for event in events if event["event"] == "item"]
        self.assertEqual([item["batch"]["done"] for item in items], [1, 2, 3])
        self.assertEqual({event["key"] for event in events if event["event"] == "step"}, {"p000.png", "p001.png", "p002.png"})
        self.assertTrue(all("id" not in event for event in events))

    def test_a_line_for_each_with_v(self):
        self.fill(2)
        done = self.batch("-v", check=0)
        self.assertRegex(done.stderr, r"step1x: p000.png -> p000.png, \d+\.\d\d s\n")
        self.assertRegex(done.stderr, r"step1x: 2 done; [\d.]+ a minute\n")
        self.assertEqual(done.stderr.count("slowest"), 2)

    def test_the_slowest_are_named_slowest_first(self):
        self.fill(5)
        manifest = self.dir / "steps.csv"
        manifest.write_text("input,steps\np000.png,1\np001.png,4\np002.png,12\np003.png,8\np004.png,1\n")
        record = json.loads(self.batch("--manifest", manifest, "--json", check=0, fake="step=50ms").stdout)
        self.assertEqual([slow["key"] for slow in record["slowest"]], ["p002.png", "p003.png", "p001.png"])

    def test_what_each_takes_is_told_without_what_it_waited_for_others(self):
        self.fill(5)
        self.batch(check=0, fake="step=20ms")
        timings = [item["timings"] for item in self.items()]
        self.assertGreater(sum(each["queued"] for each in timings), 0)
        status = json.loads(self.run_step1x("batch", "--status", self.out, "--json", check=0).stdout)
        self.assertAlmostEqual(status["seconds_each"], sorted(each["total"] - each["queued"] for each in timings)[2])

    def test_a_bar_on_a_terminal(self):
        self.fill(4)
        command = " ".join(map(str, [harness.STEP1X, *self.arguments(fake="step=20ms")])).replace("make it red", "'make it red'")
        shown = subprocess.run(["script", "-qec", command, "/dev/null"], env=self.env(TERM="xterm"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               timeout=harness.HANG, check=True).stdout.decode()
        self.assertRegex(shown, r"\d/4 done, [\d.]+ a minute, ends at \d\d:\d\d")
        self.assertIn("step1x: 4 done; ", shown)

    def test_verify_finds_what_was_changed(self):
        self.fill(3)
        self.batch(check=0)
        self.assertIn("3 pictures are what was written, 0 are not", self.run_step1x("batch", "--verify", self.out, check=0).stdout)
        (self.out / "p001.png").write_bytes(b"x")
        (self.out / "p002.png").unlink()
        done = self.run_step1x("batch", "--verify", self.out, check=3)
        self.assertIn("p001.png is not what was written\np002.png is not there\n", done.stdout)
        self.run_step1x("batch", "--verify", self.photos, check=2)


class OlderBuild(batch_case.Case):
    """What a build of before the parameters' table has left behind."""

    DATA = pathlib.Path(harness.__file__).parent.parent / "data/batch"

    def test_a_finished_batch_of_an_older_build_is_done_and_not_a_byte_of_it_changes(self):
        shutil.copytree(self.DATA / "in", self.photos)
        shutil.copytree(self.DATA / "out", self.out)
        before = self.hashes()
        done = self.run_step1x("batch", "--manifest", self.photos / "list.csv", self.photos, "-o", self.out, "-p", "make it red", "-n", "ugly", "--steps", 3,
                               "--size", 32, "--guidance", 4.5, "--model", "fake:step=1ms", "--json", check=0)
        record = json.loads(done.stdout)
        self.assertEqual((record["done"], record["skipped"], record["left"]), (0, 4, 0))
        self.assertEqual((self.hashes(), self.worker_pids()), (before, []))
        # And another parameter is seen, so this could fail.
        todo = json.loads(self.run_step1x("batch", "-i", self.photos, "-o", self.out, "-p", "make it red", "--model", "fake:step=1ms", "--steps", 4, "--dry-run",
                                          "--json", check=0).stdout)
        self.assertEqual({item["state"] for item in todo["items"]}, {"changed"})

    def test_a_client_of_an_older_build_is_served(self):
        self.run_step1x("worker", "start", check=0)
        connection = self.connect()
        self.addCleanup(connection.close)
        # As 990b366 wrote it.
        connection.edit(prompt="make it red", negative_prompt="", size=1024, steps=2, guidance=6.0, seed=7, model="fake:", device="auto", priority="interactive",
                        timers={"offload_delay": 0, "idle_timeout": 60000, "host_timeout": 600000, "exit_timeout": 1800000, "auto_monitor": True},
                        guidance_damping="early", vae_tiling=True, min_free_vram=1048576, wait_gpu=5000, plan="staged", max_vram=-1048576)
        self.assertEqual(connection.until("done", "error")["event"], "done")


if __name__ == "__main__":
    harness.main()
