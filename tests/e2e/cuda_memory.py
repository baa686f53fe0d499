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
    def test_libtorch_gets_no_more_than_it_allows(self):
        _, expected = self.edit("cuda:0")
        [engine] = self.engine_pids()
        # The tiny model needs less; libtorch takes memory 20 MiB at a time.
        done, picture = self.edit("cuda:0", flags=("--max-vram", "16M"), check=5)
        self.assertIsNone(picture)
        self.assertIn("16.00 MiB allowed", done.stderr)
        self.assertIn("16.0 MiB can be used of 3.7 GiB free (--max-vram)", done.stderr)
        self.assertEqual(self.edit("cuda:0", flags=("--max-vram", "32M"), env=self.env(**cuda.KEEP))[1], expected)
        self.assertLessEqual(self.status()["devices"][0]["reserved_bytes"], 32 << 20)
        # One that gives no limit has none, also not that of the one before.
        self.edit("cuda:0", flags=("--max-vram", "16M"), check=5)
        self.assertEqual(self.edit("cuda:0")[1], expected)
        self.assertEqual((self.deaths(), self.engine_pids()), ([], [engine]))


if __name__ == "__main__":
    harness.main()
