"""The demo model: what comes with step1x and works with nothing configured."""

import json
import shutil
import subprocess

import batch_case
import harness

MODEL = harness.SOURCE / "lib/demo/model"
PHOTO = harness.SOURCE / "tests/data/chelsea.jpg"
OWN = json.loads((MODEL / "model_index.json").read_text())["step1x"]


class Demo(harness.Case):
    def record(self, *more, model="demo", prompt="make it black and white", **kwargs):
        done = self.run_step1x("edit", PHOTO, "-p", prompt, "--model", model, "--device", "cpu", "--seed", 3,
                               "-o", self.dir / "out.png", "--json", *more, check=0, **kwargs)
        return json.loads(done.stdout)

    def chosen(self, *more, **kwargs):
        record = self.record(*more, **kwargs)
        return [record[key] for key in ("size", "steps", "guidance")]

    def test_the_models_own_size_steps_and_guidance_hold_where_the_user_says_nothing(self):
        own = [OWN["size"], OWN["steps"], OWN["guidance"]]
        self.assertNotEqual(own, [1024, 28, 6.0])
        self.assertEqual(self.chosen(), own)
        self.assertEqual(self.chosen("--size", 64, "--steps", 1, "--guidance", 2.5), [64, 1, 2.5])
        config = self.dir / "config.toml"
        config.write_text("steps = 2\nsize = 96\n")
        self.assertEqual(self.chosen("--config", config), [96, 2, own[2]])
        # Also where what is set is the built-in default.
        config.write_text("guidance = 6.0\nsize = 64\nsteps = 1\n")
        self.assertEqual(self.chosen("--config", config), [64, 1, 6.0])

    def test_the_result_has_the_size_of_the_picture_and_the_seed_decides(self):
        first = self.record("--size", 96)
        self.assertEqual((first["width"], first["height"]), (451, 300))
        picture = (self.dir / "out.png").read_bytes()
        self.record("--size", 96)
        self.assertEqual((self.dir / "out.png").read_bytes(), picture)
        self.record("--size", 96, prompt="make it blue")
        self.assertNotEqual((self.dir / "out.png").read_bytes(), picture)

    def test_without_a_model_one_line_says_how_to_get_one_and_how_to_try(self):
        done = self.run_step1x("edit", PHOTO, "-p", "x", "-o", self.dir / "out.png", check=4)
        self.assertRegex(done.stderr, r"\Astep1x: no model is set: [^\n]*Step1X-Edit[^\n]*--model demo[^\n]*\n\Z")
        self.assertFalse((self.dir / "out.png").exists())

    def test_a_default_that_no_job_can_have_is_told_with_file_and_key(self):
        model = self.dir / "model"
        shutil.copytree(MODEL, model)
        index = json.loads((model / "model_index.json").read_text())
        for key, value in (("steps", 0), ("steps", "many"), ("size", 2.5), ("guidance", 1000), ("guidance_damping", "late")):
            with self.subTest(key=key, value=value):
                index["step1x"] = {**OWN, key: value}
                (model / "model_index.json").write_text(json.dumps(index))
                done = self.run_step1x("edit", PHOTO, "-p", "x", "--model", model, "-o", self.dir / "out.png", check=4)
                self.assertRegex(done.stderr, rf"\Astep1x: [^\n]*model_index.json: 'step1x.{key}': [^\n]*\n\Z")

    def test_the_picture_names_its_model_but_not_where_that_was(self):
        model = self.dir / "secret/my model"
        shutil.copytree(MODEL, model)
        for named, label in (("demo", b"demo"), (model, b"my model"), (f"{model}/", b"my model")):
            with self.subTest(named):
                self.record("--size", 64, "--steps", 1, model=named)
                picture = (self.dir / "out.png").read_bytes()
                self.assertIn(b"<Iptc4xmpExt:AISystemUsed>" + label + b"<", picture)
                self.assertNotIn(b"secret", picture)

    def test_a_name_of_the_configuration_goes_before_the_builtin_one(self):
        config = self.dir / "config.toml"
        config.write_text('[models]\ndemo = "/nowhere/at/all"\n')
        done = self.run_step1x("edit", PHOTO, "-p", "x", "--model", "demo", "--config", config, "-o", self.dir / "out.png", check=4)
        self.assertIn("/nowhere/at/all", done.stderr)


class Batch(batch_case.Case):
    @staticmethod
    def vips(*command):
        return subprocess.run(["vips", *map(str, command)], check=True, capture_output=True, text=True, timeout=harness.HANG).stdout

    def colourfulness(self, picture):
        """The mean chroma of CIE LCh."""
        self.vips("colourspace", picture, self.dir / "lch.v", "lch")
        self.vips("extract_band", self.dir / "lch.v", self.dir / "chroma.v", "1")
        return float(self.vips("avg", self.dir / "chroma.v"))

    def test_twelve_photographs_become_black_and_white_with_one_load(self):
        self.photos.mkdir()
        for n in range(12):
            name = self.photos / f"photo{n:02}.{('jpg', 'png', 'webp')[n % 3]}"
            self.vips("crop", (harness.PHOTO, PHOTO)[n % 2], name, 10 * n, 5 * n, 200 + 10 * n, 220)
        before = {path.name: self.colourfulness(path) for path in self.photos.iterdir()}
        self.run_step1x("batch", "-i", self.photos, "-o", self.out, "-p", "make it black and white", "--model", "demo", "--device", "cpu", check=0)
        self.assertEqual(sorted(item["key"] for item in self.items() if item["state"] == "done"), sorted(before))
        for name, colour in before.items():
            with self.subTest(name):
                self.assertLess(self.colourfulness(self.out / name), 0.3 * colour)
                sizes = [subprocess.run(["vipsheader", "-f", "width", folder / name], check=True, capture_output=True).stdout for folder in (self.photos, self.out)]
                self.assertEqual(*sizes)
        self.assertEqual(self.status()["statistics"]["total_loads"], 1)


class Batch(batch_case.Case):
    def test_a_prompt_that_the_model_cannot_take_fails_alone_and_once(self):
        self.fill(3)
        manifest = self.dir / "m.jsonl"
        manifest.write_text("".join(json.dumps({"input": f"p00{n}.png", "prompt": "<|image_pad|>" if n == 1 else "red"}) + "\n" for n in range(3)))
        arguments = ["batch", "--manifest", manifest, "-i", self.photos, "-o", self.out, "--steps", 1, "--size", 64, "--model", "demo", "--device", "cpu"]
        self.assertIn("p001.png: the prompt contains <|image_pad|>", self.run_step1x(*arguments, check=3).stderr)
        self.assertIn("2 there already, 1 failed earlier", self.run_step1x(*arguments, check=3).stderr)
        self.assertEqual(sorted(self.hashes()), ["p000.png", "p002.png"])

    def test_a_prompt_that_is_too_long_is_refused_or_cut_where_it_says(self):
        prompt = "please be so kind and " * 12 + "make it black and white"
        refused = self.run_step1x("edit", harness.PHOTO, "-p", prompt, "--model", "demo", "--device", "cpu", "-o", self.dir / "o.png", check=2)
        self.assertRegex(refused.stderr, r"\Astep1x: [^\n]*\d+ tokens[^\n]*\n\Z")
        self.assertFalse((self.dir / "o.png").exists())
        cut = self.run_step1x("edit", harness.PHOTO, "-p", prompt, "--truncate", "--model", "demo", "--device", "cpu", "--json", "-o", self.dir / "o.png", check=0)
        record = json.loads(cut.stdout)
        self.assertTrue(record["truncate"])
        self.assertEqual(record["device"], "cpu")
        self.assertLess(record["prompt_cut"]["kept"], record["prompt_cut"]["tokens"])
        self.assertIn("cut off after", cut.stderr)


if __name__ == "__main__":
    harness.main()
