"""What a picture says of itself: how it was made, and what the camera said of the one it was made from."""

import pathlib
import struct
import subprocess
import xml.etree.ElementTree as ElementTree

import batch_case
import harness

FORMATS = ("png", "jpg", "webp", "avif", "tif")
HARD = "make it <red> & \"blue\", 'twice'\nand größer 🌈"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
OURS = "{urn:step1x:edit:1}"


def camera_exif():
    """Make, Orientation (a quarter turn) and Artist."""
    make, artist = b"Canon\0", b"Jane Doe\0"
    texts = 8 + 2 + 3 * 12 + 4
    entries = [(0x010F, 2, len(make), texts), (0x0112, 3, 1, 6), (0x013B, 2, len(artist), texts + len(make))]
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 3) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<I", 0) + make + artist


def with_exif(jpeg):
    exif = camera_exif()
    return jpeg[:2] + struct.pack(">HH", 0xFFE1, len(exif) + 2) + exif + jpeg[2:]


def xmp(path):
    """The properties of a picture's packet, or None."""
    data = path.read_bytes()
    begin, end = data.find(b"<x:xmpmeta"), data.find(b"</x:xmpmeta>")
    if begin < 0:
        return None
    root = ElementTree.fromstring(data[begin : end + len(b"</x:xmpmeta>")].decode())
    return {element.tag: element.text for element in root[0][0]}


def header(path):
    """What another program reads."""
    lines = subprocess.run(["vipsheader", "-a", path], check=True, capture_output=True, text=True, timeout=harness.HANG).stdout.splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


class Metadata(batch_case.Case):
    def setUp(self):
        super().setUp()
        self.photo = self.dir / "photo.jpg"
        self.photo.write_bytes(with_exif(pathlib.Path(harness.PHOTO).read_bytes()))

    def edit(self, out, *more, prompt=HARD):
        self.run_step1x("edit", self.photo, "-p", prompt, "--seed", 1, "--steps", 4, "--model", "fake:", "-o", out, *more, check=0)
        return out

    def test_every_format_says_how_it_was_made(self):
        for kind in FORMATS:
            with self.subTest(kind):
                said = xmp(self.edit(self.dir / f"out.{kind}", "-n", "no <b>"))
                self.assertEqual(said[IPTC + "AIPromptInformation"], HARD)
                self.assertEqual(said[IPTC + "AISystemUsed"], "fake")
                self.assertTrue(said[IPTC + "DigitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia"))
                self.assertEqual([said[OURS + name] for name in ("seed", "steps", "negative_prompt")], ["1", "4", "no <b>"])
                self.assertTrue(said["{http://ns.adobe.com/xap/1.0/}CreatorTool"].startswith("step1x "))

    def test_the_input_s_exif_is_kept_upright(self):
        for kind in ("png", "jpg", "webp", "avif"):
            with self.subTest(kind):
                fields = header(self.edit(self.dir / f"out.{kind}"))
                self.assertTrue(fields["exif-ifd0-Make"].startswith("Canon"), fields)
                self.assertTrue(fields["exif-ifd0-Artist"].startswith("Jane Doe"), fields)
                self.assertIn(fields.get("orientation", "1"), ("0", "1"))
                self.assertEqual((fields["width"], fields["height"]), ("400", "600"))

    def test_flags_and_settings_leave_it_out(self):
        config = self.dir / "quiet.toml"
        config.write_text("metadata = false\nstrip = true\n")
        cases = [(("--no-metadata",), False, True), (("--strip",), True, False), (("--config", config), False, False)]
        for flags, made, camera in cases:
            with self.subTest(flags):
                out = self.edit(self.dir / "out.png", *flags)
                self.assertEqual(xmp(out) is not None, made)
                self.assertEqual("exif-ifd0-Artist" in header(out), camera)

    def test_a_batch_does_the_same(self):
        self.photos.mkdir()
        (self.photos / "a.jpg").write_bytes(self.photo.read_bytes())
        self.fill(1)
        self.batch(check=0)
        said = xmp(self.out / "a.jpg")
        self.assertEqual(said[IPTC + "AIPromptInformation"], "make it red")
        seeds = {item["key"]: item["parameters"]["seed"] for item in self.items()}
        self.assertEqual(said[OURS + "seed"], str(seeds["a.jpg"]))
        self.assertEqual(xmp(self.out / "p000.png")[OURS + "seed"], str(seeds["p000.png"]))
        self.assertTrue(header(self.out / "a.jpg")["exif-ifd0-Artist"].startswith("Jane Doe"))

        self.batch("--force", "--no-metadata", "--strip", check=0)
        self.assertIsNone(xmp(self.out / "a.jpg"))
        self.assertNotIn("exif-ifd0-Artist", header(self.out / "a.jpg"))

    def test_a_result_that_is_edited_again_tells_of_the_last_edit(self):
        first = self.edit(self.dir / "first.jpg", prompt="first")
        second = self.dir / "second.jpg"
        self.run_step1x(*self.edit_arguments(second, picture=first, prompt="second"), check=0)
        self.assertEqual(xmp(second)[IPTC + "AIPromptInformation"], "second")
        self.assertEqual(second.read_bytes().count(b"<x:xmpmeta"), 1)
        self.assertTrue(header(second)["exif-ifd0-Artist"].startswith("Jane Doe"))


if __name__ == "__main__":
    harness.main()
