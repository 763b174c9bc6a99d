"""sd-backend-client, whose models check every answer of A1111's API, draws, paints over, watches and interrupts."""
import sys
import threading
import time

from PIL import Image
from sd_backend_client import DiffusionParams, connect_to_backend

backend = connect_to_backend(sys.argv[1])
params = DiffusionParams(prompt="a red circle", steps=4, width=64, height=64, seed=42, batch_size=2)
drawn = backend.submit_txt2img(params).wait(timeout=120)
assert [image.size for image in drawn.images] == [(64, 64)] * 2 and drawn.seeds == [42, 43], drawn
assert drawn.raw_info.sampler_name and drawn.raw_info.width == 64, drawn.raw_info

mask = Image.new("L", (64, 64), 0)
mask.paste(255, (0, 0, 32, 64))
over = DiffusionParams(prompt="a green square", steps=4, width=64, height=64, seed=1, init_images=[drawn.images[0]])
assert backend.submit_img2img(over).wait(timeout=120).images[0].size == (64, 64)
inpaint = over.model_copy(update={"mask": mask})
assert backend.submit_inpaint(inpaint).wait(timeout=120).images[0].size == (64, 64)

for listed in (backend.get_samplers, backend.get_models, backend.get_vae, backend.get_loras, backend.get_upscalers,
               backend.get_hypernetworks, backend.get_styles, backend.get_scripts, backend.get_script_info,
               backend.get_latent_upscale_modes, backend.get_config, backend.progress_check, backend.get_capabilities,
               backend.list_samplers, backend.list_schedulers, backend.list_checkpoints, backend.list_vaes,
               backend.refresh_checkpoints, backend.refresh_vae, backend.refresh_loras):
    listed()

long = threading.Thread(target=lambda: infos.append(backend.txt2img(DiffusionParams(prompt="a", steps=500, width=128, height=128))))
infos = []
long.start()
while backend.progress_check().state.sampling_step < 3:
    time.sleep(0.02)
backend.interrupt()
long.join(timeout=60)
assert infos and len(infos[0]["images"]) == 1 and infos[0]["info"].width == 128, infos
print("sd-backend-client: txt2img, img2img, inpaint, lists, progress, interrupt")
