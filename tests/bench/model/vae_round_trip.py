#!/usr/bin/env python3
"""A picture through the VAE and back, by bench_vae_round_trip and by diffusers' AutoencoderKL, at the released
dimensions, on the same random checkpoint, machine, threads and type.

    python3 -m venv venv && venv/bin/pip install torch==2.11.0 diffusers==0.35.1 transformers==4.55.0
    venv/bin/python tests/bench/model/vae_round_trip.py build/release/tests/bench_vae_round_trip --dtype f32

Wished: ours/torch at most 1.0; peak memory at most 1.1 times the tensors'."""

import pathlib
import sys
import tempfile

import diffusers
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

import compare

CHANNELS = (128, 256, 512, 512)
LATENT = 16


def make_model():
    torch.manual_seed(1)
    count = len(CHANNELS)
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * count, up_block_types=("UpDecoderBlock2D",) * count,
        block_out_channels=CHANNELS, layers_per_block=2, latent_channels=LATENT, scaling_factor=0.3611,
        shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)
    return model.eval()


def main():
    options = compare.arguments(__doc__, ([256, 512, 1024], "pixels along a side"))
    model = make_model()
    compare.print_machine(options, model, [diffusers])
    print("type  pixels  encode: torch s, ours s  decode: torch s, ours s  ours/torch  "
          "rms from torch f32: encode torch, ours, decode torch, ours  (peak - libraries) / tensors MiB")
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = pathlib.Path(name)
        model.save_pretrained(folder)
        for size in options.size:
            made = torch.Generator().manual_seed(2)
            picture = torch.rand(1, 3, size, size, generator=made) * 2 - 1
            latents = torch.randn(1, LATENT, size // 8, size // 8, generator=made)
            exact = [work() for work in reference(model.float(), picture, latents)]
            save_file({"picture": picture, "latents": latents, "moments": exact[0], "decoded": exact[1]},
                      folder / "inputs.safetensors")
            for dtype in options.dtype:
                print(f"{dtype:4}  {size:6}  " + row(options, model, folder, dtype, picture, latents, exact), flush=True)


def reference(model, picture, latents):
    """Encoder and decoder as callables."""
    config = model.config
    picture, latents = picture.to(model.dtype), latents.to(model.dtype)
    return (lambda: model.encode(picture).latent_dist.parameters,
            lambda: model.decode(latents / config.scaling_factor + config.shift_factor, return_dict=False)[0])


def row(options, model, folder, dtype, picture, latents, exact):
    model.to(compare.DTYPES[dtype])
    encode, decode = reference(model, picture, latents)
    torch_rms = [compare.rms(work(), value) for work, value in zip((encode, decode), exact)]
    with compare.Ours(options, folder, folder / "inputs.safetensors", dtype) as ours:
        ours("encode")
        ours("decode")
        memory = compare.memory_columns(ours)
        best = compare.alternate(options, ours, ["encode", "decode"], {"torch_encode": encode, "torch_decode": decode})
        ratio = (best["encode"] + best["decode"]) / (best["torch_encode"] + best["torch_decode"])
        return (f"{best['torch_encode']:7.2f}, {best['encode']:.2f}  {best['torch_decode']:7.2f}, {best['decode']:.2f}  "
                f"{ratio:.2f}  {torch_rms[0]:.1e}, {ours('encode_rms'):.1e}, {torch_rms[1]:.1e}, "
                f"{ours('decode_rms'):.1e}  {memory}")


if __name__ == "__main__":
    sys.exit(main())
