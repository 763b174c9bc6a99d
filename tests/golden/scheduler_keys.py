"""Every key of every scheduler class that sdgen stands for, and what diffusers makes of it: each key that any of the
classes has is given to each class, whether the class reads it or not, with each of VALUES. Networks, noise and starts
are those of refgen/schedulers.py, whose tables are taken from schedulers.safetensors.

usage: python scheduler_keys.py     (writes schedulers/keys.json and schedulers/keys.safetensors)
"""
import inspect
import json
import os
import pathlib
import warnings

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("REF_ROOT", "/tmp/keys")
os.environ.setdefault("REF_FIXTURES", "/tmp/keys")

import diffusers  # noqa: E402
import torch  # noqa: E402
from refgen.schedulers import BASE, lists, trajectory  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

CLASSES = [f"{name}Scheduler" for name in (
    "PNDM DDIM DDPM LMSDiscrete EulerDiscrete EulerAncestralDiscrete HeunDiscrete KDPM2Discrete KDPM2AncestralDiscrete "
    "DPMSolverMultistep DPMSolverSinglestep UniPCMultistep DEISMultistep LCM TCD EDMEuler EDMDPMSolverMultistep").split()]
STEPS = 6
# Other values than the default; a whole dictionary where a key counts beside others alone.
VALUES = {
    "algorithm_type": ["dpmsolver++", "sde-dpmsolver++", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
                       {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}, "deis"],
    "beta_end": [0.02], "beta_start": [0.0002], "beta_schedule": ["linear", "squaredcos_cap_v2", "sigmoid"],
    "clip_sample": [True, False], "clip_sample_range": [{"clip_sample": True, "clip_sample_range": 0.7}],
    "disable_corrector": [[0], [1, 2]],
    "dynamic_thresholding_ratio": [0.9], "euler_at_final": [{"euler_at_final": True, "lower_order_final": False, "final_sigmas_type": "sigma_min"}],
    "final_sigmas_type": ["sigma_min", {"final_sigmas_type": "sigma_min", "use_karras_sigmas": True}, "last"],
    "flow_shift": [3.0], "interpolation_type": ["log_linear"], "lambda_min_clipped": [-1.5],
    "lower_order_final": [True, False, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}],
    "num_train_timesteps": [500], "original_inference_steps": [25, 100], "predict_x0": [False, {"predict_x0": False, "final_sigmas_type": "sigma_min"}],
    "prediction_type": ["v_prediction", "sample", "flow_prediction"],
    "rescale_betas_zero_snr": [{"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}],
    "rho": [5.0], "sample_max_value": [2.0], "set_alpha_to_one": [True, False], "shift_terminal": [0.1],
    "sigma_data": [1.0], "sigma_max": [9.0, {"sigma_max": 9.0, "use_karras_sigmas": True}, {"sigma_max": 9.0, "use_exponential_sigmas": True},
                                       {"sigma_max": 9.0, "use_beta_sigmas": True}, {"sigma_max": 120.0, "sigma_schedule": "exponential"}],
    "sigma_min": [0.2, {"sigma_min": 0.2, "use_karras_sigmas": True}, {"sigma_min": 0.2, "use_exponential_sigmas": True},
                  {"sigma_min": 0.2, "use_beta_sigmas": True}, {"sigma_min": 0.2, "use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}],
    "sigma_schedule": ["exponential", "linear"], "skip_prk_steps": [True], "solver_order": [1, 2, 3], "solver_p": [{"solver_p": {}}],
    "solver_type": ["midpoint", "heun", "logrho", "bh1", "bh2", "rk4"], "steps_offset": [{"steps_offset": 1, "timestep_spacing": "leading"}],
    "thresholding": [True], "time_shift_type": ["linear"], "timestep_scaling": [2.0],
    "timestep_spacing": ["linspace", "leading", "trailing"],
    "timestep_type": ["continuous", {"timestep_type": "continuous", "prediction_type": "v_prediction"}],
    "trained_betas": [[round(0.001 + 0.00001 * i, 6) for i in range(1000)]],
    "use_beta_sigmas": [True], "use_exponential_sigmas": [True], "use_karras_sigmas": [True, {"use_karras_sigmas": True, "use_beta_sigmas": True}],
    "use_lu_lambdas": [True, {"use_lu_lambdas": True, "use_exponential_sigmas": True}],
    "use_dynamic_shifting": [True], "use_flow_sigmas": [True, {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}],
    "variance_type": ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"],
}


def keys(cls):
    return set(inspect.signature(getattr(diffusers, cls).__init__).parameters) - {"self", "kwargs"}


def run(cls, config, tables, steps=STEPS):
    """What the class does with a file: its levels and the end of its run, or the name of its error."""
    M, Z, X0 = tables
    try:
        scheduler = getattr(diffusers, cls).from_config({"_class_name": cls, **config})
        scheduler.set_timesteps(steps)
        row = {name: values for name, values in lists(scheduler).items() if name in ("timesteps", "sigmas")}
        if steps != STEPS:
            row["num_inference_steps"] = steps
        ends, calls, draws = trajectory(scheduler, M, Z, X0 * scheduler.init_noise_sigma, 0, {})
        return (row, ends[-1].float()) if torch.isfinite(ends[-1]).all() else ({"refused": "not finite"}, None)
    except Exception as error:  # diffusers refuses in many ways
        return {"refused": type(error).__name__}, None


def kept(end):
    """One channel of a run's end."""
    return end[None, :1].clone()


def main():
    warnings.simplefilter("ignore")
    diffusers.logging.set_verbosity_error()
    folder = HERE / "schedulers"
    stored = load_file(folder / "schedulers.safetensors")
    tables = (stored["M"][:, None], stored["Z"][:, None], stored["X0"])
    every = sorted(set().union(*map(keys, CLASSES)))
    assert every == sorted(VALUES), set(every) ^ set(VALUES)
    values = {key: [value if isinstance(value, dict) else {key: value} for value in VALUES[key]] for key in every}
    rows, ends = [], {}
    for cls in CLASSES:
        base = {} if cls.startswith("EDM") else BASE
        usual, end = run(cls, base, tables)
        first = {"id": f"{cls}/usual", "class": cls, **usual, "reads": sorted(keys(cls)), "same": {}}
        rows.append(first)
        ends[f"{cls}/usual/traj"] = kept(end)
        for key in every:
            for i, extra in enumerate(values[key]):
                row, moved = run(cls, {**base, **extra}, tables)
                if moved is not None and row == usual and torch.equal(moved, end):
                    first["same"].setdefault(key, []).append(i)
                    continue
                id = f"{cls}/{key}/{i}"
                rows.append({"id": id, "class": cls, "key": key, "value": i, **row})
                if moved is not None:
                    ends[f"{id}/traj"] = kept(moved)
        for steps in (1, 3, 20) if cls.startswith("EDM") else ():
            for schedule in ("karras", "exponential"):
                for last in ("zero", "sigma_min"):
                    config = {"sigma_schedule": schedule, "final_sigmas_type": last}
                    row, moved = run(cls, config, tables, steps)
                    id = f"{cls}/{schedule}_{last}/n{steps}"
                    rows.append({"id": id, "class": cls, "config": config, **row})
                    if moved is not None:
                        ends[f"{id}/traj"] = kept(moved)
    values["trained_betas"] = [{"trained_betas": "0.001 + 0.00001 i"}]  # a thousand numbers that the test makes itself
    save_file(ends, folder / "keys.safetensors")
    text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    head = f'"base": {json.dumps(BASE)},\n"values": {json.dumps(values)}'
    (folder / "keys.json").write_text(f'{{{head},\n"cases": [\n{text}\n]}}\n')
    print(len(rows), "rows,", len(ends), "ends")


if __name__ == "__main__":
    main()
