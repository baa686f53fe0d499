#!/usr/bin/env python3
"""One text encode (a picture, a prompt of 30 tokens of 640, the empty negative prompt) by bench_text_encode and by
transformers' Qwen2.5-VL, on the same random checkpoint, machine, threads and type.

    python3 -m venv venv && venv/bin/pip install torch==2.11.0 transformers==4.55.0
    venv/bin/python tests/bench/model/text_encode.py build/release/tests/bench_text_encode

Wished: fast/torch at most 0.65; peak memory at most 1.1 times the tensors'."""

import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

import compare

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
    options = compare.arguments(__doc__, ([36], "patches along a side of the picture"),
                                layers=(8, "of the text model and of the vision tower"))
    model = make_model(options.layers)
    compare.print_machine(options, model, [transformers])
    print("type  patches  torch s  plain s   fast s  plain/torch  fast/torch  picture s  "
          "rms from torch f32: torch, fast  (peak - libraries) / tensors MiB")
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = pathlib.Path(name)
        model.save_pretrained(folder)
        for side in options.size:
            inputs = make_inputs(side)
            exact = reference(model.float(), inputs, torch.float32)
            inputs |= {"prompt_hidden": exact[0], "negative_hidden": exact[1]}
            save_file({key: value.contiguous() for key, value in inputs.items()}, folder / "inputs.safetensors")
            for dtype in options.dtype:
                print(f"{dtype:4}  {side:3}x{side:<3}  " + row(options, model, folder, inputs, dtype, exact), flush=True)


def row(options, model, folder, inputs, dtype, exact):
    torch_type = compare.DTYPES[dtype]
    model.to(torch_type)
    torch_rms = max(compare.rms(a, b) for a, b in zip(reference(model, inputs, torch_type), exact))
    with compare.Ours(options, folder, folder / "inputs.safetensors", dtype) as ours:
        ours("fast")
        memory = compare.memory_columns(ours)
        best = compare.alternate(options, ours, ["plain", "fast", "picture"],
                                 {"torch": lambda: reference(model, inputs, torch_type)})
        return (f"{best['torch']:7.3f}  {best['plain']:7.3f}  {best['fast']:7.3f}  {best['plain'] / best['torch']:11.2f}  "
                f"{best['fast'] / best['torch']:10.2f}  {best['picture']:9.3f}  {torch_rms:.1e}, {ours('fast_rms'):.1e}  "
                f"{memory}")


if __name__ == "__main__":
    sys.exit(main())
