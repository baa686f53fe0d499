#!/usr/bin/env python3
"""One step of the transformer for prompt and negative prompt, by bench_transformer_step and by diffusers'
FluxTransformer2DModel, on the same random checkpoint, machine, threads and type. An edit: the reference picture's tokens
follow the target's. The text is 640 tokens, of which the prompt has --kept and the negative prompt 25 fewer; the rest
is padding. In a real edit the kept ones include the picture's, 256 to 324 (--kept 330).

    python3 -m venv venv && venv/bin/pip install torch==2.11.0 diffusers==0.35.1 transformers==4.55.0
    venv/bin/python tests/bench/model/transformer_step.py build/release/tests/bench_transformer_step --size 256 512

Wished: fast/torch at most 0.65 at 256 pixels and 0.85 at 512; peak memory at most 1.1 times the tensors'.
'precomputed' is seconds per step and pair of prompts that the fast way spends before the first of 28 steps, and in
brackets what they would cost within each: modulations (which diffusers' time contains) and connector (which it does
not)."""

import json
import pathlib
import sys
import tempfile

import diffusers
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

import compare

HIDDEN, HEADS, DOUBLE, SINGLE = 1024, 8, 5, 10
CHANNELS, POOLED, TEXT = 64, 768, 1024
CONNECTOR_DEPTH, CONNECTOR_TIME = 2, 256
TOKENS = 640
NEGATIVE_FEWER = 25
TIME = 0.5

RENAMED = {
    "time_text_embed.timestep_embedder.linear_1": "time_embed.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_embed.out_layer",
    "time_text_embed.text_embedder.linear_1": "vec_embed.in_layer",
    "time_text_embed.text_embedder.linear_2": "vec_embed.out_layer",
}


def make_model():
    torch.manual_seed(1)
    model = FluxTransformer2DModel(
        in_channels=CHANNELS, num_layers=DOUBLE, num_single_layers=SINGLE, attention_head_dim=HIDDEN // HEADS,
        num_attention_heads=HEADS, joint_attention_dim=TEXT, pooled_projection_dim=POOLED, guidance_embeds=False).eval()
    for name, parameter in model.named_parameters():
        # What a release stores; and scales other than one, so that a forgotten one shows.
        value = parameter.data * (0.5 + torch.rand_like(parameter)) if ".norm_" in name else parameter.data
        parameter.data = value.to(torch.bfloat16)
    return model


def connector_weights():
    shapes = {"connector.global_proj_out": (POOLED, TEXT)}
    top = "connector.S."
    shapes |= {top + "input_embedder": (TEXT, TEXT), top + "t_embedder.mlp.0": (TEXT, CONNECTOR_TIME),
               top + "t_embedder.mlp.2": (TEXT, TEXT), top + "c_embedder.linear_1": (TEXT, TEXT),
               top + "c_embedder.linear_2": (TEXT, TEXT)}
    for i in range(CONNECTOR_DEPTH):
        block = f"{top}individual_token_refiner.blocks.{i}."
        shapes |= {block + "norm1": (TEXT,), block + "norm2": (TEXT,), block + "self_attn_qkv": (3 * TEXT, TEXT),
                   block + "self_attn_proj": (TEXT, TEXT), block + "mlp.fc1": (4 * TEXT, TEXT),
                   block + "mlp.fc2": (TEXT, 4 * TEXT), block + "adaLN_modulation.1": (2 * TEXT, TEXT)}
    weights = {}
    for name, shape in shapes.items():
        weights[name + ".weight"] = (torch.randn(shape) * 0.03).to(torch.bfloat16)
        weights[name + ".bias"] = torch.zeros(shape[0], dtype=torch.bfloat16)
    return weights


def save_model(model, folder):
    weights = connector_weights()
    for name, value in model.state_dict().items():
        module, _, end = name.rpartition(".")
        weights[f"{RENAMED.get(module, module)}.{end}"] = value.contiguous()
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    config = {
        "_class_name": "Step1XEditTransformer2DModel", "attention_head_dim": HIDDEN // HEADS,
        "num_attention_heads": HEADS, "in_channels": CHANNELS, "guidance_embeds": False, "patch_size": 1,
        "vector_in_dim": POOLED, "num_layers": DOUBLE, "num_single_layers": SINGLE, "axes_dims_rope": [16, 56, 56],
        "timestep_in_dim": 256, "connector_in_channels": TEXT, "connector_hidden_size": TEXT,
        "connector_heads_num": 8, "connector_depth": CONNECTOR_DEPTH, "joint_attention_dim": TEXT}
    (folder / "config.json").write_text(json.dumps(config))
    return sum(value.numel() for value in weights.values())


def picture_ids(side, offset):
    place = torch.arange(side, dtype=torch.float32) + offset
    rows, columns = torch.meshgrid(place, place, indexing="ij")
    return torch.stack([torch.full_like(rows, offset), rows, columns], -1).reshape(-1, 3)


def make_inputs(size, kept):
    side = size // 16
    made = torch.Generator().manual_seed(2)
    inputs = {"img": torch.randn(1, 2 * side * side, CHANNELS, generator=made), "t": torch.tensor([TIME]),
              "side": torch.tensor([side])}
    for name, count in (("prompt", kept), ("negative", kept - NEGATIVE_FEWER)):
        tokens = torch.randn(1, TOKENS, TEXT, generator=made)
        tokens[:, count:] = tokens[:, count:count + 1]
        inputs |= {f"{name}_tokens": tokens, f"{name}_kept": torch.tensor([count]),
                   f"{name}_pooled": torch.randn(1, POOLED, generator=made)}
    return inputs


def reference(model, inputs, dtype):
    """Both halves in one batch, as the pipelines do it. -> (2, targets, channels)"""
    side = int(inputs["side"])
    both = {part: torch.cat([inputs[f"prompt_{part}"], inputs[f"negative_{part}"]]).to(dtype)
            for part in ("tokens", "pooled")}
    out = model(hidden_states=inputs["img"].to(dtype).repeat(2, 1, 1), encoder_hidden_states=both["tokens"],
                pooled_projections=both["pooled"], timestep=inputs["t"].repeat(2),
                img_ids=torch.cat([picture_ids(side, 0), picture_ids(side, 1)]), txt_ids=torch.zeros(TOKENS, 3),
                return_dict=False)[0]
    return out[:, :side * side]


def main():
    options = compare.arguments(__doc__, ([256, 512, 1024], "pixels along a side"),
                                kept=(30, "tokens of the prompt that are not padding"))
    model = make_model()
    compare.print_machine(options, model, [diffusers])
    print("type  pixels  torch s  plain s   fast s  plain/torch  fast/torch  "
          "precomputed: modulations, connector s  rms from torch f32: torch, plain, fast  (peak - libraries) / tensors MiB")
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = pathlib.Path(name)
        save_model(model, folder)
        for size in options.size:
            inputs = make_inputs(size, options.kept)
            exact = reference(model.float(), inputs, torch.float32)
            save_file(inputs | {"prompt_expected": exact[:1].contiguous(), "negative_expected": exact[1:].contiguous()},
                      folder / "inputs.safetensors")
            for dtype in options.dtype:
                print(f"{dtype:4}  {size:6}  " + row(options, model, folder, inputs, dtype, exact), flush=True)


def row(options, model, folder, inputs, dtype, exact):
    torch_type = compare.DTYPES[dtype]
    model.to(torch_type)
    torch_rms = compare.rms(reference(model, inputs, torch_type), exact)
    with compare.Ours(options, folder, folder / "inputs.safetensors", dtype) as ours:
        ours("fast")
        memory = compare.memory_columns(ours)
        apart = ["fast_modulations", "plain_modulations", "fast_connector", "plain_connector"]
        best = compare.alternate(options, ours, ["plain", "fast", *apart],
                                 {"torch": lambda: reference(model, inputs, torch_type)})
        modulations, connector = (f"{best['fast_' + part]:.3f} ({best['plain_' + part]:.3f})"
                                  for part in ("modulations", "connector"))
        return (f"{best['torch']:7.3f}  {best['plain']:7.3f}  {best['fast']:7.3f}  {best['plain'] / best['torch']:11.2f}  "
                f"{best['fast'] / best['torch']:10.2f}  {modulations}, {connector}  "
                f"{torch_rms:.1e}, {ours('plain_rms'):.1e}, {ours('fast_rms'):.1e}  {memory}")


if __name__ == "__main__":
    sys.exit(main())
