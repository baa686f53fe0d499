#!/usr/bin/env python3
"""One text encode (a picture, a prompt of 30 tokens of 640, the empty negative prompt) by bench_text_encode and by
transformers' Qwen2.5-VL, on the same random checkpoint, machine, threads and type.

    python3 tests/bench/model/text_encode.py build/release/tests/bench_text_encode

Needs torch, transformers 4.55 and safetensors. Peak memory is that of the program alone."""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

VOCABULARY = 8192
IMAGE, START, END = 8100, 8101, 8102
DROP = 217


def make_model(layers):
    config = Qwen2_5_VLConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=layers, num_attention_heads=8,
        num_key_value_heads=2, vocab_size=VOCABULARY, max_window_layers=layers, use_sliding_window=False,
        image_token_id=IMAGE, vision_start_token_id=START, vision_end_token_id=END, video_token_id=8103,
        rope_theta=1e6, rope_scaling={"type": "mrope", "mrope_section": [16, 24, 24]},
        vision_config=dict(depth=layers, hidden_size=640, intermediate_size=1712, num_heads=8, in_chans=3,
                           out_hidden_size=1024, patch_size=14, spatial_merge_size=2, window_size=112,
                           fullatt_block_indexes=list(range(3, layers, 4)), tokens_per_second=2,
                           temporal_patch_size=2))
    torch.manual_seed(1)
    model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation="sdpa").eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    return model


def make_inputs(side, prompt_tokens=30, total=640):
    """`side` patches a side; the picture's tokens come after the fixed text, the prompt after them."""
    picture = side * side // 4
    tail = 5
    fixed = total - picture - 2 - prompt_tokens - tail
    assert fixed > DROP
    text = torch.Generator().manual_seed(2)

    def words(count):
        return torch.randint(1, 8000, (count,), generator=text)

    before, prompt, after = words(fixed), words(prompt_tokens), words(tail)
    middle = torch.tensor([START] + [IMAGE] * picture + [END])
    return {
        "pixel_values": torch.randn(side * side, 1176, generator=text),
        "grid": torch.tensor([1, side, side]),
        "drop": torch.tensor([DROP]),
        "prompt_ids": torch.cat([before, middle, prompt, after]),
        "negative_ids": torch.cat([before, middle, after]),
    }


def seconds(runs, clock, work):
    best = float("inf")
    for run in range(runs + 1):
        start = clock()
        result = work()
        if run > 0:
            best = min(best, clock() - start)
    return best, result


def reference(model, inputs, dtype):
    pixels, grid = inputs["pixel_values"].to(dtype), inputs["grid"][None]
    hidden = []
    for ids in (inputs["prompt_ids"], inputs["negative_ids"]):
        # Without the output head, whose result nobody reads.
        out = model.model(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], pixel_values=pixels,
                          image_grid_thw=grid, use_cache=False)
        hidden.append(out.last_hidden_state[0, DROP:].float())
    return hidden


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="processor time, for a busy machine; with --threads 1")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--side", type=int, nargs="*", default=[36], help="patches along a side of the picture")
    parser.add_argument("--dtype", nargs="*", default=["f32", "bf16"], choices=["f32", "bf16"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu else time.perf_counter
    model = make_model(options.layers)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} M parameters, {options.threads} threads, "
          f"torch {torch.__version__}, least of {options.runs} runs, {'processor' if options.cpu else 'wall'} time")
    print("type  picture  torch s  plain s  shared s  shared/torch  rms from torch f32: torch, ours  peak MiB / weights MiB")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        model.save_pretrained(folder)
        for side in options.side:
            inputs = make_inputs(side)
            model.float()
            exact = reference(model, inputs, torch.float32)
            inputs |= {"prompt_hidden": exact[0], "negative_hidden": exact[1]}
            file = str(pathlib.Path(folder, "inputs.safetensors"))
            save_file({name: value.contiguous() for name, value in inputs.items()}, file)
            for name in options.dtype:
                dtype = torch.float32 if name == "f32" else torch.bfloat16
                model.to(dtype)
                torch_time, hidden = seconds(options.runs, clock, lambda: reference(model, inputs, dtype))
                torch_rms = max((a - b).square().mean().sqrt().item() for a, b in zip(hidden, exact))
                ours, peak = run_ours(options, folder, file, name)
                weights = sum(p.numel() for n, p in model.named_parameters() if "lm_head" not in n)
                weights = weights * (4 if name == "f32" else 2) / 2**20
                print(f"{name:5} {side:3}x{side:<3}  {torch_time:7.3f}  {ours['plain']:7.3f}  {ours['shared']:8.3f}  "
                      f"{ours['shared'] / torch_time:12.2f}  {torch_rms:21.1e}, {ours['rms']:.1e}  "
                      f"{peak:8.0f} / {weights:.0f}")


def run_ours(options, folder, inputs, dtype):
    command = ["/usr/bin/env", "python3", "-c",
               "import resource, subprocess, sys\n"
               "done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)\n"
               "print(done.stdout + 'peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)",
               options.program, folder, inputs, dtype, str(options.threads), str(options.runs),
               "cpu" if options.cpu else "wall"]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    values = {line.split()[0]: float(line.split()[1]) for line in out.splitlines()}
    return values, values["peak"]


if __name__ == "__main__":
    sys.exit(main())
