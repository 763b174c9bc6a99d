#!/usr/bin/env bash
# diffusers' XL inpainting pipeline encodes a picture without the latents_mean and latents_std that it decodes with.
#
# The guess it breaks: encoding is the inverse of decoding, as in the XL image-to-image pipeline beside it. With an
# autoencoder that has the two keys (Playground v2.5's), the inpainting pipeline only multiplies by scaling_factor when
# encoding, and divides, multiplies by the deviation and adds the mean when decoding: what lies outside the mask changes.
# Source: pipeline_stable_diffusion_xl_inpaint.py, _encode_vae_image, beside pipeline_stable_diffusion_xl_img2img.py,
# prepare_latents, diffusers 0.42.1; run below on a small autoencoder.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 numpy==2.3.5 diffusers==0.42.1 transformers==5.5.4
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import diffusers
import torch
from diffusers import (
    AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)

torch.manual_seed(0)
vae = AutoencoderKL(block_out_channels=(32,), norm_num_groups=8, latent_channels=4, scaling_factor=0.5)
vae.register_to_config(latents_mean=[0.5, -0.3, 0.2, 0.1], latents_std=[2.0, 1.5, 3.0, 0.7])
unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(8,), norm_num_groups=4, down_block_types=("DownBlock2D",),
    up_block_types=("UpBlock2D",), layers_per_block=1, cross_attention_dim=8,
)
parts = dict(
    vae=vae, unet=unet, scheduler=EulerDiscreteScheduler(), text_encoder=None, text_encoder_2=None, tokenizer=None,
    tokenizer_2=None,
)
picture = torch.rand(1, 3, 16, 16) * 2 - 1
seeded = lambda: torch.Generator().manual_seed(3)
with torch.no_grad():
    drawn = vae.encode(picture).latent_dist.sample(seeded())
    inpaint = StableDiffusionXLInpaintPipeline(**parts)._encode_vae_image(picture, seeded())
    img2img = StableDiffusionXLImg2ImgPipeline(**parts).prepare_latents(
        picture, None, 1, 1, torch.float32, "cpu", seeded(), add_noise=False
    )
mean, deviation = (torch.tensor(vae.config[key]).view(1, 4, 1, 1) for key in ("latents_mean", "latents_std"))
plain, whole = drawn * 0.5, (drawn - mean) * 0.5 / deviation
print("diffusers", diffusers.__version__)
for name, got in (("image to image", img2img), ("inpainting", inpaint)):
    print(f"{name}: off the scaled latents by {(got - plain).abs().max():.4f}, off the normalised ones by {(got - whole).abs().max():.4f}")
assert torch.allclose(inpaint, plain, atol=1e-5) and torch.allclose(img2img, whole, atol=1e-5)
PY
