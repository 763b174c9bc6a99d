"""The strength of each module of a LoRA whose header has peft's patterns, as diffusers loads it.   usage: python patterns.py

diffusers 0.42.1, peft 0.21.2, transformers 5.24.0."""
import json
import pathlib
import tempfile

import diffusers
import safetensors.torch

HERE = pathlib.Path(__file__).parent
RECORD = {
    "unet.alpha_pattern": {"attn2.to_(k|v)": 8, "^down_blocks.0.*attn1.to_q": 1, ".*ff.net.2": 16, "to_q": 12,
                           "blocks.3.*": 100, "mid_block.*": 3},
    "unet.lora_alpha": 2, "unet.r": 4, "unet.rank_pattern": {}, "unet.use_rslora": False,
    "text_encoder.alpha_pattern": {"encoder.layers.0.*": 1, "fc[12]": 10},
    "text_encoder.lora_alpha": 6, "text_encoder.r": 4, "text_encoder.use_rslora": True,
}


def main():
    tensors = safetensors.torch.load_file(HERE / "adapters/lora/sd15_peft.safetensors")
    modules = sorted({name.split(".lora_")[0] for name in tensors})
    targets = {f"{network}.target_modules": [module.removeprefix(f"{network}.").removeprefix("text_model.")
                                             for module in modules if module.startswith(f"{network}.")]
               for network in ("unet", "text_encoder")}
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(HERE / "models/sd15", safety_checker=None)
    with tempfile.TemporaryDirectory() as folder:
        about = {"lora_adapter_metadata": json.dumps(RECORD | targets)}
        safetensors.torch.save_file(tensors, f"{folder}/a.safetensors", metadata=about)
        pipe.load_lora_weights(folder, weight_name="a.safetensors", adapter_name="a")
    scales = {f"{network}.{name}": module.scaling["a"]
              for network in ("unet", "text_encoder")
              for name, module in getattr(pipe, network).named_modules() if hasattr(module, "scaling")}
    golden = {"record": json.dumps(RECORD), "scales": dict(sorted(scales.items()))}
    (HERE / "adapters/patterns.json").write_text(json.dumps(golden, indent=0))


if __name__ == "__main__":
    main()
