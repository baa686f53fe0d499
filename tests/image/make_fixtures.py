#!/usr/bin/env python3
"""Makes tests/image/fixtures/ and tests/image/expected.inc: small pictures of every kind, and the pixels that Pillow
11.1 finds in them. Run by hand when a case is added (pip install pillow==11.1.0 pillow-heif==0.21.0); the results are in the tree.

What Pillow does not do by itself is spelled out here: orientation by ImageOps.exif_transpose, profiles by ImageCms,
and 16-bit grey by its high byte (Pillow clips it instead, to white almost everywhere).
"""
import io
import struct
import sys
import zlib
from pathlib import Path

from PIL import Image, ImageCms, ImageOps

HERE = Path(__file__).resolve().parent
OUT = HERE / "fixtures"
PROFILES = Path("/usr/share/color/icc")

COLOURS = [(200, 30, 40), (20, 180, 60), (30, 50, 220), (250, 250, 250), (0, 0, 0), (128, 128, 128),
           (240, 200, 10), (10, 200, 240), (90, 20, 130), (255, 128, 0), (60, 90, 30), (180, 160, 140)]
rows = []


def small():
    """4x3, every pixel another colour."""
    image = Image.new("RGB", (4, 3))
    image.putdata(COLOURS)
    return image


def big(block=16):
    """The same, each pixel a block, for lossy formats."""
    return small().resize((4 * block, 3 * block), Image.NEAREST)


def expect(name, image, tolerance=0):
    image = image.convert("RGB")
    w, h = image.size
    step_x, step_y = max(1, w // 4), max(1, h // 4) if h % 3 else max(1, h // 3)
    points = [(x, y) for y in range(step_y // 2, h, step_y) for x in range(step_x // 2, w, step_x)]
    text = ", ".join("{%d, %d, %d, %d, %d}" % (x, y, *image.getpixel((x, y))) for x, y in points)
    rows.append('{"%s", %d, %d, %d, {%s}},' % (name, w, h, tolerance, text))


def put(name, data):
    (OUT / name).write_bytes(data)
    assert len(data) < 10_000, (name, len(data))


def save(name, image, tolerance=0, expected=None, **options):
    out = io.BytesIO()
    image.save(out, name.rsplit(".", 1)[1].replace("jpg", "jpeg").replace("tif", "tiff").replace("tifff", "tiff"), **options)
    put(name, out.getvalue())
    if expected is None:
        expected = Image.open(io.BytesIO(out.getvalue()))
        expected.load()
    expect(name, expected, tolerance)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(w, h, depth, colour, raw_rows, *extra):
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0)) + b"".join(extra)
            + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in raw_rows), 9)) + chunk(b"IEND", b""))


def matrix_profile(primaries, gamma, white=(0.3127, 0.3290), description="test"):
    """A small RGB matrix profile (ICC.1:2001) with the given xy primaries and gamma, adapted to D50 by Bradford."""
    def xyz(xy):
        return [xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]]

    def mul(m, v):
        return [sum(a * b for a, b in zip(row, v)) for row in m]

    def inverse(m):
        (a, b, c), (d, e, f), (g, h, i) = m
        det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
        return [[(e * i - f * h) / det, (c * h - b * i) / det, (b * f - c * e) / det],
                [(f * g - d * i) / det, (a * i - c * g) / det, (c * d - a * f) / det],
                [(d * h - e * g) / det, (b * g - a * h) / det, (a * e - b * d) / det]]

    bradford = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    d50 = [0.9642, 1.0, 0.8249]
    columns = [xyz(p) for p in primaries]
    scale = mul(inverse([list(r) for r in zip(*columns)]), xyz(white))
    from_cone, to_cone = mul(bradford, xyz(white)), mul(bradford, d50)
    tags = {}
    for tag, column, s in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, scale):
        cone = mul(bradford, [s * c for c in column])
        adapted = mul(inverse(bradford), [c * t / f for c, t, f in zip(cone, to_cone, from_cone)])
        tags[tag] = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(c * 65536)) for c in adapted)
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(c * 65536)) for c in d50)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        tags[tag] = curve
    text = description.encode() + b"\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    tags[b"cprt"] = b"text\0\0\0\0none\0"
    return assemble(tags, b"RGB ")


def grey_profile(gamma):
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(c * 65536)) for c in (0.9642, 1.0, 0.8249))
    return assemble({b"wtpt": white, b"kTRC": curve, b"desc": b"desc\0\0\0\0\0\0\0\x05grey\0" + b"\0" * 78,
                     b"cprt": b"text\0\0\0\0none\0"}, b"GRAY")


def cmyk_profile():
    """A printer profile whose table has two points in each direction: L falls with C+M+Y and K, a and b with the inks."""
    def lab(c, m, y, k):
        light = 100 * (1 - 0.3 * c - 0.35 * m - 0.1 * y) * (1 - 0.9 * k)
        return max(light, 0) * 65280 / 100, 32768 + 128 * 60 * (m - c) * (1 - k), 32768 + 128 * 60 * (y - m) * (1 - k)

    corners = [(i >> 3 & 1, i >> 2 & 1, i >> 1 & 1, i & 1) for i in range(16)]
    table = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0])
    table += b"".join(struct.pack(">i", v) for v in (65536, 0, 0, 0, 65536, 0, 0, 0, 65536)) + struct.pack(">2H", 2, 2)
    table += struct.pack(">2H", 0, 65535) * 4
    table += b"".join(struct.pack(">3H", *(round(v) for v in lab(*corner))) for corner in corners)
    table += struct.pack(">2H", 0, 65535) * 3
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(c * 65536)) for c in (0.9642, 1.0, 0.8249))
    return assemble({b"A2B0": table, b"A2B1": table, b"wtpt": white, b"desc": b"desc\0\0\0\0\0\0\0\x05cmyk\0" + b"\0" * 78,
                     b"cprt": b"text\0\0\0\0none\0"}, b"CMYK", b"prtr", b"Lab ")


def assemble(tags, space, kind=b"mntr", connection=b"XYZ "):
    body, table = b"", b""
    offset = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 24
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def through_profile(image, profile, intent=ImageCms.Intent.RELATIVE_COLORIMETRIC):
    return ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"),
                                     intent, "RGB", flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)


def main():
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()

    # PNG
    rgb = save("rgb.png", small())
    put("png-named.jpg", rgb)
    expect("png-named.jpg", small())
    save("rgba.png", Image.merge("RGBA", (*small().split(), Image.frombytes("L", (4, 3), bytes(range(0, 252, 21))))))
    save("grey.png", small().convert("L"))
    save("grey-alpha.png", Image.merge("LA", (small().convert("L"), Image.frombytes("L", (4, 3), bytes(range(0, 252, 21))))))
    save("one-bit.png", small().convert("1"))
    palette = small().quantize(12)
    save("palette.png", palette)
    save("palette-transparent.png", palette, transparency=bytes([0, 128, 255, 0]))
    save("one-pixel.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    tall = Image.new("RGB", (1, 20000))
    tall.putdata([(i % 256, i // 256, 7) for i in range(20000)])
    save("1x20000.png", tall, optimize=True)
    words = [[c * 256 + 255 - c for c in p] for p in COLOURS]
    raw = [b"".join(struct.pack(">3H", *words[y * 4 + x]) for x in range(4)) for y in range(3)]
    put("rgb16.png", png(4, 3, 16, 2, raw))
    expect("rgb16.png", Image.open(OUT / "rgb16.png"))
    raw = [b"".join(struct.pack(">H", words[y * 4 + x][0]) for x in range(4)) for y in range(3)]
    put("grey16.png", png(4, 3, 16, 0, raw))
    expect("grey16.png", Image.frombytes("L", (4, 3), bytes(p[0] for p in COLOURS)))
    raw = [b"".join(struct.pack(">4H", *words[y * 4 + x], 1000) for x in range(4)) for y in range(3)]
    put("rgba16.png", png(4, 3, 16, 6, raw))
    expect("rgba16.png", Image.open(OUT / "rgba16.png"))
    # Adam7 is not written by Pillow: four passes hold the pixels of a 4x3 picture.
    pixel = lambda x, y: bytes(COLOURS[y * 4 + x])
    data = b"".join(b"\0" + b"".join(pixel(*p) for p in row)
                    for row in ([(0, 0)], [(2, 0)], [(0, 2), (2, 2)], [(1, 0), (3, 0)], [(1, 2), (3, 2)],
                                [(x, 1) for x in range(4)]))
    put("interlaced.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 1))
        + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))
    expect("interlaced.png", Image.open(OUT / "interlaced.png"))
    lines = [b"".join(bytes(COLOURS[y * 4 + x]) for x in range(4)) for y in range(3)]
    put("idat-too-long.png", png(4, 3, 8, 2, lines * 1000))
    expect("idat-too-long.png", small())

    # JPEG
    save("rgb.jpg", big(), 2, quality=95, subsampling=0)
    save("progressive.jpg", big(), 2, quality=95, subsampling=0, progressive=True)
    save("grey.jpg", big().convert("L"), 2, quality=95)
    save("cmyk.jpg", big(8).convert("CMYK"), 3, quality=95)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = io.BytesIO()
        big(8).save(data, "jpeg", quality=95, subsampling=0, exif=exif)
        put(f"exif-{orientation}.jpg", data.getvalue())
        expect(f"exif-{orientation}.jpg", ImageOps.exif_transpose(Image.open(data)), 2)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("exif-6.png", small(), expected=ImageOps.exif_transpose(Image.open(io.BytesIO(_saved(small(), "png", exif=exif)))),
         exif=exif)
    exif[0x0112] = 99
    save("exif-99.jpg", big(8), 2, quality=95, subsampling=0, exif=exif)

    # Profiles
    p3 = matrix_profile([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], 2.2)
    adobe = matrix_profile([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], 2.19921875)
    save("p3.png", small(), 2, expected=through_profile(small(), p3), icc_profile=p3)
    save("adobergb.jpg", big(8), 3, quality=95, subsampling=0, icc_profile=adobe,
         expected=through_profile(Image.open(io.BytesIO(_saved(big(8), "jpeg", quality=95, subsampling=0))), adobe))
    put("p3-16.png", png(4, 3, 16, 2, [b"".join(struct.pack(">3H", *(v * 257 for v in COLOURS[y * 4 + x])) for x in range(4))
                                       for y in range(3)], chunk(b"iCCP", b"p3\0\0" + zlib.compress(p3))))
    expect("p3-16.png", through_profile(small(), p3), 2)
    rgba = Image.merge("RGBA", (*small().split(), Image.frombytes("L", (4, 3), bytes(range(0, 252, 21)))))
    save("p3-alpha.png", rgba, 1, expected=through_profile(small(), p3), icc_profile=p3)
    save("grey-gamma1.png", small().convert("L"), 1, expected=through_profile(small().convert("L"), grey_profile(1.0)),
         icc_profile=grey_profile(1.0))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    srgb = srgb[:24] + b"\0" * 12 + srgb[36:]  # the time of its making
    save("srgb.png", small(), 0, expected=small(), icc_profile=srgb)
    gamma = matrix_profile([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)], 2.2)
    save("gamma22.png", small(), 1, expected=through_profile(small(), gamma), icc_profile=gamma)
    save("cmyk-profile.jpg", big(8).convert("CMYK"), 4, quality=95, icc_profile=cmyk_profile(),
         expected=through_profile(Image.open(io.BytesIO(_saved(big(8).convert("CMYK"), "jpeg", quality=95))), cmyk_profile()))
    save("broken-profile.png", small(), 0, icc_profile=b"this is no profile" * 20)
    save("broken-profile-2.png", small(), 0, icc_profile=p3[:200])
    save("grey-with-rgb-profile.png", small().convert("L"), 0, icc_profile=p3)

    # TIFF
    save("rgb.tif", small(), compression="tiff_lzw")
    save("cmyk.tif", small().convert("CMYK"))
    save("one-bit.tif", small().convert("1"), compression="group4")
    save("palette.tif", palette)
    save("grey16.tif", Image.frombytes("I;16", (4, 3), b"".join(struct.pack("<H", w[0]) for w in words)),
         expected=Image.frombytes("L", (4, 3), bytes(p[0] for p in COLOURS)))
    save("two-pages.tif", small(), save_all=True, append_images=[Image.new("RGB", (9, 9))])
    put("float.tif", _saved(Image.new("F", (4, 3), 0.5), "tiff"))
    put("int32.tif", _saved(Image.new("I", (4, 3), 70000), "tiff"))

    # WebP and GIF
    save("lossless.webp", small(), lossless=True)
    save("lossy.webp", big(), 3, quality=90)
    save("alpha.webp", rgba, lossless=True, exact=True)
    save("animated.webp", small(), save_all=True, append_images=[Image.new("RGB", (4, 3), (9, 9, 9))], lossless=True)
    save("palette.gif", palette)
    save("transparent.gif", palette, transparency=2)
    save("animated.gif", palette, save_all=True, append_images=[Image.new("P", (4, 3))], duration=100)
    gif = bytearray(_saved(palette, "gif", transparency=2))
    gif[6:10] = struct.pack("<2H", 6, 5)
    put("small-frame.gif", bytes(gif))
    expect("small-frame.gif", Image.open(OUT / "small-frame.gif"))
    save("one-pixel.gif", Image.new("P", (1, 1)))

    # AVIF and HEIC, which Pillow 11.1 cannot read: the pixels are those of the picture that was stored.
    try:
        import pillow_heif
        pillow_heif.register_heif_opener()
        pillow_heif.register_avif_opener()
        for name in ("rgb.heic", "rgb.avif"):
            out = io.BytesIO()
            big().save(out, "HEIF" if name.endswith("heic") else "AVIF", quality=95, chroma=444)
            put(name, out.getvalue())
            expect(name, big(), 6)
        # Two pictures, the first with a thumbnail; and one with an alpha channel and a thumbnail.
        heif = pillow_heif.from_pillow(big())
        heif.add_from_pillow(Image.new("RGB", (64, 64), (9, 9, 9)))
        heif[0].info["thumbnails"] = [32]
        out = io.BytesIO()
        heif.save(out, quality=50)
        put("two-pictures.heic", out.getvalue())
        alpha = big().convert("RGBA")
        alpha.putalpha(Image.linear_gradient("L").resize(alpha.size))
        put("alpha-thumbnail.heic", _saved(alpha, "HEIF", quality=50, thumbnails=[32]))
    except ImportError:
        sys.exit("pip install pillow-heif==0.21.0")

    (HERE / "expected.inc").write_text("// Made by make_fixtures.py: name, width, height, tolerance, {x, y, r, g, b}...\n"
                                       + "\n".join(rows) + "\n")


def _saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


main()
