"""An installation of the test's own, in which parts can be missing, replaced or of another build."""

import os
import pathlib
import shutil

import harness

PARTS = {"step1x": "bin/step1x", "step1xd": "bin/step1xd", "step1x-engine": "libexec/step1x/step1x-engine"}


class Tree:
    def __init__(self, path, parts=PARTS, build=harness.BUILD):
        """parts: those to copy, from `build`."""
        self.path = pathlib.Path(path)
        for part in parts:
            self.take(part, build)

    def file(self, part):
        return self.path / PARTS[part]

    @property
    def step1x(self):
        return str(self.file("step1x"))

    def take(self, part, build=harness.BUILD):
        """Puts the part of `build` in place of what is there, as an upgrade does: a new file under the old name."""
        target = self.file(part)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(target.name + ".new")
        shutil.copy2(pathlib.Path(build) / PARTS[part], new)
        os.replace(new, target)

    def script(self, part, text):
        target = self.file(part)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_text(text)
        target.chmod(0o755)
