"""What a batch takes for done: after failures that were nobody's fault, in the folder of its inputs, after somebody has worked on its pictures."""

import ctypes
import json
import os
import signal
import subprocess
import time
import zlib

import batch_case
import harness
import person
import pictures

IN_CLOSE_NOWRITE = 0x10


class Case(batch_case.Case):
    def record(self, *more, check=0, **kwargs):
        return json.loads(self.batch("--json", *more, check=check, **kwargs).stdout)


class Failures(Case):
    def test_a_full_disk_ends_the_batch_at_once_and_the_next_run_makes_the_rest(self):
        self.fill(3)
        for number in range(6):
            (self.photos / f"noise{number}.png").write_bytes(pictures.noise(300, 300))
        self.out.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=800k", "none", self.out], capture_output=True, text=True, check=False)
        if mount.returncode != 0:
            self.skipTest(f"cannot mount a small file system: {mount.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.out])
        full = self.batch("--json", check=1)
        self.assertIn("No space left on device", full.stderr)
        record = json.loads(full.stdout.splitlines()[0])
        self.assertEqual(record["failed"], 0)
        self.assertGreater(record["left"], 0)
        self.assertEqual(record["done"] + record["left"], 9)
        subprocess.run(["mount", "-o", "remount,size=20m", self.out], check=True)
        self.assertEqual(self.record()["done"], record["left"])
        self.assertEqual(len(self.hashes()), 9)

    def test_a_disk_that_takes_no_folder_is_full_too(self):
        for name in ("a", "b"):
            pictures.fill_folder(self.photos / name, 1)
        # One for the disk itself, and one for the journal.
        self.out = person.full_disk(self, "size=1m,nr_inodes=2")
        full = self.batch("-r", "--json", check=1)
        self.assertEqual(full.stderr.count("No space left on device"), 1, full.stderr)
        record = json.loads(full.stdout.splitlines()[0])
        self.assertEqual((record["done"], record["failed"], record["left"]), (0, 0, 2))

    def test_a_batch_that_ends_early_prints_one_record_with_the_reason(self):
        self.fill(2)
        (self.dir / "no model").mkdir()
        done = self.run_step1x("batch", self.photos, "-o", self.out, "-p", "x", "--model", self.dir / "no model", "--json", check=4)
        record = json.loads(done.stdout)
        self.assertEqual((record["error"]["code"], record["left"]), ("model_missing", 2))
        self.assertEqual(len(done.stderr.splitlines()), 1 + ("left" in done.stderr), done.stderr)

    def test_a_folder_that_takes_no_file_is_known_before_the_first_picture(self):
        self.fill(2)
        self.batch(check=0)
        before = self.hashes()
        self.out.chmod(0o555)
        # The superuser may write anywhere, as long as he keeps that right.
        without = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []
        command = [*without, harness.STEP1X, *map(str, self.arguments(prompt="make it blue"))]
        done = subprocess.run(command, env=self.env(), capture_output=True, text=True, timeout=harness.HANG, check=False)
        self.out.chmod(0o755)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"\Astep1x: cannot write [^\n]*: Permission denied[^\n]*\n\Z")
        self.assertEqual(self.hashes(), before)
        self.assertEqual(json.loads(self.batch("--json", check=0).stdout)["skipped"], 2)

    def test_a_picture_that_took_too_long_is_tried_again_and_one_that_is_none_is_not(self):
        self.fill(2)
        (self.photos / "text.png").write_text("no picture")
        slow = self.record("--timeout", "50ms", check=1, fake="step=200ms")
        self.assertEqual((slow["done"], slow["failed"], slow["left"]), (0, 3, 0))
        again = self.record(check=3, fake="step=200ms")
        self.assertEqual((again["done"], again["failed"]), (2, 1))
        self.assertEqual(len([item for item in self.items() if item["key"] == "text.png"]), 1)

    def test_a_file_that_could_not_be_opened_is_tried_again(self):
        self.photos.mkdir()
        (self.photos / "a.png").symlink_to("later.png.part")
        manifest = self.dir / "m.jsonl"
        manifest.write_text('{"input": "a.png", "prompt": "red"}\n')
        self.batch("--manifest", manifest, check=1)
        (self.photos / "later.png.part").write_bytes(pictures.png())
        self.assertEqual(self.record("--manifest", manifest)["done"], 1)

    def test_a_film_among_the_pictures_is_not_read(self):
        self.fill(1)
        with open(self.photos / "film.jpg", "wb") as film:
            film.truncate(1 << 36)
        for _ in range(2):
            self.assertEqual(self.batch(check=3).returncode, 3)
        self.assertEqual(len([item for item in self.items() if item["key"] == "film.jpg"]), 1)
        self.assertNotIn("sha256", next(item for item in self.items() if item["key"] == "film.jpg")["input"])

    def test_pipes_and_devices_are_no_pictures_and_nobody_waits_for_them(self):
        self.fill(1)
        os.mkfifo(self.dir / "pipe.png")
        for number, place in enumerate([self.dir / "pipe.png", "/dev/zero"]):
            done = self.run_step1x("batch", self.photos / "p000.png", place, "-o", self.dir / f"out{number}", "-p", "red", "--model", "fake:", check=3)
            self.assertIn(str(place), done.stderr)
            self.assertIn("not a regular file", done.stderr)
            self.assertTrue((self.dir / f"out{number}/p000.png").exists())
        self.out.mkdir()
        os.mkfifo(self.out / "p000.png")
        self.assertIn("no regular file", self.batch(check=2).stderr)
        (self.out / "p000.png").unlink()
        os.mkfifo(self.photos / "p000.txt")
        self.assertIn("not a regular file", self.batch("--sidecar-prompts", check=2).stderr)
        (self.out / batch_case.JOURNAL).unlink()
        os.mkfifo(self.out / batch_case.JOURNAL)
        self.assertIn("not a regular file", self.batch(check=1).stderr)


class Newer(Case):
    def test_the_newest_line_of_a_picture_counts_whichever_journal_has_it(self):
        self.fill(6)
        self.batch(check=0)
        for part in ("1/2", "2/2"):
            self.batch("--shard", part, prompt="make it blue", check=0)
        for part in ("1/2", "2/2"):
            self.assertEqual(self.record("--shard", part, prompt="make it blue")["done"], 0)
        self.run_step1x("batch", "--merge", self.out, check=0)
        self.assertEqual(self.record(prompt="make it blue")["done"], 0)

    def test_a_picture_exchanged_while_it_was_read_is_made_again(self):
        self.fill(1)
        picture = self.photos / "p000.png"
        (self.dir / "new.png").write_bytes(pictures.png(80, 80))
        libc = ctypes.CDLL(None)
        watch = libc.inotify_init1(0)
        libc.inotify_add_watch(watch, os.fsencode(picture), IN_CLOSE_NOWRITE)
        batch = self.start_batch(fake="")
        os.read(watch, 4096)
        os.rename(self.dir / "new.png", picture)
        batch.communicate(timeout=harness.HANG)
        os.close(watch)
        self.assertEqual(self.record()["done"], 1)
        self.assertEqual(pictures.size_of(self.out / "p000.png"), (80, 80))

    def test_a_run_that_replaces_what_is_there_says_so_first(self):
        self.fill(3)
        self.assertEqual(self.batch(check=0).stderr, "")
        done = self.batch(check=0, prompt="make it blue")
        self.assertIn("3 of the 3 pictures were made with other settings", done.stderr)
        self.assertEqual(self.batch(check=0, prompt="make it blue").stderr, "")

    def test_a_picture_that_somebody_has_worked_on_is_kept_and_named(self):
        self.fill(2)
        self.batch(check=0)
        mine = pictures.png(33, 33)
        (self.out / "p000.png").write_bytes(mine)
        (self.out / "p001.png").write_bytes(b"\x89PNG damaged")
        done = self.batch("--json", prompt="make it blue", check=0)
        self.assertIn("p000.png was changed since it was made", done.stderr)
        self.assertEqual((self.out / "p000.png").read_bytes(), mine)
        self.assertEqual(json.loads(done.stdout)["done"], 1)
        self.assertEqual(self.record("--force")["done"], 2)
        self.assertNotEqual((self.out / "p000.png").read_bytes(), mine)


    def test_his_work_is_kept_too_when_another_name_or_a_failure_came_between(self):
        self.fill(1)
        mine = pictures.png(33, 33)
        self.batch(check=0)
        (self.out / "p000.png").write_bytes(mine)

        def kept(*more, check=0):
            done = self.batch("--json", *more, check=check)
            self.assertEqual(json.loads(done.stdout)["done"], 0)
            self.assertIn("p000.png was changed since it was made, and is kept", done.stderr)
            self.assertEqual((self.out / "p000.png").read_bytes(), mine)
        self.record("--format", "webp")
        kept()
        (self.out / "p000.png").unlink()
        good = (self.photos / "p000.png").read_bytes()
        self.record()
        (self.photos / "p000.png").write_bytes(b"no picture")
        self.record(check=1)
        (self.out / "p000.png").write_bytes(mine)
        kept()
        kept("--retry-failed")
        (self.photos / "p000.png").write_bytes(good)
        kept()
        self.assertEqual(self.record("--force")["done"], 1)
        self.assertNotEqual((self.out / "p000.png").read_bytes(), mine)

    def test_what_another_picture_became_at_its_place_is_nobody_s_work(self):
        self.fill(3)
        expected = self.undisturbed()
        by_number = ("--name", "{index}.png")
        for _ in range(2):
            self.assertEqual(self.record(*by_number)["total"], 3)
            (self.photos / "p000.png").rename(self.dir / "away.png")
            self.record(*by_number)
            (self.dir / "away.png").rename(self.photos / "p000.png")
        done = self.batch("--json", *by_number, check=0)
        self.assertEqual(done.stderr.count("is kept"), 0)
        self.assertEqual(sorted(self.hashes().values()), sorted(expected.values()))
        # At one place two formats of input take turns.
        self.out = self.dir / "turns"
        (self.photos / "a.jpg").write_bytes((harness.SOURCE / "tests/data/coffee.jpg").read_bytes())
        (self.photos / "a.png").write_bytes(pictures.png(21, 21))
        sizes = set()
        for name in ("a.jpg", "a.png", "a.jpg", "a.png"):
            self.assertEqual(self.record("--include", name, "--format", "png", "--seed", 1)["done"], 1)
            sizes.add((name, pictures.size_of(self.out / "a.png")))
        self.assertEqual(len(sizes), 2)

    def test_a_picture_is_the_same_by_whichever_way_its_place_is_named(self):
        self.fill(1)
        (self.out / "real").mkdir(parents=True)
        (self.out / "link").symlink_to("real")
        manifest = self.dir / "m.jsonl"
        for output, made in (("real/x.png", 1), ("link/x.png", 0), ("./real//x.png", 0)):
            manifest.write_text(json.dumps({"input": "p000.png", "output": output}) + "\n")
            self.assertEqual(self.record("--manifest", manifest)["done"], made)


class Standing(Case):
    """What --status says of a run that has not done all."""

    def standing(self):
        status = json.loads(self.run_step1x("batch", "--status", self.out, "--json", check=0).stdout)
        self.assertEqual(status["done"] + status["failed"] + status["left"], status["total"])
        return status["done"], status["failed"], status["left"]

    def test_what_a_run_has_still_to_replace_is_left(self):
        self.fill(4)
        self.batch(check=0)
        for how in (signal.SIGINT, signal.SIGKILL):
            self.assertEqual(self.standing(), (4, 0, 0))
            before = len(self.items())
            run = self.start_step1x(*self.arguments(fake="step=100ms", steps=4, prompt=f"by {how}"))
            harness.eventually(lambda: len(self.items()) > before, what="a picture is made anew")
            done, failed, left = self.standing()
            self.assertTrue(0 < done < 4 and failed == 0 and left == 4 - done, (done, failed, left))
            run.send_signal(how)
            run.communicate(timeout=harness.HANG)
            made = len(self.items()) - before
            self.assertEqual(self.standing(), (made, 0, 4 - made))
            # One that takes up nothing changes nothing.
            self.record("--deadline", "2020-01-01 12:00", steps=4, prompt=f"by {how}", fake="step=100ms")
            self.assertEqual(self.standing(), (made, 0, 4 - made))
            self.batch(check=0, steps=4, prompt=f"by {how}", fake="step=100ms")

    def test_what_is_gone_changed_or_to_be_tried_again_is_left_and_what_is_kept_is_done(self):
        self.fill(4)
        (self.photos / "text.png").write_text("no picture")
        self.batch(check=3)
        past = ("--deadline", "2020-01-01 12:00")
        for _ in range(2):
            self.assertEqual(self.standing(), (4, 1, 0))
            self.batch(*past, check=0)
        (self.out / "p000.png").unlink()
        (self.out / "p001.png").write_bytes(pictures.png(9, 9))
        (self.photos / "p002.png").write_bytes(pictures.png(10, 10))
        self.record("--retry-failed", *past)
        self.assertEqual(self.standing(), (2, 0, 3))
        # What was only touched is known to be as it was when its turn has come.
        os.utime(self.photos / "p003.png")
        self.batch(*past, check=0)
        self.assertEqual(self.standing(), (1, 1, 3))
        self.assertEqual(self.record(check=3)["done"], 2)
        self.assertEqual(self.standing(), (4, 1, 0))
        self.record("--force", *past)
        self.assertEqual(self.standing(), (0, 0, 5))
        self.record(check=3)
        self.assertEqual(self.standing(), (4, 1, 0))

    def test_after_one_that_took_too_long_it_is_failed_and_left_for_the_next_run(self):
        self.fill(2)
        self.batch("--timeout", "50ms", check=1, fake="step=200ms")
        self.assertEqual(self.standing(), (0, 2, 0))
        self.batch("--deadline", "2020-01-01 12:00", check=0, fake="step=200ms")
        self.assertEqual(self.standing(), (0, 0, 2))

    def test_of_parts_each_has_its_own_to_do(self):
        self.fill(8)
        for part in ("1/2", "2/2"):
            self.batch("--shard", part, check=0)
        past = ("--deadline", "2020-01-01 12:00")
        first = self.record("--shard", "1/2", "--force")["done"]
        second = self.record("--shard", "2/2", "--force", *past)["left"]
        self.assertEqual(first + second, 8)
        self.assertEqual(self.standing(), (first, 0, second))
        self.run_step1x("batch", "--merge", self.out, check=0)
        self.assertEqual(self.standing(), (first, 0, second))


class Beside(Case):
    def test_in_the_folder_of_its_inputs_what_it_made_is_no_input(self):
        self.fill(3)
        self.out = self.photos
        for made in (3, 0, 0):
            record = self.record("--name", "{stem}-edited.{ext}")
            self.assertEqual((record["total"], record["done"]), (3, made))
        self.assertEqual(len([name for name in self.hashes() if "edited" in name]), 3)

    def test_nor_in_folders_of_inputs_below_the_output_folder(self):
        for name in ("1", "2"):
            pictures.fill_folder(self.photos / name, 1)
        self.out = self.photos
        (self.dir / "way").symlink_to(self.photos)
        for folder, made in ((self.photos, 2), (self.photos, 0), (self.dir / "way", 0)):
            done = self.run_step1x("batch", folder / "1", folder / "2", "-o", self.out, "-p", "red", "--steps", 1, "--model", "fake:", "--json",
                                   "--name", "{stem}-e.{ext}", check=0)
            record = json.loads(done.stdout)
            self.assertEqual((record["total"], record["done"]), (2, made))

    def test_no_result_takes_the_place_of_a_journal_or_of_an_input(self):
        self.fill(2)
        manifest = self.dir / "m.jsonl"
        for name in ("step1x-batch.jsonl", "Step1x-Batch.2-of-3.JSONL"):
            manifest.write_text(json.dumps({"input": "p000.png", "prompt": "red", "output": name}) + "\n")
            self.assertIn("journal", self.batch("--manifest", manifest, check=2).stderr)
        before = (self.photos / "p001.png").read_bytes()
        # In whichever part the one and the other are, and through a link.
        (self.out / "p000.png").symlink_to(self.photos / "p001.png")
        for part in ("1/1", "1/2", "2/2"):
            refused = self.batch("--shard", part, check=2)
            self.assertIn("would replace the input p001.png", refused.stderr)
        self.out = self.photos
        advice = self.batch(check=2).stderr
        self.assertIn("--name '{stem}-edited.{ext}'", advice)
        (self.photos / "p000-edited.png").write_bytes(pictures.png())
        self.assertNotIn("--name", self.batch("--name", "{stem}-edited.{ext}", check=2).stderr)
        self.assertEqual((self.photos / "p001.png").read_bytes(), before)

    def test_status_counts_the_last_run_and_prune_removes_what_it_has_no_more(self):
        self.fill(3)
        self.batch(check=0)
        (self.photos / "p002.png").unlink()
        self.batch("--format", "webp", check=0)
        status = json.loads(self.run_step1x("batch", "--status", self.out, "--json", check=0).stdout)
        self.assertEqual((status["total"], status["done"], status["left"]), (2, 2, 0))
        self.assertEqual(status["left_over"], ["p000.png", "p001.png", "p002.png"])
        self.assertIn("2 of 2 done", self.run_step1x("batch", "--status", self.out, check=0).stdout)
        (self.out / "p001.png").write_bytes(pictures.png(9, 9))
        pruned = self.run_step1x("batch", "--prune", self.out, check=3).stdout
        self.assertEqual(pruned, "removed p000.png\nkept p001.png: it is not what was written\nremoved p002.png\n")
        self.assertEqual(sorted(self.hashes()), ["p000.webp", "p001.png", "p001.webp"])
        self.assertEqual(self.record("--format", "webp")["done"], 0)

    def test_what_earlier_runs_have_made_is_known_after_a_merge_too(self):
        self.fill(2)
        self.out = self.photos
        for name in ("{stem}-a.{ext}", "{stem}-b.{ext}"):
            self.record("--name", name)
        self.run_step1x("batch", "--merge", self.out, check=0)
        record = self.record("--name", "{stem}-b.{ext}")
        self.assertEqual((record["total"], record["done"]), (2, 0))
        self.assertEqual(self.run_step1x("batch", "--prune", self.out, check=0).stdout, "removed p000-a.png\nremoved p001-a.png\n")

    def test_prune_removes_what_a_part_has_made_anew(self):
        self.fill(1)
        self.batch(check=0)
        for part in ("1/2", "2/2"):
            self.batch("--shard", part, prompt="make it blue", check=0)
        self.batch("--format", "webp", check=0)
        self.assertEqual(self.run_step1x("batch", "--prune", self.out, check=0).stdout, "removed p000.png\n")

    def prune(self, check=0):
        return self.run_step1x("batch", "--prune", self.out, check=check).stdout

    def add_line(self, line):
        line.pop("crc")
        body = json.dumps(line, separators=(",", ":"))[:-1]
        with open(self.out / batch_case.JOURNAL, "a", encoding="ascii") as journal:
            journal.write(f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n')

    def test_a_picture_of_the_last_run_is_not_removed_under_another_of_its_names(self):
        self.fill(1)
        (self.out / "real").mkdir(parents=True)
        (self.out / "link").symlink_to("real")
        manifest = self.dir / "m.jsonl"
        for output in ("x.png", "./x.png", "real/x.png", "link//x.png"):
            manifest.write_text(json.dumps({"input": "p000.png", "output": output}) + "\n")
            self.record("--manifest", manifest)
            if output == "./x.png":
                self.assertEqual(self.prune(), "")
                self.assertEqual(self.items()[-1]["output"], "x.png")
        self.assertEqual(self.prune(), "removed x.png\n")
        self.assertTrue((self.out / "real/x.png").exists())

    def test_what_older_journals_call_otherwise_is_the_same_picture(self):
        self.fill(1)
        self.batch(check=0)
        lines = [line for line in self.journal() if line["kind"] == "item"]
        lines[0]["output"] = "./p000.png"
        self.add_line(lines[0])
        self.assertEqual(self.prune(), "")
        self.assertEqual(self.record()["done"], 0)

    def test_an_input_of_the_last_run_is_not_removed(self):
        self.fill(1)
        self.out = self.photos
        arguments = ("-o", ".", "-p", "red", "--model", "fake:", "--steps", 1)
        self.run_step1x("batch", "p000.png", *arguments, "--name", "{stem}-a.{ext}", cwd=self.photos, check=0)
        # Nothing of it is begun, so that no line tells what its input was.
        self.run_step1x("batch", "p000-a.png", *arguments, "--name", "{stem}-b.{ext}", "--deadline", "2020-01-01 12:00", cwd=self.photos, check=0)
        self.assertEqual(self.prune(), "")
        self.run_step1x("batch", "p000-a.png", *arguments, "--name", "{stem}-b.{ext}", cwd=self.photos, check=0)
        self.assertEqual(self.prune(), "")
        # Older journals do not say which pictures a run took.
        lines = self.journal()
        self.assertEqual(lines[-3].pop("takes"), ["p000-a.png"])
        (self.photos / batch_case.JOURNAL).unlink()
        for line in lines:
            self.add_line(line)
        self.assertEqual(json.loads(self.run_step1x("batch", "--status", self.out, "--json", check=0).stdout)["damaged_lines"], 0)
        self.assertEqual(self.prune(), "")
        self.assertEqual(sorted(self.hashes()), ["p000-a-b.png", "p000-a.png", "p000.png"])

    def test_prune_waits_for_the_end_of_a_batch(self):
        self.fill(1)
        batch = self.start_batch(fake="step=10m")
        harness.eventually(self.engine_pids, what="it runs")
        self.assertIn("wait for its end", self.run_step1x("batch", "--prune", self.out, check=75).stderr)
        batch.send_signal(signal.SIGINT)
        batch.communicate(timeout=harness.HANG)


class Lists(Case):
    def manifest_run(self, text, *more, check=0, name="m.jsonl"):
        manifest = self.dir / name
        manifest.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = self.run_step1x("batch", "--manifest", manifest, "-i", self.photos, "-o", self.out, "--steps", 1, "--model", "fake:", "--json", *more, check=check)
        return json.loads(done.stdout) if check in (0, 3) else done.stderr

    def test_a_picture_may_be_in_several_lines(self):
        self.fill(1)
        lines = [{"input": "p000.png", "prompt": "red"}, {"input": "p000.png", "prompt": "blue"}, {"input": "p000.png", "prompt": "blue", "seed": 9}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self.assertIn("would both become", self.manifest_run(text, check=2))
        self.assertEqual(self.manifest_run(text, "--name", "{stem}-{n}.{ext}")["done"], 3)
        self.assertEqual(sorted(self.hashes()), ["p000-1.png", "p000-2.png", "p000-3.png"])
        self.assertEqual([item["key"] for item in self.items()], ["p000.png", "p000.png#2", "p000.png#3"])
        self.assertEqual(self.manifest_run(text, "--name", "{stem}-{n}.{ext}")["done"], 0)

    def test_a_file_may_be_called_as_the_second_job_of_another(self):
        self.fill(1)
        for number in (2, 4):
            (self.photos / f"p000.png#{number}").write_bytes(pictures.png(30 + number, 9))
        text = "input,prompt,output\n" + "".join(f"p000.png,red,{n}.png\n" for n in range(3)) + "p000.png#2,red,a.png\np000.png#4,red,b.png\n"
        self.assertEqual(self.manifest_run(text, name="m.csv")["done"], 5)
        self.assertEqual([item["key"] for item in self.items()], ["p000.png", "p000.png#3", "p000.png#5", "p000.png#2", "p000.png#4"])
        self.assertEqual(self.manifest_run(text, name="m.csv")["done"], 0)
        self.assertEqual(self.run_step1x("batch", "--prune", self.out, check=0).stdout, "")
        self.assertIn("5 of 5 done", self.run_step1x("batch", "--status", self.out, check=0).stdout)

    def test_what_is_said_twice_in_a_manifest_is_refused_with_its_line(self):
        self.fill(2)
        for name, text, line, what in [
                ("m.json", '{\n "p000.png": "x",\n "p001.png": "y",\n "p000.png": "z"}\n', 4, "'p000.png' is there twice"),
                ("m.csv", "input,prompt,prompt\np000.png,x,y\n", 1, "the column 'prompt' is there twice"),
                ("m.jsonl", '\n{"input": "p000.png", "prompt": "x", "input": "p001.png"}\n', 2, "'input' is there twice")]:
            self.assertIn(f"{name}, line {line}: {what}", self.manifest_run(text, name=name, check=2))

    def test_a_line_of_before_holds_when_the_picture_comes_twice(self):
        self.fill(1)
        self.manifest_run('{"input": "p000.png", "prompt": "red"}\n')
        more = '{"input": "p000.png", "prompt": "red"}\n{"input": "p000.png", "prompt": "blue", "output": "blue.png"}\n'
        self.assertEqual(self.manifest_run(more)["done"], 1)

    def test_names_that_are_no_utf_8_are_told_apart_and_found_again(self):
        self.photos.mkdir()
        for name in (b"caf\xe9.png", b"caf\xe8.png"):
            with open(os.fsencode(self.photos) + b"/" + name, "wb") as file:
                file.write(pictures.png())
        self.assertEqual(self.manifest_run(b"input,prompt\ncaf\xe9.png,red\n", name="m.csv")["done"], 1)
        again = self.manifest_run(b"input,prompt\ncaf\xe9.png,red\ncaf\xe8.png,red\n", name="m.csv")
        self.assertEqual((again["done"], again["skipped"]), (1, 1))
        self.assertIn("not valid UTF-8", self.manifest_run(b"input,prompt,output\ncaf\xe9.png,red,\xe9.png\n", name="m.csv", check=2))

    def test_a_manifest_comes_through_standard_input_or_a_pipe(self):
        self.fill(2)
        arguments = ["batch", "-i", self.photos, "-o", self.out, "--steps", 1, "--model", "fake:"]
        self.run_step1x(*arguments, "--manifest", "-", input='{"input": "p000.png", "prompt": "red"}\n', check=0)
        self.run_step1x(*arguments, "--manifest", "-", input="input,prompt\np001.png,blue\n", check=0)
        self.assertEqual(sorted(self.hashes()), ["p000.png", "p001.png"])
        shell = f"'{harness.STEP1X}' batch -i '{self.photos}' -o '{self.out}' --steps 1 --model fake: --json --manifest <(printf 'input\\tprompt\\np000.png\\tred\\n')"
        done = subprocess.run(["bash", "-c", shell], env=self.env(), capture_output=True, text=True, timeout=harness.HANG)
        self.assertEqual(json.loads(done.stdout)["skipped"], 1, done.stderr)

    def test_of_several_that_are_named_one_that_is_not_there_fails_alone(self):
        self.fill(1)
        done = self.run_step1x("batch", self.photos / "p000.png", self.photos / "none.png", "-o", self.out, "-p", "red", "--model", "fake:", check=3)
        self.assertIn("none.png: No such file", done.stderr)
        self.assertEqual(sorted(self.hashes()), ["p000.png"])


class Several(Case):
    def test_of_a_file_with_several_pictures_it_is_said_that_the_first_is_edited(self):
        fixtures = harness.SOURCE / "tests/image/fixtures"
        self.photos.mkdir()
        for name in ("two-pages.tif", "animated.webp"):
            (self.photos / name).write_bytes((fixtures / name).read_bytes())
            done = self.run_step1x(*self.edit_arguments(self.dir / "o.png", picture=self.photos / name), check=0)
            self.assertRegex(done.stderr, rf"\Astep1x: [^\n]*{name} holds \d+ pictures \(pages or frames\)[^\n]*\n\Z")
            self.assertEqual(self.run_step1x(*self.edit_arguments(self.dir / "o.png", picture=self.photos / name), "-q", check=0).stderr, "")
        done = self.batch(check=0)
        self.assertEqual(len(done.stderr.splitlines()), 2)
        self.assertIn("two-pages.tif holds 2 pictures", done.stderr)
        self.assertEqual(self.batch(check=0).stderr, "")


class Deadline(Case):
    def test_one_that_is_past_begins_nothing_and_says_so(self):
        self.fill(2)
        if time.localtime().tm_hour == 0 and time.localtime().tm_min < 2:
            time.sleep(120)  # Midnight has no past of today.
        for past in ("00:00", "2020-01-01 12:00", "2020-01-01T12:00"):
            done = self.batch("--deadline", past, "--json", check=0)
            record = json.loads(done.stdout)
            self.assertEqual((record["done"], record["left"]), (0, 2))
            self.assertIn("stopped: its time is over", done.stderr)
            self.assertIn(f"--deadline {past} is past", done.stderr)
        self.assertFalse(self.worker_pids())

    def test_one_of_another_day_and_a_length_of_time_hold_together(self):
        self.fill(2)
        self.assertEqual(self.record("--deadline", "2099-12-31 07:00", "--max-runtime", "1h")["done"], 2)
        self.assertEqual(self.record("--deadline", "2099-12-31 07:00", "--max-runtime", "0", "--force")["done"], 0)
        self.assertEqual(self.record("--deadline", "2020-12-31 07:00", "--max-runtime", "1h", "--force")["done"], 0)

    def test_what_is_no_time_is_refused(self):
        self.fill(1)
        for wrong in ("25:00", "7", " 1:00", "1:000", "07:00:00", "2030-13-01 07:00", "2030-02-31 07:00", "2030-01-01  7:00", "tomorrow"):
            self.assertIn("--deadline " + " ".join(wrong.split()), self.batch("--deadline", wrong, check=2).stderr)


if __name__ == "__main__":
    harness.main()
