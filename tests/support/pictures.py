"""Small pictures, made without a library."""

import random
import struct
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width=8, height=8, colour=(200, 100, 50)):
    """One colour all over."""
    rows = b"".join(b"\0" + bytes(colour) * width for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def noise(width, height):
    """As large as its pixels are: nothing of it can be compressed."""
    rows = b"".join(b"\0" + random.Random(y).randbytes(3 * width) for y in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def size_of(png_file):
    return struct.unpack(">II", png_file.read_bytes()[16:24])


def fill_folder(folder, count, first=0):
    """count different pictures, p000.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(first, first + count):
        (folder / f"p{n:03}.png").write_bytes(png(8 + n % 5, 8 + n % 7, (n % 256, n * 7 % 256, n * 31 % 256)))
