#!/usr/bin/env python3
"""Runs the stages of scripts/bench-gpu, which says what they are: each in a process of its own, with a limit, and with its JSON when it ends.

Usage: tests/bench/gpu.py PROGRAMS --out DIR [--stage NAME]... [--budget SECONDS] [--device cuda:N] [--share X] [--folder DIR] [--stand-in DIR]
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1] / "support"), str(HERE.parent)]
import harness  # noqa: E402  (takes PROGRAMS from the arguments)
import gpu_first  # noqa: E402
import gpu_model  # noqa: E402
import gpu_support as support  # noqa: E402

# In order of worth. `least`: seconds without which it is not worth beginning; `limit`: after which it is ended.
Stage = collections.namedtuple("Stage", "name run least limit")
STAGES = [Stage("machine", gpu_first.machine, 5, 90),
          Stage("tiny", gpu_first.tiny, 10, 90),
          Stage("golden", gpu_first.golden, 10, 120),
          Stage("quarter", gpu_model.quarter, 40, 150),
          Stage("pictures", gpu_model.pictures, 40, 150),
          Stage("operators", gpu_model.operators, 20, 90),
          Stage("sanitizer", gpu_first.sanitizer, 20, 90),
          Stage("cards", gpu_model.cards, 30, 90)]


def write(path, content):
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(new, path)


def end_processes(folder):
    """Of a stage that may have been ended at any moment: its worker, and with it the engines."""
    for runtime in folder.glob("run"):
        try:
            subprocess.run([harness.STEP1X, "worker", "stop", "--force"], env={**os.environ, "STEP1X_RUNTIME_DIR": str(runtime)},
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=15)
        except subprocess.TimeoutExpired:
            pass
        workers = [pid for pid in harness.processes("step1xd") if str(runtime).encode() in harness.command_line(pid)]
        harness.kill(*[pid for pid in harness.processes("step1x-engine") if harness.parent(pid) in workers], *workers)


def run_stage(stage, options, limit, results):
    """Whatever ends it, its file is written, and what that holds is the last of `results`."""
    folder = options.scratch / stage.name
    folder.mkdir(mode=0o700)
    rows, log = folder / "rows", folder / "log"
    result = {"stage": stage.name, "status": "failed", "limit": round(limit, 1)}
    start = time.monotonic()
    with open(log, "wb") as file:
        command = [sys.executable, str(HERE), *sys.argv[1:], "--run", stage.name, "--scratch", str(options.scratch), "--model", str(options.model)]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = child.wait(limit)
            result["status"] = {0: "done", 77: "skipped"}.get(code, "failed")
            result["reason"] = f"it ended with {code}" if result["status"] == "failed" else ""
        except subprocess.TimeoutExpired:
            result |= {"status": "too long", "reason": f"ended at its limit of {limit:.0f} s"}
        except SystemExit:
            result["reason"] = "bench-gpu was told to end"
            raise
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
            end_processes(folder)
            result["seconds"] = round(time.monotonic() - start, 2)
            result["rows"] = [json.loads(line) for line in rows.read_text().splitlines() if line.endswith("}")] if rows.exists() else []
            why = folder / "why"
            if result["status"] in ("failed", "skipped") and why.exists():
                result["reason"] = why.read_text()
            for name, path in (("output", log), ("worker_log", folder / "run/worker.log")):
                result[name] = path.read_text(errors="replace").splitlines()[-200:] if path.exists() else []
            write(options.out / f"{options.number:02}-{stage.name}.json", result)
            results.append(result)


def child(options):
    """One stage, in its own process. Exits with 77 where it cannot be done here."""
    options.stage_folder = options.scratch / options.run
    if options.stand_in:
        harness.STEP1X = str(options.scratch / "programs/bin/step1x")
    rows = support.Rows(options.stage_folder / "rows")
    why = options.stage_folder / "why"
    try:
        next(stage for stage in STAGES if stage.name == options.run).run(options, rows)
    except support.Skip as reason:
        why.write_text(str(reason))
        sys.exit(77)
    except (Exception, SystemExit) as problem:  # noqa: BLE001  (whatever it is, the next stage is begun)
        traceback.print_exc()
        rows.failed.append(f"{problem}" if isinstance(problem, (SystemExit, ValueError)) else f"{type(problem).__name__}: {problem}")
    if rows.failed:
        why.write_text("; ".join(rows.failed))
        sys.exit(1)


def table(results):
    lines = []
    for result in results:
        head = f"{result['stage']}: {result['status']}" + (f" in {result['seconds']:.1f} s" if "seconds" in result else "")
        lines += ["", head + (f" ({result['reason']})" if result.get("reason") else "")]
        lines += [support.format_row(row) + (f"\n      = {row['formula']}" if row.get("formula") else "") for row in result.get("rows", [])]
    return "\n".join(lines) + "\n"


def run_all(options):
    start = time.monotonic()
    results = []
    try:
        for options.number, stage in enumerate(STAGES, 1):
            if options.stage and stage.name not in options.stage:
                continue
            left = options.budget - (time.monotonic() - start)
            if left < stage.least:
                why = f"it needs {stage.least} s and {max(left, 0):.0f} of {options.budget:.0f} are left"
                result = {"stage": stage.name, "status": "left out", "reason": why, "rows": []}
                write(options.out / f"{options.number:02}-{stage.name}.json", result)
                results.append(result)
            else:
                run_stage(stage, options, min(left, stage.limit), results)
            print(f"{stage.name}: {results[-1]['status']}", results[-1].get("reason") or "", flush=True)
    finally:
        text = table(results)
        (options.out / "table.txt").write_text(text)
        print(text)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--stage", action="append", choices=[stage.name for stage in STAGES])
    parser.add_argument("--budget", type=float, default=600)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()))
    parser.add_argument("--stand-in", type=pathlib.Path)
    for inner in ("--scratch", "--model"):
        parser.add_argument(inner, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        return child(options)
    options.out.mkdir(parents=True, exist_ok=True)
    for stopping in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(stopping, lambda number, _: sys.exit(128 + number))
    options.scratch = pathlib.Path(tempfile.mkdtemp(prefix="step1x-bench-", dir=options.folder))
    models = support.model_folder(options, options.scratch)
    options.model = models / "model"
    try:
        if options.stand_in:
            harness.STEP1X = support.programs_behind(options.scratch / "programs", support.on_stand_in(options))
        results = run_all(options)
    finally:
        shutil.rmtree(options.scratch, ignore_errors=True)
        shutil.rmtree(models, ignore_errors=True)
    sys.exit(any(result["status"] in ("failed", "too long") for result in results))


if __name__ == "__main__":
    main()
