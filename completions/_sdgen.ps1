
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'sdgen' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'sdgen'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'sdgen' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Negative prompt')
            [CompletionResult]::new('--negative-prompt', '--negative-prompt', [CompletionResultType]::ParameterName, 'Negative prompt')
            [CompletionResult]::new('--prompt-2', '--prompt-2', [CompletionResultType]::ParameterName, 'SDXL: prompt for the second text encoder [default: the prompt]')
            [CompletionResult]::new('--negative-prompt-2', '--negative-prompt-2', [CompletionResultType]::ParameterName, 'SDXL: negative prompt for the second text encoder [default: the negative prompt]')
            [CompletionResult]::new('--prompt-syntax', '--prompt-syntax', [CompletionResultType]::ParameterName, 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]')
            [CompletionResult]::new('--long-prompt', '--long-prompt', [CompletionResultType]::ParameterName, 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]')
            [CompletionResult]::new('-W', '-W ', [CompletionResultType]::ParameterName, 'Width in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--width', '--width', [CompletionResultType]::ParameterName, 'Width in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Height in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--height', '--height', [CompletionResultType]::ParameterName, 'Height in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Number of images [default: 1]')
            [CompletionResult]::new('--batch-size', '--batch-size', [CompletionResultType]::ParameterName, 'Images per forward pass; changes speed and memory, never an image [default: 1]')
            [CompletionResult]::new('--from-latents', '--from-latents', [CompletionResultType]::ParameterName, 'Decode the latents in this file, which a failed run kept with the rest of the request')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'Initial image, to start from instead of noise alone')
            [CompletionResult]::new('--init-image', '--init-image', [CompletionResultType]::ParameterName, 'Initial image, to start from instead of noise alone')
            [CompletionResult]::new('--strength', '--strength', [CompletionResultType]::ParameterName, 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]')
            [CompletionResult]::new('--strength-steps', '--strength-steps', [CompletionResultType]::ParameterName, 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]')
            [CompletionResult]::new('--fit', '--fit', [CompletionResultType]::ParameterName, 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]')
            [CompletionResult]::new('--posterior', '--posterior', [CompletionResultType]::ParameterName, 'Latents of the initial image: sample (from the VAE''s distribution with the seed, as diffusers) or mode (its mean) [default: sample]')
            [CompletionResult]::new('--mask', '--mask', [CompletionResultType]::ParameterName, 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image')
            [CompletionResult]::new('--mask-blur', '--mask-blur', [CompletionResultType]::ParameterName, 'Standard deviation of a Gaussian blur of the mask, in pixels')
            [CompletionResult]::new('--mask-blur-y', '--mask-blur-y', [CompletionResultType]::ParameterName, 'Blur of the mask along columns, in pixels [default: as --mask-blur]')
            [CompletionResult]::new('--masked-content', '--masked-content', [CompletionResultType]::ParameterName, 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]')
            [CompletionResult]::new('--mask-grow', '--mask-grow', [CompletionResultType]::ParameterName, 'Grow the mask by this many pixels')
            [CompletionResult]::new('--mask-padding', '--mask-padding', [CompletionResultType]::ParameterName, 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back')
            [CompletionResult]::new('--extend', '--extend', [CompletionResultType]::ParameterName, 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8')
            [CompletionResult]::new('--control', '--control', [CompletionResultType]::ParameterName, 'ControlNet with its conditioning image, or with the image''s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default')
            [CompletionResult]::new('--canny', '--canny', [CompletionResultType]::ParameterName, 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]')
            [CompletionResult]::new('--ip-adapter', '--ip-adapter', [CompletionResultType]::ParameterName, 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]')
            [CompletionResult]::new('--ip-image', '--ip-image', [CompletionResultType]::ParameterName, 'Image prompt of the IP-Adapter')
            [CompletionResult]::new('--ip-scale', '--ip-scale', [CompletionResultType]::ParameterName, 'Weight of the image prompt relative to the text prompt [default: 1]')
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts')
            [CompletionResult]::new('--preset', '--preset', [CompletionResultType]::ParameterName, 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm')
            [CompletionResult]::new('--refiner', '--refiner', [CompletionResultType]::ParameterName, 'SDXL: model for the last steps, such as sdxl-refiner')
            [CompletionResult]::new('--refiner-start', '--refiner-start', [CompletionResultType]::ParameterName, 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]')
            [CompletionResult]::new('--vae', '--vae', [CompletionResultType]::ParameterName, 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model''s own]')
            [CompletionResult]::new('--prediction', '--prediction', [CompletionResultType]::ParameterName, 'Prediction type, where the model''s own files are wrong: epsilon, v or sample')
            [CompletionResult]::new('--clip-skip', '--clip-skip', [CompletionResultType]::ParameterName, 'Skip the last N layers of the text encoder (diffusers'' count: 1 is A1111''s "clip skip 2")')
            [CompletionResult]::new('--original-size', '--original-size', [CompletionResultType]::ParameterName, 'SDXL: `original_size` micro-conditioning [default: the image''s size]')
            [CompletionResult]::new('--crop', '--crop', [CompletionResultType]::ParameterName, 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]')
            [CompletionResult]::new('--target-size', '--target-size', [CompletionResultType]::ParameterName, 'SDXL: `target_size` micro-conditioning [default: the image''s size]')
            [CompletionResult]::new('--negative-original-size', '--negative-original-size', [CompletionResultType]::ParameterName, 'SDXL: --original-size for the negative prompt [default: the same]')
            [CompletionResult]::new('--negative-crop', '--negative-crop', [CompletionResultType]::ParameterName, 'SDXL: --crop for the negative prompt [default: the same]')
            [CompletionResult]::new('--negative-target-size', '--negative-target-size', [CompletionResultType]::ParameterName, 'SDXL: --target-size for the negative prompt [default: the same]')
            [CompletionResult]::new('--lora', '--lora', [CompletionResultType]::ParameterName, 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]')
            [CompletionResult]::new('--lora-dir', '--lora-dir', [CompletionResultType]::ParameterName, 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts')
            [CompletionResult]::new('--embedding', '--embedding', [CompletionResultType]::ParameterName, 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Write the revision and the hash of every file of the models into a lock file')
            [CompletionResult]::new('--locked', '--locked', [CompletionResultType]::ParameterName, 'Use the files that a lock file names, and refuse any other')
            [CompletionResult]::new('--steps', '--steps', [CompletionResultType]::ParameterName, 'Denoising steps, 1 to 1000 [default: the model''s own]')
            [CompletionResult]::new('--cfg-scale', '--cfg-scale', [CompletionResultType]::ParameterName, 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]')
            [CompletionResult]::new('--guidance-scale', '--guidance-scale', [CompletionResultType]::ParameterName, 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]')
            [CompletionResult]::new('--sampler', '--sampler', [CompletionResultType]::ParameterName, 'Sampler [default: from the model''s scheduler_config.json]')
            [CompletionResult]::new('--schedule', '--schedule', [CompletionResultType]::ParameterName, 'Noise schedule [default: the model''s own]')
            [CompletionResult]::new('--timestep-spacing', '--timestep-spacing', [CompletionResultType]::ParameterName, 'Spacing of the timesteps [default: the model''s own, or that of the sampler''s class]')
            [CompletionResult]::new('--sigmas', '--sigmas', [CompletionResultType]::ParameterName, 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps')
            [CompletionResult]::new('--timesteps', '--timesteps', [CompletionResultType]::ParameterName, 'Timesteps of all steps: 999,749,499,249; they set --steps')
            [CompletionResult]::new('--guidance-rescale', '--guidance-rescale', [CompletionResultType]::ParameterName, 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]')
            [CompletionResult]::new('--cfg-interval', '--cfg-interval', [CompletionResultType]::ParameterName, 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]')
            [CompletionResult]::new('--cache', '--cache', [CompletionResultType]::ParameterName, 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]')
            [CompletionResult]::new('--merge-tokens', '--merge-tokens', [CompletionResultType]::ParameterName, 'Faster, less exact: merge this share of the largest maps'' tokens in self-attention, 0 to 0.75; CPU only [default: 0]')
            [CompletionResult]::new('--eta', '--eta', [CompletionResultType]::ParameterName, 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]')
            [CompletionResult]::new('--rng', '--rng', [CompletionResultType]::ParameterName, 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device: auto, cpu, cuda[:N] or metal [default: auto]')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]')
            [CompletionResult]::new('--vae-tiling', '--vae-tiling', [CompletionResultType]::ParameterName, 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'CPU threads [default: the physical cores this process may use]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]')
            [CompletionResult]::new('--preview-every', '--preview-every', [CompletionResultType]::ParameterName, 'Save a small preview after every N steps [default with --preview-dir: 1]')
            [CompletionResult]::new('--preview-dir', '--preview-dir', [CompletionResultType]::ParameterName, 'Folder for previews, as {seed}-{step}.png')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Generate nothing: show the images of the run, their tokens, downloads, memory and estimated time; `time` measures the time on two steps of each model and size')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr')
            [CompletionResult]::new('--invert-mask', '--invert-mask', [CompletionResultType]::ParameterName, 'Repaint where the mask is black')
            [CompletionResult]::new('--keep-unmasked', '--keep-unmasked', [CompletionResultType]::ParameterName, 'Restore the pixels outside the mask from the initial image')
            [CompletionResult]::new('--control-guess', '--control-guess', [CompletionResultType]::ParameterName, 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use the cache only, and open no connection')
            [CompletionResult]::new('--zero-terminal-snr', '--zero-terminal-snr', [CompletionResultType]::ParameterName, 'Rescale the noise schedule to zero terminal SNR [default: the model''s own]')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Replace an existing file instead of choosing the next free name')
            [CompletionResult]::new('--no-metadata', '--no-metadata', [CompletionResultType]::ParameterName, 'Write images without prompt and settings')
            [CompletionResult]::new('--show', '--show', [CompletionResultType]::ParameterName, 'Show the finished images in the terminal')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing but warnings and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing but warnings and errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print how long each stage took')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print how long each stage took')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('batch', 'batch', [CompletionResultType]::ParameterValue, 'Generate the images of a job file: TOML, lines of prompts, CSV or JSONL')
            [CompletionResult]::new('replay', 'replay', [CompletionResultType]::ParameterValue, 'Generate an image again from its metadata')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show the metadata of an image: prompt, settings, model')
            [CompletionResult]::new('models', 'models', [CompletionResultType]::ParameterValue, 'List, fetch, check and remove models')
            [CompletionResult]::new('convert', 'convert', [CompletionResultType]::ParameterValue, 'Write a model in another layout, format or precision')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Show the config file with your defaults and profiles, and its values')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Check this machine and its settings, with advice on each problem')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure how fast a model runs on this machine, stage by stage')
            [CompletionResult]::new('tokens', 'tokens', [CompletionResultType]::ParameterValue, 'Show the tokens, weights and chunks of a prompt for a model')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run an HTTP server: jobs, the APIs of OpenAI and A1111, and a page in the browser')
            [CompletionResult]::new('worker', 'worker', [CompletionResultType]::ParameterValue, 'Run jobs from the queue that servers share')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'sdgen;batch' {
            [CompletionResult]::new('--form', '--form', [CompletionResultType]::ParameterName, 'Format of the file: toml, txt, csv or jsonl [default: by its extension]')
            [CompletionResult]::new('--shard', '--shard', [CompletionResultType]::ParameterName, 'Run this part of the jobs only; `auto/N` takes I from the cluster''s scheduler [default: Slurm''s array task, else all]')
            [CompletionResult]::new('--manifest', '--manifest', [CompletionResultType]::ParameterName, 'Manifest of finished jobs [default: FILE''s name with .manifest.jsonl, in the images'' folder]')
            [CompletionResult]::new('--sheet', '--sheet', [CompletionResultType]::ParameterName, 'Also save a contact sheet of the images; a matrix has labelled axes')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Generate nothing: show the images of the run, their tokens, downloads, memory and estimated time; `time` measures the time on two steps of each model and size')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Negative prompt')
            [CompletionResult]::new('--negative-prompt', '--negative-prompt', [CompletionResultType]::ParameterName, 'Negative prompt')
            [CompletionResult]::new('--prompt-2', '--prompt-2', [CompletionResultType]::ParameterName, 'SDXL: prompt for the second text encoder [default: the prompt]')
            [CompletionResult]::new('--negative-prompt-2', '--negative-prompt-2', [CompletionResultType]::ParameterName, 'SDXL: negative prompt for the second text encoder [default: the negative prompt]')
            [CompletionResult]::new('--prompt-syntax', '--prompt-syntax', [CompletionResultType]::ParameterName, 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]')
            [CompletionResult]::new('--long-prompt', '--long-prompt', [CompletionResultType]::ParameterName, 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]')
            [CompletionResult]::new('-W', '-W ', [CompletionResultType]::ParameterName, 'Width in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--width', '--width', [CompletionResultType]::ParameterName, 'Width in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Height in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--height', '--height', [CompletionResultType]::ParameterName, 'Height in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Number of images [default: 1]')
            [CompletionResult]::new('--batch-size', '--batch-size', [CompletionResultType]::ParameterName, 'Images per forward pass; changes speed and memory, never an image [default: 1]')
            [CompletionResult]::new('--from-latents', '--from-latents', [CompletionResultType]::ParameterName, 'Decode the latents in this file, which a failed run kept with the rest of the request')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'Initial image, to start from instead of noise alone')
            [CompletionResult]::new('--init-image', '--init-image', [CompletionResultType]::ParameterName, 'Initial image, to start from instead of noise alone')
            [CompletionResult]::new('--strength', '--strength', [CompletionResultType]::ParameterName, 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]')
            [CompletionResult]::new('--strength-steps', '--strength-steps', [CompletionResultType]::ParameterName, 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]')
            [CompletionResult]::new('--fit', '--fit', [CompletionResultType]::ParameterName, 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]')
            [CompletionResult]::new('--posterior', '--posterior', [CompletionResultType]::ParameterName, 'Latents of the initial image: sample (from the VAE''s distribution with the seed, as diffusers) or mode (its mean) [default: sample]')
            [CompletionResult]::new('--mask', '--mask', [CompletionResultType]::ParameterName, 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image')
            [CompletionResult]::new('--mask-blur', '--mask-blur', [CompletionResultType]::ParameterName, 'Standard deviation of a Gaussian blur of the mask, in pixels')
            [CompletionResult]::new('--mask-blur-y', '--mask-blur-y', [CompletionResultType]::ParameterName, 'Blur of the mask along columns, in pixels [default: as --mask-blur]')
            [CompletionResult]::new('--masked-content', '--masked-content', [CompletionResultType]::ParameterName, 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]')
            [CompletionResult]::new('--mask-grow', '--mask-grow', [CompletionResultType]::ParameterName, 'Grow the mask by this many pixels')
            [CompletionResult]::new('--mask-padding', '--mask-padding', [CompletionResultType]::ParameterName, 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back')
            [CompletionResult]::new('--extend', '--extend', [CompletionResultType]::ParameterName, 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8')
            [CompletionResult]::new('--control', '--control', [CompletionResultType]::ParameterName, 'ControlNet with its conditioning image, or with the image''s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default')
            [CompletionResult]::new('--canny', '--canny', [CompletionResultType]::ParameterName, 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]')
            [CompletionResult]::new('--ip-adapter', '--ip-adapter', [CompletionResultType]::ParameterName, 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]')
            [CompletionResult]::new('--ip-image', '--ip-image', [CompletionResultType]::ParameterName, 'Image prompt of the IP-Adapter')
            [CompletionResult]::new('--ip-scale', '--ip-scale', [CompletionResultType]::ParameterName, 'Weight of the image prompt relative to the text prompt [default: 1]')
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts')
            [CompletionResult]::new('--preset', '--preset', [CompletionResultType]::ParameterName, 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm')
            [CompletionResult]::new('--refiner', '--refiner', [CompletionResultType]::ParameterName, 'SDXL: model for the last steps, such as sdxl-refiner')
            [CompletionResult]::new('--refiner-start', '--refiner-start', [CompletionResultType]::ParameterName, 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]')
            [CompletionResult]::new('--vae', '--vae', [CompletionResultType]::ParameterName, 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model''s own]')
            [CompletionResult]::new('--prediction', '--prediction', [CompletionResultType]::ParameterName, 'Prediction type, where the model''s own files are wrong: epsilon, v or sample')
            [CompletionResult]::new('--clip-skip', '--clip-skip', [CompletionResultType]::ParameterName, 'Skip the last N layers of the text encoder (diffusers'' count: 1 is A1111''s "clip skip 2")')
            [CompletionResult]::new('--original-size', '--original-size', [CompletionResultType]::ParameterName, 'SDXL: `original_size` micro-conditioning [default: the image''s size]')
            [CompletionResult]::new('--crop', '--crop', [CompletionResultType]::ParameterName, 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]')
            [CompletionResult]::new('--target-size', '--target-size', [CompletionResultType]::ParameterName, 'SDXL: `target_size` micro-conditioning [default: the image''s size]')
            [CompletionResult]::new('--negative-original-size', '--negative-original-size', [CompletionResultType]::ParameterName, 'SDXL: --original-size for the negative prompt [default: the same]')
            [CompletionResult]::new('--negative-crop', '--negative-crop', [CompletionResultType]::ParameterName, 'SDXL: --crop for the negative prompt [default: the same]')
            [CompletionResult]::new('--negative-target-size', '--negative-target-size', [CompletionResultType]::ParameterName, 'SDXL: --target-size for the negative prompt [default: the same]')
            [CompletionResult]::new('--lora', '--lora', [CompletionResultType]::ParameterName, 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]')
            [CompletionResult]::new('--lora-dir', '--lora-dir', [CompletionResultType]::ParameterName, 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts')
            [CompletionResult]::new('--embedding', '--embedding', [CompletionResultType]::ParameterName, 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Write the revision and the hash of every file of the models into a lock file')
            [CompletionResult]::new('--locked', '--locked', [CompletionResultType]::ParameterName, 'Use the files that a lock file names, and refuse any other')
            [CompletionResult]::new('--steps', '--steps', [CompletionResultType]::ParameterName, 'Denoising steps, 1 to 1000 [default: the model''s own]')
            [CompletionResult]::new('--cfg-scale', '--cfg-scale', [CompletionResultType]::ParameterName, 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]')
            [CompletionResult]::new('--guidance-scale', '--guidance-scale', [CompletionResultType]::ParameterName, 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]')
            [CompletionResult]::new('--sampler', '--sampler', [CompletionResultType]::ParameterName, 'Sampler [default: from the model''s scheduler_config.json]')
            [CompletionResult]::new('--schedule', '--schedule', [CompletionResultType]::ParameterName, 'Noise schedule [default: the model''s own]')
            [CompletionResult]::new('--timestep-spacing', '--timestep-spacing', [CompletionResultType]::ParameterName, 'Spacing of the timesteps [default: the model''s own, or that of the sampler''s class]')
            [CompletionResult]::new('--sigmas', '--sigmas', [CompletionResultType]::ParameterName, 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps')
            [CompletionResult]::new('--timesteps', '--timesteps', [CompletionResultType]::ParameterName, 'Timesteps of all steps: 999,749,499,249; they set --steps')
            [CompletionResult]::new('--guidance-rescale', '--guidance-rescale', [CompletionResultType]::ParameterName, 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]')
            [CompletionResult]::new('--cfg-interval', '--cfg-interval', [CompletionResultType]::ParameterName, 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]')
            [CompletionResult]::new('--cache', '--cache', [CompletionResultType]::ParameterName, 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]')
            [CompletionResult]::new('--merge-tokens', '--merge-tokens', [CompletionResultType]::ParameterName, 'Faster, less exact: merge this share of the largest maps'' tokens in self-attention, 0 to 0.75; CPU only [default: 0]')
            [CompletionResult]::new('--eta', '--eta', [CompletionResultType]::ParameterName, 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]')
            [CompletionResult]::new('--rng', '--rng', [CompletionResultType]::ParameterName, 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device: auto, cpu, cuda[:N] or metal [default: auto]')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]')
            [CompletionResult]::new('--vae-tiling', '--vae-tiling', [CompletionResultType]::ParameterName, 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'CPU threads [default: the physical cores this process may use]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]')
            [CompletionResult]::new('--preview-every', '--preview-every', [CompletionResultType]::ParameterName, 'Save a small preview after every N steps [default with --preview-dir: 1]')
            [CompletionResult]::new('--preview-dir', '--preview-dir', [CompletionResultType]::ParameterName, 'Folder for previews, as {seed}-{step}.png')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr')
            [CompletionResult]::new('--prompt', '--prompt', [CompletionResultType]::ParameterName, 'Prompt of every job')
            [CompletionResult]::new('--restart', '--restart', [CompletionResultType]::ParameterName, 'Run all jobs again')
            [CompletionResult]::new('--keep-going', '--keep-going', [CompletionResultType]::ParameterName, 'Go on when a job fails; the default')
            [CompletionResult]::new('--fail-fast', '--fail-fast', [CompletionResultType]::ParameterName, 'Stop at the first job that fails')
            [CompletionResult]::new('--show', '--show', [CompletionResultType]::ParameterName, 'Show the finished images in the terminal')
            [CompletionResult]::new('--invert-mask', '--invert-mask', [CompletionResultType]::ParameterName, 'Repaint where the mask is black')
            [CompletionResult]::new('--keep-unmasked', '--keep-unmasked', [CompletionResultType]::ParameterName, 'Restore the pixels outside the mask from the initial image')
            [CompletionResult]::new('--control-guess', '--control-guess', [CompletionResultType]::ParameterName, 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use the cache only, and open no connection')
            [CompletionResult]::new('--zero-terminal-snr', '--zero-terminal-snr', [CompletionResultType]::ParameterName, 'Rescale the noise schedule to zero terminal SNR [default: the model''s own]')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Replace an existing file instead of choosing the next free name')
            [CompletionResult]::new('--no-metadata', '--no-metadata', [CompletionResultType]::ParameterName, 'Write images without prompt and settings')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing but warnings and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing but warnings and errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print how long each stage took')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print how long each stage took')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'sdgen;replay' {
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Negative prompt')
            [CompletionResult]::new('--negative-prompt', '--negative-prompt', [CompletionResultType]::ParameterName, 'Negative prompt')
            [CompletionResult]::new('--prompt-2', '--prompt-2', [CompletionResultType]::ParameterName, 'SDXL: prompt for the second text encoder [default: the prompt]')
            [CompletionResult]::new('--negative-prompt-2', '--negative-prompt-2', [CompletionResultType]::ParameterName, 'SDXL: negative prompt for the second text encoder [default: the negative prompt]')
            [CompletionResult]::new('--prompt-syntax', '--prompt-syntax', [CompletionResultType]::ParameterName, 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]')
            [CompletionResult]::new('--long-prompt', '--long-prompt', [CompletionResultType]::ParameterName, 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]')
            [CompletionResult]::new('-W', '-W ', [CompletionResultType]::ParameterName, 'Width in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--width', '--width', [CompletionResultType]::ParameterName, 'Width in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Height in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--height', '--height', [CompletionResultType]::ParameterName, 'Height in pixels, a multiple of 8 [default: the model''s own]')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Number of images [default: 1]')
            [CompletionResult]::new('--batch-size', '--batch-size', [CompletionResultType]::ParameterName, 'Images per forward pass; changes speed and memory, never an image [default: 1]')
            [CompletionResult]::new('--from-latents', '--from-latents', [CompletionResultType]::ParameterName, 'Decode the latents in this file, which a failed run kept with the rest of the request')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'Initial image, to start from instead of noise alone')
            [CompletionResult]::new('--init-image', '--init-image', [CompletionResultType]::ParameterName, 'Initial image, to start from instead of noise alone')
            [CompletionResult]::new('--strength', '--strength', [CompletionResultType]::ParameterName, 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]')
            [CompletionResult]::new('--strength-steps', '--strength-steps', [CompletionResultType]::ParameterName, 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]')
            [CompletionResult]::new('--fit', '--fit', [CompletionResultType]::ParameterName, 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]')
            [CompletionResult]::new('--posterior', '--posterior', [CompletionResultType]::ParameterName, 'Latents of the initial image: sample (from the VAE''s distribution with the seed, as diffusers) or mode (its mean) [default: sample]')
            [CompletionResult]::new('--mask', '--mask', [CompletionResultType]::ParameterName, 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image')
            [CompletionResult]::new('--mask-blur', '--mask-blur', [CompletionResultType]::ParameterName, 'Standard deviation of a Gaussian blur of the mask, in pixels')
            [CompletionResult]::new('--mask-blur-y', '--mask-blur-y', [CompletionResultType]::ParameterName, 'Blur of the mask along columns, in pixels [default: as --mask-blur]')
            [CompletionResult]::new('--masked-content', '--masked-content', [CompletionResultType]::ParameterName, 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]')
            [CompletionResult]::new('--mask-grow', '--mask-grow', [CompletionResultType]::ParameterName, 'Grow the mask by this many pixels')
            [CompletionResult]::new('--mask-padding', '--mask-padding', [CompletionResultType]::ParameterName, 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back')
            [CompletionResult]::new('--extend', '--extend', [CompletionResultType]::ParameterName, 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8')
            [CompletionResult]::new('--control', '--control', [CompletionResultType]::ParameterName, 'ControlNet with its conditioning image, or with the image''s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default')
            [CompletionResult]::new('--canny', '--canny', [CompletionResultType]::ParameterName, 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]')
            [CompletionResult]::new('--ip-adapter', '--ip-adapter', [CompletionResultType]::ParameterName, 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]')
            [CompletionResult]::new('--ip-image', '--ip-image', [CompletionResultType]::ParameterName, 'Image prompt of the IP-Adapter')
            [CompletionResult]::new('--ip-scale', '--ip-scale', [CompletionResultType]::ParameterName, 'Weight of the image prompt relative to the text prompt [default: 1]')
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts')
            [CompletionResult]::new('--preset', '--preset', [CompletionResultType]::ParameterName, 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm')
            [CompletionResult]::new('--refiner', '--refiner', [CompletionResultType]::ParameterName, 'SDXL: model for the last steps, such as sdxl-refiner')
            [CompletionResult]::new('--refiner-start', '--refiner-start', [CompletionResultType]::ParameterName, 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]')
            [CompletionResult]::new('--vae', '--vae', [CompletionResultType]::ParameterName, 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model''s own]')
            [CompletionResult]::new('--prediction', '--prediction', [CompletionResultType]::ParameterName, 'Prediction type, where the model''s own files are wrong: epsilon, v or sample')
            [CompletionResult]::new('--clip-skip', '--clip-skip', [CompletionResultType]::ParameterName, 'Skip the last N layers of the text encoder (diffusers'' count: 1 is A1111''s "clip skip 2")')
            [CompletionResult]::new('--original-size', '--original-size', [CompletionResultType]::ParameterName, 'SDXL: `original_size` micro-conditioning [default: the image''s size]')
            [CompletionResult]::new('--crop', '--crop', [CompletionResultType]::ParameterName, 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]')
            [CompletionResult]::new('--target-size', '--target-size', [CompletionResultType]::ParameterName, 'SDXL: `target_size` micro-conditioning [default: the image''s size]')
            [CompletionResult]::new('--negative-original-size', '--negative-original-size', [CompletionResultType]::ParameterName, 'SDXL: --original-size for the negative prompt [default: the same]')
            [CompletionResult]::new('--negative-crop', '--negative-crop', [CompletionResultType]::ParameterName, 'SDXL: --crop for the negative prompt [default: the same]')
            [CompletionResult]::new('--negative-target-size', '--negative-target-size', [CompletionResultType]::ParameterName, 'SDXL: --target-size for the negative prompt [default: the same]')
            [CompletionResult]::new('--lora', '--lora', [CompletionResultType]::ParameterName, 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]')
            [CompletionResult]::new('--lora-dir', '--lora-dir', [CompletionResultType]::ParameterName, 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts')
            [CompletionResult]::new('--embedding', '--embedding', [CompletionResultType]::ParameterName, 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Write the revision and the hash of every file of the models into a lock file')
            [CompletionResult]::new('--locked', '--locked', [CompletionResultType]::ParameterName, 'Use the files that a lock file names, and refuse any other')
            [CompletionResult]::new('--steps', '--steps', [CompletionResultType]::ParameterName, 'Denoising steps, 1 to 1000 [default: the model''s own]')
            [CompletionResult]::new('--cfg-scale', '--cfg-scale', [CompletionResultType]::ParameterName, 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]')
            [CompletionResult]::new('--guidance-scale', '--guidance-scale', [CompletionResultType]::ParameterName, 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]')
            [CompletionResult]::new('--sampler', '--sampler', [CompletionResultType]::ParameterName, 'Sampler [default: from the model''s scheduler_config.json]')
            [CompletionResult]::new('--schedule', '--schedule', [CompletionResultType]::ParameterName, 'Noise schedule [default: the model''s own]')
            [CompletionResult]::new('--timestep-spacing', '--timestep-spacing', [CompletionResultType]::ParameterName, 'Spacing of the timesteps [default: the model''s own, or that of the sampler''s class]')
            [CompletionResult]::new('--sigmas', '--sigmas', [CompletionResultType]::ParameterName, 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps')
            [CompletionResult]::new('--timesteps', '--timesteps', [CompletionResultType]::ParameterName, 'Timesteps of all steps: 999,749,499,249; they set --steps')
            [CompletionResult]::new('--guidance-rescale', '--guidance-rescale', [CompletionResultType]::ParameterName, 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]')
            [CompletionResult]::new('--cfg-interval', '--cfg-interval', [CompletionResultType]::ParameterName, 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]')
            [CompletionResult]::new('--cache', '--cache', [CompletionResultType]::ParameterName, 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]')
            [CompletionResult]::new('--merge-tokens', '--merge-tokens', [CompletionResultType]::ParameterName, 'Faster, less exact: merge this share of the largest maps'' tokens in self-attention, 0 to 0.75; CPU only [default: 0]')
            [CompletionResult]::new('--eta', '--eta', [CompletionResultType]::ParameterName, 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]')
            [CompletionResult]::new('--rng', '--rng', [CompletionResultType]::ParameterName, 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device: auto, cpu, cuda[:N] or metal [default: auto]')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]')
            [CompletionResult]::new('--vae-tiling', '--vae-tiling', [CompletionResultType]::ParameterName, 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'CPU threads [default: the physical cores this process may use]')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]')
            [CompletionResult]::new('--preview-every', '--preview-every', [CompletionResultType]::ParameterName, 'Save a small preview after every N steps [default with --preview-dir: 1]')
            [CompletionResult]::new('--preview-dir', '--preview-dir', [CompletionResultType]::ParameterName, 'Folder for previews, as {seed}-{step}.png')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr')
            [CompletionResult]::new('--prompt', '--prompt', [CompletionResultType]::ParameterName, 'Another prompt')
            [CompletionResult]::new('--verify', '--verify', [CompletionResultType]::ParameterName, 'Write no file: compare the new image with IMAGE, as same, close (40 dB or more) or different, which is exit code 10')
            [CompletionResult]::new('--invert-mask', '--invert-mask', [CompletionResultType]::ParameterName, 'Repaint where the mask is black')
            [CompletionResult]::new('--keep-unmasked', '--keep-unmasked', [CompletionResultType]::ParameterName, 'Restore the pixels outside the mask from the initial image')
            [CompletionResult]::new('--control-guess', '--control-guess', [CompletionResultType]::ParameterName, 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use the cache only, and open no connection')
            [CompletionResult]::new('--zero-terminal-snr', '--zero-terminal-snr', [CompletionResultType]::ParameterName, 'Rescale the noise schedule to zero terminal SNR [default: the model''s own]')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Replace an existing file instead of choosing the next free name')
            [CompletionResult]::new('--no-metadata', '--no-metadata', [CompletionResultType]::ParameterName, 'Write images without prompt and settings')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing but warnings and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing but warnings and errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print how long each stage took')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print how long each stage took')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'sdgen;inspect' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;models' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'Known versions, and whether they are on this machine')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show facts about a file or a model: family, precision, parts, metadata, hashes')
            [CompletionResult]::new('pull', 'pull', [CompletionResultType]::ParameterValue, 'Fetch a model into the cache, or update it from the hub')
            [CompletionResult]::new('path', 'path', [CompletionResultType]::ParameterValue, 'Print the folder of a model that is on this machine')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Compare the files of a model in the cache with the hub''s hashes')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a model from the cache')
            [CompletionResult]::new('du', 'du', [CompletionResultType]::ParameterValue, 'Show the disk usage of each model in the cache')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'sdgen;models;list' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;models;info' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;models;pull' {
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Form of the progress on stderr')
            [CompletionResult]::new('--half', '--half', [CompletionResultType]::ParameterName, 'Take 16-bit variants of the weights where there are any (for `--dtype f16` and bf16)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing but warnings and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing but warnings and errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print how long each stage took')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print how long each stage took')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'sdgen;models;path' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;models;verify' {
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Every model in the cache')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;models;rm' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;models;du' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;models;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'Known versions, and whether they are on this machine')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show facts about a file or a model: family, precision, parts, metadata, hashes')
            [CompletionResult]::new('pull', 'pull', [CompletionResultType]::ParameterValue, 'Fetch a model into the cache, or update it from the hub')
            [CompletionResult]::new('path', 'path', [CompletionResultType]::ParameterValue, 'Print the folder of a model that is on this machine')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Compare the files of a model in the cache with the hub''s hashes')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a model from the cache')
            [CompletionResult]::new('du', 'du', [CompletionResultType]::ParameterValue, 'Show the disk usage of each model in the cache')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'sdgen;models;help;list' {
            break
        }
        'sdgen;models;help;info' {
            break
        }
        'sdgen;models;help;pull' {
            break
        }
        'sdgen;models;help;path' {
            break
        }
        'sdgen;models;help;verify' {
            break
        }
        'sdgen;models;help;rm' {
            break
        }
        'sdgen;models;help;du' {
            break
        }
        'sdgen;models;help;help' {
            break
        }
        'sdgen;convert' {
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'f32, f16, bf16; for .gguf also q8_0, q6_k, q5_0, q5_1, q5_k, q4_0, q4_1 or q4_k [default: as it is stored]')
            [CompletionResult]::new('--layout', '--layout', [CompletionResultType]::ParameterName, 'diffusers (a folder) or single (one file) [default: as OUT is named]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'For a model in one file: model whose config files it uses, as in `sdgen --config`')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Replace what is there')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;config' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('path', 'path', [CompletionResultType]::ParameterValue, 'Print where the file is, or would be')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the defaults that the file and the profile make')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'sdgen;config;path' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;config;show' {
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;config;help' {
            [CompletionResult]::new('path', 'path', [CompletionResultType]::ParameterValue, 'Print where the file is, or would be')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the defaults that the file and the profile make')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'sdgen;config;help;path' {
            break
        }
        'sdgen;config;help;show' {
            break
        }
        'sdgen;config;help;help' {
            break
        }
        'sdgen;doctor' {
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Open no connection')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;bench' {
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Model, as in `sdgen --model`')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'Model, as in `sdgen --model`')
            [CompletionResult]::new('-W', '-W ', [CompletionResultType]::ParameterName, 'Width in pixels [default: the model''s own]')
            [CompletionResult]::new('--width', '--width', [CompletionResultType]::ParameterName, 'Width in pixels [default: the model''s own]')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Height in pixels [default: the model''s own]')
            [CompletionResult]::new('--height', '--height', [CompletionResultType]::ParameterName, 'Height in pixels [default: the model''s own]')
            [CompletionResult]::new('--steps', '--steps', [CompletionResultType]::ParameterName, 'Steps to time')
            [CompletionResult]::new('--cfg-scale', '--cfg-scale', [CompletionResultType]::ParameterName, 'Guidance; 1 or less times a step without the unconditional pass')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Arithmetic: auto, f32, f16, bf16 or int8')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device: auto, cpu, cuda[:N] or metal')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'CPU threads')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;tokens' {
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Model on this machine: a known name, a folder, or ORG/REPO[@REV] [default: sd15, or CLIP''s own vocabulary]')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'Model on this machine: a known name, a folder, or ORG/REPO[@REV] [default: sd15, or CLIP''s own vocabulary]')
            [CompletionResult]::new('--prompt-syntax', '--prompt-syntax', [CompletionResultType]::ParameterName, 'Brackets: plain or weighted [default: plain]')
            [CompletionResult]::new('--long-prompt', '--long-prompt', [CompletionResultType]::ParameterName, 'Prompts beyond 75 tokens: chunk, truncate or error [default: chunk, which shows every token]')
            [CompletionResult]::new('--embedding', '--embedding', [CompletionResultType]::ParameterName, 'Textual inversion: a file or a folder of them')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;serve' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Address to listen on; another than this machine''s own needs --token-file or --no-auth')
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'Port to listen on; 0 takes any that is free')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'File whose content clients have to show as a bearer token (or as a password)')
            [CompletionResult]::new('--allow-host', '--allow-host', [CompletionResultType]::ParameterName, 'Name that the server answers to besides its addresses, such as images.lan; may be repeated')
            [CompletionResult]::new('--cors', '--cors', [CompletionResultType]::ParameterName, 'Origin of pages elsewhere that may use this server, such as http://localhost:3000; may be repeated')
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device: auto, cpu, cuda[:N] or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Arithmetic: auto, f32, f16, bf16 or int8')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'CPU threads')
            [CompletionResult]::new('--batch-size', '--batch-size', [CompletionResultType]::ParameterName, 'Pictures drawn in one forward, unless a job says otherwise: those of one job, or of jobs that follow one another and differ in prompts and seed alone')
            [CompletionResult]::new('--queue', '--queue', [CompletionResultType]::ParameterName, 'Jobs that may wait, more are answered with 503; or redis://[[USER:]PASSWORD@]HOST[:PORT][/DB][?size=N], where several servers and workers share a queue [default: what SDGEN_QUEUE says, or 64]')
            [CompletionResult]::new('--lease', '--lease', [CompletionResultType]::ParameterName, 'Seconds after which the job of a process that is silent goes to another; for redis://, and everywhere the same')
            [CompletionResult]::new('--max-body', '--max-body', [CompletionResultType]::ParameterName, 'Size of a request, in MiB')
            [CompletionResult]::new('--max-pixels', '--max-pixels', [CompletionResultType]::ParameterName, 'Pixels of a picture that is drawn; larger start pictures are scaled down')
            [CompletionResult]::new('--max-count', '--max-count', [CompletionResultType]::ParameterName, 'Pictures of one job')
            [CompletionResult]::new('--keep', '--keep', [CompletionResultType]::ParameterName, 'Lifetime of results, in hours')
            [CompletionResult]::new('--keep-size', '--keep-size', [CompletionResultType]::ParameterName, 'Room for results, in MiB')
            [CompletionResult]::new('--state', '--state', [CompletionResultType]::ParameterName, 'Folder for jobs and results [default: one for each port among the user''s own]')
            [CompletionResult]::new('--no-auth', '--no-auth', [CompletionResultType]::ParameterName, 'Let everybody in who reaches the address and asks for it, or for a name of --allow-host')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use what is in the cache and open no connection to the hub')
            [CompletionResult]::new('--log-prompts', '--log-prompts', [CompletionResultType]::ParameterName, 'Write prompts into the log')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing but errors and that it is there')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing but errors and that it is there')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;worker' {
            [CompletionResult]::new('--queue', '--queue', [CompletionResultType]::ParameterName, 'Queue of the jobs: redis://[[USER:]PASSWORD@]HOST[:PORT][/DB], as the servers have it [default: what SDGEN_QUEUE says]')
            [CompletionResult]::new('--lease', '--lease', [CompletionResultType]::ParameterName, 'Seconds after which the job of a process that is silent goes to another; for redis://, and everywhere the same')
            [CompletionResult]::new('--max-pixels', '--max-pixels', [CompletionResultType]::ParameterName, 'Pixels of a picture')
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Device: auto, cpu, cuda[:N] or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Arithmetic: auto, f32, f16, bf16 or int8')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'CPU threads')
            [CompletionResult]::new('--batch-size', '--batch-size', [CompletionResultType]::ParameterName, 'Pictures drawn in one forward, unless a job says otherwise: those of one job, or of jobs that follow one another and differ in prompts and seed alone')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use what is in the cache and open no connection to the hub')
            [CompletionResult]::new('--log-prompts', '--log-prompts', [CompletionResultType]::ParameterName, 'Write prompts into the log')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print nothing but errors and that it is there')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print nothing but errors and that it is there')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;completions' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'sdgen;help' {
            [CompletionResult]::new('batch', 'batch', [CompletionResultType]::ParameterValue, 'Generate the images of a job file: TOML, lines of prompts, CSV or JSONL')
            [CompletionResult]::new('replay', 'replay', [CompletionResultType]::ParameterValue, 'Generate an image again from its metadata')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show the metadata of an image: prompt, settings, model')
            [CompletionResult]::new('models', 'models', [CompletionResultType]::ParameterValue, 'List, fetch, check and remove models')
            [CompletionResult]::new('convert', 'convert', [CompletionResultType]::ParameterValue, 'Write a model in another layout, format or precision')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Show the config file with your defaults and profiles, and its values')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Check this machine and its settings, with advice on each problem')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure how fast a model runs on this machine, stage by stage')
            [CompletionResult]::new('tokens', 'tokens', [CompletionResultType]::ParameterValue, 'Show the tokens, weights and chunks of a prompt for a model')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Run an HTTP server: jobs, the APIs of OpenAI and A1111, and a page in the browser')
            [CompletionResult]::new('worker', 'worker', [CompletionResultType]::ParameterValue, 'Run jobs from the queue that servers share')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'sdgen;help;batch' {
            break
        }
        'sdgen;help;replay' {
            break
        }
        'sdgen;help;inspect' {
            break
        }
        'sdgen;help;models' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'Known versions, and whether they are on this machine')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show facts about a file or a model: family, precision, parts, metadata, hashes')
            [CompletionResult]::new('pull', 'pull', [CompletionResultType]::ParameterValue, 'Fetch a model into the cache, or update it from the hub')
            [CompletionResult]::new('path', 'path', [CompletionResultType]::ParameterValue, 'Print the folder of a model that is on this machine')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Compare the files of a model in the cache with the hub''s hashes')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a model from the cache')
            [CompletionResult]::new('du', 'du', [CompletionResultType]::ParameterValue, 'Show the disk usage of each model in the cache')
            break
        }
        'sdgen;help;models;list' {
            break
        }
        'sdgen;help;models;info' {
            break
        }
        'sdgen;help;models;pull' {
            break
        }
        'sdgen;help;models;path' {
            break
        }
        'sdgen;help;models;verify' {
            break
        }
        'sdgen;help;models;rm' {
            break
        }
        'sdgen;help;models;du' {
            break
        }
        'sdgen;help;convert' {
            break
        }
        'sdgen;help;config' {
            [CompletionResult]::new('path', 'path', [CompletionResultType]::ParameterValue, 'Print where the file is, or would be')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Print the defaults that the file and the profile make')
            break
        }
        'sdgen;help;config;path' {
            break
        }
        'sdgen;help;config;show' {
            break
        }
        'sdgen;help;doctor' {
            break
        }
        'sdgen;help;bench' {
            break
        }
        'sdgen;help;tokens' {
            break
        }
        'sdgen;help;serve' {
            break
        }
        'sdgen;help;worker' {
            break
        }
        'sdgen;help;completions' {
            break
        }
        'sdgen;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
