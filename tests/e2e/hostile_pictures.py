"""Odd and hostile pictures from the shell: the right picture, or one clear line and exit code 6; never a crash, never a half result.

The fixtures and the pixels that Pillow finds in them are those of tests/image. The fake engine's result is a known function of the
picture's pixels, so the whole way can be checked: decoding, orientation, colour, travel, encoding.
"""

import os
import pathlib
import re
import resource
import struct
import subprocess
import zlib

import harness

FIXTURES = harness.SOURCE / "tests/image/fixtures"
EXPECTED = harness.SOURCE / "tests/image/expected.inc"
SANITIZED = harness.BUILD.name in ("asan", "tsan")
PROMPT, SEED, GUIDANCE = "make it red", 1, 6


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, colour=2, data=b"\0", *extra):
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)) + b"".join(extra)
            + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def read_png(data):
    """(width, height, rows of bytes) of an 8-bit RGB PNG (https://www.w3.org/TR/png/)."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert (depth, colour, interlaced) == (8, 2, 0), (depth, colour, interlaced)
        if kind == b"IDAT":
            packed += body
        at += length + 12
    raw, rows, above = zlib.decompress(packed), [], bytes(width * 3)
    for y in range(height):
        kind, *line = raw[y * (width * 3 + 1) : (y + 1) * (width * 3 + 1)]
        for i in range(len(line)):
            left, up, corner = (line[i - 3] if i > 2 else 0), above[i], (above[i - 3] if i > 2 else 0)
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda value: abs(guess - value))
            line[i] = (line[i] + (0, left, up, (left + up) // 2, paeth)[kind]) & 255
        rows.append(above := bytes(line))
    return width, height, rows


def engine_pixel(pixel, x, y):
    """What the fake engine makes of a pixel: cmd/step1x-engine/fake_runner.cpp."""
    value = 0xCBF29CE484222325
    for byte in f"{PROMPT}\n\n{SEED} {GUIDANCE}".encode():
        value = ((value ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    tint = (value >> 56, value >> 48 & 255, value >> 40 & 255)
    stripe = 16 + (value >> 32 & 31)
    brightness = (pixel[0] * 77 + pixel[1] * 150 + pixel[2] * 29) >> 8
    toned = [(pixel[c] + brightness * (64 + tint[c]) // 160) // 2 for c in range(3)]
    dark = (x + y) // stripe % 2 == 1
    return [min(255, value * 7 // 8 if dark else value) for value in toned]


def fixtures():
    """(name, width, height, tolerance, [(x, y, r, g, b)])"""
    for line in EXPECTED.read_text().splitlines():
        if line.startswith("{"):
            name, rest = re.match(r'\{"([^"]+)", (.*)', line).groups()
            width, height, tolerance, *numbers = map(int, re.findall(r"\d+", rest))
            yield name, width, height, tolerance, [tuple(numbers[i : i + 5]) for i in range(0, len(numbers), 5)]


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.out = self.dir / "result.png"

    def edit(self, picture, check, **kwargs):
        return self.run_step1x("edit", picture, "-p", PROMPT, "--seed", SEED, "--steps", 1, "--model", "fake:", "-o", self.out, check=check, **kwargs)


class Odd(Case):
    def test_every_fixture_gives_the_right_picture(self):
        checked = 0
        for name, width, height, tolerance, points in fixtures():
            with self.subTest(picture=name):
                done = self.edit(FIXTURES / name, 0)
                self.assertRegex(done.stderr, r"\A(step1x: [^\n]* holds \d+ pictures [^\n]*\n)?\Z")
                got_width, got_height, rows = read_png(self.out.read_bytes())
                self.assertEqual((got_width, got_height), (width, height))
                for x, y, *pixel in points:
                    got = rows[y][3 * x : 3 * x + 3]
                    for channel, wanted in enumerate(engine_pixel(pixel, x, y)):
                        # The tint can make a difference larger, by (64 + 255) / 160 at most.
                        self.assertAlmostEqual(got[channel], wanted, delta=2 * tolerance + (1 if tolerance else 0), msg=(x, y, pixel))
                self.out.unlink()
                checked += 1
        self.assertGreaterEqual(checked, 50)

    def test_names_that_a_shell_or_a_terminal_stumbles_over(self):
        for name in ("-x.png", "a b.png", "line\nbreak.png", "\x1b[31m.png", "x" * 250 + ".png", b"\xff\xfe.png", ".png", "picture", "x.jpg.png", "$(id).png"):
            with self.subTest(name=name):
                path = os.path.join(os.fsencode(self.dir), os.fsencode(name))
                with open(path, "wb") as file:
                    file.write((FIXTURES / "rgb.png").read_bytes())
                done = subprocess.run([harness.STEP1X.encode(), b"edit", path, *b"-p x --steps 1 --model fake: -o result.png".split()],
                                      cwd=self.dir, env=self.env(), capture_output=True, timeout=harness.HANG)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"result.png\n", b""))
                self.out.unlink()

    def test_from_a_pipe_it_is_the_same(self):
        for name in ("rgb.png", "exif-6.jpg", "rgb16.png"):
            with self.subTest(picture=name):
                self.edit(FIXTURES / name, 0)
                from_file = self.out.read_bytes()
                self.edit("-", 0, input=(FIXTURES / name).read_bytes(), text=False)
                self.assertEqual(self.out.read_bytes(), from_file)


class Hostile(Case):
    def refused(self, picture, part, **kwargs):
        with self.subTest(picture=str(picture)):
            done = self.edit(picture, None, **kwargs)
            self.assertEqual((done.returncode, done.stdout), (6, ""), done.stderr)
            self.assertRegex(done.stderr, r"\Astep1x: cannot read [^\n]*\n\Z")
            self.assertNotRegex(done.stderr[:-1], r"[\x00-\x1f\x7f]")
            self.assertIn(part, done.stderr)
            self.assertFalse(self.out.exists())

    def file(self, name, data):
        path = self.dir / name
        path.write_bytes(data)
        return path

    def test_each_is_refused_with_one_line_and_no_worker_is_started_for_it(self):
        fixture = {name: (FIXTURES / name).read_bytes() for name in os.listdir(FIXTURES)}
        for name in ("rgb.png", "rgb.jpg", "rgb.tif", "lossless.webp", "lossy.webp", "palette.gif", "rgb.avif", "rgb.heic", "progressive.jpg", "interlaced.png"):
            whole = fixture[name]
            for part in (1, 3, 8):
                self.refused(self.file(f"cut-{part}-{name}", whole[: len(whole) * part // 10]), "")
        for name, data, part in (
            ("empty.png", b"", "it is empty"),
            ("one-byte.png", b"\x89", ""),
            ("text.png", b"hello, world\n", "it is text"),
            ("zeros.png", bytes(100_000), "of an unknown kind"),
            ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "an SVG drawing"),
            ("entities.svg", b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'aaaa'>]><svg>&a;</svg>", "an SVG drawing"),
            ("paper.pdf", b"%PDF-1.4\n", "a PDF document"),
            ("program.png", pathlib.Path(harness.STEP1X).read_bytes(), "a program"),
            ("magick.png", b"push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 'https://example.com/x'\n", "it is text"),
            ("netpbm.ppm", b"P6 1 1 255 abc", "a Netpbm picture"),
            ("\x1b[31mred\nline.png", b"x", "it is text"),
        ):
            self.refused(self.file(name, data), part)
        for name in ("float.tif", "int32.tif"):
            self.refused(FIXTURES / name, "")
        os.mkfifo(self.dir / "fifo.png")
        self.refused(self.dir / "fifo.png", "not a regular file")
        self.refused("/dev/zero", "not a regular file")
        self.refused("/dev/null", "not a regular file")
        self.refused("/dev/stdin", "not a regular file")
        self.refused(self.dir, "is a directory")
        self.refused(self.dir / "none.png", "No such file or directory")
        self.refused(self.file("file", b"x") / "in-a-file.png", "Not a directory")
        os.symlink("loop.png", self.dir / "loop.png")
        self.refused(self.dir / "loop.png", "symbolic links")
        self.refused("x" * 300 + ".png", "File name too long")
        self.refused("-", "it is empty", input="")
        self.refused("-", "it is text", input="hello")
        with open("/dev/zero", "rb") as zeros:
            self.refused("-", "larger than 5000000 bytes", stdin=zeros, env=self.env(STEP1X_MAX_FILE_BYTES="5000000"))
        self.refused(harness.PHOTO, "at most 599 on a side", env=self.env(STEP1X_MAX_SIDE="599"))
        self.assertEqual(self.worker_pids(), [])

    def test_bombs_are_refused_from_their_header_in_little_memory(self):
        jpeg = bytearray((FIXTURES / "rgb.jpg").read_bytes())
        at = jpeg.index(b"\xff\xc0") + 5
        jpeg[at : at + 4] = b"\xfe\xfe\xfe\xfe"
        zeros = zlib.compress(bytes(100_000_000))
        bombs = {
            **{f"png-{side}.png": png(side, side) for side in (8_001, 30_001, 100_000, 0x7FFFFFFF, 0xFFFFFFFF)},
            "wide.png": png(0x7FFFFFFF, 1), "tall.png": png(1, 30_001), "nothing.png": png(0, 0),
            "deep.png": png(30_000, 30_000, 16, 6), "one-bit.png": png(30_000, 30_000, 1, 0),
            "text-chunk.png": png(30_001, 30_001, 8, 2, b"\0", chunk(b"zTXt", b"name\0\0" + zeros)),
            "profile.png": png(30_001, 30_001, 8, 2, b"\0", chunk(b"iCCP", b"name\0\0" + zeros)),
            "jpeg.jpg": bytes(jpeg),
        }
        for name, data in bombs.items():
            self.assertLess(len(data), 1 << 20)
            limit = None if SANITIZED else lambda: resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20))
            self.refused(self.file(name, data), "", preexec_fn=limit)

    def test_a_picture_whose_pixels_are_missing_is_no_grey_picture(self):
        self.refused(self.file("no-pixels.png", png(1000, 1000)), "")
        self.refused(self.file("few-pixels.png", png(1000, 1000, 8, 2, b"\0" * 3001 * 10)), "")

    def test_a_file_that_one_may_not_read(self):
        path = self.file("secret.png", (FIXTURES / "rgb.png").read_bytes())
        path.chmod(0)
        self.dir.chmod(0o777)
        if os.geteuid() != 0:
            return self.refused(path, "Permission denied")
        nobody = 65534
        if subprocess.run([harness.STEP1X, "--version"], user=nobody, group=nobody, extra_groups=[], capture_output=True, check=False).returncode != 0:
            self.skipTest(f"user {nobody} may not run {harness.STEP1X}")
        self.refused(path, "Permission denied", user=nobody, group=nobody, extra_groups=[])


if __name__ == "__main__":
    harness.main()
