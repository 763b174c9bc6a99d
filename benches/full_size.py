"""Makes a model folder of full size with random weights: speed and memory do not depend on what the weights are.

usage: python benches/full_size.py sd15|sdxl FOLDER [--dtype f16|bf16|f32]

FOLDER gets diffusers' layout: networks in the sizes of Stable Diffusion 1.5 or XL, a scheduler, and a tokenizer made of
assets/clip. Needs torch, diffusers and transformers; f32 weights take 4.3 GB (sd15) and 14 GB (sdxl), others half of that.
"""
import argparse
import gzip
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

ASSETS = Path(__file__).parent.parent / "assets" / "clip"
DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}

UNETS = {
    "sd15": dict(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        block_out_channels=(320, 640, 1280, 1280),
    ),
    "sdxl": dict(
        sample_size=128, cross_attention_dim=2048, attention_head_dim=(5, 10, 20), use_linear_projection=True,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",),
        block_out_channels=(320, 640, 1280), transformer_layers_per_block=(1, 2, 10),
        addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
    ),
}
CLIP_L = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
              hidden_act="quick_gelu", projection_dim=768)
CLIP_BIG_G = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                  hidden_act="gelu", projection_dim=1280)
COMPONENTS = {
    "sd15": {"tokenizer": "CLIPTokenizer", "text_encoder": "CLIPTextModel"},
    "sdxl": {"tokenizer": "CLIPTokenizer", "tokenizer_2": "CLIPTokenizer", "text_encoder": "CLIPTextModel",
             "text_encoder_2": "CLIPTextModelWithProjection"},
}


def text_encoder(name, family):
    sizes = dict(CLIP_BIG_G if name == "text_encoder_2" else CLIP_L, vocab_size=49408, max_position_embeddings=77)
    kind = CLIPTextModelWithProjection if COMPONENTS[family][name].endswith("Projection") else CLIPTextModel
    return kind(CLIPTextConfig(**sizes))


def autoencoder(family):
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
        scaling_factor=0.18215 if family == "sd15" else 0.13025)


def write_tokenizer(folder):
    """CLIP's vocabulary from its merges: the bytes, the bytes that end a word, the merges, the two marks."""
    folder.mkdir(parents=True, exist_ok=True)
    text = gzip.decompress((ASSETS / "merges.txt.gz").read_bytes()).decode()
    merges = [line for line in text.splitlines() if line and not line.startswith("#")]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    marks = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
             "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **marks}))
    (folder / "special_tokens_map.json").write_text(json.dumps(marks))


@torch.no_grad()
def randomise(network):
    """Small weights, so that activations stay finite through every layer."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, 0.02, generator=generator)
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=UNETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="f16")
    arguments = parser.parse_args()
    family, folder = arguments.family, arguments.folder
    torch.set_default_dtype(DTYPES[arguments.dtype])
    makers = {name: lambda name=name: text_encoder(name, family)
              for name in COMPONENTS[family] if name.startswith("text_encoder")}
    makers["unet"] = lambda: UNet2DConditionModel(in_channels=4, out_channels=4, layers_per_block=2, **UNETS[family])
    makers["vae"] = lambda: autoencoder(family)
    for name, make in makers.items():
        randomise(make()).save_pretrained(folder / name, max_shard_size="100GB")
    DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                  set_alpha_to_one=False, steps_offset=1).save_pretrained(folder / "scheduler")
    for name in COMPONENTS[family]:
        if name.startswith("tokenizer"):
            write_tokenizer(folder / name)
    index = {"_class_name": "StableDiffusionPipeline" if family == "sd15" else "StableDiffusionXLPipeline",
             "_diffusers_version": "0.30.0", "scheduler": ["diffusers", "DDIMScheduler"],
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
             **{name: ["transformers", kind] for name, kind in COMPONENTS[family].items()}}
    if family == "sd15":
        index.update(safety_checker=[None, None], feature_extractor=[None, None])
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


if __name__ == "__main__":
    main()
