"""Draws cases at random, as many of diffusers' options at once as go together, for
tests/it/golden.rs::more_cases_are_the_pictures_that_diffusers_draws.

usage: python random_cases.py FIXTURES SEED COUNT [MODEL ...]

FIXTURES is a folder made by make_fixtures.py; cases go to FIXTURES/cases/MODEL/random/SEED-NUMBER. Left out is what
diffusers refuses, and what double precision draws otherwise: there no picture is the right one.
"""
import inspect
import os
import pathlib
import random
import sys

FIXTURES = pathlib.Path(sys.argv[1]).resolve()
os.environ["REF_ROOT"] = os.environ["REF_FIXTURES"] = str(FIXTURES)

import diffusers  # noqa: E402
from refgen import pipelines  # noqa: E402
from refgen.cases import SCHED, Case  # noqa: E402
from refgen.common import setup_determinism  # noqa: E402
from refgen.inputs import scene  # noqa: E402

MODELS = ("sd15", "sd21-v", "sdxl", "sd15-inpaint", "lcm", "sdxl-turbo", "sdxl-refiner")
WORDS = "a photo of cat fox castle red oil painting detailed, (lighting) [mars] naïve 3.5mm 猫 it's BIG; — «x» 100% & don't".split()
SCHEDULERS = [name for name in SCHED if not any(part in name for part in ("_karras", "_exp", "_beta", "ing", "eta1", "prk"))]
LORAS = ("sd15_kohya", "sd15_kohya_unet_only", "sd15_kohya_te_only", "sd15_kohya_noalpha", "sd15_locon", "sd15_peft")
STARTS = ("init_128.png", "init_128b.png", "odd_131x77.png", "odd_90x123.png")
# Keys of a scheduler_config.json, with values that they may have.
KEYS = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"), "prediction_type": ("epsilon", "v_prediction", "sample"),
    "steps_offset": (0, 1), "timestep_spacing": ("leading", "linspace", "trailing"), "set_alpha_to_one": (True, False),
    "clip_sample": (True, False), "clip_sample_range": (1.0, 2.0), "rescale_betas_zero_snr": (True, False),
    "final_sigmas_type": ("zero", "sigma_min"), "timestep_type": ("discrete", "continuous"),
    "algorithm_type": ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"), "solver_order": (1, 2, 3),
    "lower_order_final": (True, False), "euler_at_final": (True, False), "predict_x0": (True, False),
    "disable_corrector": ([], [0], [1, 2]), "original_inference_steps": (30, 50, 100), "timestep_scaling": (5.0, 10.0),
    "skip_prk_steps": (True, False), "use_karras_sigmas": (True, False), "use_exponential_sigmas": (True, False),
    "use_beta_sigmas": (True, False),
}
# By how many levels of 255 single precision may be off.
FLOOR = 0.15


class Dice(random.Random):
    def now(self, chance):
        return self.random() < chance

    def text(self):
        return " ".join(self.choice(WORDS) for _ in range(self.choice((0, 1, 3, 8, 90))))

    def size(self):
        return 8 * self.randint(11, 19)

    def share(self, low=0.0, high=1.0):
        return round(self.uniform(low, high), 2)


def scheduler(dice, whole):
    """A class with its keys, what the call is told of it, and whether the keys are a whole file rather than options."""
    name = dice.choice(SCHEDULERS)
    cls, keys, extra = SCHED[name]
    keys, extra = dict(keys), dict(extra)
    if "eta" in extra or (name == "ddim" and dice.now(0.5)):
        extra["eta"] = dice.share()
    reads = inspect.signature(getattr(diffusers, cls)).parameters
    if whole and dice.now(0.35):
        if dice.now(0.8):
            keys |= {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
        keys |= {key: dice.choice(values) for key, values in KEYS.items() if key in reads and key not in keys and dice.now(0.25)}
        return (cls, keys), extra, True
    if dice.now(0.4):
        keys["timestep_spacing"] = dice.choice(KEYS["timestep_spacing"])
    if "use_beta_sigmas" in reads and dice.now(0.3):
        keys[dice.choice(("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"))] = True
    if "rescale_betas_zero_snr" in reads and name not in ("lcm", "tcd", "ddpm") and dice.now(0.1):
        keys |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return (cls, keys), extra, False


def pipeline(dice, model):
    fixed = {"sd15-inpaint": ["inpaint"], "sdxl-refiner": ["xl_img2img"], "lcm": ["lcm", "lcm_img2img"]}
    xl = ["txt2img", "txt2img", "xl_img2img", "xl_inpaint"]
    sd = ["txt2img", "txt2img", "img2img", "inpaint"]
    control = ["controlnet", "controlnet_img2img"] if model == "sd15" else []
    return dice.choice(fixed.get(model) or (xl if model.startswith("sdxl") else sd + control))


def pictures(dice, pipe, args):
    """Where the call starts from, and its size."""
    if "img2img" in pipe:
        args |= {"image": dice.choice(STARTS), "strength": dice.choice((dice.share(0.1), 1.0, 0.5))}
    elif "inpaint" in pipe:
        mask = dice.choice(("mask_circle_128.png", "mask_left_128.png", "mask_soft_128.png"))
        args |= {"image": dice.choice(STARTS[:2]), "mask_image": mask, "width": 128, "height": 128,
                 "strength": dice.choice((1.0, dice.share(0.1)))}
    elif pipe == "controlnet":
        args |= {"image": dice.choice(("edges_128.png", STARTS[2])), "guess_mode": dice.now(0.3),
                 "controlnet_conditioning_scale": dice.share(0.1, 1.5)}
    else:
        args |= {"width": dice.size(), "height": dice.size()}
    if pipe == "controlnet_img2img":
        args |= {"image": STARTS[0], "control_image": "edges_128.png"}
    if "controlnet" in pipe and dice.now(0.3):
        args |= {"control_guidance_start": 0.1, "control_guidance_end": 0.66}


def adapters(dice, model, pipe, args):
    found = [("controlnet", "a")] if "controlnet" in pipe else []
    if model == "sdxl" and dice.now(0.2):
        found.append(("lora", dice.choice(("sdxl_kohya", "sdxl_peft")), dice.share()))
    if model != "sd15":
        return found
    kind = dice.choice((None, None, None, "lora", "merge", "ti", "ip", "taesd"))
    if kind == "lora":
        found += [("lora", name, dice.share(-0.5, 1.2)) for name in dice.sample(LORAS, dice.choice((1, 2)))]
    elif kind == "merge" and not found:
        found.append(("merge", dice.choice(("sd15_loha", "sd15_lokr")), dice.share(-0.5, 1.2)))
    elif kind == "ti":
        found.append(("ti", "tok-diffusers", None))
        args["prompt"] += " <sks-fox> at night"
    elif kind == "ip" and pipe in ("txt2img", "img2img"):
        found.append(("ip", dice.share()))
        args["ip_adapter_image"] = "ip_96.png"
    elif kind == "taesd" and not found:
        found.append(("taesd",))
    return found


def draw(dice, model, name):
    steps = (1, 2, 3, 4, 5, 6, 7, 9, 10, 14, 15, 16, 20)
    args = {"prompt": dice.text(), "num_inference_steps": dice.choice(steps), "guidance_scale": dice.choice((0.0, 1.0, 1.5, 3.0, 7.5))}
    pipe = pipeline(dice, model)
    # Only these pipelines put old files right, as sdgen does whatever the request.
    whole = pipe in ("txt2img", "img2img") or model.startswith("sdxl")
    chosen, extra, as_file = scheduler(dice, whole)
    if model == "lcm":
        chosen, extra, as_file = None, {}, False
    elif dice.now(0.5):
        args["negative_prompt"] = dice.text()
    args |= extra
    if chosen and chosen[0].startswith("DEIS"):  # respaced, one step of diffusers' leaves the noise as it is
        args["num_inference_steps"] += 1
    pictures(dice, pipe, args)
    if model != "lcm" and dice.now(0.2):
        args["clip_skip"] = dice.choice((1, 2))
    if pipe in ("txt2img", "xl_img2img") and dice.now(0.2):
        args["guidance_rescale"] = dice.share()
    if model == "sdxl" and pipe == "txt2img":
        pair = lambda most: (dice.randint(0, most), dice.randint(0, most))  # noqa: E731
        more = {"original_size": pair(1500), "crops_coords_top_left": pair(200), "target_size": pair(1500), "prompt_2": dice.text()}
        args |= {key: value for key, value in more.items() if dice.now(0.3)}
    beside = adapters(dice, model, pipe, args)
    case = Case(id=f"{model}/random/{name}", model=model, group="random", args=args, pipe=pipe, sched=chosen, adapters=beside,
                seed=dice.choice((0, 42, 2**32 + 5, dice.randint(0, 2**63 - 1))))
    if pipe in ("txt2img", "img2img") and dice.now(0.1):
        args["num_images_per_prompt"] = 2
        case.seeds = [case.seed, case.seed + 1]
    return case, as_file


def keep(bench, case, as_file):
    """Writes the case, unless single precision alone moves its picture; says why not."""
    of_case = pipelines.scheduler_for
    if as_file:
        cls, keys = case.sched
        pipelines.scheduler_for = lambda _: getattr(diffusers, cls).from_config({"_class_name": cls, **keys})
    try:
        result = pipelines.run_case(bench[0], case, True, bench[1])
    except Exception as error:  # diffusers refuses some combinations, in many ways
        for one in bench:
            one.drop()
        return f"{type(error).__name__}: {error}"
    finally:
        pipelines.scheduler_for = of_case
    floor = 255 * result["meta"]["noise_floor"]["image"]["max_abs_f32_vs_f64"]
    if not floor <= FLOOR:
        return f"single precision is off by {floor:.2f} levels"
    if as_file:
        result["meta"]["scheduler"] = {"class": case.sched[0], "config": case.sched[1], "as_file": True}
    result["tensors"] = {"final_latents": result["tensors"]["final_latents"]}
    pipelines.write_case(case, result)
    return None


def main(seed, count, models):
    setup_determinism()
    pipelines.quiet()
    dice, bench = Dice(seed), (pipelines.Bench(), pipelines.Bench())
    for name in STARTS[2:]:
        width, height = map(int, name.removesuffix(".png").split("_")[1].split("x"))
        scene(width, height, name).save(FIXTURES / "inputs" / name)
    for i in range(count):
        case, as_file = draw(dice, dice.choice(models), f"{seed}-{i:03d}")
        why = keep(bench, case, as_file)
        print(case.id, why.splitlines()[0][:100] if why else "", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] or MODELS)
