"""Tables of the tensors of models in one piece: name there, shape, and which tensors of the folder lie in it.

usage: REF_ROOT=ROOT python single_file.py FIXTURES   (FIXTURES/models as make_fixtures.py makes them)

The mapping is refgen/ldm.py's: it is run over tensors whose values tell where they come from. A line of a table is
`name <tab> shape <tab> part/name shape[, part/name shape ...] <tab> how`, where `how` is `rows` (one below the other) or
`turned` (transposed); lines without a source are what original files carry along.
"""
import gzip
import json
import pathlib
import shutil
import sys

import torch
from safetensors import safe_open

from refgen import ldm

HERE = pathlib.Path(__file__).parent / "single_file"
CONFIGS = ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json", "vae/config.json",
           "text_encoder/config.json", "text_encoder_2/config.json", "tokenizer/special_tokens_map.json",
           "tokenizer_2/special_tokens_map.json")


class Traced:
    """Tensors of one part, each with numbers of its own."""

    def __init__(self):
        self.next, self.origin = 1, {}

    def load(self, folder, part):
        path = next((folder / part).glob("*.safetensors"))
        traced = {}
        with safe_open(path, "pt") as file:
            for name in file.keys():
                shape = file.get_slice(name).get_shape()
                # The first number of each is enough, and both axes of a matrix show whether it was turned.
                traced[name] = torch.full(shape, float(self.next), dtype=torch.float64)
                self.origin[float(self.next)] = (part, name, shape)
                self.next += 1
        return traced


def table(folder, kind):
    traced = Traced()
    config = lambda part: json.loads((folder / part / "config.json").read_text())
    tensors = {}
    tensors.update(ldm.unet_to_ldm(traced.load(folder, "unet"), config("unet")))
    tensors.update(ldm.vae_to_ldm(traced.load(folder, "vae"), config("vae")))
    if kind == "sdxl":
        tensors.update(ldm.clip_to_ldm(traced.load(folder, "text_encoder"), "conditioner.embedders.0."))
        tensors.update(ldm.openclip_to_ldm(traced.load(folder, "text_encoder_2"), "conditioner.embedders.1.model."))
    elif kind == "refiner":
        tensors.update(ldm.openclip_to_ldm(traced.load(folder, "text_encoder_2"), "conditioner.embedders.0.model."))
    elif kind == "sd2":
        text = traced.load(folder, "text_encoder")
        tensors.update(ldm.openclip_to_ldm(text, "cond_stage_model.model.", extra_layer="extra"))
    else:
        tensors.update(ldm.clip_to_ldm(traced.load(folder, "text_encoder"), "cond_stage_model."))
    if kind in ("sd1", "sd2"):
        tensors.update(ldm.schedule_buffers())
    lines = []
    for name, tensor in sorted(tensors.items()):
        shape = ",".join(map(str, tensor.shape))
        found = [] if not tensor.is_floating_point() or tensor.dim() == 0 else list(dict.fromkeys(tensor.flatten().tolist()))
        known = [traced.origin[value] for value in found] if found and all(v in traced.origin for v in found) else []
        known = [] if name.startswith(("alphas", "betas", "sqrt")) else known
        sources = " ".join(f"{part}/{source} {','.join(map(str, size))}" for part, source, size in known)
        turned = name.endswith("text_projection") and known
        lines.append(f"{name}\t{shape}\t{sources}\t{'turned' if turned else 'rows'}")
    return "\n".join(lines) + "\n"


def main(models):
    for name, kind in (("sd15", "sd1"), ("sd15-inpaint", "sd1"), ("sd21-v", "sd2"), ("sdxl", "sdxl"), ("sdxl-refiner", "refiner")):
        target = HERE / name
        target.mkdir(parents=True, exist_ok=True)
        with gzip.GzipFile(target / "tensors.tsv.gz", "wb", mtime=0) as file:
            file.write(table(models / name, kind).encode())
        for config in CONFIGS:
            if (models / name / config).is_file():
                (target / config).parent.mkdir(exist_ok=True)
                shutil.copyfile(models / name / config, target / config)
                (target / config).chmod(0o644)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) / "models")
