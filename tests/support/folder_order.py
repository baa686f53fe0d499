#!/usr/bin/env python3
"""Checks that each file includes only from folders in rows below its own in CONTRIBUTING.md's table.

    folder_order.py SOURCE

Prints one line for each include that does not, and exits with 1 when there is any.
"""
import re
import subprocess
import sys
from pathlib import Path


def rows(source):
    """Folder to the number of its row."""
    table = (source / "CONTRIBUTING.md").read_text().partition("## Folders")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {folder: number for number, cell in enumerate(cells) for folder in re.findall(r"`([\w/]+)/`", cell)}


def folder_of(path, order):
    return next((folder for folder in order if path.startswith(folder + "/")), None)


def problems(source, files):
    order = rows(source)
    for name in files:
        own = folder_of(name, order)
        if own is None:
            yield f"{name}: CONTRIBUTING.md has no row for its folder"
            continue
        for include in re.findall(r'^#include "([^"]+/[^"]+)"', (source / name).read_text(), re.M):
            other = folder_of(include, order) or folder_of("lib/" + include, order)
            if other is None:
                yield f"{name}: includes {include}, which is in no folder of CONTRIBUTING.md"
            elif other != own and order[other] <= order[own]:
                yield f"{name}: includes {include}, whose folder's row is not below that of {own}"


def main():
    source = Path(sys.argv[1])
    listing = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "--", "cmd", "lib", "ipc"]
    listed = subprocess.run(listing, cwd=source, text=True, capture_output=True, check=True).stdout.splitlines()
    files = [name for name in listed if name.endswith((".cpp", ".hpp")) and (source / name).is_file()]
    found = list(problems(source, files))
    print("\n".join(found) if found else f"{len(files)} files include in the order of the folders")
    sys.exit(1 if found or not files else 0)


if __name__ == "__main__":
    main()
