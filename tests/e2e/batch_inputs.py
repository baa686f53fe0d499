"""What a batch takes for its pictures, their prompts and their names; and its parts on several machines."""

import json
import os
import socket
import time

import batch_case
import harness
import pictures


class Inputs(batch_case.Case):
    def prompts(self):
        return {item["key"]: item["parameters"]["prompt"] for item in self.items()}

    def run_batch(self, *more, **kwargs):
        return self.run_step1x("batch", "-o", self.out, "--steps", 1, "--model", "fake:", *more, **kwargs)

    def test_files_lists_and_patterns(self):
        self.fill(4)
        self.run_batch("-p", "red", self.photos / "p001.png", self.photos / "p002.png", check=0)
        self.assertEqual(sorted(self.hashes()), ["p001.png", "p002.png"])
        names = f"{self.photos}/p003.png\n{self.photos}/p000.png\n"
        self.run_batch("-p", "red", "-i", "-", input=names, check=0)
        self.assertEqual(len(self.hashes()), 4)
        (self.photos / "new\nline.png").write_bytes(pictures.png())
        self.run_batch("-p", "red", "-0", "-i", "-", input=f"{self.photos}/new\nline.png\0", check=0)
        self.assertIn("new\nline.png", self.hashes())
        self.out = self.dir / "patterns"
        self.run_batch("-p", "red", "-i", self.photos, "--include", "p00[12]*", "--exclude", "*2.png", check=0)
        self.assertEqual(sorted(self.hashes()), ["p001.png"])

    def test_of_several_folders_each_has_a_place_of_its_own(self):
        self.fill(1)
        other = self.dir / "others"
        pictures.fill_folder(other, 1)
        self.run_batch("-p", "red", self.photos, other, check=0)
        self.assertEqual(sorted(self.hashes()), ["others/p000.png", "photos/p000.png"])
        self.assertEqual(sorted(self.prompts()), ["others/p000.png", "photos/p000.png"])

    def test_a_picture_that_is_named_twice_is_refused(self):
        self.fill(1)
        picture = self.photos / "p000.png"
        for name in ("{stem}.{ext}", "{stem}-{n}.{ext}"):
            done = self.run_batch("-p", "red", picture, picture, "--name", name, check=2)
            self.assertIn("p000.png is named twice", done.stderr)

    def test_folders_within_may_have_any_name(self):
        for name in ("picture", "x", "step1x"):
            pictures.fill_folder(self.photos / name, 1)
        for done in (3, 0):
            self.assertEqual(json.loads(self.batch("-r", "--json", check=0).stdout)["done"], done)

    def test_two_pictures_with_one_key_are_both_named(self):
        for name in ("a/in", "b/in"):
            pictures.fill_folder(self.dir / name, 1)
        done = self.run_batch("-p", "red", self.dir / "a/in", self.dir / "b/in", check=2)
        self.assertRegex(done.stderr, r"/a/in/p000\.png and [^ ]*/b/in/p000\.png would both be known as in/p000\.png")

    def test_a_manifest_and_prompts_beside_the_pictures(self):
        self.fill(3)
        manifest = self.dir / "prompts.csv"
        manifest.write_text('input,prompt,seed,output\np000.png,"red, very",5,\np001.png,blue,,sub/other.webp\n')
        self.run_batch("--manifest", manifest, "-i", self.photos, check=0)
        self.assertEqual(self.prompts(), {"p000.png": "red, very", "p001.png": "blue"})
        self.assertEqual(sorted(self.hashes()), ["p000.png", "sub/other.webp"])
        self.assertEqual((self.out / "sub/other.webp").read_bytes()[8:12], b"WEBP")
        # What the reference's script reads.
        (self.photos / "prompts.json").write_text(json.dumps({"p002.png": "green"}))
        self.run_batch("--manifest", self.photos / "prompts.json", check=0)
        self.assertEqual(self.prompts()["p002.png"], "green")
        self.out = self.dir / "sidecars"
        (self.photos / "p001.txt").write_text("as a drawing\n")
        self.run_batch("-i", self.photos, "-p", "red", "--sidecar-prompts", check=0)
        self.assertEqual(self.prompts(), {"p000.png": "red", "p001.png": "as a drawing", "p002.png": "red"})

    def test_names_by_template_and_formats(self):
        self.fill(2)
        (self.photos / "Photo.JPG").write_bytes((harness.SOURCE / "tests/data/coffee.jpg").read_bytes())
        self.run_batch("-i", self.photos, "-p", "red", "--name", "{index}-{stem}.{ext}", check=0)
        self.assertEqual(sorted(self.hashes()), ["1-Photo.JPG", "2-p000.png", "3-p001.png"])
        self.out = self.dir / "webp"
        self.run_batch("-i", self.photos, "-p", "red", "--format", "webp", "--seed", 9, "--name", "{stem}-{seed}.{ext}", check=0)
        self.assertEqual(sorted(self.hashes()), ["Photo-9.webp", "p000-9.webp", "p001-9.webp"])

    def test_a_quality_that_is_asked_for_is_used_and_refused_where_there_is_none(self):
        self.photos.mkdir()
        (self.photos / "photo.jpg").write_bytes((harness.SOURCE / "tests/data/coffee.jpg").read_bytes())
        sizes = []
        for quality in (20, 90):
            self.run_batch("-i", self.photos, "-p", "red", "--quality", quality, "--force", check=0)
            sizes.append((self.out / "photo.jpg").stat().st_size)
        self.assertLess(2 * sizes[0], sizes[1])
        refused = self.run_batch("-i", self.photos, "-p", "red", "--quality", 90, "--format", "png", check=2)
        self.assertIn("--quality", refused.stderr)

    def test_a_zero_byte_never_names_another_file(self):
        self.fill(2)
        paths = f"{self.photos}/p000.png\0{self.photos}/p001.png\0"
        done = self.run_batch("-p", "red", "-i", "-", input=paths, check=2)
        self.assertRegex(done.stderr, r"zero bytes .* -0")
        self.run_batch("-p", "red", "-0", "-i", "-", input=paths, check=0)
        self.assertEqual(sorted(self.hashes()), ["p000.png", "p001.png"])
        for member in ("input", "prompt", "negative_prompt", "output"):
            manifest = self.dir / f"{member}.jsonl"
            manifest.write_text(json.dumps({"input": "p000.png", "prompt": "red", member: "p000.png\0p001.png"}))
            done = self.run_batch("--manifest", manifest, "-i", self.photos, check=2)
            self.assertRegex(done.stderr, f"line 1: {member}.* zero byte")
        self.assertEqual(len(self.hashes()), 2)

    def test_a_prompt_comes_through_a_socket(self):
        self.fill(1)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(b"make it darker\n")
            ours.shutdown(socket.SHUT_WR)
            done = self.run_step1x("edit", self.photos / "p000.png", "--prompt-file", "-", "--model", "fake:", "--steps", 1, "-o", self.dir / "o.png", "--json",
                                   stdin=theirs, check=0)
        self.assertEqual(json.loads(done.stdout)["prompt"], "make it darker")

    def test_a_byte_order_mark_is_no_part_of_what_a_file_says(self):
        self.fill(1)
        mark = "\ufeff"
        prompt = self.dir / "prompt.txt"
        prompt.write_text(mark + "make it red\r\n")
        (self.photos / "p000.txt").write_text(mark + "make it blue\r\n")
        record = self.run_step1x("edit", self.photos / "p000.png", "--prompt-file", prompt, "--model", "fake:", "--steps", 1, "-o", self.dir / "o.png", "--json",
                                 check=0)
        self.assertEqual(json.loads(record.stdout)["prompt"], "make it red")
        self.run_batch("--sidecar-prompts", "-i", "-", input=f"{mark}{self.photos}/p000.png\n", check=0)
        self.assertEqual([*self.prompts().values()], ["make it blue"])
        done = self.run_step1x("edit", self.photos / "p000.png", "--prompt-file", self.photos, "--model", "fake:", check=2)
        self.assertIn("photos: Is a directory", done.stderr)

    def test_a_folder_within_that_cannot_be_read_is_named_and_the_rest_is_done(self):
        if os.getuid() != 0:
            self.skipTest("only root can make a folder that another user may not read")
        os.chmod(self.dir, 0o755)
        self.fill(2)
        (self.photos / "lost+found").mkdir()
        (self.photos / "lost+found").chmod(0o700)
        for folder in (self.out, self.runtime):
            folder.mkdir(exist_ok=True)
            os.chown(folder, 65534, 65534)

        def as_nobody():
            # Who runs the tests may be nice, and nobody else can undo that.
            os.setpriority(os.PRIO_PROCESS, 0, 0)
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        done = self.run_batch("-r", "-p", "red", "-i", self.photos, check=3, preexec_fn=as_nobody, cwd="/")
        self.assertRegex(done.stderr, r"\Astep1x: cannot read the folder [^\n]*lost\+found: Permission denied; going on without it\n")
        self.assertEqual(sorted(self.hashes()), ["p000.png", "p001.png"])
        # Nor does one picture that cannot be read end a report about all.
        (self.out / "p000.png").chmod(0)
        done = self.run_step1x("batch", "--verify", self.out, "--json", check=3, preexec_fn=as_nobody, cwd="/")
        report = json.loads(done.stdout)
        self.assertEqual((report["right"], report["wrong"][0]["key"]), (1, "p000.png"))
        self.assertIn("Permission denied", report["wrong"][0]["why"])

    def test_what_no_result_can_be_is_known_before_the_work(self):
        """The one step takes half a minute: who finds it afterwards is still at work."""
        self.photos.mkdir()
        (self.photos / "wide.png").write_bytes(pictures.png(17000, 2))
        slow = ("--model", "fake:step=30s", "--steps", 1, "-p", "red")
        started = time.monotonic()
        done = self.run_step1x("edit", self.photos / "wide.png", *slow, "-o", self.dir / "o.webp", check=2)
        self.assertIn("a WebP picture has at most 16383 pixels a side, and this one is 17000x2", done.stderr)
        done = self.run_step1x("batch", "-i", self.photos, "-o", self.out, *slow, "--format", "webp", check=1)
        self.assertIn("at most 16383 pixels", done.stderr)
        long = "a" * 251 + ".png"
        (self.photos / "wide.png").rename(self.photos / long)
        done = self.run_step1x("edit", self.photos / long, *slow, check=2)
        self.assertIn("File name too long", done.stderr)
        done = self.run_step1x("batch", "-i", self.photos, "-o", self.out, *slow, "--name", "{stem}-edited.{ext}", check=2)
        self.assertRegex(done.stderr, "a name of 262 bytes, and 255 are allowed")
        (self.dir / "link.png").symlink_to("nowhere/x.png")
        done = self.run_step1x("edit", self.photos / long, *slow, "-o", self.dir / "link.png", check=2)
        self.assertIn("link.png", done.stderr)
        self.assertLess(time.monotonic() - started, 25)

    def test_a_number_with_a_leading_zero_is_in_tens(self):
        self.fill(1)
        todo = json.loads(self.run_batch("-p", "red", "-i", self.photos, "--seed", "010", "--size", "0512", "--dry-run", "--json", check=0).stdout)
        parameters = todo["items"][0]["parameters"]
        self.assertEqual((parameters["seed"], parameters["size"]), (10, 512))
        for seed in ("0x10", "0b1", "0o7", "ten", "-", "1.0"):
            self.assertIn("--seed", self.run_batch("-p", "red", "-i", self.photos, "--seed", seed, check=2).stderr)
        self.assertIn("nan", self.run_batch("-p", "red", "-i", self.photos, "--guidance", "nan", check=2).stderr)

    def test_pictures_of_a_camera_that_calls_heif_hif(self):
        self.photos.mkdir()
        (self.photos / "DSC00001.HIF").write_bytes((harness.SOURCE / "tests/image/fixtures/rgb.heic").read_bytes())
        todo = json.loads(self.run_batch("-p", "red", "-i", self.photos, "--dry-run", "--json", check=0).stdout)
        # Results are not usual in it.
        self.assertEqual([(item["key"], item["output"]) for item in todo["items"]], [("DSC00001.HIF", "DSC00001.png")])

    def test_what_would_lose_a_picture_is_refused_before_anything_is_done(self):
        self.fill(2)
        before = {path.name: path.read_bytes() for path in self.photos.iterdir()}

        def refused(*more, says):
            done = self.run_batch(*more, check=2)
            self.assertRegex(done.stderr, r"\Astep1x: [^\n]*\n\Z")
            self.assertIn(says, done.stderr)
            self.assertEqual(self.worker_pids(), [])
        (self.photos / "p000.jpg").write_bytes(pictures.png())
        refused("-i", self.photos, "-p", "red", "--format", "png", says="p000.jpg and p000.png would both become")
        (self.photos / "p000.jpg").unlink()
        self.out = self.photos
        refused("-i", self.photos, "-p", "red", says="would replace the input")
        self.assertEqual({path.name: path.read_bytes() for path in self.photos.iterdir() if path.suffix == ".png"}, before)
        self.run_batch("-i", self.photos, "-p", "red", "--name", "{stem}-edited.{ext}", "--exclude", "*-edited.png", check=0)
        self.assertEqual(len(list(self.photos.glob("*.png"))), 4)
        self.run_step1x("worker", "stop", check=0)
        self.out = self.dir / "out"
        refused("-i", self.photos, says="has no prompt")
        refused("-i", self.dir / "nowhere", "-p", "red", says="there is no picture or folder")
        refused("-p", "red", says="which pictures?")
        refused("-i", self.photos, "-p", "red", "--shard", "3/2", says="--shard 3/2")
        refused("-i", self.photos, "-p", "red", "--name", "{what}", says="there is no {what}")
        empty = self.dir / "empty"
        empty.mkdir()
        refused("-i", empty, "-p", "red", says="no pictures")
        done = self.run_step1x("batch", "-i", self.photos, "-p", "red", "--model", "fake:", check=2)
        self.assertIn("-o", done.stderr)

    def test_a_name_that_is_no_text_is_a_name(self):
        self.photos.mkdir()
        name = b"\xff\xfe.png"
        with open(bytes(self.photos) + b"/" + name, "wb") as file:
            file.write(pictures.png())
        for done in (1, 0):
            record = json.loads(self.run_batch("-i", self.photos, "-p", "red", "--json", check=0).stdout)
            self.assertEqual(record["done"], done)


class Parts(batch_case.Case):
    def test_parts_make_the_whole_and_nothing_twice(self):
        self.fill(24)
        expected = self.undisturbed()
        sizes = []
        for index in (1, 2, 3):
            record = json.loads(self.batch("--shard", f"{index}/3", "--json", check=0).stdout)
            sizes.append(record["done"])
        self.assertEqual((sum(sizes), min(sizes) > 0), (24, True))
        self.assertEqual(self.hashes(), expected)
        status = json.loads(self.run_step1x("batch", "--status", self.out, "--json", check=0).stdout)
        self.assertEqual((status["total"], status["done"], status["left"]), (24, 24, 0))
        # Other parts, by a Slurm array of which this is a task, and the whole: there already.
        for env in ({"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_MAX": "6"}, {}):
            record = json.loads(self.batch("--json", check=0, env=self.env(**env)).stdout)
            self.assertEqual((record["done"], record["left"]), (0, 0))
        self.assertIn("step1x-batch.2-of-2.jsonl", [path.name for path in self.out.iterdir()])
        self.assertIn("24 items", self.run_step1x("batch", "--merge", self.out, check=0).stdout)
        self.assertEqual([path.name for path in self.out.glob("step1x-batch*")], ["step1x-batch.jsonl"])
        self.assertEqual(json.loads(self.batch("--json", check=0).stdout)["skipped"], 24)
        gaps = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "7"}
        self.assertIn("--shard", self.batch(check=2, env=self.env(**gaps)).stderr)


if __name__ == "__main__":
    harness.main()
