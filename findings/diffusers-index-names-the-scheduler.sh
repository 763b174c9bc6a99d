#!/usr/bin/env bash
# The class of a pipeline's scheduler is the one in model_index.json; `_class_name` in scheduler_config.json is not read.
#
# The guess it breaks: a scheduler_config.json with another `_class_name`, put into a saved model, changes the sampler, and
# a file and an index that disagree are refused or at least told. The file's numbers are read by the class of the index, and
# nothing is said.
# Source: diffusers/pipelines/pipeline_utils.py, DiffusionPipeline.from_pretrained; run below.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 diffusers==0.42.1 transformers==5.5.4 accelerate numpy==2.3.5
"$work/venv/bin/python" - "$work" <<'PY'
import json
import logging
import pathlib
import sys

import diffusers
from diffusers import DDIMPipeline, DDIMScheduler, DiffusionPipeline, UNet2DModel

print("diffusers", diffusers.__version__)
heard = []
handler = logging.Handler()
handler.emit = lambda record: heard.append(record.getMessage())
diffusers.utils.logging.get_logger("diffusers").addHandler(handler)

unet = UNet2DModel(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8,), norm_num_groups=4,
                   down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), layers_per_block=1)
folder = pathlib.Path(sys.argv[1], "model")
DDIMPipeline(unet, DDIMScheduler(beta_schedule="squaredcos_cap_v2")).save_pretrained(folder)

file = folder / "scheduler" / "scheduler_config.json"
config = json.loads(file.read_text())
config["_class_name"] = "EulerDiscreteScheduler"
file.write_text(json.dumps(config))

heard.clear()
pipe = DiffusionPipeline.from_pretrained(folder)
print("the index says", json.loads((folder / "model_index.json").read_text())["scheduler"][1])
print("the file says", json.loads(file.read_text())["_class_name"])
print("loaded:", type(pipe.scheduler).__name__, "with", pipe.scheduler.config.beta_schedule)
told = [line for line in heard if "EulerDiscrete" in line]
print("told:", told)
assert type(pipe.scheduler) is DDIMScheduler
assert pipe.scheduler.config.beta_schedule == "squaredcos_cap_v2"
assert not told
PY
