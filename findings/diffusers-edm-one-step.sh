#!/usr/bin/env bash
# One step of diffusers' EDM schedulers with the exponential schedule starts at the smallest noise level, not the largest.
#
# The guess it breaks: a schedule of one step goes from sigma_max to 0, as the Karras one of the same classes does. The
# exponential one is a linspace from log sigma_min to log sigma_max, turned around; of one point it has the first, 0.002,
# while the noise that it is given has been scaled for 80.
# Source: scheduling_edm_euler.py, _compute_exponential_sigmas, diffusers 0.42.1; run below.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 numpy==2.3.5 diffusers==0.42.1 transformers==5.5.4
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import diffusers
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler

print("diffusers", diffusers.__version__)
for kind in (EDMEulerScheduler, EDMDPMSolverMultistepScheduler):
    for schedule, first in (("karras", 80.0), ("exponential", 0.002)):
        scheduler = kind(sigma_schedule=schedule)
        scheduler.set_timesteps(1)
        got = scheduler.sigmas[0].item()
        print(f"{kind.__name__}, {schedule}: starts at {got:.4f}, noise scaled by {scheduler.init_noise_sigma:.1f}")
        assert abs(got - first) < 1e-3 and scheduler.init_noise_sigma > 80
PY
