"""Whichever call fails while the result is written, there is the old file or the new one, nothing else, and one line that says so.

The calls of `step1x edit` are made to fail by tests/support/fault_shim.cpp, the Nth of each kind for every N until none is left.
"""

import os
import pathlib
import subprocess
import sys

import harness
import person

SHIM = harness.BUILD / "tests/libstep1x_fault_shim.so"
OLD = b"old"
ERRORS = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.results = self.dir / "results"
        self.results.mkdir()
        self.out = self.results / "out.png"
        self.run_step1x(*self.edit_arguments(self.out), check=0)
        self.new = self.out.read_bytes()
        self.out.unlink()

    def entries(self):
        return sorted(file.name for file in self.results.iterdir())

    def with_fault(self, fault):
        env = self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT=fault, STEP1X_TEST_FAULT_UNDER=str(self.results))
        return self.run_step1x(*self.edit_arguments(self.out), env=env)

    def one_line(self, done, text):
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\Astep1x: [^\n]*\n\Z")
        self.assertIn(str(self.out), done.stderr)
        self.assertIn(text, done.stderr)


class Faults(Case):
    def fail_every(self, kind, how, text, over_existing, last=""):
        """How many calls of the kind there were to fail."""
        for number in range(1, 100):
            fault = f"{kind}:{number}:{how}{last}"
            with self.subTest(fault=fault, over_existing=over_existing):
                self.out.unlink(missing_ok=True)
                if over_existing:
                    self.out.write_bytes(OLD)
                done = self.with_fault(fault)
                left = self.entries()
                self.assertIn(left, (["out.png"],) if over_existing or done.returncode == 0 else ([], ["out.png"]))
                content = self.out.read_bytes() if left else OLD
                self.assertIn(content, (OLD, self.new))
                if done.returncode == 0:
                    self.assertEqual((content, done.stdout), (self.new, f"{self.out}\n"))
                    return number - 1
                self.one_line(done, text)
        raise AssertionError("no end of faults")

    def test_once_and_for_ever_over_an_existing_file_and_over_none(self):
        for how, text in ERRORS.items():
            for over_existing in (True, False):
                # As many as there are: a kind that no call is counted of would show nothing.
                calls = {"open": 1, "write": 1, "fsync": 2, "linkat": 1, "rename": int(over_existing), "close": 1}
                for kind, count in calls.items():
                    for last in ("", ":forever") if harness.LONG else ("",):
                        self.assertEqual(self.fail_every(kind, how, text, over_existing, last), count, kind)

    def test_where_files_cannot_be_nameless(self):
        for kind, count in {"write": 1, "fsync": 2, "rename": 1, "close": 1}.items():
            self.assertEqual(self.fail_every(kind, "EIO", ERRORS["EIO"], True, ",open:1:EOPNOTSUPP"), count, kind)

    def test_for_a_name_that_replaces_nothing(self):
        for kind in ("open", "write", "fsync", "linkat", "close"):
            with self.subTest(kind=kind):
                source = self.results / "a.png"
                source.write_bytes(self.new)
                env = self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT=f"{kind}:1:ENOSPC", STEP1X_TEST_FAULT_UNDER=str(self.results))
                done = self.run_step1x("edit", source, "-p", "x", "--model", "fake:", "--steps", 1, env=env, check=1)
                self.assertIn(f"{self.results}/a-edited", done.stderr)
                # A close that fails does so after the file has its name.
                self.assertEqual(self.entries(), ["a-edited.png", "a.png"] if kind == "close" else ["a.png"])
                (self.results / "a-edited.png").unlink(missing_ok=True)

    def test_an_interrupt_at_each_call(self):
        for kind in ("open", "write", "fsync", "linkat", "rename", "close"):
            with self.subTest(kind=kind):
                self.out.write_bytes(OLD)
                done = self.with_fault(f"{kind}:1:INT")
                self.assertEqual((done.returncode, done.stdout), (130, ""))
                self.assertEqual(self.entries(), ["out.png"])
                self.assertIn(self.out.read_bytes(), (OLD, self.new))

    def test_short_writes_are_no_fault(self):
        done = self.with_fault("write:1:SHORT:forever")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.out.read_bytes(), self.new)


class FullDisk(Case):
    def setUp(self):
        super().setUp()
        # A new mount over the empty folder.
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", self.results], capture_output=True, text=True, check=False)
        if mount.returncode != 0:
            self.skipTest(f"cannot mount a small file system: {mount.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", self.results], check=True)

    def fill(self, keep):
        """Leaves `keep` bytes."""
        with open(self.results / "filler", "wb") as file:
            disk = os.statvfs(self.results)
            file.write(bytes(max(0, disk.f_bavail * disk.f_bsize - keep)))

    def test_the_old_file_stays_and_the_room_is_given_back(self):
        self.out.write_bytes(OLD)
        self.fill(keep=64 << 10)
        self.assertGreater(len(self.new), 64 << 10)
        free = os.statvfs(self.results).f_bavail
        rounds = harness.count(10, 100)
        for _ in range(rounds):
            self.one_line(self.run_step1x(*self.edit_arguments(self.out)), "No space left on device")
            self.assertEqual((self.entries(), self.out.read_bytes(), os.statvfs(self.results).f_bavail), (["filler", "out.png"], OLD, free))
        (self.results / "filler").unlink()
        self.run_step1x(*self.edit_arguments(self.out), check=0)
        self.assertEqual(self.out.read_bytes(), self.new)
        self.assertEqual(len(self.worker_pids()), 1)
        print(f"{rounds} times into a full disk", file=sys.stderr)

    def test_to_a_full_disk_through_standard_output(self):
        self.fill(keep=0)
        with open(self.results / "filler", "ab") as out:
            done = self.run_step1x(*self.edit_arguments("-"), stdout=out, stderr=subprocess.PIPE, capture_output=False)
        self.assertEqual((done.returncode, done.stderr), (1, "step1x: cannot write to standard output: No space left on device\n"))


class Links(harness.Case):
    def test_a_strangers_link_in_a_folder_of_everybodys_is_followed_no_more_than_by_a_shell(self):
        person.need_root(self)
        if pathlib.Path("/proc/sys/fs/protected_symlinks").read_text().strip() != "1":
            self.skipTest("fs.protected_symlinks is off on this machine: a shell follows such a link too")
        everybodys = self.dir / "everybodys"
        everybodys.mkdir()
        everybodys.chmod(0o1777)
        mine = self.dir / "mine.png"
        mine.write_bytes(OLD)
        link = everybodys / "out.png"
        link.symlink_to(mine)
        os.chown(link, person.UID, person.UID, follow_symlinks=False)
        done = self.run_step1x(*self.edit_arguments(link), check=2)
        self.assertIn("Permission denied", done.stderr)
        self.assertEqual(mine.read_bytes(), OLD)
        # One of one's own is followed.
        os.chown(link, 0, 0, follow_symlinks=False)
        self.run_step1x(*self.edit_arguments(link), check=0)
        self.assertNotEqual(mine.read_bytes(), OLD)
        self.assertTrue(link.is_symlink())


if __name__ == "__main__":
    harness.main()
