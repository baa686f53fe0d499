"""The model itself between files, host arena and device: the same picture from everywhere, and running out of memory on the way."""

import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess

import harness

BUNDLE = harness.BUILD / "golden/bundle"
PICTURE = harness.BUILD / "golden/images/photo.png"


class Case(harness.Case):
    GPU = "sim:1g"
    FIRST = "cpu"  # a device that gives the same picture
    WORKS = range(8, 15)
    RAN_OUT = r"[0-9.]+ [KM]iB needed, [0-9.]+ [KM]?i?B of [0-9.]+ [KM]iB free \(plan stream: "

    def edit(self, device, check=0, model=BUNDLE, env=None, flags=(), **kwargs):
        out = self.dir / "out.png"
        done = self.run_step1x("edit", PICTURE, "-p", "make the sky purple", "--model", model, "--device", device, "--seed", 7, "--steps", 2, "--size", 64,
                               "-o", out, "--json", *flags, check=check, env=env, **kwargs)
        picture = out.read_bytes() if out.exists() else None
        out.unlink(missing_ok=True)
        return done, picture

    def needed(self):
        """Bytes that the weights take on the device, as the device itself says."""
        self.edit(self.GPU, env=self.env(STEP1X_OFFLOAD_DELAY="1h"))
        status = self.status()
        self.assertEqual(status["model_location"], "GPU")
        return status["devices"][0]["allocated_bytes"]


    def sized(self, size):
        """A device with so much memory for the model."""
        return f"sim:{size}"

    @contextlib.contextmanager
    def crowded(self, size):
        """A device of 1 GiB of which others have so much meanwhile."""
        busy = self.dir / "busy"
        busy.touch()
        yield f"sim:1g,busy={size}:{busy}"
        busy.unlink()


class Places(Case):
    def test_the_picture_is_the_same_from_file_arena_and_device(self):
        moves = int(self.FIRST != "cpu")
        _, first = self.edit(self.FIRST)
        harness.eventually(lambda: self.status()["model_location"] == "CPU", what="in memory")
        pictures = {"arena to device": self.edit(self.GPU)[1]}
        pictures["again from the arena"] = self.edit(self.GPU)[1]
        harness.eventually(lambda: self.status()["statistics"]["gpu_to_cpu"] == 2 + moves, what="offloaded")
        os.kill(self.engine_pids()[0], signal.SIGKILL)
        pictures["another engine"] = self.edit(self.GPU)[1]
        pictures["another engine, on the arena"] = self.edit(self.FIRST)[1]
        self.run_step1x("gpu", "release", check=0)
        pictures["file to device"] = self.edit(self.GPU)[1]
        for place, picture in pictures.items():
            self.assertEqual(picture, first, place)
        statistics = self.status()["statistics"]
        self.assertEqual((statistics["total_loads"], statistics["cpu_to_gpu"], statistics["full_releases"]), (2, 3 + moves, 1))

    def test_a_file_that_is_replaced_is_read_anew(self):
        model = self.dir / "model"
        shutil.copytree(BUNDLE, model)
        _, before = self.edit("cpu", model=model)
        key = self.status()["arena"]["key"]
        # The same file once more, by another name and back: another file for whoever looks at it.
        shutil.copy(BUNDLE / "vae.safetensors", model / "new")
        os.rename(model / "new", model / "vae.safetensors")
        _, after = self.edit("cpu", model=model)
        self.assertEqual(before, after)
        status = self.status()
        self.assertNotEqual(status["arena"]["key"], key)
        self.assertEqual(status["statistics"]["total_loads"], 2)
        # Something else in the folder is no reason.
        (model / "notes.txt").write_text("x")
        self.edit("cpu", model=model)
        self.assertEqual(self.status()["statistics"]["total_loads"], 2)

    def test_weights_are_there_once_however_many_engines_come(self):
        self.edit("cpu")
        [engine] = self.engine_pids()
        arena = self.status()["arena"]
        mapped = [line for line in pathlib.Path(f"/proc/{engine}/maps").read_text().splitlines() if "memfd:step1x-arena" in line]
        self.assertEqual([line.split()[1] for line in mapped], ["r--s"])
        self.assertEqual(arena["filled"], True)
        # The engine computes on the arena itself: what it has beside is less than the weights.
        private = int(re.search(r"RssAnon:\s*(\d+) kB", pathlib.Path(f"/proc/{engine}/status").read_text()).group(1)) * 1024
        print(f"arena {arena['bytes'] >> 20} MiB, of the engine's own {private >> 20} MiB", flush=True)


class Plans(Case):
    KEEP = {"STEP1X_OFFLOAD_DELAY": "1h"}

    def plan(self, device, *flags):
        """Edits, and returns the picture and the plan that it was made by."""
        _, picture = self.edit(device, env=self.env(**self.KEEP), flags=flags)
        return picture, self.status()["devices"][0]["plan"]

    def test_every_plan_gives_the_same_picture(self):
        _, expected = self.edit(self.FIRST)
        harness.eventually(lambda: self.status()["devices"][0]["plan"] is None, what="without a plan")
        allocated = []
        for plan in ("resident", "staged", "stream", "resident"):
            picture, used = self.plan(self.GPU, "--plan", plan)
            self.assertEqual((picture, used["kind"]), (expected, plan))
            self.assertIn(f"{plan} was asked for", used["reason"])
            self.assertIn(f"plan     {plan} on ", self.run_step1x("gpu", "status", check=0).stdout)
            allocated.append(self.status()["devices"][0]["allocated_bytes"])
        # Between jobs the other plans keep the VAE alone.
        self.assertGreater(allocated[0], allocated[1])
        self.assertEqual(allocated, [allocated[0], allocated[1], allocated[1], allocated[0]])
        self.run_step1x("gpu", "offload", check=0)
        status = self.status()
        self.assertEqual((status["gpu_memory_allocated_gb"], status["devices"][0]["plan"]), (0, None))

    def test_the_plan_follows_the_memory_that_may_be_used(self):
        needed = self.needed()
        _, expected = self.edit(self.FIRST)
        kinds = {}
        for share in (1.1, 0.8, 0.7):
            size = int(needed * share)
            for device, flags in ((f"sim:{size}", ()), (self.GPU, ("--max-vram", size)), (self.GPU, ("--max-vram", size - (1 << 30)))):
                picture, used = self.plan(device, *flags)
                self.assertEqual(picture, expected)
                self.assertLessEqual(used["needed_bytes"], used["limit_bytes"])
                self.assertEqual(used["limit_bytes"], size)
                kinds.setdefault(used["kind"], []).append(share)
        self.assertEqual(list(kinds), ["resident", "staged", "stream"], kinds)

    def test_where_memory_runs_out_the_next_plan_is_tried_once(self):
        needed = self.needed()
        _, expected = self.edit(self.FIRST)
        # Another program has what the planner takes for free.
        device = f"sim:{int(needed * 1.1)},taken={int(needed * 0.35)}"
        picture, used = self.plan(device)
        self.assertEqual((picture, used["kind"]), (expected, "staged"))
        self.assertIn("resident ran out of memory", used["reason"])
        # Not when it was asked for, and not twice.
        done, picture = self.edit(device, check=5, flags=("--plan", "resident"))
        self.assertIsNone(picture)
        self.assertRegex(json.loads(done.stdout)["error"]["message"], r"needed, .* free \(plan resident: .* resident was asked for\)$")
        done, _ = self.edit(f"sim:{int(needed * 1.1)},taken={int(needed * 0.9)}", check=5)
        self.assertIn("(plan staged:", json.loads(done.stdout)["error"]["message"])
        self.assertEqual(self.status()["gpu_memory_allocated_gb"], 0)
        self.assertEqual(self.edit(self.GPU)[1], expected)

    def test_what_is_no_plan_and_no_size_is_refused(self):
        self.assertIn("--plan", self.edit("cpu", check=2, flags=("--plan", "fast"))[0].stderr)
        done, _ = self.edit("cpu", check=2, flags=("--max-vram", "much"))
        self.assertIn("'much' is not a size", json.loads(done.stdout)["error"]["message"])
        done, _ = self.edit("cpu", check=2, env=self.env(STEP1X_PLAN="fast"))
        self.assertIn("auto, resident, staged, stream", json.loads(done.stdout)["error"]["message"])


class Waiting(Case):
    def test_a_device_that_others_use_is_waited_for(self):
        _, expected = self.edit(self.GPU)

        def message(done):
            return json.loads(done.stdout)["error"]["message"]
        # At once, or when the time is over; and who waits can be cancelled.
        with self.crowded("1000m") as device:
            done, _ = self.edit(device, check=75, flags=("--min-free-vram", "500m"))
            self.assertRegex(message(done), rf"24\.0 MiB of the memory of {device} are free and 500\.0 MiB are asked for")
            done, _ = self.edit(device, check=75, flags=("--wait-gpu", "300ms", "--min-free-vram", "500m"))
            self.assertIn("waited 300ms", message(done))
            done, _ = self.edit(device, check=75, flags=("--wait-gpu", "1h", "--min-free-vram", "500m", "--timeout", "1s"))
            self.assertEqual(json.loads(done.stdout)["error"]["code"], "timeout")
        with self.crowded("1023m") as device:
            done, _ = self.edit(device, check=75, flags=("--wait-gpu", "100ms"))
            self.assertIn("are needed", message(done))
        # It becomes free.
        for size, flags in (("1000m", ("--min-free-vram", "500m")), ("1023m", ())):
            with self.crowded(size) as device:
                out = self.dir / "out.png"
                process = self.start_step1x("edit", PICTURE, "-p", "make the sky purple", "--model", BUNDLE, "--device", device, "--seed", 7,
                                            "--steps", 2, "--size", 64, "-o", out, "--wait-gpu", "1h", *flags)
                harness.eventually(lambda: self.status()["queue"]["running"] == 1, what="it waits")
            _, stderr = process.communicate(timeout=harness.HANG)
            self.assertEqual((process.returncode, out.read_bytes()), (0, expected), stderr)

    def test_a_gpu_that_another_worker_of_this_user_has_is_waited_for(self):
        _, expected = self.edit(self.GPU)
        self.run_step1x("gpu", "release", check=0)
        uuid = f"test-{os.getpid()}"
        home = pathlib.Path(pwd.getpwuid(os.getuid()).pw_dir)
        lock = home / f".local/state/step1x/gpus/{uuid}.lock"
        self.addCleanup(lock.unlink, missing_ok=True)
        device = f"sim:1g,uuid={uuid}"
        # The first one keeps it after its edit.
        self.edit(device, env=self.env(STEP1X_OFFLOAD_DELAY="1h"))
        self.assertEqual(self.status()["devices"][0]["uuid"], uuid)
        self.assertTrue(lock.exists())
        second = ("edit", PICTURE, "-p", "make the sky purple", "--model", BUNDLE, "--device", device, "--seed", 7, "--steps", 2, "--size", 64, "--isolated")
        impatient = self.run_step1x(*second, "-o", self.dir / "none.png", "--timeout", "3s", check=75)
        self.assertIn("no picture after 3s", impatient.stderr)
        out = self.dir / "second.png"
        waiting = self.start_step1x(*second, "-o", out)
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.communicate(timeout=2)
        # The model leaves, and its engine stays.
        self.run_step1x("gpu", "offload", check=0)
        self.assertIsNotNone(self.status()["devices"][0]["pid"])
        _, stderr = waiting.communicate(timeout=harness.HANG)
        self.assertEqual((waiting.returncode, out.read_bytes()), (0, expected), stderr)


class OutOfMemory(Case):
    def test_every_size_of_a_device_works_or_fails_cleanly_and_the_next_job_works(self):
        needed = self.needed()
        _, expected = self.edit(self.FIRST)
        works = 0
        for step in range(20):
            size = needed * (step + 1) // 16
            done, picture = self.edit(self.sized(size), check=None)
            if done.returncode == 0:
                self.assertEqual(picture, expected)
                works += 1
            else:
                self.assertEqual((done.returncode, picture, works), (5, None, 0))
                error = json.loads(done.stdout)["error"]
                self.assertEqual(error["code"], "out_of_memory")
                self.assertRegex(error["message"], self.RAN_OUT)
            harness.eventually(lambda: self.status()["gpu_memory_allocated_gb"] == 0, what="memory is back")
        print(f"{works} of 20 sizes are enough", flush=True)
        # From two thirds of the weights on, by the plans that bring parts to the device in turns.
        self.assertIn(works, self.WORKS)
        [engine] = self.engine_pids()
        _, picture = self.edit(self.FIRST)
        self.assertEqual(picture, expected)
        self.assertEqual(self.engine_pids(), [engine], "an engine was lost to a lack of memory")
        self.assertEqual(self.status()["queue"]["engine_deaths"], 0)

    def test_a_device_that_is_none_is_refused(self):
        for device in ("sim:", "sim:x", "sim:-1", "sim:1g,", "sim:1g,foo=1", "sim:1g,busy=1m", "gpu", "cuda:x"):
            done, _ = self.edit(device, check=2)
            self.assertIn("device", json.loads(done.stdout)["error"]["message"])


if __name__ == "__main__":
    harness.main()
