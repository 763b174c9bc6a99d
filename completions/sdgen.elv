
use builtin;
use str;

set edit:completion:arg-completer[sdgen] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'sdgen'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'sdgen'= {
            cand -n 'Negative prompt'
            cand --negative-prompt 'Negative prompt'
            cand --prompt-2 'SDXL: prompt for the second text encoder [default: the prompt]'
            cand --negative-prompt-2 'SDXL: negative prompt for the second text encoder [default: the negative prompt]'
            cand --prompt-syntax 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]'
            cand --long-prompt 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]'
            cand -W 'Width in pixels, a multiple of 8 [default: the model''s own]'
            cand --width 'Width in pixels, a multiple of 8 [default: the model''s own]'
            cand -H 'Height in pixels, a multiple of 8 [default: the model''s own]'
            cand --height 'Height in pixels, a multiple of 8 [default: the model''s own]'
            cand --seed 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]'
            cand --count 'Number of images [default: 1]'
            cand --batch-size 'Images per forward pass; changes speed and memory, never an image [default: 1]'
            cand --from-latents 'Decode the latents in this file, which a failed run kept with the rest of the request'
            cand -i 'Initial image, to start from instead of noise alone'
            cand --init-image 'Initial image, to start from instead of noise alone'
            cand --strength 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]'
            cand --strength-steps 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]'
            cand --fit 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]'
            cand --posterior 'Latents of the initial image: sample (from the VAE''s distribution with the seed, as diffusers) or mode (its mean) [default: sample]'
            cand --mask 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image'
            cand --mask-blur 'Standard deviation of a Gaussian blur of the mask, in pixels'
            cand --mask-blur-y 'Blur of the mask along columns, in pixels [default: as --mask-blur]'
            cand --masked-content 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]'
            cand --mask-grow 'Grow the mask by this many pixels'
            cand --mask-padding 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back'
            cand --extend 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8'
            cand --control 'ControlNet with its conditioning image, or with the image''s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default'
            cand --canny 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]'
            cand --ip-adapter 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]'
            cand --ip-image 'Image prompt of the IP-Adapter'
            cand --ip-scale 'Weight of the image prompt relative to the text prompt [default: 1]'
            cand -m 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]'
            cand --model 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]'
            cand --config 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts'
            cand --preset 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm'
            cand --refiner 'SDXL: model for the last steps, such as sdxl-refiner'
            cand --refiner-start 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]'
            cand --vae 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model''s own]'
            cand --prediction 'Prediction type, where the model''s own files are wrong: epsilon, v or sample'
            cand --clip-skip 'Skip the last N layers of the text encoder (diffusers'' count: 1 is A1111''s "clip skip 2")'
            cand --original-size 'SDXL: `original_size` micro-conditioning [default: the image''s size]'
            cand --crop 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]'
            cand --target-size 'SDXL: `target_size` micro-conditioning [default: the image''s size]'
            cand --negative-original-size 'SDXL: --original-size for the negative prompt [default: the same]'
            cand --negative-crop 'SDXL: --crop for the negative prompt [default: the same]'
            cand --negative-target-size 'SDXL: --target-size for the negative prompt [default: the same]'
            cand --lora 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]'
            cand --lora-dir 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts'
            cand --embedding 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated'
            cand --lock 'Write the revision and the hash of every file of the models into a lock file'
            cand --locked 'Use the files that a lock file names, and refuse any other'
            cand --steps 'Denoising steps, 1 to 1000 [default: the model''s own]'
            cand --cfg-scale 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]'
            cand --guidance-scale 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]'
            cand --sampler 'Sampler [default: from the model''s scheduler_config.json]'
            cand --schedule 'Noise schedule [default: the model''s own]'
            cand --timestep-spacing 'Spacing of the timesteps [default: the model''s own, or that of the sampler''s class]'
            cand --sigmas 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps'
            cand --timesteps 'Timesteps of all steps: 999,749,499,249; they set --steps'
            cand --guidance-rescale 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]'
            cand --cfg-interval 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]'
            cand --cache 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]'
            cand --merge-tokens 'Faster, less exact: merge this share of the largest maps'' tokens in self-attention, 0 to 0.75; CPU only [default: 0]'
            cand --eta 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]'
            cand --rng 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]'
            cand --device 'Device: auto, cpu, cuda[:N] or metal [default: auto]'
            cand --dtype 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]'
            cand --memory 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]'
            cand --vae-tiling 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]'
            cand --threads 'CPU threads [default: the physical cores this process may use]'
            cand -o 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]'
            cand --output 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]'
            cand --preview-every 'Save a small preview after every N steps [default with --preview-dir: 1]'
            cand --preview-dir 'Folder for previews, as {seed}-{step}.png'
            cand --profile 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]'
            cand --dry-run 'Generate nothing: show the images of the run, their tokens, downloads, memory and estimated time; `time` measures the time on two steps of each model and size'
            cand --progress 'Form of the progress on stderr'
            cand --invert-mask 'Repaint where the mask is black'
            cand --keep-unmasked 'Restore the pixels outside the mask from the initial image'
            cand --control-guess 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less'
            cand --offline 'Use the cache only, and open no connection'
            cand --zero-terminal-snr 'Rescale the noise schedule to zero terminal SNR [default: the model''s own]'
            cand --overwrite 'Replace an existing file instead of choosing the next free name'
            cand --no-metadata 'Write images without prompt and settings'
            cand --show 'Show the finished images in the terminal'
            cand -q 'Print nothing but warnings and errors'
            cand --quiet 'Print nothing but warnings and errors'
            cand -v 'Print how long each stage took'
            cand --verbose 'Print how long each stage took'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand batch 'Generate the images of a job file: TOML, lines of prompts, CSV or JSONL'
            cand replay 'Generate an image again from its metadata'
            cand inspect 'Show the metadata of an image: prompt, settings, model'
            cand models 'List, fetch, check and remove models'
            cand convert 'Write a model in another layout, format or precision'
            cand config 'Show the config file with your defaults and profiles, and its values'
            cand doctor 'Check this machine and its settings, with advice on each problem'
            cand bench 'Measure how fast a model runs on this machine, stage by stage'
            cand tokens 'Show the tokens, weights and chunks of a prompt for a model'
            cand serve 'Run an HTTP server: jobs, the APIs of OpenAI and A1111, and a page in the browser'
            cand worker 'Run jobs from the queue that servers share'
            cand completions 'Print a completion script for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;batch'= {
            cand --form 'Format of the file: toml, txt, csv or jsonl [default: by its extension]'
            cand --shard 'Run this part of the jobs only; `auto/N` takes I from the cluster''s scheduler [default: Slurm''s array task, else all]'
            cand --manifest 'Manifest of finished jobs [default: FILE''s name with .manifest.jsonl, in the images'' folder]'
            cand --sheet 'Also save a contact sheet of the images; a matrix has labelled axes'
            cand --dry-run 'Generate nothing: show the images of the run, their tokens, downloads, memory and estimated time; `time` measures the time on two steps of each model and size'
            cand -n 'Negative prompt'
            cand --negative-prompt 'Negative prompt'
            cand --prompt-2 'SDXL: prompt for the second text encoder [default: the prompt]'
            cand --negative-prompt-2 'SDXL: negative prompt for the second text encoder [default: the negative prompt]'
            cand --prompt-syntax 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]'
            cand --long-prompt 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]'
            cand -W 'Width in pixels, a multiple of 8 [default: the model''s own]'
            cand --width 'Width in pixels, a multiple of 8 [default: the model''s own]'
            cand -H 'Height in pixels, a multiple of 8 [default: the model''s own]'
            cand --height 'Height in pixels, a multiple of 8 [default: the model''s own]'
            cand --seed 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]'
            cand --count 'Number of images [default: 1]'
            cand --batch-size 'Images per forward pass; changes speed and memory, never an image [default: 1]'
            cand --from-latents 'Decode the latents in this file, which a failed run kept with the rest of the request'
            cand -i 'Initial image, to start from instead of noise alone'
            cand --init-image 'Initial image, to start from instead of noise alone'
            cand --strength 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]'
            cand --strength-steps 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]'
            cand --fit 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]'
            cand --posterior 'Latents of the initial image: sample (from the VAE''s distribution with the seed, as diffusers) or mode (its mean) [default: sample]'
            cand --mask 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image'
            cand --mask-blur 'Standard deviation of a Gaussian blur of the mask, in pixels'
            cand --mask-blur-y 'Blur of the mask along columns, in pixels [default: as --mask-blur]'
            cand --masked-content 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]'
            cand --mask-grow 'Grow the mask by this many pixels'
            cand --mask-padding 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back'
            cand --extend 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8'
            cand --control 'ControlNet with its conditioning image, or with the image''s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default'
            cand --canny 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]'
            cand --ip-adapter 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]'
            cand --ip-image 'Image prompt of the IP-Adapter'
            cand --ip-scale 'Weight of the image prompt relative to the text prompt [default: 1]'
            cand -m 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]'
            cand --model 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]'
            cand --config 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts'
            cand --preset 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm'
            cand --refiner 'SDXL: model for the last steps, such as sdxl-refiner'
            cand --refiner-start 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]'
            cand --vae 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model''s own]'
            cand --prediction 'Prediction type, where the model''s own files are wrong: epsilon, v or sample'
            cand --clip-skip 'Skip the last N layers of the text encoder (diffusers'' count: 1 is A1111''s "clip skip 2")'
            cand --original-size 'SDXL: `original_size` micro-conditioning [default: the image''s size]'
            cand --crop 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]'
            cand --target-size 'SDXL: `target_size` micro-conditioning [default: the image''s size]'
            cand --negative-original-size 'SDXL: --original-size for the negative prompt [default: the same]'
            cand --negative-crop 'SDXL: --crop for the negative prompt [default: the same]'
            cand --negative-target-size 'SDXL: --target-size for the negative prompt [default: the same]'
            cand --lora 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]'
            cand --lora-dir 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts'
            cand --embedding 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated'
            cand --lock 'Write the revision and the hash of every file of the models into a lock file'
            cand --locked 'Use the files that a lock file names, and refuse any other'
            cand --steps 'Denoising steps, 1 to 1000 [default: the model''s own]'
            cand --cfg-scale 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]'
            cand --guidance-scale 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]'
            cand --sampler 'Sampler [default: from the model''s scheduler_config.json]'
            cand --schedule 'Noise schedule [default: the model''s own]'
            cand --timestep-spacing 'Spacing of the timesteps [default: the model''s own, or that of the sampler''s class]'
            cand --sigmas 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps'
            cand --timesteps 'Timesteps of all steps: 999,749,499,249; they set --steps'
            cand --guidance-rescale 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]'
            cand --cfg-interval 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]'
            cand --cache 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]'
            cand --merge-tokens 'Faster, less exact: merge this share of the largest maps'' tokens in self-attention, 0 to 0.75; CPU only [default: 0]'
            cand --eta 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]'
            cand --rng 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]'
            cand --device 'Device: auto, cpu, cuda[:N] or metal [default: auto]'
            cand --dtype 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]'
            cand --memory 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]'
            cand --vae-tiling 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]'
            cand --threads 'CPU threads [default: the physical cores this process may use]'
            cand -o 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]'
            cand --output 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]'
            cand --preview-every 'Save a small preview after every N steps [default with --preview-dir: 1]'
            cand --preview-dir 'Folder for previews, as {seed}-{step}.png'
            cand --profile 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]'
            cand --progress 'Form of the progress on stderr'
            cand --prompt 'Prompt of every job'
            cand --restart 'Run all jobs again'
            cand --keep-going 'Go on when a job fails; the default'
            cand --fail-fast 'Stop at the first job that fails'
            cand --show 'Show the finished images in the terminal'
            cand --invert-mask 'Repaint where the mask is black'
            cand --keep-unmasked 'Restore the pixels outside the mask from the initial image'
            cand --control-guess 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less'
            cand --offline 'Use the cache only, and open no connection'
            cand --zero-terminal-snr 'Rescale the noise schedule to zero terminal SNR [default: the model''s own]'
            cand --overwrite 'Replace an existing file instead of choosing the next free name'
            cand --no-metadata 'Write images without prompt and settings'
            cand -q 'Print nothing but warnings and errors'
            cand --quiet 'Print nothing but warnings and errors'
            cand -v 'Print how long each stage took'
            cand --verbose 'Print how long each stage took'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'sdgen;replay'= {
            cand -n 'Negative prompt'
            cand --negative-prompt 'Negative prompt'
            cand --prompt-2 'SDXL: prompt for the second text encoder [default: the prompt]'
            cand --negative-prompt-2 'SDXL: negative prompt for the second text encoder [default: the negative prompt]'
            cand --prompt-syntax 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]'
            cand --long-prompt 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]'
            cand -W 'Width in pixels, a multiple of 8 [default: the model''s own]'
            cand --width 'Width in pixels, a multiple of 8 [default: the model''s own]'
            cand -H 'Height in pixels, a multiple of 8 [default: the model''s own]'
            cand --height 'Height in pixels, a multiple of 8 [default: the model''s own]'
            cand --seed 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]'
            cand --count 'Number of images [default: 1]'
            cand --batch-size 'Images per forward pass; changes speed and memory, never an image [default: 1]'
            cand --from-latents 'Decode the latents in this file, which a failed run kept with the rest of the request'
            cand -i 'Initial image, to start from instead of noise alone'
            cand --init-image 'Initial image, to start from instead of noise alone'
            cand --strength 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]'
            cand --strength-steps 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]'
            cand --fit 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]'
            cand --posterior 'Latents of the initial image: sample (from the VAE''s distribution with the seed, as diffusers) or mode (its mean) [default: sample]'
            cand --mask 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image'
            cand --mask-blur 'Standard deviation of a Gaussian blur of the mask, in pixels'
            cand --mask-blur-y 'Blur of the mask along columns, in pixels [default: as --mask-blur]'
            cand --masked-content 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]'
            cand --mask-grow 'Grow the mask by this many pixels'
            cand --mask-padding 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back'
            cand --extend 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8'
            cand --control 'ControlNet with its conditioning image, or with the image''s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default'
            cand --canny 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]'
            cand --ip-adapter 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]'
            cand --ip-image 'Image prompt of the IP-Adapter'
            cand --ip-scale 'Weight of the image prompt relative to the text prompt [default: 1]'
            cand -m 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]'
            cand --model 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]'
            cand --config 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts'
            cand --preset 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm'
            cand --refiner 'SDXL: model for the last steps, such as sdxl-refiner'
            cand --refiner-start 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]'
            cand --vae 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model''s own]'
            cand --prediction 'Prediction type, where the model''s own files are wrong: epsilon, v or sample'
            cand --clip-skip 'Skip the last N layers of the text encoder (diffusers'' count: 1 is A1111''s "clip skip 2")'
            cand --original-size 'SDXL: `original_size` micro-conditioning [default: the image''s size]'
            cand --crop 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]'
            cand --target-size 'SDXL: `target_size` micro-conditioning [default: the image''s size]'
            cand --negative-original-size 'SDXL: --original-size for the negative prompt [default: the same]'
            cand --negative-crop 'SDXL: --crop for the negative prompt [default: the same]'
            cand --negative-target-size 'SDXL: --target-size for the negative prompt [default: the same]'
            cand --lora 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]'
            cand --lora-dir 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts'
            cand --embedding 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated'
            cand --lock 'Write the revision and the hash of every file of the models into a lock file'
            cand --locked 'Use the files that a lock file names, and refuse any other'
            cand --steps 'Denoising steps, 1 to 1000 [default: the model''s own]'
            cand --cfg-scale 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]'
            cand --guidance-scale 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]'
            cand --sampler 'Sampler [default: from the model''s scheduler_config.json]'
            cand --schedule 'Noise schedule [default: the model''s own]'
            cand --timestep-spacing 'Spacing of the timesteps [default: the model''s own, or that of the sampler''s class]'
            cand --sigmas 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps'
            cand --timesteps 'Timesteps of all steps: 999,749,499,249; they set --steps'
            cand --guidance-rescale 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]'
            cand --cfg-interval 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]'
            cand --cache 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]'
            cand --merge-tokens 'Faster, less exact: merge this share of the largest maps'' tokens in self-attention, 0 to 0.75; CPU only [default: 0]'
            cand --eta 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]'
            cand --rng 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]'
            cand --device 'Device: auto, cpu, cuda[:N] or metal [default: auto]'
            cand --dtype 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]'
            cand --memory 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]'
            cand --vae-tiling 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]'
            cand --threads 'CPU threads [default: the physical cores this process may use]'
            cand -o 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]'
            cand --output 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]'
            cand --preview-every 'Save a small preview after every N steps [default with --preview-dir: 1]'
            cand --preview-dir 'Folder for previews, as {seed}-{step}.png'
            cand --profile 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]'
            cand --progress 'Form of the progress on stderr'
            cand --prompt 'Another prompt'
            cand --verify 'Write no file: compare the new image with IMAGE, as same, close (40 dB or more) or different, which is exit code 10'
            cand --invert-mask 'Repaint where the mask is black'
            cand --keep-unmasked 'Restore the pixels outside the mask from the initial image'
            cand --control-guess 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less'
            cand --offline 'Use the cache only, and open no connection'
            cand --zero-terminal-snr 'Rescale the noise schedule to zero terminal SNR [default: the model''s own]'
            cand --overwrite 'Replace an existing file instead of choosing the next free name'
            cand --no-metadata 'Write images without prompt and settings'
            cand -q 'Print nothing but warnings and errors'
            cand --quiet 'Print nothing but warnings and errors'
            cand -v 'Print how long each stage took'
            cand --verbose 'Print how long each stage took'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'sdgen;inspect'= {
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;models'= {
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
            cand list 'Known versions, and whether they are on this machine'
            cand info 'Show facts about a file or a model: family, precision, parts, metadata, hashes'
            cand pull 'Fetch a model into the cache, or update it from the hub'
            cand path 'Print the folder of a model that is on this machine'
            cand verify 'Compare the files of a model in the cache with the hub''s hashes'
            cand rm 'Remove a model from the cache'
            cand du 'Show the disk usage of each model in the cache'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;models;list'= {
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;models;info'= {
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;models;pull'= {
            cand --progress 'Form of the progress on stderr'
            cand --half 'Take 16-bit variants of the weights where there are any (for `--dtype f16` and bf16)'
            cand -q 'Print nothing but warnings and errors'
            cand --quiet 'Print nothing but warnings and errors'
            cand -v 'Print how long each stage took'
            cand --verbose 'Print how long each stage took'
            cand --json 'Print JSON'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'sdgen;models;path'= {
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;models;verify'= {
            cand --all 'Every model in the cache'
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;models;rm'= {
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;models;du'= {
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;models;help'= {
            cand list 'Known versions, and whether they are on this machine'
            cand info 'Show facts about a file or a model: family, precision, parts, metadata, hashes'
            cand pull 'Fetch a model into the cache, or update it from the hub'
            cand path 'Print the folder of a model that is on this machine'
            cand verify 'Compare the files of a model in the cache with the hub''s hashes'
            cand rm 'Remove a model from the cache'
            cand du 'Show the disk usage of each model in the cache'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;models;help;list'= {
        }
        &'sdgen;models;help;info'= {
        }
        &'sdgen;models;help;pull'= {
        }
        &'sdgen;models;help;path'= {
        }
        &'sdgen;models;help;verify'= {
        }
        &'sdgen;models;help;rm'= {
        }
        &'sdgen;models;help;du'= {
        }
        &'sdgen;models;help;help'= {
        }
        &'sdgen;convert'= {
            cand --dtype 'f32, f16, bf16; for .gguf also q8_0, q6_k, q5_0, q5_1, q5_k, q4_0, q4_1 or q4_k [default: as it is stored]'
            cand --layout 'diffusers (a folder) or single (one file) [default: as OUT is named]'
            cand --config 'For a model in one file: model whose config files it uses, as in `sdgen --config`'
            cand --overwrite 'Replace what is there'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;config'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand path 'Print where the file is, or would be'
            cand show 'Print the defaults that the file and the profile make'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;config;path'= {
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;config;show'= {
            cand --profile 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]'
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;config;help'= {
            cand path 'Print where the file is, or would be'
            cand show 'Print the defaults that the file and the profile make'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;config;help;path'= {
        }
        &'sdgen;config;help;show'= {
        }
        &'sdgen;config;help;help'= {
        }
        &'sdgen;doctor'= {
            cand --offline 'Open no connection'
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;bench'= {
            cand -m 'Model, as in `sdgen --model`'
            cand --model 'Model, as in `sdgen --model`'
            cand -W 'Width in pixels [default: the model''s own]'
            cand --width 'Width in pixels [default: the model''s own]'
            cand -H 'Height in pixels [default: the model''s own]'
            cand --height 'Height in pixels [default: the model''s own]'
            cand --steps 'Steps to time'
            cand --cfg-scale 'Guidance; 1 or less times a step without the unconditional pass'
            cand --dtype 'Arithmetic: auto, f32, f16, bf16 or int8'
            cand --device 'Device: auto, cpu, cuda[:N] or metal'
            cand --threads 'CPU threads'
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;tokens'= {
            cand -m 'Model on this machine: a known name, a folder, or ORG/REPO[@REV] [default: sd15, or CLIP''s own vocabulary]'
            cand --model 'Model on this machine: a known name, a folder, or ORG/REPO[@REV] [default: sd15, or CLIP''s own vocabulary]'
            cand --prompt-syntax 'Brackets: plain or weighted [default: plain]'
            cand --long-prompt 'Prompts beyond 75 tokens: chunk, truncate or error [default: chunk, which shows every token]'
            cand --embedding 'Textual inversion: a file or a folder of them'
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;serve'= {
            cand --host 'Address to listen on; another than this machine''s own needs --token-file or --no-auth'
            cand --port 'Port to listen on; 0 takes any that is free'
            cand --token-file 'File whose content clients have to show as a bearer token (or as a password)'
            cand --allow-host 'Name that the server answers to besides its addresses, such as images.lan; may be repeated'
            cand --cors 'Origin of pages elsewhere that may use this server, such as http://localhost:3000; may be repeated'
            cand -m 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]'
            cand --model 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]'
            cand --device 'Device: auto, cpu, cuda[:N] or metal'
            cand --dtype 'Arithmetic: auto, f32, f16, bf16 or int8'
            cand --threads 'CPU threads'
            cand --batch-size 'Pictures drawn in one forward, unless a job says otherwise: those of one job, or of jobs that follow one another and differ in prompts and seed alone'
            cand --queue 'Jobs that may wait, more are answered with 503; or redis://[[USER:]PASSWORD@]HOST[:PORT][/DB][?size=N], where several servers and workers share a queue [default: what SDGEN_QUEUE says, or 64]'
            cand --lease 'Seconds after which the job of a process that is silent goes to another; for redis://, and everywhere the same'
            cand --max-body 'Size of a request, in MiB'
            cand --max-pixels 'Pixels of a picture that is drawn; larger start pictures are scaled down'
            cand --max-count 'Pictures of one job'
            cand --keep 'Lifetime of results, in hours'
            cand --keep-size 'Room for results, in MiB'
            cand --state 'Folder for jobs and results [default: one for each port among the user''s own]'
            cand --no-auth 'Let everybody in who reaches the address and asks for it, or for a name of --allow-host'
            cand --offline 'Use what is in the cache and open no connection to the hub'
            cand --log-prompts 'Write prompts into the log'
            cand -q 'Print nothing but errors and that it is there'
            cand --quiet 'Print nothing but errors and that it is there'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;worker'= {
            cand --queue 'Queue of the jobs: redis://[[USER:]PASSWORD@]HOST[:PORT][/DB], as the servers have it [default: what SDGEN_QUEUE says]'
            cand --lease 'Seconds after which the job of a process that is silent goes to another; for redis://, and everywhere the same'
            cand --max-pixels 'Pixels of a picture'
            cand -m 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]'
            cand --model 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]'
            cand --device 'Device: auto, cpu, cuda[:N] or metal'
            cand --dtype 'Arithmetic: auto, f32, f16, bf16 or int8'
            cand --threads 'CPU threads'
            cand --batch-size 'Pictures drawn in one forward, unless a job says otherwise: those of one job, or of jobs that follow one another and differ in prompts and seed alone'
            cand --offline 'Use what is in the cache and open no connection to the hub'
            cand --log-prompts 'Write prompts into the log'
            cand -q 'Print nothing but errors and that it is there'
            cand --quiet 'Print nothing but errors and that it is there'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;completions'= {
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;help'= {
            cand batch 'Generate the images of a job file: TOML, lines of prompts, CSV or JSONL'
            cand replay 'Generate an image again from its metadata'
            cand inspect 'Show the metadata of an image: prompt, settings, model'
            cand models 'List, fetch, check and remove models'
            cand convert 'Write a model in another layout, format or precision'
            cand config 'Show the config file with your defaults and profiles, and its values'
            cand doctor 'Check this machine and its settings, with advice on each problem'
            cand bench 'Measure how fast a model runs on this machine, stage by stage'
            cand tokens 'Show the tokens, weights and chunks of a prompt for a model'
            cand serve 'Run an HTTP server: jobs, the APIs of OpenAI and A1111, and a page in the browser'
            cand worker 'Run jobs from the queue that servers share'
            cand completions 'Print a completion script for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;help;batch'= {
        }
        &'sdgen;help;replay'= {
        }
        &'sdgen;help;inspect'= {
        }
        &'sdgen;help;models'= {
            cand list 'Known versions, and whether they are on this machine'
            cand info 'Show facts about a file or a model: family, precision, parts, metadata, hashes'
            cand pull 'Fetch a model into the cache, or update it from the hub'
            cand path 'Print the folder of a model that is on this machine'
            cand verify 'Compare the files of a model in the cache with the hub''s hashes'
            cand rm 'Remove a model from the cache'
            cand du 'Show the disk usage of each model in the cache'
        }
        &'sdgen;help;models;list'= {
        }
        &'sdgen;help;models;info'= {
        }
        &'sdgen;help;models;pull'= {
        }
        &'sdgen;help;models;path'= {
        }
        &'sdgen;help;models;verify'= {
        }
        &'sdgen;help;models;rm'= {
        }
        &'sdgen;help;models;du'= {
        }
        &'sdgen;help;convert'= {
        }
        &'sdgen;help;config'= {
            cand path 'Print where the file is, or would be'
            cand show 'Print the defaults that the file and the profile make'
        }
        &'sdgen;help;config;path'= {
        }
        &'sdgen;help;config;show'= {
        }
        &'sdgen;help;doctor'= {
        }
        &'sdgen;help;bench'= {
        }
        &'sdgen;help;tokens'= {
        }
        &'sdgen;help;serve'= {
        }
        &'sdgen;help;worker'= {
        }
        &'sdgen;help;completions'= {
        }
        &'sdgen;help;help'= {
        }
    ]
    $completions[$command]
}
