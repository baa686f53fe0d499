"""Which way weights get to the GPU, what `step1x gpu status` says of it, and how much of its memory a job may take."""

import cuda
import harness


class Copies(cuda.Case):
    def way(self, **settings):
        self.stand_in(**settings)
        self.edit("cuda:0", flags=("--plan", "stream"), env=self.env(**cuda.KEEP))
        self.edit("cuda:0", flags=("--plan", "stream"), env=self.env(**cuda.KEEP))
        copies = self.status()["devices"][0]["copies"]
        self.assertGreater(copies["bytes_per_second"], 0)
        words = self.run_step1x("gpu", "status").stdout
        self.assertIn(f"copies   {copies['way']} to cuda:0: ", words)
        return copies["way"]

    def test_the_arena_is_pinned(self):
        self.assertEqual(self.way(), "pinned")

    def test_what_the_driver_does_not_pin_goes_through_buffers(self):
        self.assertEqual(self.way(fail_register=1, fail_on=1), "staged")

    def test_a_driver_that_pins_nothing_at_all(self):
        self.assertEqual(self.way(fail_register=1, fail_host_alloc=1, fail_on=1), "pageable")


class Limit(cuda.Case):
    def test_what_libtorch_takes_beyond_it_is_an_error(self):
        # The tiny model needs less; libtorch takes memory 20 MiB at a time.
        done, picture = self.edit("cuda:0", flags=("--max-vram", "16M"), check=5)
        self.assertIsNone(picture)
        self.assertIn("22.0 MiB of the GPU's memory are taken by plan 'staged' and 16.0 MiB are allowed (--max-vram)", done.stderr)
        self.assertEqual(self.deaths(), [])
        self.edit("cuda:0", flags=("--max-vram", "32M"))


if __name__ == "__main__":
    harness.main()
