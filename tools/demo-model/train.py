"""Owns the joint training of text encoder and UNet on cached latents. Latents come from train_vae.py, sizes from models.py."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import make_tokenizer
from models import new_schedule, new_text_encoder, new_unet
from muon import MuonWithAdamW
from training import Log, MovingAverage, join_workers, learning_rate, pick_device, save_checkpoint, share_gradients, worker

EMPTY_CAPTION_SHARE, EMA_DECAY, WARMUP = 0.1, 0.998, 100
# The weight of a clean latent's error, SNR + 1 under the v loss, is capped here (min-SNR, arXiv 2303.09556).
WEIGHT_CAP = 6.0


class Learner(torch.nn.Module):
    """Text encoder and UNet as one module, so that optimiser and moving average see both."""

    def __init__(self, tokenizer):
        super().__init__()
        self.text_encoder, self.unet = new_text_encoder(tokenizer), new_unet()

    def forward(self, noisy, timesteps, tokens):
        words = self.text_encoder(tokens).last_hidden_state
        return self.unet(noisy, timesteps, words).sample


def tokenized_captions(args, tokenizer):
    """Token ids [pictures, captions, 77] as int16, cached beside the checkpoints."""
    path = args.out / "tokens.npy"
    if not path.exists():
        captions = json.loads((args.data / "captions.json").read_text())
        flat = [line for lines in captions for line in lines]
        ids = tokenizer(flat, padding="max_length", truncation=True, max_length=make_tokenizer.LENGTH, return_tensors="np").input_ids
        np.save(path, ids.astype(np.int16).reshape(len(captions), -1, make_tokenizer.LENGTH))
    return np.load(path)


class Batches:
    """The batch of a step depends on seed and step only, so that a resumed run goes on exactly."""

    def __init__(self, args, tokenizer, device):
        self.args, self.device, self.schedule = args, device, new_schedule()
        self.latents, self.tokens = np.load(args.out / "latents.npy"), tokenized_captions(args, tokenizer)
        self.scaling = float((args.out / "scaling_factor.txt").read_text())
        empty = tokenizer("", padding="max_length", max_length=make_tokenizer.LENGTH).input_ids
        self.empty = np.array(empty, dtype=np.int16)

    def at(self, step):
        """Noisy latents, timesteps, tokens, the v target and the weight of each sample."""
        size, rng = self.args.batch, np.random.default_rng([self.args.seed, step])
        chosen = rng.integers(0, len(self.latents), size)
        tokens = self.tokens[chosen, rng.integers(0, self.tokens.shape[1], size)]
        tokens[rng.random(size) < EMPTY_CAPTION_SHARE] = self.empty
        # One timestep from each of `size` equal slices: even coverage in every batch.
        timesteps = torch.from_numpy(((np.arange(size) + rng.random(size)) / size * 1000).astype(np.int64))
        clean = torch.from_numpy(self.latents[chosen].astype(np.float32) * self.scaling)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        noisy = self.schedule.add_noise(clean, noise, timesteps)
        target = self.schedule.get_velocity(clean, noise, timesteps)
        alpha_bar = self.schedule.alphas_cumprod[timesteps]
        weight = (WEIGHT_CAP * (1 - alpha_bar)).clamp(max=1.0)  # SNR + 1 = 1 / (1 - alpha_bar)
        parts = (noisy, timesteps, torch.from_numpy(tokens.astype(np.int64)), target, weight)
        number, count = worker()  # each worker takes every count-th sample
        return [part[number::count].to(self.device) for part in parts]


def train_step(learner, optimiser, batch, lr):
    """One optimiser step; returns the weighted loss and the gradient's norm."""
    noisy, timesteps, tokens, target, weight = batch
    # On a CPU and with so few tokens plain attention takes less time than the fused one.
    backends = [SDPBackend.MATH] if noisy.device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(backends), torch.autocast(noisy.device.type, dtype=torch.bfloat16):
        predicted = learner(noisy, timesteps, tokens)
        loss = ((predicted.float() - target) ** 2).mean(dim=(1, 2, 3)).mul(weight).mean()
    loss.backward()
    parameters = list(learner.parameters())
    share_gradients(parameters)
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step(lr)
    return loss, norm


def resume(args, learner, mean, optimiser):
    """Loads the last checkpoint where there is one; returns the step to go on from."""
    path = args.out / "unet.pt"
    if not path.exists():
        return 0
    saved = torch.load(path, map_location="cpu")
    learner.load_state_dict(saved["learner"])
    mean.module.load_state_dict(saved["mean"])
    optimiser.load_state_dict(saved["optimiser"])
    return saved["step"]


def train(args, device):
    """Trains from the last checkpoint to the last step."""
    torch.manual_seed(args.seed)
    tokenizer = make_tokenizer.load(args.out / "tokenizer")
    learner = Learner(tokenizer).to(device).train()
    mean = MovingAverage(learner, EMA_DECAY)
    optimiser = MuonWithAdamW(learner, args.rate)
    first = resume(args, learner, mean, optimiser)
    batches, log = Batches(args, tokenizer, device), Log(args.out / "unet-loss.jsonl")
    for step in range(first, args.steps):
        lr = learning_rate(step, args.steps, args.rate, WARMUP, args.decay_steps)
        loss, norm = train_step(learner, optimiser, batches.at(step), lr)
        if worker()[0] != 0:
            continue
        mean.update(learner, step)
        log.add(step, {"loss": loss.item(), "norm": norm.item()})
        if (step + 1) % args.save_every == 0 or step + 1 == args.steps:
            save_checkpoint(args.out / "unet.pt", step=step + 1, learner=learner.state_dict(),
                            mean=mean.module.state_dict(), optimiser=optimiser.state_dict())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--decay-steps", type=int, default=2_400)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    device = pick_device()
    join_workers()
    train(args, device)


if __name__ == "__main__":
    main()
