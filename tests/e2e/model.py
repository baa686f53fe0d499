"""The model behind the same commands: a tiny checkpoint of the released layout (golden/bundle), on the CPU."""

import json
import shutil
import signal
import struct
import subprocess

import harness

BUNDLE = harness.BUILD / "golden/bundle"
PICTURE = harness.BUILD / "golden/images/photo.png"


def pixels_differ(a, b):
    return a.read_bytes() != b.read_bytes()


class Model(harness.Case):
    def arguments(self, output, *more, model=BUNDLE, command="edit", prompt="make the sky purple", seed=1042, steps=4):
        picture = [PICTURE] if command == "edit" else []
        size = ["--size", 64] if command == "edit" else ["--width", 64, "--height", 48]
        return [command, *picture, "-p", prompt, "--model", model, "--device", "cpu", "--seed", seed, "--steps", steps, *size, "-o", output, *more]

    def make(self, name, *more, **kwargs):
        out = self.dir / f"{name}.png"
        done = self.run_step1x(*self.arguments(out, "--json", *more, **kwargs), check=0)
        self.assertEqual(done.stderr, "")
        return out, json.loads(done.stdout)

    def refused(self, code, *more, **kwargs):
        out = self.dir / "refused.png"
        done = self.run_step1x(*self.arguments(out, *more, **kwargs), check=code)
        self.assertRegex(done.stderr, r"\Astep1x: [^\n]+\n\Z")
        self.assertFalse(out.exists())
        return done.stderr

    def copy(self):
        folder = self.dir / "model"
        shutil.copytree(BUNDLE, folder)
        return folder

    def test_an_edit_has_the_size_of_its_picture_and_is_the_same_every_time(self):
        first, record = self.make("first")
        self.assertEqual(struct.unpack(">II", first.read_bytes()[16:24]), struct.unpack(">II", PICTURE.read_bytes()[16:24]))
        self.assertEqual(record["model"], str(BUNDLE))
        for stage in ("load", "encode", "denoise", "decode", "total"):
            self.assertGreaterEqual(record["timings"][stage], 0)
        again, _ = self.make("again")
        self.assertFalse(pixels_differ(first, again))
        # Also by another engine, which loads the model anew.
        self.run_step1x("gpu", "release", check=0)
        anew, _ = self.make("anew")
        self.assertFalse(pixels_differ(first, anew))

    def test_prompt_seed_version_and_damping_change_the_picture(self):
        plain, _ = self.make("plain")
        for name, more, kwargs in (("prompt", [], {"prompt": "make it night"}),
                                   ("seed", [], {"seed": 7}),
                                   ("negative", ["-n", "red"], {}),
                                   ("guidance", ["--guidance", 2], {}),
                                   ("v1.0", [], {"model": BUNDLE / "step1x-edit-i1258.safetensors"}),
                                   ("damping", ["--guidance-damping", "all"], {})):
            with self.subTest(name):
                other, _ = self.make(name, *more, **kwargs)
                self.assertTrue(pixels_differ(plain, other))

    def test_status_says_that_the_model_is_in_memory(self):
        self.make("a")
        status = self.status()
        self.assertEqual((status["model_location"], status["gpu_memory_allocated_gb"]), ("CPU", 0.0))
        self.assertEqual(status["devices"][0]["model"], str(BUNDLE))

    def test_generate_makes_a_picture_from_words(self):
        out, record = self.make("words", command="generate")
        self.assertEqual((record["width"], record["height"]), (64, 48))
        self.assertIn("this model edits pictures", self.refused(2, command="generate", model=BUNDLE / "step1x-edit-i1258.safetensors"))

    def test_progress_tells_loading_and_steps(self):
        done = self.run_step1x(*self.arguments(self.dir / "a.png", "--progress-json"), check=0)
        events = [json.loads(line) for line in done.stderr.splitlines()]
        loading = [e for e in events if e["event"] == "loading"]
        self.assertEqual(loading[-1]["done"], loading[-1]["total"])
        self.assertEqual([e["step"] for e in events if e["event"] == "step"][-1], 4)

    def test_an_interrupt_ends_a_long_edit_soon_and_the_next_one_is_right(self):
        plain, _ = self.make("plain")
        running = self.start_step1x(*self.arguments(self.dir / "long.png", "--progress-json", steps=1000))
        for line in running.stderr:
            if json.loads(line)["event"] == "step":
                break
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=harness.HANG)
        self.assertEqual(running.returncode, 130)
        self.assertFalse((self.dir / "long.png").exists())
        after, _ = self.make("after")
        self.assertFalse(pixels_differ(plain, after))

    def test_what_is_wrong_with_a_model_is_one_line_with_file_and_tensor(self):
        model = self.copy()
        (model / "vae.safetensors").unlink()
        self.assertIn("vae.safetensors", self.refused(4, model=model))
        shutil.copy(BUNDLE / "vae.safetensors", model)
        encoder = model / "Qwen2.5-VL-7B-Instruct/model.safetensors"
        whole = encoder.read_bytes()
        encoder.write_bytes(whole[:-1])
        self.assertIn(str(encoder), self.refused(4, model=model))
        encoder.write_bytes(whole.replace(b'"model.norm.weight"', b'"model.norm.weighs"'))
        message = self.refused(4, model=model)
        self.assertIn("'model.norm.weight'", message)
        # All parts are looked at before one is loaded: damage in the last does not wait for the others.
        encoder.write_bytes(whole)
        self.make("mended", model=model)

    def test_a_prompt_that_is_too_long_is_refused_unless_its_end_may_be_cut_off(self):
        # The small model takes 64 tokens.
        said = self.refused(2, prompt="x" * 400)
        self.assertRegex(said, r"the prompt is too long: it has \d+ tokens .* takes 64;")
        self.assertIn("the negative prompt is too long", self.refused(2, "-n", "x" * 400))
        self.assertIn("<|image_pad|>", self.refused(2, prompt="say <|image_pad|> in blue"))
        first, _ = self.make("first", "--truncate", "--no-metadata", "-q", prompt="x" * 400 + " make it red")
        second, _ = self.make("second", "--truncate", "--no-metadata", "-q", prompt="x" * 400 + " make it darker")
        self.assertFalse(pixels_differ(first, second))
        _, record = self.make("plain")
        self.assertNotIn("truncate", record)

    def test_weights_that_are_no_numbers_are_told_and_make_no_black_picture(self):
        model = self.copy()
        vae = model / "vae.safetensors"
        content = bytearray(vae.read_bytes())
        length = int.from_bytes(content[:8], "little")
        begin, end = json.loads(content[8:8 + length])["decoder.conv_out.bias"]["data_offsets"]
        content[8 + length + begin:8 + length + end] = b"\xff" * (end - begin)
        vae.write_bytes(content)
        self.assertIn("the VAE's decoder gave NaN or infinity", self.refused(4, model=model))

    def test_a_size_that_leaves_nothing_of_a_side_is_refused_with_the_numbers(self):
        thin = self.dir / "thin.png"
        subprocess.run(["vips", "black", str(thin), "4000", "10", "--bands", "3"], check=True)
        out = self.dir / "x.png"
        done = self.run_step1x("edit", thin, "-p", "x", "--model", BUNDLE, "--device", "cpu", "--size", 64, "-o", out, check=6)
        self.assertRegex(done.stderr, r"\Astep1x: [^\n]*4000x10[^\n]*\n\Z")


if __name__ == "__main__":
    harness.main()
