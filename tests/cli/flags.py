#!/usr/bin/env python3
"""Compares, in both directions, what the parser takes, what --help shows and what the manual says.

    flags.py BUILD SOURCE

Prints one line for each difference; exits with 1 when there is any.
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path


class Built:
    """What the built programs say: the parser's tables, and --help of every command."""

    def __init__(self, build):
        self.step1x = str(Path(build) / "bin/step1x")
        self.tables = json.loads(run([str(Path(build) / "tests/dump_flags")]).stdout)
        self.help = {c["name"]: run([self.step1x, *c["name"].split(), "--help"]).stdout for c in self.tables["commands"]}
        self.worker_help = run([str(Path(build) / "bin/step1xd"), "--help"]).stdout
        self.ranges = {s["name"]: self.range_of(s) for s in self.tables["settings"] if s["type"] in ("integer", "number")}

    def range_of(self, setting):
        """The range that the error for a number far outside of it names: "16 to 4096"."""
        answer = run([self.step1x, "config", "show", "--config", "/dev/null"], {setting["environment"][0]: "-1e9"}, code=2)
        return re.search(r"from (\S+ to \S+)$", answer.stderr).group(1)


def run(command, environment=None, code=0):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STEP1X_") and k not in ("GPU_IDLE_TIMEOUT", "MODEL_PATH")}
    answer = subprocess.run(command, env={**clean, **(environment or {})}, text=True, capture_output=True, timeout=60)
    if answer.returncode != code:
        sys.exit(f"{' '.join(command)}: exit code {answer.returncode}\n{answer.stdout}{answer.stderr}")
    return answer


class Page:
    """A page's source, by section. The sections of `## x` have the key "x"."""

    def __init__(self, source, name):
        self.name = name
        self.text = (Path(source) / "man" / f"{name}.scd").read_text()
        self.sections = {}
        title = ""
        for line in self.text.splitlines():
            if heading := re.match(r"#+ (.*)", line):
                title = heading.group(1)
            self.sections[title] = self.sections.get(title, "") + line + "\n"

    def options(self, *titles):
        """{"--json": value} and {"--json": paragraph} of the tagged paragraphs whose tag is a flag. No value: ""."""
        values, texts = {}, {}
        for title in titles:
            for tag, text in re.findall(r"^(\*-.*)\n((?:\t.*\n)+)", self.sections.get(title, ""), re.M):
                value = re.search(r" (\[?)_([A-Z]+)_", tag)
                for flag in re.findall(r"\*(--?[a-z0-9][\w-]*)\*", tag):
                    values[flag] = (f"[{value.group(2)}]" if value.group(1) else value.group(2)) if value else ""
                    texts[flag] = text
        return values, texts

    def table(self, title):
        """Rows of the first table of a section, the heading left out, as lists of cells without marks."""
        rows = []
        for line in self.sections.get(title, "").splitlines():
            if line.startswith("|[") or (rows and re.match(r":[\[<] ", line)):
                rows = rows or [[]]
            elif line.startswith("|  "):
                rows.append([plain(line[3:])])
            elif rows and rows[-1] and line.startswith(":  "):
                rows[-1].append(plain(line[3:]))
            elif rows:
                break
        return rows[1:]

    def names(self, title, nth=0):
        """The first cells of the section's nth table: `*a*, *b*` are two names."""
        tables = re.split(r"^\|\[", self.sections.get(title, ""), flags=re.M)[1:]
        cells = re.findall(r"^\|  (.*)", tables[nth], re.M) if nth < len(tables) else []
        return {n for cell in cells for n in re.findall(r"\*(\w+)\*", cell)}


def plain(cell):
    return re.sub(r"(?<!\w)[*_]|[*_](?!\w)", "", cell).strip()


def differences(where, left_name, left, right_name, right):
    """Both ways. Of dicts the values count too."""
    for key in sorted(set(left) - set(right)):
        yield f"{where}: {key} is in {left_name} and not in {right_name}"
    for key in sorted(set(right) - set(left)):
        yield f"{where}: {key} is in {right_name} and not in {left_name}"
    if isinstance(left, dict):
        for key in sorted(set(left) & set(right)):
            if left[key] != right[key]:
                yield f"{where}: {key} is {left[key]!r} in {left_name} and {right[key]!r} in {right_name}"


def help_options(text):
    """--help of CLI11: two spaces, the names with commas, one space and the type, two or more and the description."""
    found = {}
    for names, value in re.findall(r"^  (-[\w-]+(?:,-[\w-]+)*)(?: (\[?[A-Z]+\]?)(?=[\s:=]|$))?", text, re.M):
        for name in names.split(","):
            found[name] = value
    return found


def parser_options(command):
    return {name: o["value"].strip("[]") for o in command["options"] for name in o["names"]}


def page_of(command):
    return f"step1x-{command.split()[0]}.1" if command else "step1x.1"


def man_options(page, command):
    if command in ("", "edit", "batch", "generate", "serve"):
        return page.options("OPTIONS")
    return page.options(command, "COMMON OPTIONS")


def check_command(built, page, command):
    name = command["name"]
    where = f"step1x {name}".strip()
    parser = parser_options(command)
    yield from differences(where, "the parser", parser, "--help", help_options(built.help[name]))
    squeezed = " ".join(built.help[name].split())
    for option in command["options"]:
        if " ".join(option["help"].split()) not in squeezed:
            yield f"{where}: --help lacks the text of {option['names'] or option['positional']}"
    if command["group"] and name:
        return
    values, texts = man_options(page, name)
    with_brackets = {n: o["value"] for o in command["options"] for n in o["names"]}
    yield from differences(where, "the parser", with_brackets, page.name, values)
    for option in command["options"]:
        limits = re.fullmatch(r"(\S+) - (\S+)", option["range"])
        # Powers of two are not written out.
        if limits and float(limits.group(2)) < 1e9 and f"{limits.group(1)} to {limits.group(2)}" not in texts.get(option["names"][0], ""):
            yield f"{where}: {page.name} does not tell the range {option['range']} of {option['names'][0]}"
    synopsis = "".join(l for l in page.sections["SYNOPSIS"].splitlines(True) if f"*{where}*" in l or not name)
    for option in command["options"]:
        if option["positional"] and f"_{option['value']}_" not in synopsis:
            yield f"{where}: the synopsis of {page.name} lacks {option['value']}"
    for flag in re.findall(r"\*(-[\w-]*\w)\*", synopsis):
        if flag not in parser:
            yield f"{where}: the synopsis of {page.name} has {flag}, which the parser does not take"


def check_commands(built, source):
    commands = built.tables["commands"]
    leaves = [c["name"] for c in commands if not c["group"]]
    overview = Page(source, "step1x.1")
    yield from differences("step1x", "the parser", leaves, "the table of step1x.1", {r[0] for r in overview.table("COMMANDS")})
    for row in overview.table("COMMANDS"):
        if row[2].replace("(1)", ".1").replace("*", "") != page_of(row[0]):
            yield f"step1x.1: {row[0]} is said to be in {row[2]}"
    for command in commands:
        page = Page(source, page_of(command["name"]))
        yield from check_command(built, page, command)
        for below in commands:
            parent, _, last = below["name"].rpartition(" ")
            if below["name"] and parent == command["name"] and not re.search(rf"^  {last}\b", built.help[parent], re.M):
                yield f"step1x {parent}: --help does not list {last}"
        if command["group"] and command["name"]:
            prefix = command["name"] + " "
            yield from differences(page.name, "the parser", [l for l in leaves if l.startswith(prefix)], "the headings",
                                   [t for t in page.sections if t.startswith(prefix)])


def check_examples(built, source):
    """Each `step1x COMMAND --flags` of a literal block is a command with flags of it."""
    flags = {c["name"]: parser_options(c) for c in built.tables["commands"] if not c["group"]}
    for path in sorted((Path(source) / "man").glob("*.scd")):
        for block in re.findall(r"^```\n(.*?)^```", path.read_text(), re.M | re.S):
            for call in re.split(r"[|;&\n']", re.sub(r'"[^"]*"', "TEXT", block)):
                found = re.search(r"\bstep1x ((?:gpu|worker|config) \w+|\w+)(.*)", call)
                if not found:
                    continue
                command, rest = found.groups()
                if command not in flags:
                    yield f"{path.name}: an example calls step1x {command}, which is no command"
                for flag in re.findall(r"(?<=\s)--?[a-z0-9][\w-]*", rest.split(" -- ")[0]):
                    if flag not in flags.get(command, {}):
                        yield f"{path.name}: an example gives {flag} to step1x {command}, which does not take it"


def enum_of(source, name):
    text = (Path(source) / "lib/base/error.hpp").read_text()
    body = re.search(rf"enum class {name} \{{(.*?)\}};", text, re.S).group(1)
    return re.findall(r"^\s*(\w+)(?: = (\d+))?,", body, re.M)


def check_exit_codes(built, source):
    enum = {name: number for name, number in enum_of(source, "ExitCode")}
    table = {row[1]: row[0] for row in Page(source, "step1x.1").table("EXIT STATUS")}
    yield from differences("exit codes", "lib/base/error.hpp", enum, "step1x.1", table)


def check_error_codes(built, source):
    errors = {e["name"]: f"{e['exit']} {'yes' if e['retryable'] else 'no'}" for e in built.tables["errors"]}
    yield from differences("error codes", "lib/base/error.hpp", [n for n, _ in enum_of(source, "ErrorCode")], "the library", errors)
    rows = re.findall(r'Row\{ErrorCode::\w+, "(\w+)"', (Path(source) / "lib/base/error.cpp").read_text())
    yield from differences("error codes", "lib/base/error.cpp", rows, "the library", errors)
    table = {row[0]: f"{row[1]} {row[2]}" for row in Page(source, "step1x-protocol.7").table("ERROR CODES")}
    yield from differences("error codes", "the library", errors, "step1x-protocol.7", table)
    protocol = (Path(source) / "ipc/protocol.md").read_text()
    limits = protocol[protocol.index("## 8. Limits"):]
    used = re.findall(r"\bcode `(\w+)`", protocol) + re.findall(r"answers `(\w+)`", protocol) + re.findall(r"\| `(\w+)` \|$", limits, re.M)
    if not used:
        yield "error codes: none found in ipc/protocol.md"
    for code in sorted(set(used) - set(errors)):
        yield f"error codes: ipc/protocol.md has {code}, which lib/base/error.cpp has not"


def check_settings(built, source):
    page = Page(source, "step1x.toml.5")
    settings = {s["name"]: [s["type"], s["default"], ", ".join(s["environment"])] for s in built.tables["settings"]}
    table = {row[0]: row[1:] for row in page.table("KEYS")}
    yield from differences("settings", "the library", settings, "the table of step1x.toml.5", table)
    texts = dict(re.findall(r"^\*(\w+)\*\n\t(.*)\n", page.sections["KEYS"], re.M))
    yield from differences("settings", "the library", set(settings), "the text of step1x.toml.5", set(texts))
    for name, limits in built.ranges.items():
        if limits not in texts.get(name, ""):
            yield f"settings: step1x.toml.5 does not tell the range {limits} of {name}"


def check_worker(built, source):
    said = {n: bool(v) for n, v in Page(source, "step1xd.8").options("OPTIONS")[0].items()}
    takes = {n: bool(v) for n, v in help_options(built.worker_help).items()}
    yield from differences("step1xd", "--help", takes, "step1xd.8", said)


def check_protocol(built, source):
    protocol = (Path(source) / "ipc/protocol.md").read_text()
    page = Page(source, "step1x-protocol.7")

    def first_cells(section):
        body = re.search(rf"^## {section}\..*?(?=^## |\Z)", protocol, re.M | re.S).group(0)
        body = body.partition("A job's members:")[0]
        return {n for cell in re.findall(r"^\| (`.*?) \|", body, re.M) for n in re.findall(r"`(\w+)`", cell)}

    rows = job_rows(protocol)
    members = {n for names, _, _ in rows for n in re.findall(r"`(\w+)`", names)}
    yield from differences("requests", "ipc/protocol.md", first_cells(4), "step1x-protocol.7", page.names("REQUESTS"))
    yield from differences("job", "ipc/protocol.md", members, "step1x-protocol.7", page.names("REQUESTS", 1))
    yield from differences("events", "ipc/protocol.md", first_cells(5), "step1x-protocol.7", page.names("EVENTS"))
    yield from differences("status", "ipc/protocol.md", first_cells(6), "step1x-gpu.1", Page(source, "step1x-gpu.1").names("STATUS RECORD"))
    yield from check_parameters(built.tables["parameters"], {re.sub("`", "", names): (value, absent) for names, value, absent in rows})


def job_rows(protocol):
    """The cells of the table of a job's members."""
    table = re.search(r"^A job's members:\n\n(.*?)\n\n", protocol, re.M | re.S).group(1)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def check_parameters(parameters, rows):
    """That ipc/protocol.md says of each parameter what the table of lib/request says."""
    for parameter in parameters:
        name = parameter["name"]
        value, absent = rows.get(name, ("", ""))
        wanted = [f"`{word}`" for word in parameter["words"]]
        if parameter["low"] is not None and parameter["high"] < 1e9:
            wanted.append(f"{parameter['low']:g} to {parameter['high']:g}")
        if parameter["most_bytes"] == 65536:
            wanted.append("at most 65,536 bytes")
        for text in wanted:
            if text not in value:
                yield f"job: ipc/protocol.md does not say {text} of {name}"
        fallback = json.dumps(parameter["fallback"]).strip('"') or '""'
        if parameter["required"] != (absent == "refused"):
            yield f"job: ipc/protocol.md says that a request without {name} is {absent!r}"
        if not parameter["required"] and parameter["fallback"] is not None and absent != f"`{fallback}`":
            yield f"job: ipc/protocol.md has {absent} for a request without {name}, and lib/request {fallback}"


CHECKS = [check_commands, check_examples, check_exit_codes, check_error_codes, check_settings, check_worker, check_protocol]


def problems(built, source):
    return [problem for check in CHECKS for problem in check(built, source)]


def main():
    build, source = sys.argv[1:]
    found = problems(Built(build), source)
    for problem in found:
        print(problem)
    print(f"{len(found)} differences")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
