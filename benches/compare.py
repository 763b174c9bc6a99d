"""Times sdgen beside diffusers on the same machine and the same model folder, in turn, and prints ratios.

usage: python benches/compare.py SDGEN MODEL [--device cpu|cuda|metal] [--dtype f32|f16|bf16] [--rounds 3] [--size 512]
                                 [--threads N] [--whole STEPS]

SDGEN is the binary (target/release/sdgen), MODEL a folder of Stable Diffusion 1.x, 2.x or XL in diffusers' layout.
Needs torch, diffusers and transformers. Each round runs `sdgen bench` and, in a process of its own, diffusers with its
networks in channels-last memory format (PyTorch's fastest here); a ratio below 1 means that sdgen is faster. With --whole
each side is a program that loads the model, draws a picture in STEPS steps with guidance and saves it as PNG.

On cuda and metal both sides compute in f16 unless --dtype says otherwise, diffusers' attention is PyTorch's
scaled_dot_product_attention, and an autoencoder of XL whose config.json asks for it (`force_upcast`) decodes in f32, as in
diffusers' pipelines and in sdgen. Memory of a graphics card is not compared.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT = "a lighthouse at dusk"
TORCH_DEVICES = {"cpu": "cpu", "cuda": "cuda", "metal": "mps"}


def diffusers_side(arguments):
    """One UNet call with guidance (a batch of two) and one decode: seconds of each, the median after a warm-up."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    dtype, device = torch_dtype(arguments), TORCH_DEVICES[arguments.device]
    side = arguments.size // 8
    unet = UNet2DConditionModel.from_pretrained(arguments.model, subfolder="unet", torch_dtype=dtype)
    vae = AutoencoderKL.from_pretrained(arguments.model, subfolder="vae", torch_dtype=dtype)
    xl = unet.config.addition_embed_type == "text_time"
    if xl and dtype == torch.float16 and vae.config.force_upcast:
        vae = vae.to(torch.float32)
    unet = unet.eval().to(device, memory_format=torch.channels_last)
    vae = vae.eval().to(device, memory_format=torch.channels_last)

    def draw(*shape):
        return torch.randn(*shape, dtype=dtype, device=device)

    latents = draw(2, unet.config.in_channels, side, side).to(memory_format=torch.channels_last)
    context = draw(2, 77, unet.config.cross_attention_dim)
    pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim if xl else 0
    added = {"text_embeds": draw(2, pooled), "time_ids": torch.zeros(2, 6, dtype=dtype, device=device)} if xl else None
    calls = {
        "step_seconds": lambda: unet(latents, 500, encoder_hidden_states=context, added_cond_kwargs=added),
        "decode_seconds": lambda: vae.decode(latents[:1].to(vae.dtype)).sample.cpu(),
    }
    wait = {"cpu": lambda: None, "cuda": torch.cuda.synchronize, "metal": torch.mps.synchronize}[arguments.device]
    with torch.inference_mode():
        times = {name: seconds(call, wait, arguments.calls) for name, call in calls.items()}
    print(json.dumps({**times, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def torch_dtype(arguments):
    import torch

    return {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[arguments.dtype]


def seconds(call, wait, calls):
    call()
    wait()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def diffusers_program(arguments):
    """What a short script of a user does."""
    import torch
    from diffusers import DiffusionPipeline

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    pipeline = DiffusionPipeline.from_pretrained(arguments.model, torch_dtype=torch_dtype(arguments))
    pipeline.to(TORCH_DEVICES[arguments.device])
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.vae.to(memory_format=torch.channels_last)
    picture = pipeline(PROMPT, width=arguments.size, height=arguments.size, num_inference_steps=arguments.whole,
                       guidance_scale=7.5, generator=torch.Generator().manual_seed(0)).images[0]
    picture.save(f"{arguments.folder}/diffusers.png")


def programs(arguments):
    """Seconds of both programs from start to end."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        theirs = [sys.executable, __file__, *sys.argv[1:], "--diffusers-only", "--folder", folder]
        ours = [arguments.sdgen, PROMPT, "-m", arguments.model, "--device", arguments.device, "--dtype", arguments.dtype,
                "--seed", "0", "--steps", str(arguments.whole), "--cfg-scale", "7.5", "-W", str(arguments.size),
                "-H", str(arguments.size), "-o", f"{folder}/sdgen.png"]
        if arguments.threads:
            ours += ["--threads", str(arguments.threads)]
        for command in (ours, theirs):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
    return times


def sdgen_side(arguments):
    command = [arguments.sdgen, "bench", "-m", arguments.model, "--device", arguments.device, "--dtype", arguments.dtype,
               "--steps", str(arguments.steps), "--json", "-W", str(arguments.size), "-H", str(arguments.size)]
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
    parser.add_argument("--device", choices=TORCH_DEVICES, default="cpu")
    parser.add_argument("--dtype", choices=["f32", "f16", "bf16"], help="f32 on the processor, f16 elsewhere")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of sdgen in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--calls", type=int, default=3, help="timed calls of diffusers in a round")
    parser.add_argument("--whole", type=int, metavar="STEPS", help="time whole programs")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--diffusers-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.dtype = arguments.dtype or ("f32" if arguments.device == "cpu" else "f16")
    if arguments.diffusers_only:
        return diffusers_program(arguments) if arguments.whole else diffusers_side(arguments)
    if arguments.whole:
        rounds = [programs(arguments) for _ in range(arguments.rounds)]
        return print_ratio("whole program", *zip(*rounds))
    rounds = [(sdgen_side(arguments), other_side()) for _ in range(arguments.rounds)]
    for stage in ("step_seconds", "decode_seconds"):
        print_ratio(stage, *([side[stage] for side in sides] for sides in zip(*rounds)))
    load = statistics.median(side["load_seconds"] for side, _ in rounds)
    if arguments.device != "cpu":
        return print(f"load of sdgen {load:.2f} s")
    ours, theirs = (max(side["peak_bytes"] for side in sides) / 1e9 for sides in zip(*rounds))
    print(f"peak: sdgen {ours:.2f} GB with the text encoder, diffusers {theirs:.2f} GB without; "
          f"load of sdgen {load:.2f} s")


def print_ratio(name, ours, theirs):
    ratios = [a / b for a, b in zip(ours, theirs)]
    print(f"{name}: sdgen {statistics.median(ours):.3f} s, diffusers {statistics.median(theirs):.3f} s, "
          f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
