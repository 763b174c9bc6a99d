"""Owns the shipped folder: the averaged weights as f16 safetensors and their configs in diffusers layout."""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

import make_tokenizer
from models import new_schedule
from train import Learner
from train_vae import new_vae

LIMIT = 7_000_000  # bytes, all files together
# What the library notes about a run of its own rather than about the model.
PRIVATE_KEYS = ("_name_or_path", "_use_default_values", "transformers_version", "_diffusers_version", "dtype", "torch_dtype",
                "id2label", "label2id", "problem_type", "return_dict", "output_attentions", "output_hidden_states",
                "is_encoder_decoder", "chunk_size_feed_forward", "architectures")

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def write_json(path, value):
    """Indented JSON with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def public(config):
    """A model's config without the library's own notes."""
    return {key: value for key, value in dict(config).items() if key not in PRIVATE_KEYS}


def write_config(path, name, config):
    """A part's config.json, headed by its class."""
    key = "architectures" if name == "CLIPTextModel" else "_class_name"
    write_json(path, {key: [name] if key == "architectures" else name, **public(config)})


def write_weights(path, module):
    """All weights as f16."""
    tensors = {name: value.half().contiguous() for name, value in module.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)


def load_vae(folder):
    """The averaged autoencoder of the last checkpoint, with the scaling factor of the cached latents."""
    config = {**public(new_vae().config), "scaling_factor": float((folder / "scaling_factor.txt").read_text())}
    vae = AutoencoderKL.from_config(config)
    vae.load_state_dict(torch.load(folder / "vae.pt", map_location="cpu")["mean"])
    return vae


def load_learner(folder, tokenizer):
    """The averaged text encoder and UNet of the last checkpoint."""
    learner = Learner(tokenizer)
    saved = torch.load(folder / "unet.pt", map_location="cpu")
    learner.load_state_dict(saved["mean"])
    return learner, saved["step"]


def export(source, target):
    """Writes the whole folder anew; returns the training step of the weights."""
    shutil.rmtree(target, ignore_errors=True)
    make_tokenizer.write(target / "tokenizer")
    learner, step = load_learner(source, make_tokenizer.load(target / "tokenizer"))
    vae = load_vae(source)
    write_json(target / "model_index.json", MODEL_INDEX)
    write_config(target / "scheduler" / "scheduler_config.json", "DDIMScheduler", new_schedule().config)
    write_config(target / "vae" / "config.json", "AutoencoderKL", vae.config)
    write_config(target / "unet" / "config.json", "UNet2DConditionModel", learner.unet.config)
    write_config(target / "text_encoder" / "config.json", "CLIPTextModel", learner.text_encoder.config.to_dict())
    write_weights(target / "vae" / "diffusion_pytorch_model.safetensors", vae)
    write_weights(target / "unet" / "diffusion_pytorch_model.safetensors", learner.unet)
    write_weights(target / "text_encoder" / "model.safetensors", learner.text_encoder)
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--target", type=Path, required=True, help="assets/demo")
    args = parser.parse_args()
    step = export(args.source, args.target)
    size = sum(path.stat().st_size for path in args.target.rglob("*") if path.is_file())
    print(f"step {step}, {size} bytes")
    assert size <= LIMIT, f"{size} bytes are over {LIMIT}"


if __name__ == "__main__":
    main()
