"""Times sdgen beside diffusers on the same machine and the same model folder, in turn, and prints ratios.

usage: python benches/compare.py SDGEN MODEL [--dtype f32|bf16] [--rounds 3] [--size 512] [--threads N]

SDGEN is the binary (target/release/sdgen), MODEL a folder of Stable Diffusion 1.x or 2.x in diffusers' layout.
Needs torch, diffusers and transformers. Each round runs `sdgen bench` and, in a process of its own, diffusers with its
networks in channels-last memory format (PyTorch's fastest here); a ratio below 1 means that sdgen is faster.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time


def diffusers_side(arguments):
    """One UNet call with guidance (a batch of two) and one decode: seconds of each, the median of three after a warm-up."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[arguments.dtype]
    side = arguments.size // 8
    unet = UNet2DConditionModel.from_pretrained(arguments.model, subfolder="unet", torch_dtype=dtype)
    vae = AutoencoderKL.from_pretrained(arguments.model, subfolder="vae", torch_dtype=dtype)
    unet = unet.eval().to(memory_format=torch.channels_last)
    vae = vae.eval().to(memory_format=torch.channels_last)
    latents = torch.randn(2, unet.config.in_channels, side, side, dtype=dtype)
    latents = latents.to(memory_format=torch.channels_last)
    context = torch.randn(2, 77, unet.config.cross_attention_dim, dtype=dtype)
    calls = {
        "step_seconds": lambda: unet(latents, 500, encoder_hidden_states=context),
        "decode_seconds": lambda: vae.decode(latents[:1]),
    }
    with torch.inference_mode():
        print(json.dumps({name: seconds(call) for name, call in calls.items()}))


def seconds(call):
    call()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def sdgen_side(arguments):
    command = [arguments.sdgen, "bench", "-m", arguments.model, "--dtype", arguments.dtype, "--steps", "4", "--json",
               "-W", str(arguments.size), "-H", str(arguments.size)]
    if arguments.threads:
        command += ["--threads", str(arguments.threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def other_side():
    """diffusers in a process of its own, so that neither side sees the other's memory or threads."""
    command = [sys.executable, __file__, *sys.argv[1:], "--diffusers-only"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sdgen")
    parser.add_argument("model")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--diffusers-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.diffusers_only:
        return diffusers_side(arguments)
    rounds = [(sdgen_side(arguments), other_side()) for _ in range(arguments.rounds)]
    for stage in ("step_seconds", "decode_seconds"):
        ours, theirs = ([side[stage] for side in pair] for pair in zip(*rounds))
        ratios = [a / b for a, b in zip(ours, theirs)]
        print(f"{stage}: sdgen {statistics.median(ours):.3f}, diffusers {statistics.median(theirs):.3f}, "
              f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"peak of sdgen: {max(side['peak_bytes'] for side, _ in rounds) / 1e9:.2f} GB; "
          f"load {statistics.median(side['load_seconds'] for side, _ in rounds):.2f} s")


if __name__ == "__main__":
    main()
