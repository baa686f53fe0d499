"""The model itself between files, host arena and device: the same picture from everywhere, and running out of memory on the way."""

import json
import os
import pathlib
import re
import shutil
import signal

import harness

BUNDLE = harness.BUILD / "golden/bundle"
PICTURE = harness.BUILD / "golden/images/photo.png"


class Case(harness.Case):
    def edit(self, device, check=0, model=BUNDLE, env=None, **kwargs):
        out = self.dir / "out.png"
        done = self.run_step1x("edit", PICTURE, "-p", "make the sky purple", "--model", model, "--device", device, "--seed", 7, "--steps", 2, "--size", 64,
                               "-o", out, "--json", check=check, env=env, **kwargs)
        picture = out.read_bytes() if out.exists() else None
        out.unlink(missing_ok=True)
        return done, picture

    def needed(self):
        """Bytes that the weights take on the device, as the device itself says."""
        self.edit("sim:1g", env=self.env(STEP1X_OFFLOAD_DELAY="1h"))
        status = self.status()
        self.assertEqual(status["model_location"], "GPU")
        return status["devices"][0]["allocated_bytes"]


class Places(Case):
    def test_the_picture_is_the_same_from_file_arena_and_device(self):
        _, on_cpu = self.edit("cpu")
        self.assertEqual(self.status()["model_location"], "CPU")
        pictures = {"arena to device": self.edit("sim:1g")[1]}
        pictures["again from the arena"] = self.edit("sim:1g")[1]
        harness.eventually(lambda: self.status()["statistics"]["gpu_to_cpu"] == 2, what="offloaded")
        os.kill(self.engine_pids()[0], signal.SIGKILL)
        pictures["another engine"] = self.edit("sim:1g")[1]
        pictures["another engine, on the arena"] = self.edit("cpu")[1]
        self.run_step1x("gpu", "release", check=0)
        pictures["file to device"] = self.edit("sim:1g")[1]
        for place, picture in pictures.items():
            self.assertEqual(picture, on_cpu, place)
        statistics = self.status()["statistics"]
        self.assertEqual((statistics["total_loads"], statistics["cpu_to_gpu"], statistics["full_releases"]), (2, 3, 1))

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


class OutOfMemory(Case):
    def test_every_size_of_a_device_works_or_fails_cleanly_and_the_next_job_works(self):
        needed = self.needed()
        _, expected = self.edit("cpu")
        works = 0
        for step in range(20):
            size = needed * (step + 1) // 16
            done, picture = self.edit(f"sim:{size}", check=None)
            if done.returncode == 0:
                self.assertEqual(picture, expected)
                works += 1
            else:
                self.assertEqual((done.returncode, picture, works), (5, None, 0))
                error = json.loads(done.stdout)["error"]
                self.assertEqual(error["code"], "out_of_memory")
                self.assertRegex(error["message"], r"[0-9.]+ [KM]iB needed, [0-9.]+ [KM]?i?B of [0-9.]+ [KM]iB free")
            harness.eventually(lambda: self.status()["gpu_memory_allocated_gb"] == 0, what="memory is back")
        self.assertEqual(works, 5)
        [engine] = self.engine_pids()
        _, picture = self.edit("cpu")
        self.assertEqual(picture, expected)
        self.assertEqual(self.engine_pids(), [engine], "an engine was lost to a lack of memory")
        self.assertEqual(self.status()["queue"]["engine_deaths"], 0)

    def test_a_device_that_is_none_is_refused(self):
        for device in ("sim:", "sim:x", "sim:-1", "gpu", "cuda:x"):
            done, _ = self.edit(device, check=2)
            self.assertIn("device", json.loads(done.stdout)["error"]["message"])


if __name__ == "__main__":
    harness.main()
