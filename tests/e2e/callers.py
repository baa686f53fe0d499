"""What whoever runs a command hands down to it, and what it writes for people: it does not change what is done, and what is typed arrives as it was typed."""

import base64
import fcntl
import json
import os
import pty
import re
import resource
import select
import signal
import subprocess
import time

import batch_case
import harness
import pictures

# What a terminal would act on, or a reader of lines be misled by.
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Brackets(batch_case.Case):
    def test_what_follows_hold_is_run_as_it_is(self):
        for command in (["sh", "-c", "[ -d / ]"], ["bash", "-c", "[[ -e / ]]"]):
            self.run_step1x("gpu", "hold", "--", *command, check=0)
        words = ["[a,b]", "[]", "[", "]", "--x=[a,b]", "-x[a,b]", "--", "++", "[[a]]"]
        said = self.run_step1x("gpu", "hold", "--", "printf", "%s\\n", *words, check=0).stdout
        self.assertEqual(said.splitlines(), words)

    def test_places_patterns_and_prompts(self):
        for folder in ("[raw]", "[2023,2024]"):
            (self.dir / folder).mkdir()
            (self.dir / folder / "a.png").write_bytes(pictures.png())
            (self.dir / folder / "[b].png").write_bytes(pictures.png())
        os.chdir(self.dir)
        self.addCleanup(os.chdir, "/")
        common = ["-p", "[red,blue]", "--model", "fake:", "--steps", 1]
        for number, place in enumerate((["-i", "[raw]"], ["-i[raw]"], ["--input=[raw]"], ["[2023,2024]"], ["--", "[raw]"])):
            self.out = self.dir / f"out{number}"
            self.run_step1x("batch", "-o", self.out, *common, "--include", "[a-c].png", *place, check=0)
            self.assertEqual(sorted(self.hashes()), ["a.png"])
            self.assertEqual(self.items()[0]["parameters"]["prompt"], "[red,blue]")
        done = self.run_step1x("edit", "[raw]/a.png", "-o", "[raw].png", *common, "--json", check=0)
        self.assertEqual(json.loads(done.stdout)["prompt"], "[red,blue]")
        self.assertTrue((self.dir / "[raw].png").exists())


class Signals(harness.Case):
    def run_with(self, prepare, *arguments):
        return subprocess.run([harness.STEP1X, *arguments], env=self.env(), preexec_fn=prepare, capture_output=True, text=True, timeout=harness.HANG)

    def test_the_end_of_a_held_command_is_learnt_whatever_is_ignored_or_blocked(self):
        def ignore():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)

        def block():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT])

        for prepare in (None, ignore, block):
            self.assertEqual(self.run_with(prepare, "gpu", "hold", "--", "sh", "-c", "exit 7").returncode, 7)
            self.assertEqual(self.run_with(prepare, "gpu", "hold", "--", "sh", "-c", "kill -KILL $$").returncode, 128 + 9)

    def test_a_held_command_has_its_callers_signals(self):
        show = "import signal; print([int(s) for s in signal.Signals if signal.getsignal(s) == signal.SIG_IGN], sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"

        def strange():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])

        # Python itself ignores two when it starts.
        here = subprocess.run(["python3", "-c", show], preexec_fn=strange, capture_output=True, text=True, timeout=harness.HANG)
        held = self.run_with(strange, "gpu", "hold", "--", "python3", "-c", show)
        self.assertEqual(held.stdout, here.stdout)

    def test_a_worker_is_started_and_an_edit_done_with_all_of_them_ignored(self):
        def ignore_all():
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)

        done = self.run_with(ignore_all, "edit", harness.PHOTO, "-p", "red", "--model", "fake:", "--steps", "1", "-o", str(self.dir / "o.png"))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_blocked_signal_still_ends_a_command(self):
        def block():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

        edit = subprocess.Popen([harness.STEP1X, *map(str, self.edit_arguments(self.dir / "o.png", fake="step=10m"))], env=self.env(), preexec_fn=block)
        harness.eventually(self.engine_pids, what="it runs")
        edit.terminate()
        self.assertEqual(edit.wait(timeout=harness.HANG), 130)


class Limits(harness.Case):
    def limited(self, *arguments, limit, **kwargs):
        def prepare():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.run([harness.STEP1X, *map(str, arguments)], env=self.env(), preexec_fn=prepare, capture_output=True, timeout=harness.HANG, **kwargs)

    def test_a_limit_of_the_size_of_files_is_told_and_ends_nothing_by_a_signal(self):
        self.run_step1x("worker", "start", check=0)
        (self.dir / "big.png").write_bytes(pictures.noise(512, 512))
        for output in (self.dir / "o.png", "-"):
            done = self.limited(*self.edit_arguments(output, picture=self.dir / "big.png"), limit=1 << 17)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(b"File too large", done.stderr)
            self.assertEqual(done.stderr.count(b"\n"), 1)
        self.assertFalse((self.dir / "o.png").exists())


class Closed(harness.Case):
    def closed(self, *arguments, descriptors=(1,), **kwargs):
        def close():
            for fd in descriptors:
                os.close(fd)

        return subprocess.run([harness.STEP1X, *map(str, arguments)], env=self.env(), preexec_fn=close, stderr=subprocess.PIPE, text=True, timeout=harness.HANG, **kwargs)

    def test_what_could_not_be_written_is_a_failure_of_every_command(self):
        edit = self.edit_arguments("-")
        commands = [edit, [*self.edit_arguments(self.dir / "o.png"), "--json"], ["gpu", "status"], ["gpu", "status", "--json"], ["config", "show"], ["config", "path"],
                    ["worker", "start"], ["worker", "log"], ["--help"], ["edit", "--help"], ["--version"]]
        self.run_step1x("worker", "start", check=0)
        for command in commands:
            for how in ("closed", "full"):
                with self.subTest(command=command, how=how):
                    if how == "closed":
                        done = self.closed(*command)
                    else:
                        with open("/dev/full", "w") as full:
                            done = subprocess.run([harness.STEP1X, *map(str, command)], env=self.env(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=harness.HANG)
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                    self.assertIn("cannot write to standard output", done.stderr)

    def test_standard_input_that_is_closed_is_no_empty_one(self):
        done = self.closed("edit", "-", "-p", "red", "--model", "fake:", "-o", self.dir / "o.png", descriptors=(0,))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Bad file descriptor", done.stderr)
        done = self.closed("edit", harness.PHOTO, "--prompt-file", "-", "--model", "fake:", "-o", self.dir / "o.png", descriptors=(0,))
        self.assertEqual(done.returncode, 2)
        self.assertIn("Bad file descriptor", done.stderr)

    def test_a_held_command_finds_closed_what_its_caller_closed(self):
        done = self.closed("gpu", "hold", "--", "sh", "-c", "echo lost", descriptors=(1,))
        self.assertNotEqual(done.returncode, 0)
        done = self.closed("gpu", "hold", "--", "ls", "-l", "/proc/self/fd", descriptors=(0,), stdout=subprocess.PIPE)
        self.assertNotIn(" 0 -> /dev/null", done.stdout)


class Unread(batch_case.Case):
    """A reader that has stopped reading, and not gone away: each line waits for it."""

    def unread(self, *arguments):
        """A command whose standard error is a full pipe by and by."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        process = subprocess.Popen([harness.STEP1X, *map(str, arguments)], env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer)
        os.close(writer)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, reader

    def blocked(self, *arguments):
        process, reader = self.unread(*arguments)
        # The pipe has one page, and with a line in it the next one waits.
        harness.eventually(lambda: select.select([reader], [], [], 0)[0], what="it has said something")
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        return process

    def commands(self, out="out"):
        many = self.edit_arguments(self.dir / "out.png", fake="step=1ms", steps=1000)
        yield [*many, "--progress-json"]
        folder = self.dir / "photos"
        folder.mkdir(exist_ok=True)
        for number in range(100):
            (folder / f"{number:03}-that-is-none-and-has-a-long-name.jpg").write_text("no picture")
        yield ["batch", folder, "-o", self.dir / out, "--model", "fake:", "-p", "x"]

    def test_one_signal_ends_a_command_all_the_same(self):
        for sent in (signal.SIGINT, signal.SIGTERM):
            for command in self.commands(sent.name):
                process = self.blocked(*command)
                start = time.monotonic()
                process.send_signal(sent)
                self.assertEqual(process.wait(timeout=harness.HANG), 130, command)
                self.assertLess(time.monotonic() - start, 5)

    def test_the_time_limit_ends_it_in_time(self):
        start = time.monotonic()
        process, _ = self.unread(*next(self.commands()), "--timeout", "1s")
        self.assertEqual(process.wait(timeout=harness.HANG), 75)
        self.assertLess(time.monotonic() - start, 6)

    def test_who_reads_late_misses_nothing(self):
        process, reader = self.unread(*next(self.commands()))
        time.sleep(1)
        with os.fdopen(os.dup(reader)) as late:
            steps = [json.loads(line) for line in late]
        self.assertEqual(process.wait(timeout=harness.HANG), 0)
        self.assertEqual(steps[-1]["step"], 1000)


class Text(batch_case.Case):
    NAMES = ["x\x1b]0;owned\x07\nfailed   good.png: forged.png", "y\x1b[31m\n9 of 9 done.png", "z\u202egnp.exe\u2028\x9b1m.png"]

    def clean(self, done, what):
        for text in (done.stdout, done.stderr):
            self.assertIsNone(FORBIDDEN.search(text.decode()), f"{what}: {text!r}")
            self.assertNotRegex(text, rb"(?m)^(failed +good\.png|9 of 9 done)")
        return done

    def run_step1x(self, *arguments, **kwargs):
        return super().run_step1x(*arguments, **{"text": False, **kwargs})

    def test_no_name_reaches_a_terminal_as_it_is(self):
        self.fill(1)
        for name in self.NAMES:
            (self.photos / name).write_bytes(pictures.png())
        (self.photos / self.NAMES[0]).write_text("no picture")
        os.makedirs(os.fsencode(self.photos) + b"/\xff\xfe")
        self.clean(self.batch("-v", "--force", "--dry-run"), "--dry-run")
        self.clean(self.batch("-v", check=3), "a run")
        self.clean(self.batch("--json", "--progress-json", "--force", check=3), "records")
        self.clean(self.batch("-v", prompt="\x1b[2J\u202e", check=3), "a prompt")
        for output in self.out.glob("y*"):
            output.write_text("damaged")
        for report in ("--status", "--verify", "--prune"):
            self.clean(self.run_step1x("batch", report, self.out), report)
            self.clean(self.run_step1x("batch", report, self.out, "--json"), report + " --json")
        names = [item["key"] for item in self.items()]
        self.assertIn(self.NAMES[1], names)

    def test_nor_does_that_of_one_picture_or_a_model(self):
        os.chdir(self.dir)
        self.addCleanup(os.chdir, "/")
        for name in self.NAMES:
            with open(name.replace("/", "_"), "wb") as file:
                file.write(pictures.png())
            self.clean(self.run_step1x("edit", name + "x", "-p", "red", "--model", "fake:"), "no picture")
            self.clean(self.run_step1x("edit", name, "-p", "red", "--model", name, "-o", "o.png"), "no model")
            self.clean(self.run_step1x("edit", name, "-p", "red", "--model", "fake:", "-o", f"none/{name}"), "no place")
            self.clean(self.run_step1x("edit", name, name, name), "usage")
            self.clean(self.run_step1x("edit", name, "-p", "red", "--model", "fake:", "--steps", 1, "--json", "-v", "-o", "o.png", check=0), "record")
            (self.dir / "config.toml").write_text(f"model = {json.dumps(name)}\n")
            self.clean(self.run_step1x("config", "show", "--config", "config.toml", check=0), "config show")
            self.clean(self.run_step1x("config", "show", "--json", "--config", "config.toml", check=0), "config show --json")

    def test_a_path_is_as_it_is_for_a_program_and_written_out_on_a_terminal(self):
        output = self.dir / self.NAMES[1]
        arguments = self.edit_arguments(output, picture=harness.PHOTO)
        self.assertEqual(self.run_step1x(*arguments, check=0).stdout, os.fsencode(output) + b"\n")
        ours, theirs = pty.openpty()
        edit = subprocess.Popen([harness.STEP1X, *map(str, arguments), "-q"], env=self.env(), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            pass
        os.close(ours)
        self.assertEqual(edit.wait(timeout=harness.HANG), 0)
        self.assertEqual(shown.decode().replace("\r\n", ""), str(output).replace("\x1b", "\\x1b").replace("\n", "\\x0a"))

    def test_a_log_is_lines_of_text_whatever_libraries_write_into_it(self):
        self.run_step1x("worker", "start", check=0)
        with open(self.runtime / "worker.log", "ab") as log:
            log.write(b"\x1b[2Jlibrary \xff\xe2\x80\xae says\nunfinished \x9b")
        said = self.clean(self.run_step1x("worker", "log", check=0), "worker log").stdout
        self.assertIn(b"\\x1b[2Jlibrary \\xff\\u202e says\nunfinished \\x9b\n", said)

    def test_a_name_that_is_no_utf_8_is_refused_where_another_process_has_to_be_told(self):
        folder = os.fsencode(self.dir) + b"/mod\xe9le"
        os.mkdir(folder)
        done = subprocess.run([harness.STEP1X, "edit", harness.PHOTO, "-p", "red", "-o", self.dir / "o.png", "--model", folder], env=self.env(), capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"mod\\xe9le: not valid UTF-8", done.stderr)
        env = {**{os.fsencode(k): os.fsencode(v) for k, v in self.env().items()}, b"STEP1X_TORCH_DIR": folder}
        done = subprocess.run([harness.STEP1X, *map(str, self.edit_arguments(self.dir / "o.png"))], env=env, capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"STEP1X_TORCH_DIR", done.stderr)
        output = os.fsencode(self.dir) + b"/r\xe9sultat.png"
        done = subprocess.run([harness.STEP1X, *map(str, self.edit_arguments("x")[:-1]), output, "--json"], env=self.env(),
                              capture_output=True)
        self.assertEqual(base64.b64decode(json.loads(done.stdout)["output_base64"]), output)
        self.assertTrue(os.path.exists(output))
        done = subprocess.run([harness.STEP1X, "gpu", "hold", "--", b"no\xe9program"], env=self.env(), capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"cannot run no\\xe9program", done.stderr)


if __name__ == "__main__":
    harness.main()
