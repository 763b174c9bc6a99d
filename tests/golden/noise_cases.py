"""Draws cases of models with other noise or latents than Stable Diffusion's: EDM preconditioning, ends of a schedule
that the file names, and autoencoders with the moments of their latents. For
tests/it/golden.rs::more_cases_are_the_pictures_that_diffusers_draws; collect.py keeps those of sd15 and sd21-v.

usage: python noise_cases.py FIXTURES     (a folder made by make_fixtures.py, as for random_cases.py)
"""
import json
import shutil

from random_cases import FIXTURES, Case, keep, pipelines, setup_determinism

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
EULER, DPM = "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"
COSXL = {"sigma_max": 120.0, "sigma_data": 1.0, "prediction_type": "v_prediction", "sigma_schedule": "exponential"}
# name: class, keys, steps
SCHEDULERS = {
    "edm_euler": (EULER, {}, 7), "edm_cosxl": (EULER, COSXL, 9), "edm_euler_min": (EULER, {"final_sigmas_type": "sigma_min", "rho": 5.0}, 6),
    "edm_dpm": (DPM, {}, 8), "edm_dpm_third": (DPM, {"solver_order": 3, "sigma_max": 20.0}, 16), "edm_dpm_heun": (DPM, {"solver_type": "heun"}, 6),
    "edm_dpm_sde": (DPM, {"algorithm_type": "sde-dpmsolver++", "sigma_data": 0.7}, 5), "edm_one": (DPM, {}, 1),
    "ends_karras": ("EulerDiscreteScheduler", {**BETAS, "use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 9.0}, 6),
    "ends_beta": ("UniPCMultistepScheduler", {**BETAS, "use_beta_sigmas": True, "sigma_min": 0.2, "final_sigmas_type": "sigma_min"}, 7),
    "ends_exponential": ("DEISMultistepScheduler", {**BETAS, "use_exponential_sigmas": True, "sigma_max": 11.0, "sigma_min": 0.15}, 5),
}
MOMENTS = {"latents_mean": [0.5, -0.3, 0.2, 0.1], "latents_std": [2.0, 1.5, 3.0, 0.7], "scaling_factor": 0.5}
START = {"image": "init_128.png"}
MASKED = {**START, "mask_image": "mask_circle_128.png", "width": 128, "height": 128}
# model: kinds of pipelines, with what their calls take
PIPES = {
    "sd15": [("txt2img", {"width": 64, "height": 64})], "sd21-v": [("txt2img", {"width": 64, "height": 64})],
    "sdxl": [("txt2img", {"width": 128, "height": 128}), ("xl_img2img", {**START, "strength": 0.6}), ("xl_inpaint", {**MASKED, "strength": 1.0}),
             ("xl_inpaint", {**MASKED, "strength": 0.5})],
}
PIPES["sdxl-moments"] = PIPES["sdxl"]


def moments():
    """The XL model with an autoencoder that names the moments of its latents."""
    folder = FIXTURES / "models" / "sdxl-moments"
    if not folder.exists():
        shutil.copytree((FIXTURES / "models" / "sdxl").resolve(), folder)
    path = folder / "vae" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **MOMENTS}))


def main():
    setup_determinism()
    pipelines.quiet()
    moments()
    bench = (pipelines.Bench(), pipelines.Bench())
    for model, kinds in PIPES.items():
        for i, (pipe, more) in enumerate(kinds):
            for name, (cls, keys, steps) in SCHEDULERS.items():
                if model == "sdxl-moments" and name not in ("edm_dpm", "edm_cosxl", "ends_karras"):
                    continue
                args = {"prompt": "a photo of a cat", "negative_prompt": "blurry", "num_inference_steps": steps + (pipe != "txt2img"),
                        "guidance_scale": 5.0, **more}
                case = Case(id=f"{model}/noise/{name}-{i}", model=model, group="noise", args=args, pipe=pipe, sched=(cls, keys), seed=7 + i)
                print(case.id, keep(bench, case, True) or "", flush=True)


if __name__ == "__main__":
    main()
