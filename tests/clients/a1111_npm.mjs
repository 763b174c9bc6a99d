// stable-diffusion-api, a client of AUTOMATIC1111's API for Node, draws, paints over and asks for lists.
import assert from "node:assert";
import client from "stable-diffusion-api";

const url = new URL(process.argv[2]);
const api = new client.StableDiffusionApi({ host: url.hostname, port: Number(url.port), defaultStepCount: 4, timeout: 300000 });
const small = { width: 64, height: 64, seed: 7 };

const drawn = await api.txt2img({ prompt: "a red circle", batch_size: 2, ...small });
assert.equal(drawn.images.length, 2);
const { width, height } = await drawn.image.metadata();
assert.deepEqual([width, height], [64, 64]);
assert.deepEqual(JSON.parse(drawn.info).all_seeds, [7, 8]);

const over = await api.img2img({ prompt: "a green square", init_images: [drawn.image], ...small });
assert.equal(over.images.length, 1);
const painted = await api.img2img({ prompt: "a", init_images: [drawn.image], mask_image: over.image, ...small });
assert.equal(painted.images.length, 1);

assert.ok((await api.pngInfo(drawn.image)).response.data.info !== undefined);
assert.ok((await api.getSamplers()).some(({ name }) => name === "DPM++ 2M"));
assert.ok((await api.getProgress()).state.job_count !== undefined);
assert.equal((await api.getSdModels())[0].title, "demo");
await api.setOptions(await api.getOptions());
await Promise.all([api.getCmdFlags(), api.getUpscalers(), api.getHypernetworks()]);
console.log("stable-diffusion-api: txt2img, img2img, inpaint, png-info, options, lists");
