#!/usr/bin/env python3
"""Proves that each check of flags.py can fail: spoils one thing at a time, in a copy, and expects a line that names it.

    flags_can_fail.py BUILD SOURCE
"""
import copy
import shutil
import sys
import tempfile
from pathlib import Path

import flags

FILES = ["ipc/protocol.md", "lib/base/error.hpp", "lib/base/error.cpp"]

# file, what stands there, what is put in its place, what the report must say
EDITS = [
    ("man/step1x-edit.1.scd", "*--steps* _N_", "*--stepps* _N_", "--steps is in the parser and not in step1x-edit.1"),
    ("man/step1x-edit.1.scd", "*--steps* _N_", "*--stepps* _N_", "--stepps is in step1x-edit.1 and not in the parser"),
    ("man/step1x-edit.1.scd", "*--timeout* _DURATION_", "*--timeout*", "--timeout is 'DURATION' in the parser and ''"),
    ("man/step1x-edit.1.scd", "*-n*, *--neg", "*--neg", "-n is in the parser and not in"),
    ("man/step1x-edit.1.scd", "Denoising steps, 1 to 1000", "Denoising steps, 1 to 100", "does not tell the range"),
    ("man/step1x-edit.1.scd", "*step1x edit* _PICTURE_", "*step1x edit* _FILE_", "lacks PICTURE"),
    ("man/step1x-edit.1.scd", '"add snow" --json', '"add snow" --jason', "an example gives --jason to step1x edit"),
    ("man/step1x-gpu.1.scd", "*--watch* [_SECONDS_]\n\t", "*--watch* _SECONDS_\n\t", "--watch is '[SECONDS]' in the parser and 'SECONDS'"),
    ("man/step1x-gpu.1.scd", "## gpu release\n", "## gpu free\n", "gpu free is in the headings and not in the parser"),
    ("man/step1x-gpu.1.scd", "step1x gpu status --json", "step1x gpu state --json", "calls step1x gpu state, which is no command"),
    ("man/step1x-gpu.1.scd", "|  *queue*\n", "|  *line*\n", "status: queue is in ipc/protocol.md and not in step1x-gpu.1"),
    ("man/step1x-worker.1.scd", "*-f*, *--follow*", "*--follow*", "-f is in the parser and not in step1x-worker.1"),
    ("man/step1x-worker.1.scd", "*step1x worker log* [*-f*]", "*step1x worker log* [*-F*]", "the synopsis of step1x-worker.1 has -F"),
    ("man/step1x-config.1.scd", "*-q*, *--quiet*\n\tSay nothing but errors.\n", "", "-q is in the parser and not in step1x-config.1"),
    ("man/step1x.1.scd", "|  *config path*\n", "|  *config where*\n", "config where is in the table of step1x.1 and not"),
    ("man/step1x.1.scd", ":  *step1x-gpu*(1)\n", ":  *step1x-cpu*(1)\n", "is said to be in step1x-cpu(1)"),
    ("man/step1x.1.scd", "|  75\n", "|  74\n", "busy is '75' in lib/base/error.hpp and '74' in step1x.1"),
    ("man/step1x.1.scd", ":  partial\n", ":  partly\n", "partial is in lib/base/error.hpp and not in step1x.1"),
    ("lib/base/error.hpp", "  interrupted = 130,", "  interrupted = 130,\n  extra = 7,", "extra is in lib/base/error.hpp and not in step1x.1"),
    ("lib/base/error.hpp", "  protocol,  ", "  protocol,\n  extra,  ", "extra is in lib/base/error.hpp and not in the library"),
    ("lib/base/error.cpp", '"engine_died"', '"engine_dead"', "engine_dead is in lib/base/error.cpp and not in the library"),
    ("man/step1x.toml.5.scd", ":  1024\n", ":  512\n", "'1024'"),
    ("man/step1x.toml.5.scd", ":  boolean\n", ":  string\n", "'boolean'"),
    ("man/step1x.toml.5.scd", ", GPU_IDLE_TIMEOUT", "", "GPU_IDLE_TIMEOUT"),
    ("man/step1x.toml.5.scd", "*max_side*\n\t", "*max_edge*\n\t", "max_edge is in the text of step1x.toml.5 and not"),
    ("man/step1x.toml.5.scd", "16 to 4096", "16 to 2048", "does not tell the range 16 to 4096 of size"),
    ("man/step1x-protocol.7.scd", "|  *busy*\n:  75\n:  yes", "|  *busy*\n:  75\n:  no", "busy is '75 yes' in the library and '75 no'"),
    ("man/step1x-protocol.7.scd", "|  *worker_failed*\n", "|  *worker_died*\n", "worker_failed is in the library and not in"),
    ("man/step1x-protocol.7.scd", "|  *ping*\n", "|  *pang*\n", "requests: pang is in step1x-protocol.7 and not in"),
    ("man/step1x-protocol.7.scd", "|  *guidance*\n", "|  *cfg*\n", "job: guidance is in ipc/protocol.md and not in"),
    ("man/step1x-protocol.7.scd", "|  *retry*\n", "|  *again*\n", "events: retry is in ipc/protocol.md and not in"),
    ("ipc/protocol.md", "| `steps` | 1 to 1000 | refused", "| `steps` | 1 to 100 | refused", "does not say 1 to 1000 of steps"),
    ("ipc/protocol.md", "| 1 to 1000 | refused", "| 1 to 1000 | 28", "a request without steps is '28'"),
    ("ipc/protocol.md", "in tiles | `false`", "in tiles | `true`", "has `true` for a request without vae_tiling"),
    ("ipc/protocol.md", "`all`, `early`, `off`", "`all`, `off`", "does not say `early` of guidance_damping"),
    ("ipc/protocol.md", "with code `cancelled`", "with code `canceled`", "ipc/protocol.md has canceled, which"),
    ("ipc/protocol.md", "| jobs waiting | 512 | `busy` |", "| jobs waiting | 512 | `full` |", "ipc/protocol.md has full, which"),
    ("man/step1xd.8.scd", "*--until-pid* _PID_", "*--until* _PID_", "--until-pid is in --help and not in step1xd.8"),
    ("man/step1xd.8.scd", "*--temporary*\n", "*--temporary* _DIR_\n", "--temporary is False in --help and True in step1xd.8"),
]


def copy_of(source):
    folder = Path(tempfile.mkdtemp(prefix="step1x-flags-"))
    shutil.copytree(Path(source) / "man", folder / "man")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(source) / name, folder / name)
    return folder


def spoil_file(built, source, edit):
    name, old, new, expected = edit
    folder = copy_of(source)
    try:
        text = (folder / name).read_text()
        if old not in text:
            return f"{name}: {old!r} is not there to be spoiled"
        (folder / name).write_text(text.replace(old, new, 1))
        return missed(flags.problems(built, folder), expected, edit[:3])
    finally:
        shutil.rmtree(folder)


def missed(found, expected, what):
    return None if any(expected in problem for problem in found) else f"not found: {expected!r} after {what}: {found}"


def spoil_programs(built, source):
    """The same for what the programs say."""

    def changed(change, expected):
        other = copy.deepcopy(built)
        change(other)
        return missed(flags.problems(other, source), expected, "a change of what the programs say")

    def edit_of(b):
        return next(c for c in b.tables["commands"] if c["name"] == "edit")

    def without_seed(b):
        edit_of(b)["options"] = [o for o in edit_of(b)["options"] if "--seed" not in o["names"]]

    def line_out(b, command, word):
        b.help[command] = "".join(l for l in b.help[command].splitlines(True) if word not in l)

    def more_help(b):
        edit_of(b)["options"][-1]["help"] += " unheard-of"

    yield changed(without_seed, "--seed is in --help and not in the parser")
    yield changed(without_seed, "--seed is in step1x-edit.1 and not in the parser")
    yield changed(lambda b: line_out(b, "edit", "--steps"), "--steps is in the parser and not in --help")
    yield changed(lambda b: line_out(b, "gpu", "hold"), "--help does not list hold")
    yield changed(more_help, "--help lacks the text of")
    yield changed(lambda b: b.tables["settings"].pop(), "is in the table of step1x.toml.5 and not in the library")
    yield changed(lambda b: b.tables["errors"].pop(), "protocol is in step1x-protocol.7 and not in the library")


def main():
    build, source = sys.argv[1:]
    built = flags.Built(build)
    results = [spoil_file(built, source, edit) for edit in EDITS] + list(spoil_programs(built, source))
    failures = [result for result in results if result]
    for failure in failures:
        print(failure)
    print(f"{len(results)} spoilings, {len(failures)} not noticed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
