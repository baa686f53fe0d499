"""What the tests of `step1x batch` share."""

import hashlib
import json
import zlib

import harness
import pictures

JOURNAL = "step1x-batch.jsonl"


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.photos = self.dir / "photos"
        self.out = self.dir / "out"

    def arguments(self, *more, fake="", steps=2, prompt="make it red"):
        return ["batch", "-i", self.photos, "-o", self.out, "-p", prompt, "--steps", steps, *self.model(fake), *more]

    def model(self, fake):
        return ["--model", f"fake:{fake}"]

    def batch(self, *more, check=None, env=None, fake="", steps=2, prompt="make it red", **kwargs):
        return self.run_step1x(*self.arguments(*more, fake=fake, steps=steps, prompt=prompt), check=check, env=env, **kwargs)

    def start_batch(self, *more, env=None, fake="", steps=2, **kwargs):
        return self.start_step1x(*self.arguments(*more, fake=fake, steps=steps), env=env, **kwargs)

    def journal(self, name=JOURNAL, folder=None):
        """Its lines as objects, each checked to be whole."""
        lines = []
        for line in ((folder or self.out) / name).read_bytes().splitlines():
            body, crc = line.rsplit(b',"crc":"', 1)
            assert crc == b'%08x"}' % zlib.crc32(body), line
            lines.append(json.loads(line))
        return lines

    def items(self, name=JOURNAL):
        return [line for line in self.journal(name) if line["kind"] == "item"]

    def hashes(self, folder=None):
        """Of all files of the output folder but the journals, hidden ones too."""
        root = folder or self.out
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in root.rglob("*") if path.is_file() and not path.name.startswith("step1x-batch.")}

    def fill(self, count, first=0):
        pictures.fill_folder(self.photos, count, first)

    def undisturbed(self, **kwargs):
        """The hashes that a batch makes when nothing happens; nothing of it is left."""
        out, self.out = self.out, self.dir / "undisturbed"
        self.batch(check=0, **kwargs)
        hashes = self.hashes()
        self.out = out
        return hashes
