#!/usr/bin/env bash
# A key that a diffusers scheduler does not declare may change its noise levels all the same.
#
# The guess it breaks: a leftover key in scheduler_config.json, which the class has no parameter for, is inert; the loader
# even warns that it "will be ignored". `from_config` keeps it in `scheduler.config`, and the Karras, exponential and beta
# schedules of several classes ask `hasattr(self.config, "sigma_max")`: such a file draws another picture with Heun,
# KDPM2 and DPM-Solver multistep, and the same one with LMS, which was made of the same code.
# Source: configuration_utils.py, extract_init_dict; scheduling_heun_discrete.py, _convert_to_karras; diffusers 0.42.1.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 numpy==2.3.5 scipy==1.16.3 diffusers==0.42.1 transformers==5.5.4
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import inspect
import diffusers

print("diffusers", diffusers.__version__)
for name, counts in [
    ("HeunDiscreteScheduler", True), ("KDPM2DiscreteScheduler", True), ("DPMSolverMultistepScheduler", True),
    ("LMSDiscreteScheduler", False),
]:
    kind = getattr(diffusers, name)
    assert "sigma_max" not in inspect.signature(kind).parameters
    first = []
    for more in ({}, {"sigma_min": 0.1, "sigma_max": 9.0}):
        # As a saved file says it: every key is there on purpose.
        config = {**kind().config, "_use_default_values": [], "use_karras_sigmas": True, **more}
        scheduler = kind.from_config(config)
        scheduler.set_timesteps(4)
        first.append(scheduler.sigmas[0].item())
    print(f"{name}: the first sigma is {first[0]:.3f}, with an undeclared sigma_max of 9 {first[1]:.3f}")
    assert (first[1] == 9.0) == counts and (first[0] == first[1]) != counts
PY
