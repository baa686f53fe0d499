"""The demo model: what comes with step1x and works with nothing configured."""

import json
import shutil

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
                self.assertRegex(done.stderr, rf"\Astep1x: [^\n]*model_index.json: 'step1x.{key}' is [^\n]*\n\Z")

    def test_a_name_of_the_configuration_goes_before_the_builtin_one(self):
        config = self.dir / "config.toml"
        config.write_text('[models]\ndemo = "/nowhere/at/all"\n')
        done = self.run_step1x("edit", PHOTO, "-p", "x", "--model", "demo", "--config", config, "-o", self.dir / "out.png", check=4)
        self.assertIn("/nowhere/at/all", done.stderr)


if __name__ == "__main__":
    harness.main()
