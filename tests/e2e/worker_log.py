"""The worker's log: for its user alone, of a bounded size, and without what the user does."""

import harness


class Log(harness.Case):
    def text(self):
        return (self.runtime / "worker.log").read_text()

    def test_neither_prompts_nor_paths_are_in_it(self):
        for name, fake in (("secret-good", ""), ("secret-bad", "fail@step=1"), ("secret-dead", "die@step=1")):
            done = self.run_step1x(*self.edit_arguments(self.dir / f"{name}.png", fake=fake, prompt="a secret wish"))
            self.assertEqual(done.returncode, 0 if not fake else 1)
        self.assertIn("engine", self.text())
        self.assertNotIn("secret", self.text())
        self.assertNotIn(harness.PHOTO, self.text())
        self.assertEqual((self.runtime / "worker.log").stat().st_mode & 0o7777, 0o600)

    def test_an_engines_last_words_are_in_it(self):
        self.run_step1x(*self.edit_arguments(self.dir / "a.png", fake="die@step=1"), check=1)
        self.assertRegex(self.text(), r"engine \d+ was killed by signal 9")
        self.assertRegex(self.run_step1x("worker", "log", check=0).stdout, r"engine \d+ was killed by signal 9")

    def test_it_is_rotated_once_it_is_large_and_one_old_one_is_kept(self):
        old = "x" * 79 + "\n"
        (self.runtime / "worker.log").write_text(old * (4 * 1024 * 1024 // 80))
        (self.runtime / "worker.log.1").write_text("the one before\n")
        pid = int(self.run_step1x("worker", "start", check=0).stdout)
        self.run_step1x(*self.edit_arguments(self.dir / "a.png"), check=0)
        self.assertTrue((self.runtime / "worker.log.1").read_text().startswith(old))
        self.assertLess(len(self.text()), 10_000)
        self.assertIn(f" {pid} info", self.text())
        for name in ("worker.log", "worker.log.1"):
            self.assertEqual((self.runtime / name).stat().st_mode & 0o7777, 0o600, name)


if __name__ == "__main__":
    harness.main()
