"""Owns the sizes of the text encoder, the UNet and the noise schedule. Their training is left to train.py, the autoencoder to train_vae.py."""

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

TEXT_WIDTH = 96
# Each residual branch starts at zero, so that the whole starts as a short, straight path.
ENDS_OF_BRANCHES = ("conv_out.", ".conv2.", ".proj_out.")

# SD's own betas; trailing spacing, since v-prediction is exact from pure noise on.
SCHEDULE = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=1, clip_sample=False,
                set_alpha_to_one=False)


def new_text_encoder(tokenizer):
    """The miniature of CLIP's text encoder; the ids of start and end are the vocabulary's last two."""
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=192, num_hidden_layers=3,
        num_attention_heads=3, max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def new_unet():
    """The miniature of SD's UNet: two levels, words attended to on the lower one (8 x 8)."""
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(64, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH, attention_head_dim=3, norm_num_groups=32)
    for name, parameter in unet.named_parameters():
        if name.startswith(ENDS_OF_BRANCHES[0]) or any(part in name for part in ENDS_OF_BRANCHES[1:]):
            torch.nn.init.zeros_(parameter)
    return unet


def new_schedule():
    """The training noise and the default sampler."""
    return DDIMScheduler(**SCHEDULE)
