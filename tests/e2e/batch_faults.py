"""A batch whose client, worker or engine is killed, whose disk fails and whose journal is damaged: in the end the same pictures, none twice."""

import collections
import json
import os
import random
import signal
import sys
import time

import batch_case
import harness

SHIM = harness.BUILD / "tests/libstep1x_fault_shim.so"
FAKE = "step=5ms,load=20ms"


class Case(batch_case.Case):
    def complete(self, expected):
        self.assertEqual(self.hashes(), expected)
        done = collections.Counter(item["key"] for item in self.items() if item["state"] == "done")
        self.assertEqual(sorted(done), sorted(expected))
        return done

    def pictures(self):
        return len(list(self.out.glob("*.png"))) if self.out.exists() else 0


class Killed(Case):
    def test_at_random_moments_in_turn_the_same_command_makes_the_same_pictures(self):
        chance = random.Random(int(os.environ.get("STEP1X_SEED", "1")))
        count, kills = harness.count((40, 24), (200, 200))
        self.fill(count)
        expected = self.undisturbed(fake=FAKE)
        self.run_step1x("worker", "stop", "--force", check=0)
        killed = collections.Counter()
        turn = 0
        client = None
        while turn < kills:
            if client is None:
                client = self.start_batch("--retry-failed", fake=FAKE)
            # So spread that the whole run sees them.
            time.sleep(chance.uniform(0, 0.6 * count * 0.03 * 2 / kills + 0.1))
            if client.poll() is not None:
                client.communicate()
                if len(self.hashes()) == count:
                    # All there: some go again, so that there is something to kill.
                    for name in chance.sample(sorted(expected), count // 4):
                        (self.out / name).unlink()
                client = None
                continue
            who = ("client", "worker", "engine")[turn % 3]
            pids = {"client": [client.pid], "worker": self.worker_pids(), "engine": self.engine_pids()}[who]
            killed[who] += harness.kill(*pids)
            turn += 1
            if who == "client":
                client.communicate()
                client = None
        if client:
            client.communicate(timeout=harness.HANG)
        self.batch("--retry-failed", fake=FAKE, check=0)
        self.assertEqual(self.hashes(), expected)
        self.assertTrue(all(killed[who] > 0 for who in ("client", "worker", "engine")), killed)
        print(f"{count} pictures, killed: {dict(killed)}", file=sys.stderr)

    def test_none_is_done_twice_after_its_line(self):
        self.fill(30)
        expected = self.undisturbed(fake=FAKE)
        for _ in range(harness.count(4, 20)):
            client = self.start_batch(fake=FAKE)
            time.sleep(random.uniform(0.02, 0.3))
            client.kill()
            client.communicate()
        self.batch(check=0, fake=FAKE)
        done = self.complete(expected)
        self.assertEqual(max(done.values()), 1, done)

    def test_a_worker_that_goes_is_replaced_and_no_picture_lost(self):
        self.fill(20)
        expected = self.undisturbed(fake="step=50ms")
        client = self.start_batch(fake="step=50ms")
        for _ in range(2):
            # Of a worker that dies, no more than two pictures can still be on their way to their files.
            enough = self.pictures() + 3
            harness.eventually(lambda: self.pictures() >= enough and harness.kill(*self.worker_pids()), what="pictures and a worker")
        _, error = client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 0, error)
        self.assertEqual(error.count("going on with another one"), 2, error)
        self.complete(expected)

    def test_an_engine_that_dies_is_told_with_v_alone(self):
        self.fill(2)
        for more in ((), ("-v",)):
            with self.subTest(more=more):
                done = self.batch("--force", *more, fake="die@done=2", check=0)
                told = [line for line in done.stderr.splitlines() if "trying once more" in line]
                self.assertEqual(told, ["step1x: p001.png: trying once more: the engine was killed by signal 9 (Killed)"] if more else [])
                self.run_step1x("worker", "stop", check=0)

    def test_a_worker_that_is_told_to_leave_is_replaced_without_a_word(self):
        self.fill(8)
        expected = self.undisturbed(fake="step=50ms")
        client = self.start_batch(fake="step=50ms")
        harness.eventually(lambda: self.pictures() >= 2, what="pictures")
        os.kill(self.worker_pids()[0], signal.SIGTERM)
        _, error = client.communicate(timeout=harness.HANG)
        self.assertEqual((client.returncode, error), (0, ""))
        self.complete(expected)


class Journal(Case):
    def test_cut_or_changed_anywhere_the_pictures_are_the_same_in_the_end(self):
        chance = random.Random(int(os.environ.get("STEP1X_SEED", "1")))
        self.fill(20)
        expected = self.undisturbed(fake="")
        self.batch(check=0)
        file = self.out / batch_case.JOURNAL
        for turn in range(harness.count(6, 30)):
            whole = bytearray(file.read_bytes())
            at = chance.randrange(len(whole))
            if turn % 2:
                whole[at] ^= 1 << chance.randrange(8)
            else:
                del whole[at:]
            file.write_bytes(whole)
            if turn % 3 == 0:
                (self.out / chance.choice(sorted(expected))).unlink(missing_ok=True)
            record = json.loads(self.batch("--json", check=0).stdout)
            self.assertEqual(record["done"] + record["skipped"], 20)
            self.assertEqual(self.hashes(), expected)
            # Nothing is left to do.
            self.assertEqual(json.loads(self.batch("--json", check=0).stdout)["done"], 0)


class Merge(Case):
    def parts(self):
        """A folder done as a whole, then anew in two parts: what every item is to be."""
        self.fill(6)
        self.batch(check=0)
        for part in ("1/2", "2/2"):
            self.batch("--shard", part, prompt="make it blue", check=0)

    def nothing_is_left_to_do(self):
        record = json.loads(self.batch("--json", prompt="make it blue", check=0).stdout)
        self.assertEqual((record["done"], record["skipped"]), (0, 6))

    def test_killed_anywhere_it_loses_no_line(self):
        self.parts()
        kept = {path.name: path.read_bytes() for path in self.out.glob("step1x-batch.*")}
        for kind in ("open", "write", "fsync", "rename", "unlink"):
            for number in (1, 2, 3):
                with self.subTest(kind=kind, number=number):
                    for path in self.out.glob("step1x-batch.*"):
                        path.unlink()
                    for name, content in kept.items():
                        (self.out / name).write_bytes(content)
                    env = self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT=f"{kind}:{number}:KILL", STEP1X_TEST_FAULT_UNDER=str(self.out))
                    self.run_step1x("batch", "--merge", self.out, env=env)
                    self.nothing_is_left_to_do()
                    self.run_step1x("batch", "--merge", self.out, check=0)
                    self.assertEqual([path.name for path in self.out.glob("step1x-batch.*")], [batch_case.JOURNAL])
                    self.nothing_is_left_to_do()

    def test_not_while_a_part_is_written(self):
        self.parts()
        client = self.start_batch("--shard", "1/2", "--force", fake="step=10m")
        harness.eventually(lambda: self.status()["queue"]["running"], what="a part runs")
        self.assertIn("in use", self.run_step1x("batch", "--merge", self.out, check=75).stderr)
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=harness.HANG)

    def test_who_has_opened_a_journal_that_is_merged_meanwhile_writes_to_the_new_one(self):
        self.parts()
        for arguments in ((), ("--shard", "2/2")):
            self.fill(2, first=20 + 2 * len(arguments))
            env = self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT="open:1:PAUSE", STEP1X_TEST_FAULT_UNDER=str(self.out))
            client = self.start_batch(*arguments, env=env)
            # It has the file open, and not yet its lock.
            harness.eventually(lambda: any(os.path.basename(target).startswith("step1x-batch.") for target in open_files(client.pid)), what="the journal is open")
            self.run_step1x("batch", "--merge", self.out, check=0)
            _, error = client.communicate(timeout=harness.HANG)
            self.assertEqual(client.returncode, 0, error)
            self.assertEqual(json.loads(self.batch(*arguments, "--json", check=0).stdout)["done"], 0)


def open_files(pid):
    try:
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except FileNotFoundError:
        return []


class Disk(Case):
    def shim(self, **more):
        return self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT_UNDER=str(self.out), **more)

    def calls(self, *more):
        """How many calls of each kind a run makes below the output folder that nothing happens to."""
        counts = self.dir / "calls"
        self.batch(*more, env=self.shim(STEP1X_TEST_CALLS=str(counts)), check=0)
        return {kind: int(count) for kind, count in map(str.split, counts.read_text().splitlines())}

    def test_each_picture_and_each_line_is_on_the_disk_before_the_next(self):
        self.fill(3)
        # The folder, for the journal's own name; the line that begins; each picture, its name and its line; the one that ends.
        self.assertEqual(self.calls()["fsync"], 1 + 1 + 3 * 3 + 1)

    def test_whichever_call_fails_the_item_fails_or_all_is_well_and_the_rest_is_done(self):
        self.fill(3)
        expected = self.undisturbed()
        # A rename is what replaces a picture that is there.
        for kind, again in (("write", []), ("fsync", []), ("linkat", []), ("open", []), ("rename", ["--force"])):
            self.batch(*again, check=0)
            number = self.calls(*again)[kind] if again else self.calls_of_a_first_run()[kind]
            self.assertGreaterEqual(number, 3, kind)
            told = 0
            for call in sorted({1, 2, 3, number - 1, number}) if not harness.LONG else range(1, number + 1):
                with self.subTest(kind=kind, call=call):
                    if not again:
                        self.empty()
                    done = self.batch(*again, env=self.shim(STEP1X_TEST_FAULT=f"{kind}:{call}:ENOSPC"))
                    self.assertIn(done.returncode, (0, 1, 3), done.stderr)
                    if done.returncode != 0:
                        told += 1
                        self.assertIn("No space left on device", done.stderr)
                    for name, digest in self.hashes().items():
                        self.assertEqual(digest, expected[name])
                    self.batch(check=0)
                    self.assertEqual(self.hashes(), expected)
            self.assertGreater(told, 0, f"{kind}: no call that failed was told")

    def empty(self):
        for path in self.out.glob("*") if self.out.exists() else []:
            path.unlink()

    def calls_of_a_first_run(self):
        self.empty()
        return self.calls()

    def test_a_file_system_without_fsync_for_folders_is_no_fault(self):
        self.fill(1)
        for problem in ("EINVAL", "EOPNOTSUPP"):
            # The first is that of the folder, for the journal's own name.
            self.batch("--force", env=self.shim(STEP1X_TEST_FAULT=f"fsync:1:{problem}"), check=0)

    def test_a_full_disk_is_told_once_and_the_same_command_goes_on(self):
        self.fill(4)
        expected = self.undisturbed()
        env = self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT="write:2:ENOSPC:forever", STEP1X_TEST_FAULT_UNDER=str(self.out))
        done = self.batch(env=env)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("No space left on device", done.stderr)
        self.assertLessEqual(len(done.stderr.splitlines()), 2, done.stderr)
        self.batch("--retry-failed", check=0)
        self.assertEqual(self.hashes(), expected)


class Slow(Case):
    def test_a_client_that_always_wakes_late_ends_with_its_last_picture(self):
        self.photos.mkdir()
        (self.photos / "broken.png").write_bytes(b"no picture")
        env = self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT="poll:1:LATE:forever")
        self.assertIn("broken.png", self.batch(env=env, check=1).stderr)
        self.fill(3)
        self.assertIn("3 done, 1 failed earlier", self.batch(env=env, check=3).stderr)
        self.assertEqual(len(self.hashes()), 3)


class Silent(Case):
    """A worker that answers nothing any more, not even a cancel."""

    def stopped(self, *more):
        """A batch that --timeout ends each picture of, whose worker is stopped in the middle of the first."""
        self.fill(3)
        client = self.start_batch("--progress-json", "--timeout", "5s", *more, fake="step=1s")
        for line in client.stderr:
            if json.loads(line)["event"] == "step":
                break
        self.addCleanup(client.kill)
        worker, = self.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(resume, worker)
        return client, worker

    def test_the_picture_is_given_up_and_the_others_are_done_by_whoever_answers(self):
        client, worker = self.stopped()
        harness.eventually(self.items, seconds=60, what="the first picture is given up")
        resume(worker)
        client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 3)
        self.assertEqual([item["state"] for item in self.items()], ["failed", "done", "done"])
        self.assertEqual(self.items()[0]["error"]["code"], "timeout")

    def test_when_nobody_answers_the_batch_says_so_and_the_others_are_left(self):
        client, _ = self.stopped("--json")
        out, error = client.communicate(timeout=60)
        self.assertEqual(client.returncode, 75)
        self.assertRegex(error.splitlines()[-1], r"\Astep1x: worker \d+ [^\n]*does not answer[^\n]*after 5s \(--timeout\)\Z")
        record = json.loads(out.splitlines()[0])
        self.assertEqual((record["failed"], record["left"]), (1, 2))
        self.assertEqual([item["error"]["code"] for item in self.items()], ["timeout"])


def resume(pid):
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


class Many(Case):
    def test_thousands_of_small_pictures(self):
        count = harness.count(1000, 10_000)
        self.fill(count)
        start = time.monotonic()
        self.batch("--dry-run", check=0)
        print(f"{count} pictures looked at in {time.monotonic() - start:.2f} s", file=sys.stderr)
        client = self.start_batch("--progress-json", fake="step=0", steps=1)
        sizes = []
        for line in client.stderr:
            event = json.loads(line)
            if event["event"] != "item":
                continue
            if event["batch"]["done"] in (count // 10, count - 1):
                sizes.append(harness.rss(client.pid))
        self.assertEqual(client.wait(timeout=harness.HANG), 0)
        client.stdout.close()
        client.stderr.close()
        print(f"client: {sizes} bytes after a tenth and at the end", file=sys.stderr)
        self.assertLess(sizes[1], sizes[0] * 1.3 + (16 << 20))


if __name__ == "__main__":
    harness.main()
