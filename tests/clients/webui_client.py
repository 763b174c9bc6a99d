"""webuiapi, a client of AUTOMATIC1111's API, draws, paints over, watches and interrupts."""
import sys
import threading
import time
from urllib.parse import urlparse

import webuiapi
from PIL import Image

url = urlparse(sys.argv[1])
api = webuiapi.WebUIApi(host=url.hostname, port=url.port)

drawn = api.txt2img(prompt="a (red:1.1) circle", seed=1, steps=8, width=64, height=64, cfg_scale=3, n_iter=2)
assert [image.size for image in drawn.images] == [(64, 64)] * 2
assert drawn.info["all_seeds"] == [1, 2] and drawn.info["sampler_name"] == "Euler a", drawn.info
assert api.png_info(drawn.image).info.startswith("a (red:1.1) circle")

over = api.img2img(images=[drawn.image], prompt="a green square", seed=2, steps=8, width=64, height=64, denoising_strength=0.6)
assert over.image.size == (64, 64)
mask = Image.new("L", (64, 64), 0)
mask.paste(255, (0, 0, 32, 64))
inpainted = api.img2img(
    images=[drawn.image], mask_image=mask, inpainting_fill=1, inpaint_full_res=False, mask_blur=0, prompt="a green square",
    seed=2, steps=8, width=64, height=64, denoising_strength=1.0,
)
kept = (33, 0, 64, 64)
assert inpainted.image.convert("RGB").crop(kept).tobytes() == drawn.image.convert("RGB").crop(kept).tobytes()

long = threading.Thread(target=lambda: api.txt2img(prompt="a", steps=1000, width=128, height=128))
long.start()
seen = 0.0
while seen == 0.0:
    time.sleep(0.02)
    seen = api.get_progress()["progress"]
api.interrupt()
long.join(timeout=20)
assert not long.is_alive(), "the interrupted job goes on"

assert api.util_get_model_names() == ["demo"], api.util_get_model_names()
api.util_set_model("demo")
assert api.util_get_current_model() == "demo"
assert "DPM++ 2M" in api.util_get_sampler_names() and "karras" in api.util_get_scheduler_names()
for listed in (api.get_upscalers, api.get_loras, api.get_embeddings, api.get_cmd_flags, api.get_sd_vae):
    listed()
print("webuiapi: txt2img, img2img, inpaint, progress, interrupt, options, png-info")
