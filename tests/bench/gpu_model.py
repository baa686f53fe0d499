"""Stages of gpu.py with a model of the released widths and random weights: how it comes and goes, what a picture takes, and of what."""

import statistics
import time

import gpu_support as support
import residency
from gpu_first import lines
from gpu_support import GIB, GOLDEN, WHOLE, Peak, blocks, earlier, on_libtorch, program, used

PROMPTS = {"short prompt": "make the sky purple",
           "long prompt": "make the sky purple and keep everything else as it is, " + ", ".join(
               f"the {thing} in the {place}" for place in ("front", "middle", "back", "left", "right", "shade") for thing in
               ("house", "tree", "river", "old bridge", "mountain", "horse", "wooden fence", "red car", "bird", "lamp"))}
CARDS = (24, 16, 12, 8)  # GB that a plan may use


def to_gpu(rows, what, seconds, size, pinned, goal=""):
    rows.add(what, seconds, "s", ("pinned copies s", size / GIB / pinned) if pinned else None, goal)


def quarter(options, rows):
    folder = support.model(options, rows)
    files = support.weights(folder)
    worker = support.Worker(options.stage_folder, folder)
    rows.add("files to device, engine started for it", worker.load(options.device), "s")
    size = worker.arena_bytes(rows)
    status = worker.status()
    rows.add("model in memory", size / GIB, "GiB")
    if status["arena"]:
        rows.add("  of it in huge pages", status["arena"]["huge_bytes"] / size, "share")
    plan = next((device["plan"] for device in worker.devices() if device["plan"]), None)
    rows.add("plan", plan and f"{plan['kind']}: {plan['reason']}")
    gpu = worker.gpu()
    rows.add("counted by", "the driver" if gpu else "the engine: the driver does not tell")
    rows.add("memory on the device, loaded", used(worker, gpu), "MiB")
    worker.kill_engine()
    base = used(worker, gpu) if gpu else 0
    pinned = earlier(options, "machine", "copy to the device, pinned")

    worker.ask(op="release")
    worker.load("cpu", GOLDEN / "bundle")
    raw = residency.reference("read", "huge", *files)
    rows.add("files to device, engine there", worker.load(options.device), "s", ("raw reads s", raw))
    offload, live, cold = [], [], []
    for _ in range(options.runs):
        start = time.perf_counter()
        worker.ask(op="offload")
        offload.append((time.perf_counter() - start) * 1000)
        live.append(worker.load(options.device))
    rows.add("offload, most", max(offload), "ms", goal="<= 50", all=offload)
    to_gpu(rows, "memory to device, engine there, least", min(live), size, pinned, ">= 88 % of pinned")
    rows.add("  median", statistics.median(live), "s", all=live)
    rows.add("  its rate", size / min(live) / GIB, "GiB/s", ("pinned", pinned) if pinned else None)
    idle(options, rows, worker, gpu, base)
    for _ in range(options.runs):
        worker.kill_engine()
        cold.append(worker.load(options.device))
    rows.add("memory to device, engine started for it, least", min(cold), "s", all=cold)
    rows.add("  of that, library, context and the rest", min(cold) - min(live), "s", goal="<= 2")
    rows.add("the whole model, memory to device", min(live) * WHOLE / size, "s", goal="<= 0.85",
             formula=f"{min(live):.3f} s * {WHOLE} bytes / {size} bytes")
    rows.add("the whole model, engine started for it", min(live) * WHOLE / size + min(cold) - min(live), "s",
             formula=f"{min(live):.3f} s * {WHOLE} bytes / {size} bytes + {min(cold) - min(live):.3f} s")
    worker.edit(options.device, 1, 32, timers={"idle_timeout": 0, "offload_delay": 0})
    residency.harness.eventually(lambda: not worker.engines(), 60, "the engine's end")
    rows.add("memory on the device after idle_timeout", used(worker, gpu, base), "MiB", goal="0")


def idle(options, rows, worker, gpu, base):
    worker.ask(op="offload")
    rows.add("memory on the device, idle, engine there", used(worker, gpu, base), "MiB", goal="<= 600")
    for device in worker.devices():
        driver = device.get("driver") or {}
        process = driver.get("process_bytes")
        rows.add("  of the engine, as the status has it", process and process / (1 << 20), "MiB")
        rows.add("  of libtorch: allocated", (device["allocated_bytes"] or 0) / (1 << 20), "MiB", ("reserved", (device["reserved_bytes"] or 0) / (1 << 20)))
    worker.load(options.device)


def picture(options, rows, worker, name, gpu, base, **more):
    """The seconds of one step; None where the job failed, which is a row."""
    steps, size = (2, 32) if options.stand_in else (8, 1024)
    try:
        # The model comes, and whatever is done once.
        worker.edit(options.device, 1, size, **more)
        with Peak(worker, gpu) as peak:
            timings, _ = worker.edit(options.device, steps, size, **more)
    except ValueError as problem:
        rows.fail(name, problem)
        return None
    # Where the worker keeps no copy in memory there is nothing to stream from, and the model is resident whatever is asked.
    if worker.plan() != more["plan"]:
        rows.fail(name, f"the plan is {worker.plan()}")
    each = timings["denoise"] / steps
    rows.add(f"{name}: a step", each, "s", timings=timings)
    rows.add(f"{name}: encode, place, decode", f"{timings['encode']:.2f} {timings['place']:.2f} {timings['decode']:.2f}", "s")
    rows.add(f"{name}: most memory", peak.most / (1 << 20) - base, "MiB")
    times, layers = blocks(options)
    whole = 28 * each * times + timings["encode"] * layers + timings["place"] * times + timings["decode"]
    # An upper bound: what a step and an encoding have besides their blocks is counted as often as these.
    rows.add(f"{name}: 28 steps of the whole model", whole, "s", goal="at most",
             formula=f"28 * {each:.3f} s * {times:.2f} (blocks) + {timings['encode']:.3f} s * {layers:.2f} (layers of the text encoder) + "
                     f"{timings['place']:.3f} s * {times:.2f} + {timings['decode']:.3f} s")
    return each


def started(options, rows):
    worker = support.Worker(options.stage_folder, support.model(options, rows))
    worker.edit(options.device, 1, 32)
    gpu = worker.gpu()
    base = 0
    if gpu:
        worker.kill_engine()
        base = used(worker, gpu)
    return worker, gpu, base


def pictures(options, rows):
    worker, gpu, base = started(options, rows)
    for prompt, text in PROMPTS.items():
        each = {plan: picture(options, rows, worker, f"{plan}, {prompt}", gpu, base, plan=plan, prompt=text, truncate=True) for plan in ("resident", "stream")}
        if None not in each.values():
            rows.add(f"stream beside resident, {prompt}", each["stream"] / each["resident"], "times", goal="<= 1.03")


def operators(options, rows):
    folder = support.model(options, rows)
    steps, size = (1, 32) if options.stand_in else (2, 1024)
    count = lines(rows, on_libtorch(options, program("bench_operator_times"), folder, options.device, size, steps), most=25)
    if count == 0:
        rows.fail("operators", "none was seen")


def cards(options, rows):
    worker, gpu, base = started(options, rows)
    for card in CARDS[-1:] if options.stand_in else CARDS:
        picture(options, rows, worker, f"stream in {card} GB", gpu, base, plan="stream", max_vram=card * 1_000_000_000)
