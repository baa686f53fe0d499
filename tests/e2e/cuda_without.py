"""A machine with a GPU whose libtorch cannot use it: one line, and the CPU still works."""

import os

import cuda
import harness


class Without(cuda.Case):
    def test_a_libtorch_without_cuda(self):
        # Beside a CPU's libtorch there is none; here one that cannot be loaded stands before the build's.
        libraries = self.dir / "torch/lib"
        libraries.mkdir(parents=True)
        (libraries / "libtorch_cuda.so").write_bytes(b"")
        env = self.env(STEP1X_TORCH_DIR=str(self.dir))
        done, picture = self.edit("cuda:0", env=env, check=4)
        self.assertIsNone(picture)
        self.assertIn("there is a GPU, but libtorch cannot use it: ", done.stderr)
        self.assertIn("run scripts/libtorch --cuda, or say --device cpu", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.edit("cpu", env=env)
        self.assertEqual(self.deaths(), [])


if __name__ == "__main__":
    harness.main()
