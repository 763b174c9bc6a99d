"""Owns the training of the autoencoder and the latents of the whole training set. Pictures come from dataset.py."""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

import linear_start
from training import (Log, MovingAverage, barrier, join_workers, learning_rate, pick_device, save_checkpoint,
                      share_gradients, share_weights, worker)

CHANNELS = (16, 32, 48, 48)
KL_WEIGHT, EDGE_WEIGHT, EMA_DECAY = 5e-4, 0.5, 0.995
POLISH_NOISE = 0.1


def new_vae():
    """The miniature of SD's autoencoder: 128 x 128 x 3 to 16 x 16 x 4."""
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, sample_size=128, layers_per_block=1,
        block_out_channels=CHANNELS, norm_num_groups=linear_start.GROUPS, act_fn="silu",
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)


def to_tensor(pictures, device):
    """uint8 [b, h, w, 3] to float [b, 3, h, w] in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def batch_of(pictures, rng, size, crop):
    """Random pictures, or random crops of them where crop is smaller than the picture."""
    chosen = pictures[np.sort(rng.integers(0, len(pictures), size))]
    reach = chosen.shape[1] - crop
    corners = rng.integers(0, reach // 8 + 1, (size, 2)) * 8
    return np.stack([picture[y:y + crop, x:x + crop] for picture, (y, x) in zip(chosen, corners)])


def edge_loss(a, b):
    """L1 between the horizontal and vertical differences of two pictures."""
    across = (a.diff(dim=3) - b.diff(dim=3)).abs().mean()
    return across + (a.diff(dim=2) - b.diff(dim=2)).abs().mean()


def losses(vae, pixels, decoder_only):
    """Reconstruction, edges and KL of one batch."""
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16), torch.set_grad_enabled(not decoder_only):
        posterior = vae.encode(pixels).latent_dist
    latents = posterior.sample().float()
    if decoder_only:  # what the UNet draws is a little off: the decoder learns to forgive it
        latents = latents + POLISH_NOISE * torch.randn_like(latents)
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16):
        restored = vae.decode(latents.detach() if decoder_only else latents).sample
    restored = restored.float()
    kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
    return F.l1_loss(restored, pixels) + F.mse_loss(restored, pixels), edge_loss(restored, pixels), kl


def train(args, device):
    """Trains on crops first (four times cheaper), on whole pictures at the end."""
    torch.manual_seed(args.seed)
    vae = new_vae()
    linear_start.start(vae)
    vae.to(device)
    mean = MovingAverage(vae, EMA_DECAY)
    parts = (vae.decoder, vae.post_quant_conv) if args.decoder_only else (vae,)
    weights = [parameter for part in parts for parameter in part.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=args.rate, betas=(0.9, 0.98), weight_decay=1e-4)
    first, (number, count) = resume(args, vae, mean, optimiser), worker()
    pictures, log = np.load(args.data / "pictures.npy", mmap_mode="r"), Log(args.out / "vae-loss.jsonl")
    for step in range(first, args.steps):
        rng = np.random.default_rng([args.seed, step])
        crop = args.crop if step < args.crop_steps else pictures.shape[1]
        size = args.batch * pictures.shape[1] ** 2 // crop ** 2 // (2 if crop < pictures.shape[1] else 1)
        pixels = to_tensor(batch_of(pictures, rng, size, crop)[number::count], device)
        optimiser.param_groups[0]["lr"] = learning_rate(step, args.steps, args.rate, 50, args.decay_steps)
        restored, edges, kl = losses(vae, pixels, args.decoder_only)
        (restored + EDGE_WEIGHT * edges + KL_WEIGHT * kl).backward()
        share_gradients(weights)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if number != 0:
            continue
        mean.update(vae, step)
        log.add(step, {"restored": restored.item(), "edges": edges.item(), "kl": kl.item()})
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            save_checkpoint(args.out / "vae.pt", step=step + 1, vae=vae.state_dict(), mean=mean.module.state_dict(),
                            optimiser=optimiser.state_dict(), decoder_only=args.decoder_only)
    share_weights(mean.module)
    return mean.module


def resume(args, vae, mean, optimiser):
    """Loads the last checkpoint where there is one; returns the step to go on from."""
    if not (args.out / "vae.pt").exists():
        return 0
    saved = torch.load(args.out / "vae.pt", map_location="cpu")
    begins_polish = args.decoder_only and not saved.get("decoder_only", False)
    vae.load_state_dict(saved["mean" if begins_polish else "vae"])
    mean.module.load_state_dict(saved["mean"])
    if not begins_polish:
        optimiser.load_state_dict(saved["optimiser"])
    return saved["step"]


@torch.no_grad()
def cache_latents(args, vae, device):
    """Writes the posterior means of this worker's share of the first pictures into latents.npy, f16 [n, 4, 16, 16]."""
    pictures, path = np.load(args.data / "pictures.npy", mmap_mode="r")[:args.latents], args.out / "latents.npy"
    number, count = worker()
    if number == 0:
        np.lib.format.open_memmap(path, "w+", np.float16, (len(pictures), 4, 16, 16)).flush()
    barrier()
    latents = np.load(path, mmap_mode="r+")
    for start in range(64 * number, len(pictures), 64 * count):
        with torch.autocast(device.type, dtype=torch.bfloat16):
            means = vae.encode(to_tensor(pictures[start:start + 64], device)).latent_dist.mean
        latents[start:start + 64] = means.half().cpu().numpy()
    latents.flush()
    barrier()
    if number == 0:
        scaling = 1 / np.load(path)[:10_000].astype(np.float32).std()
        (args.out / "scaling_factor.txt").write_text(f"{scaling:.5f}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--crop-steps", type=int, default=1400)
    parser.add_argument("--decay-steps", type=int, default=300)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8, help="whole pictures per step")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--latents", type=int, default=20_000, help="pictures whose latents are cached for train.py")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--decoder-only", action="store_true", help="polish the decoder; the latents stay as they are")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    device = pick_device()
    join_workers()
    vae = train(args, device)
    if not args.decoder_only:
        cache_latents(args, vae, device)


if __name__ == "__main__":
    main()
