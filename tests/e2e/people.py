"""What people at a terminal meet: slips of the hand, a few pictures at once, a time limit that is one, and names that begin with a dash."""

import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import time

import harness
import pictures

SHIM = harness.BUILD / "tests/libstep1x_fault_shim.so"
FAKE = ["--model", "fake:", "--steps", 1]


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.work = self.dir / "work"
        self.work.mkdir()

    def step1x(self, *arguments, **kwargs):
        """In the test's own folder, where names need no path."""
        return self.run_step1x(*arguments, cwd=self.work, **kwargs)

    def refused(self, *arguments, code=2, **kwargs):
        """What is said, without the program's name."""
        done = self.step1x(*arguments, check=code, **kwargs)
        self.assertRegex(done.stderr, r"\Astep1x: [^\n]+\n\Z")
        self.assertEqual(done.stdout, "")
        return done.stderr[len("step1x: "):-1]

    def fill(self, *names):
        for n, name in enumerate(names):
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pictures.png(16 + n, 8))

    def made(self, folder="."):
        return sorted(path.name for path in (self.work / folder).iterdir())


class Words(Case):
    def test_a_word_that_is_none_is_named_with_the_one_that_may_be_meant(self):
        cases = [
            (["edt"], "there is no command 'edt': did you mean 'edit'? See: step1x --help"),
            (["EDIT"], "there is no command 'EDIT': did you mean 'edit'? See: step1x --help"),
            (["status"], "there is no command 'status': did you mean 'gpu status'? See: step1x --help"),
            (["gpu", "statsu"], "there is no command 'gpu statsu': did you mean 'gpu status'? See: step1x gpu --help"),
            (["worker", "statsu"], "there is no command 'worker statsu': did you mean 'worker status'? See: step1x worker --help"),
            (["gpu", "log"], "there is no command 'gpu log': did you mean 'worker log'? See: step1x gpu --help"),
            (["colourize"], "there is no command 'colourize'. See: step1x --help"),
            (["edit", "a.png", "--promt", "x"], "there is no option '--promt': did you mean '--prompt'? See: step1x edit --help"),
            (["edit", "a.png", "--promt=x"], "there is no option '--promt': did you mean '--prompt'? See: step1x edit --help"),
            (["edit", "a.png", "-p", "x", "--cfg_scale", "3"], "there is no option '--cfg_scale': did you mean '--cfg-scale'? See: step1x edit --help"),
            (["edit", "a.png", "-x"], "there is no option '-x'. See: step1x edit --help"),
            (["edit", "a.png", "-qx"], "there is no option '-x'. See: step1x edit --help"),
            (["gpu", "status", "--jsno"], "there is no option '--jsno': did you mean '--json'? See: step1x gpu status --help"),
            (["gpu", "status", "now"], "'now' is one word too many: step1x gpu status takes none but options. See: step1x gpu status --help"),
            (["edit"], "input is required. See: step1x edit --help"),
        ]
        for arguments, said in cases:
            with self.subTest(arguments=arguments):
                self.assertEqual(self.refused(*arguments), said)

    def test_of_two_wrong_words_the_first_is_named(self):
        self.assertIn("'--sede'", self.refused("edit", "a.png", "--sede", "3", "--promt", "x"))
        self.assertIn("'--promt'", self.refused("edit", "--promt", "x", "a.png", "--sede", "3"))
        self.assertIn("'gpx'", self.refused("gpx", "status", "--jsno"))

    def test_a_value_is_no_option_whatever_it_looks_like(self):
        self.fill("a.png")
        for prompt in (["-p", "--promt"], ["--prompt=--promt"], ["-p--promt"], ["--prompt", "status"]):
            with self.subTest(prompt=prompt):
                done = self.step1x("edit", "a.png", *prompt, *FAKE, "--json", check=0)
                self.assertEqual(json.loads(done.stdout)["prompt"], prompt[-1].removeprefix("--prompt=").removeprefix("-p"))
        self.step1x("edit", "-p", "x", *FAKE, "--", "a.png", check=0)

    def test_what_a_held_command_is_given_is_its_own(self):
        done = self.step1x("gpu", "hold", "--", "echo", "--promt", "statsu", "--", "-x", check=0)
        self.assertEqual(done.stdout, "--promt statsu -- -x\n")
        self.assertEqual(self.step1x("gpu", "hold", "echo", "--promt", "-x", check=0).stdout, "--promt -x\n")

    def test_help_is_given_whatever_else_is_wrong(self):
        self.assertIn("--prompt", self.step1x("edit", "--promt", "x", "--help", check=0).stdout)

    def test_a_program_is_told_as_a_record(self):
        done = self.step1x("edit", "a.png", "--promt", "x", "--json", check=2)
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "usage")

    def test_a_negative_prompt_of_digits_is_taken_for_a_number_of_pictures(self):
        self.fill("a.png")
        for command in (["edit", "a.png"], ["generate"]):
            self.assertIn("--count 3", self.refused(*command, "-p", "x", "-n", "3", *FAKE))
        self.step1x("edit", "a.png", "-p", "x", "-n", "3 arms", *FAKE, check=0)
        done = self.step1x("edit", "a.png", "-p", "x", *FAKE, "--json", env=self.env(STEP1X_NEGATIVE_PROMPT="3"), check=0)
        self.assertEqual(json.loads(done.stdout)["negative_prompt"], "3")


class Unreachable(Case):
    def test_a_model_that_cannot_be_looked_at_is_said_with_the_reason(self):
        self.fill("a.png")
        (self.work / "model").mkdir()
        (self.work / "model/model_index.json").symlink_to("model_index.json")
        done = self.step1x("edit", "a.png", "-p", "x", "--model", "model", check=4)
        self.assertRegex(done.stderr, r"\Astep1x: cannot look at [^\n]*model_index.json: Too many levels of symbolic links\n\Z")

    def test_a_folder_that_is_gone_is_said_in_a_line(self):
        gone = self.work / "gone"
        gone.mkdir()
        line = ["sh", "-c", f'cd "$1" && rmdir "$1" && exec "$2" config show --config x.toml', "sh", gone, harness.STEP1X]
        done = subprocess.run(list(map(str, line)), env=self.env(), capture_output=True, text=True, timeout=harness.HANG, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, "step1x: cannot look at x.toml: No such file or directory\n"))


class Dashes(Case):
    def test_a_file_that_is_taken_for_an_option_is_told_how_it_is_written(self):
        self.fill("-dash.png", "-photo.png", "--size.png", "a.png")
        for name in ("-dash.png", "-photo.png", "--size.png"):
            for command in (["edit", name], ["edit", "a.png", name], ["batch", "-o", "out", name]):
                with self.subTest(name=name, command=command):
                    self.assertIn(f"'./{name}'", self.refused(*command, "-p", "x", *FAKE))

    def test_written_so_or_behind_two_dashes_it_is_a_picture(self):
        self.fill("-dash.png", "a.png")
        for names in (["./-dash.png"], ["--", "-dash.png"]):
            self.assertIn("-dash-edited", self.step1x("edit", "-p", "x", *FAKE, *names, check=0).stdout)
        done = self.step1x("edit", "a.png", "-p", "x", *FAKE, "--", "-dash.png", check=0)
        self.assertEqual(done.stdout, "a-edited.png\n./-dash-edited-3.png\n")

    def test_an_option_where_a_name_should_be_is_no_name(self):
        self.fill("a.png")
        self.assertIn("-o is followed by '-p'", self.refused("edit", "a.png", "-o", "-p", "x", *FAKE))
        self.assertIn("-i is followed by '--output'", self.refused("batch", "-i", "--output", "out", "-p", "x", *FAKE))
        self.assertIn("-o is followed by '-p'", self.refused("batch", "a.png", "-o", "-p", "x", *FAKE))
        self.step1x("edit", "a.png", "-p", "x", *FAKE, "-o", "-dash.png", check=0)
        self.assertIn("-dash.png", self.made())

    def test_a_number_behind_a_dash_is_a_name_where_no_option_is_called_so(self):
        self.fill("-1.png", "a.png")
        for names in (["-1.png"], ["a.png", "-1.png"]):
            self.assertIn("-1-edited", self.step1x("edit", *names, "-p", "x", *FAKE, check=0).stdout)


class Several(Case):
    def edit(self, *names, **kwargs):
        return self.step1x("edit", *names, "-p", "x", *FAKE, **kwargs)

    def test_beside_each_or_in_a_folder_that_is_made(self):
        self.fill("a.png", "b.png", "sub/c.png")
        self.assertEqual(self.edit("a.png", "b.png", "sub/c.png", check=0).stdout, "a-edited.png\nb-edited.png\nsub/c-edited.png\n")
        for expected in (["a-edited.png", "c-edited.png"], ["a-edited-2.png", "c-edited-2.png"]):
            done = self.edit("a.png", "sub/c.png", "-o", "new/out/", check=0)
            self.assertEqual(done.stdout.splitlines(), [f"new/out/{name}" for name in expected])
        self.assertEqual(pictures.size_of(self.work / "new/out/c-edited.png"), (18, 8))

    def test_no_folder_is_made_where_nothing_can_be_computed(self):
        self.fill("a.png")
        self.step1x("edit", "a.png", "-p", "x", "--model", "/nowhere", "-o", "new/", check=4)
        self.assertEqual(self.made(), ["a.png"])

    def test_one_goes_into_a_folder_too(self):
        self.fill("a.png")
        (self.work / "there").mkdir()
        for folder in ("there", "there/", "made/"):
            self.assertTrue(self.edit("a.png", "-o", folder, check=0).stdout.startswith(folder.rstrip("/") + "/a-edited"))
        self.assertEqual(self.step1x("generate", "-p", "x", "--width", 16, "--height", 16, *FAKE, "-o", "made/", check=0).stdout, "made/generated.png\n")

    def test_the_model_is_not_moved_in_between(self):
        self.fill("a.png", "b.png")
        self.edit("a.png", "b.png", check=0)
        harness.eventually(lambda: self.status()["model_location"] == "CPU", what="offloaded after the last")
        self.assertEqual({k: self.status()["statistics"][k] for k in ("total_loads", "cpu_to_gpu", "gpu_to_cpu")}, {"total_loads": 1, "cpu_to_gpu": 0, "gpu_to_cpu": 1})

    def test_the_model_may_go_before_the_last_is_written(self):
        self.fill("a.png")
        os.mkfifo(self.work / "o-2.png")
        client = self.start_step1x("edit", "a.png", "-p", "x", *FAKE, "--count", 2, "-o", "o.png", cwd=self.work)
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline(), "o.png\n")
        harness.eventually(lambda: waits_in(client.pid, "partner"), what="it opens the pipe")
        harness.eventually(lambda: self.status()["model_location"] == "CPU", seconds=30, what="offloaded")
        self.assertTrue((self.work / "o-2.png").read_bytes().startswith(b"\x89PNG"))
        client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 0)

    def test_another_model_than_the_one_that_is_loaded(self):
        self.fill("a.png", "b.png")
        self.edit("a.png", "--keep", "10m", check=0)
        self.step1x("edit", "a.png", "b.png", "-p", "x", "--model", "fake:load=10ms", "--steps", 1, check=0)

    def test_what_can_be_known_is_said_before_the_first_job(self):
        self.fill("a.png", "b.png", "sub/a.png", "a.jpg")
        (self.work / "file").touch()
        self.assertIn("need a folder", self.refused("edit", "a.png", "b.png", "-p", "x", *FAKE, "-o", "out.png"))
        self.assertIn("need a folder", self.refused("edit", "a.png", "b.png", "-p", "x", *FAKE, "-o", "-"))
        self.assertIn("a.png and sub/a.png would both be", self.refused("edit", "a.png", "sub/a.png", "-p", "x", *FAKE, "-o", "./"))
        self.assertIn("would both be a-edited.png", self.refused("edit", "a.png", "a.jpg", "-p", "x", *FAKE))
        self.assertIn("cannot make that folder", self.refused("edit", "a.png", "b.png", "-p", "x", *FAKE, "-o", "file/"))
        self.assertIn("no such picture", self.refused("edit", "a.png", "b.png", "-p", "x", *FAKE, "--format", "no such picture"))
        self.assertEqual(self.worker_pids(), [])

    def test_one_that_cannot_be_read_is_named_and_the_rest_is_done(self):
        self.fill("a.png", "b.png")
        (self.work / "text.png").write_text("no picture")
        done = self.edit("text.png", "a.png", "gone.png", "b.png", check=3)
        self.assertEqual(done.stdout, "a-edited.png\nb-edited.png\n")
        self.assertRegex(done.stderr, r"\Astep1x: cannot read text.png: .*\nstep1x: cannot read gone.png: .*\n\Z")

    def test_what_the_engine_says_of_one_is_said_with_its_name(self):
        self.fill("a.png", "b.png")
        done = self.step1x("edit", "a.png", "b.png", "-p", "x", "--model", "fake:fail@step", check=1)
        self.assertEqual([line.split(": ")[1] for line in done.stderr.splitlines()], ["a.png", "b.png"])

    def test_where_none_can_be_made_the_code_says_why(self):
        self.fill("a.png", "b.png")
        (self.work / "text.png").write_text("no picture")
        self.edit("text.png", "gone.png", check=6)
        done = self.step1x("edit", "a.png", "b.png", "-p", "x", "--model", "fake:oom@step", check=5)
        self.assertEqual(done.stderr.count("\n"), 2)
        self.step1x("edit", "a.png", "text.png", "-p", "x", "--model", "fake:oom@step", check=1)
        self.assertEqual(self.made(), ["a.png", "b.png", "text.png"])

    def test_what_fails_for_one_of_them_does_not_end_the_others(self):
        self.fill("a.png", "b.png")
        done = self.step1x("edit", "a.png", "b.png", "-p", "x", "--model", "fake:oom@load", "--steps", 1, check=3)
        self.assertEqual((done.stdout, done.stderr.count("\n")), ("b-edited.png\n", 1))
        (self.work / "wide.png").write_bytes(pictures.png(17000, 2))
        done = self.edit("wide.png", "a.png", "b.png", "--format", "webp", check=3)
        self.assertEqual(done.stdout, "a-edited.webp\nb-edited.webp\n")
        self.assertRegex(done.stderr, r"\Astep1x: [^\n]*at most 16383 pixels[^\n]*\n\Z")

    def test_a_place_that_takes_no_file_is_told_once_and_the_rest_is_not_begun(self):
        self.fill("a.png", "b.png", "c.png")
        for problem, said in (("ENOSPC", "No space left on device"), ("EDQUOT", "Disk quota exceeded"), ("EROFS", "Read-only file system"), ("EIO", "Input/output error")):
            with self.subTest(problem=problem):
                env = self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT=f"write:1:{problem}:forever", STEP1X_TEST_FAULT_UNDER=str(self.work))
                done = self.edit("a.png", "b.png", "c.png", env=env, check=1)
                self.assertRegex(done.stderr, rf"\Astep1x: [^\n]*{said}\nstep1x: not begun: 2 of the 3 pictures\n\Z")
        self.assertEqual(self.made(), ["a.png", "b.png", "c.png"])

    def test_json_is_a_record_of_each_on_a_line(self):
        self.fill("a.png", "b.png")
        done = self.edit("a.png", "gone.png", "b.png", "--json", check=3)
        records = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([(r["input"], r.get("output"), r.get("error", {}).get("code")) for r in records],
                         [("gone.png", None, "bad_image"), ("a.png", "a-edited.png", None), ("b.png", "b-edited.png", None)])

    def test_one_comes_from_standard_input(self):
        self.fill("a.png")
        for n, names in enumerate((["a.png", "-"], ["a.png", "--", "-"])):
            with open(harness.PHOTO, "rb") as photo:
                done = self.step1x("edit", "-p", "x", *FAKE, "-o", f"out{n}/", *names, stdin=photo, check=0)
            self.assertEqual(done.stdout, f"out{n}/a-edited.png\nout{n}/stdin-edited.png\n")

    def test_an_interrupt_ends_all_and_what_is_done_stays(self):
        self.fill("a.png", "b.png", "c.png")
        client = self.start_step1x("edit", "a.png", "b.png", "c.png", "-p", "x", "--model", "fake:step=500ms", "--steps", 2, cwd=self.work)
        self.assertEqual(client.stdout.readline(), "a-edited.png\n")
        client.send_signal(signal.SIGINT)
        out, error = client.communicate(timeout=harness.HANG)
        # Between two jobs nothing is cancelled, and nothing said.
        self.assertEqual((client.returncode, out), (130, ""))
        self.assertIn(error, ("", "step1x: interrupted\n"))
        self.assertEqual(self.made(), ["a-edited.png", "a.png", "b.png", "c.png"])

    def test_the_time_limit_is_of_all_together(self):
        self.fill(*(f"{n}.png" for n in range(20)))
        client = self.step1x("edit", *(f"{n}.png" for n in range(20)), "-p", "x", "--model", "fake:step=200ms", "--steps", 2, "--timeout", "1500ms", check=75)
        self.assertRegex(client.stderr, r"\Astep1x: no picture after 1\.5s \(--timeout\)[^\n]*\n\Z")
        self.assertIn(len(client.stdout.splitlines()), (1, 2, 3))


class Count(Case):
    def records(self, *arguments):
        return [json.loads(line) for line in self.step1x(*arguments, *FAKE, "--json", check=0).stdout.splitlines()]

    def test_seeds_and_names_count_up(self):
        self.fill("a.png")
        records = self.records("edit", "a.png", "-p", "x", "--count", 3, "--seed", 7)
        self.assertEqual([(r["output"], r["seed"]) for r in records], [("a-edited.png", 7), ("a-edited-2.png", 8), ("a-edited-3.png", 9)])
        again = self.records("edit", "a.png", "-p", "x", "--count", 2, "--seed", 7)
        self.assertEqual([r["output"] for r in again], ["a-edited-4.png", "a-edited-5.png"])
        for old, new in (("a-edited", "a-edited-4"), ("a-edited-2", "a-edited-5")):
            self.assertEqual((self.work / f"{old}.png").read_bytes(), (self.work / f"{new}.png").read_bytes())

    def test_each_has_its_own_time(self):
        self.fill("a.png")
        start = time.monotonic()
        done = self.step1x("edit", "a.png", "-p", "x", "--model", "fake:step=100ms", "--steps", 1, "--count", 4, "--json", check=0)
        whole = time.monotonic() - start
        self.assertLessEqual(sum(json.loads(line)["timings"]["all"] for line in done.stdout.splitlines()), whole)

    def test_with_a_name_all_of_them_are_replaced(self):
        for seeds in ([3, 4], [5, 6]):
            records = self.records("generate", "-p", "x", "--width", 16, "--height", 16, "-o", "o.jpg", "--count", 2, "--seed", seeds[0])
            self.assertEqual([(r["output"], r["seed"]) for r in records], [("o.jpg", seeds[0]), ("o-2.jpg", seeds[1])])
        self.assertEqual(self.made(), ["o-2.jpg", "o.jpg"])

    def test_a_seed_that_is_drawn_counts_up_too(self):
        first, second = self.records("generate", "-p", "x", "--width", 16, "--height", 16, "--count", 2)
        self.assertEqual(second["seed"], first["seed"] + 1)

    def test_of_several_pictures_so_many_of_each(self):
        self.fill("a.png", "b.png")
        self.assertEqual([r["output"] for r in self.records("edit", "a.png", "b.png", "-p", "x", "--count", 2, "-o", "out/")],
                         [f"out/{name}.png" for name in ("a-edited", "a-edited-2", "b-edited", "b-edited-2")])

    def test_what_cannot_be_counted_is_refused(self):
        self.fill("a.png")
        (self.work / "o-2.png").mkdir()
        edit = ["edit", "a.png", "-p", "x", *FAKE, "--count", 2]
        self.assertIn("takes one picture", self.refused(*edit, "-o", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE, capture_output=False))
        self.assertIn("that is no file", self.refused(*edit, "-o", "/dev/null"))
        self.assertIn("o-2.png", self.refused(*edit, "-o", "o.png"))
        self.assertIn("over 2^53", self.refused(*edit, "--seed", 2**53))
        for number in ("0", "1001"):
            self.assertIn("not in range 1 to 1000", self.refused("edit", "a.png", "-p", "x", *FAKE, "--count", number))
        self.assertEqual(self.worker_pids(), [])


class Formats(Case):
    def setUp(self):
        super().setUp()
        shutil.copy(harness.PHOTO, self.work / "a.JPG")
        self.fill("b.png")

    def size(self, *arguments, env=None, command=("edit", "a.JPG")):
        done = self.step1x(*command, "-p", "x", *FAKE, "--seed", 1, "-o", "o.jpg", *arguments, env=env and self.env(**env), check=0)
        return (self.work / done.stdout.strip()).stat().st_size

    def test_quality_is_that_of_the_flag_then_of_the_setting_then_the_formats_own(self):
        own, low, high = self.size(), self.size("--quality", 30), self.size("--quality", 100)
        self.assertLess(low, own)
        self.assertLess(own, high)
        self.assertEqual(self.size("--quality", 95), own)
        self.assertEqual(self.size(env={"STEP1X_QUALITY": "30"}), low)
        self.assertEqual(self.size("--quality", 100, env={"STEP1X_QUALITY": "30"}), high)
        generate = ("generate", "--width", 64, "--height", 64)
        self.assertLess(self.size("--quality", 10, command=generate), self.size(command=generate))

    def test_where_a_format_loses_nothing_the_flag_is_refused_and_the_setting_is_not(self):
        for output in (["-o", "o.png"], [], ["--format", "tiff"], ["-o", "o.gif"]):
            self.assertIn("has no quality to choose", self.refused("edit", "a.JPG", "-p", "x", *FAKE, "--quality", 80, *output))
        self.assertEqual(self.worker_pids(), [])
        self.step1x("edit", "a.JPG", "-p", "x", *FAKE, "-o", "o.png", env=self.env(STEP1X_QUALITY="80"), check=0)
        for number in ("0", "101"):
            self.assertIn("not in range 1 to 100", self.refused("edit", "a.JPG", "-p", "x", *FAKE, "--quality", number, "-o", "o.jpg"))

    def test_the_same_format_is_the_inputs_where_results_are_usual_in_it(self):
        shutil.copy(self.work / "b.png", self.work / "c.gif")
        done = self.step1x("edit", "a.JPG", "b.png", "c.gif", "-p", "x", *FAKE, "--format", "same", check=0)
        self.assertEqual(done.stdout, "a-edited.JPG\nb-edited.png\nc-edited.png\n")
        self.assertTrue((self.work / "a-edited.JPG").read_bytes().startswith(b"\xff\xd8\xff"))

    def test_of_standard_input_its_content_tells_the_format(self):
        for picture, name in ((self.work / "a.JPG", "stdin-edited.jpeg"), (self.work / "b.png", "stdin-edited.png")):
            done = self.step1x("edit", "-", "-p", "x", *FAKE, "--format", "same", stdin=open(picture, "rb"), check=0)
            self.assertEqual(done.stdout, f"{name}\n")
        done = self.run_step1x("edit", "-", "-p", "x", *FAKE, "--format", "same", "-o", "-", input=pathlib.Path(harness.PHOTO).read_bytes(), text=False, check=0)
        self.assertTrue(done.stdout.startswith(b"\xff\xd8\xff"))


class OtherNames(Case):
    def test_the_size_level_is_the_size(self):
        self.fill("a.png")
        done = self.step1x("edit", "a.png", "-p", "x", *FAKE, "--size-level", 512, "--json", check=0)
        self.assertEqual(json.loads(done.stdout)["size"], 512)

    def test_the_idle_timeout_ends_the_engine(self):
        self.fill("a.png")
        self.step1x("edit", "a.png", "-p", "x", *FAKE, "--idle-timeout", "10m", check=0)
        self.assertEqual(len(self.engine_pids()), 1)
        self.assertGreater(self.status()["next"]["seconds"], 500)
        self.step1x("edit", "a.png", "-p", "x", *FAKE, "--idle-timeout", "200ms", check=0)
        harness.eventually(lambda: not self.engine_pids(), what="the engine has ended")
        self.step1x("batch", "a.png", "-o", "out", "-p", "x", *FAKE, "--idle-timeout", "10m", check=0)
        self.assertEqual(len(self.engine_pids()), 1)

    def test_the_gpu_is_kept_as_long_as_keep_says(self):
        self.fill("a.png")
        self.step1x("edit", "a.png", "-p", "x", *FAKE, "--idle-timeout", "0", "--keep", "10m", check=0)
        status = self.status()
        self.assertEqual((status["model_location"], status["next"]["transition"]), ("GPU", "offload"))
        self.assertGreater(status["next"]["seconds"], 500)

    def test_a_variable_that_is_none_is_named_with_the_one_that_may_be_meant(self):
        strange = self.env(STEP1X_STPES="3", STEP1X_COLOUR="red", STEP1X_LONG="1", STEP1X_SEED="1", STEP1X_TORCH_DIR="/nowhere", STEP1X_QUALITY="90")
        done = self.step1x("config", "path", env=strange, check=0)
        self.assertEqual(sorted(done.stderr.splitlines()), [
            "step1x: the environment variable STEP1X_COLOUR is none of step1x; step1x.toml(5) lists them",
            "step1x: the environment variable STEP1X_STPES is none of step1x: did you mean STEP1X_STEPS?"])
        self.assertEqual(self.step1x("config", "path", "-q", env=strange, check=0).stderr, "")


class Time(Case):
    """Of the whole command, whatever it waits for."""

    def setUp(self):
        super().setUp()
        self.run_step1x(*self.edit_arguments(self.work / "out.png"), check=0)  # the worker is there
        self.picture = (self.work / "out.png").read_bytes()

    def pipe(self):
        path = self.dir / "pipe"
        os.mkfifo(path)
        return path

    def reading(self, *more):
        """An edit that waits for a picture on standard input, from a pipe that nobody writes to."""
        # Open for both, so that its end never comes.
        both = os.open(self.pipe(), os.O_RDWR)
        self.addCleanup(os.close, both)
        return self.start_step1x("edit", "-", "-p", "x", *FAKE, "-o", self.work / "new.png", *more, stdin=both)

    def writing(self, *more):
        """An edit that waits until somebody reads its picture, which is too large for a pipe."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        client = self.start_step1x(*self.edit_arguments("-"), *more, stdout=write)
        os.close(write)
        return client, read

    def ends(self, client, code, error):
        start = time.monotonic()
        _, said = client.communicate(timeout=harness.HANG)
        self.assertEqual((client.returncode, said), (code, error))
        return time.monotonic() - start

    def test_while_standard_input_is_read(self):
        self.ends(self.reading("--timeout", "300ms"), 75, "step1x: no picture after 300ms (--timeout)\n")
        self.assertEqual(self.made(), ["out.png"])

    def test_while_a_prompt_is_read(self):
        both = os.open(self.pipe(), os.O_RDWR)
        self.addCleanup(os.close, both)
        client = self.start_step1x("generate", "--prompt-file", "-", *FAKE, "--timeout", "1500ms", "--json", stdin=both)
        out, error = client.communicate(timeout=harness.HANG)
        self.assertEqual((client.returncode, error), (75, "step1x: no picture after 1.5s (--timeout)\n"))
        self.assertEqual(json.loads(out)["error"], {"code": "timeout", "message": "no picture after 1.5s (--timeout)", "retryable": True})

    def test_while_the_result_is_written(self):
        client, _ = self.writing("--timeout", "2s")
        self.ends(client, 75, "step1x: no picture after 2s (--timeout)\n")

    def test_while_a_pipe_has_no_reader(self):
        client = self.start_step1x(*self.edit_arguments(self.pipe()), "--timeout", "1s")
        self.ends(client, 75, "step1x: no picture after 1s (--timeout)\n")

    def test_in_the_job_what_was_asked_for_is_told_and_not_what_was_left(self):
        client = self.start_step1x(*self.edit_arguments(self.work / "new.png", fake="step=30s", picture="-"), "--timeout", "1500ms", stdin=subprocess.PIPE)
        time.sleep(0.3)
        client.stdin.buffer.write(self.picture)
        _, error = client.communicate(timeout=harness.HANG)
        self.assertEqual(client.returncode, 75)
        # Who waits for the job has the last word, and says what has become of it.
        self.assertEqual(error, "step1x: no picture after 1.5s (--timeout): cancelled\n")
        self.assertEqual(self.made(), ["out.png"])

    def test_enough_time_changes_nothing(self):
        self.run_step1x(*self.edit_arguments(self.work / "new.png"), "--timeout", "10m", check=0)
        self.assertEqual((self.work / "new.png").read_bytes(), self.picture)

    def test_at_each_call_that_writes_the_file_is_the_old_one_or_the_new(self):
        for kind in ("open", "write", "fsync", "linkat", "rename", "close"):
            with self.subTest(kind=kind):
                (self.work / "out.png").write_bytes(b"old")
                env = self.env(LD_PRELOAD=str(SHIM), STEP1X_TEST_FAULT=f"{kind}:1:ALRM", STEP1X_TEST_FAULT_UNDER=str(self.work))
                done = self.run_step1x(*self.edit_arguments(self.work / "out.png"), "--timeout", "10m", env=env, check=75)
                self.assertEqual((done.stdout, done.stderr), ("", "step1x: no picture after 10m (--timeout)\n"))
                self.assertEqual(self.made(), ["out.png"])
                self.assertIn((self.work / "out.png").read_bytes(), (b"old", self.picture))

    def test_one_signal_is_enough_while_standard_input_is_read(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            client = self.reading()
            harness.eventually(lambda: waits_in(client.pid, "pipe"), what="it reads")
            client.send_signal(number)
            self.ends(client, 130, "")
            os.unlink(self.dir / "pipe")
        self.assertEqual(self.made(), ["out.png"])

    def test_one_signal_is_enough_while_several_wait_for_standard_input(self):
        self.fill("a.png")
        both = os.open(self.pipe(), os.O_RDWR)
        self.addCleanup(os.close, both)
        client = self.start_step1x("edit", "a.png", "-", "-p", "x", *FAKE, stdin=both, cwd=self.work)
        self.assertEqual(client.stdout.readline(), "a-edited.png\n")
        harness.eventually(lambda: waits_in(client.pid, "pipe"), what="it reads")
        client.send_signal(signal.SIGINT)
        self.ends(client, 130, "")

    def test_one_signal_is_enough_while_the_result_is_written(self):
        client, read = self.writing()
        self.assertTrue(select.select([read], [], [], harness.HANG)[0])
        harness.eventually(lambda: waits_in(client.pid, "poll"), what="it writes")
        client.send_signal(signal.SIGINT)
        self.ends(client, 130, "")

    def test_one_signal_is_enough_while_a_pipe_has_no_reader(self):
        path = self.pipe()
        client = self.start_step1x(*self.edit_arguments(path))
        harness.eventually(lambda: waits_in(client.pid, "partner"), what="it opens the pipe")
        client.send_signal(signal.SIGTERM)
        self.ends(client, 130, "")


def waits_in(pid, where):
    """Whether the main thread sleeps in a function of the kernel whose name has `where`; where none is told, whether it sleeps."""
    try:
        with open(f"/proc/{pid}/wchan") as file:
            name = file.read()
        with open(f"/proc/{pid}/stat") as file:
            state = file.read().rpartition(")")[2].split()[0]
    except OSError:
        return False
    if name in ("", "0"):
        time.sleep(1)
        return state == "S"
    return where in name


if __name__ == "__main__":
    harness.main()
