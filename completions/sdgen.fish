# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sdgen_global_optspecs
    string join \n n/negative-prompt= prompt-2= negative-prompt-2= prompt-syntax= long-prompt= W/width= H/height= seed= count= batch-size= from-latents= i/init-image= strength= strength-steps= fit= posterior= mask= mask-blur= mask-blur-y= masked-content= mask-grow= invert-mask keep-unmasked mask-padding= extend= control= control-guess canny= ip-adapter= ip-image= ip-scale= m/model= config= preset= refiner= refiner-start= vae= prediction= clip-skip= original-size= crop= target-size= negative-original-size= negative-crop= negative-target-size= lora= lora-dir= embedding= offline lock= locked= steps= cfg-scale= sampler= schedule= timestep-spacing= sigmas= timesteps= zero-terminal-snr guidance-rescale= cfg-interval= cache= merge-tokens= eta= rng= device= dtype= memory= vae-tiling= threads= o/output= preview-every= preview-dir= overwrite no-metadata profile= dry-run= show progress= q/quiet v/verbose h/help V/version
end

function __fish_sdgen_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sdgen_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sdgen_using_subcommand
    set -l cmd (__fish_sdgen_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sdgen -n "__fish_sdgen_needs_command" -s n -l negative-prompt -d 'Negative prompt' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l prompt-2 -d 'SDXL: prompt for the second text encoder [default: the prompt]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l negative-prompt-2 -d 'SDXL: negative prompt for the second text encoder [default: the negative prompt]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l prompt-syntax -d 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l long-prompt -d 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s W -l width -d 'Width in pixels, a multiple of 8 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s H -l height -d 'Height in pixels, a multiple of 8 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l seed -d 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l count -d 'Number of images [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l batch-size -d 'Images per forward pass; changes speed and memory, never an image [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l from-latents -d 'Decode the latents in this file, which a failed run kept with the rest of the request' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s i -l init-image -d 'Initial image, to start from instead of noise alone' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l strength -d 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l strength-steps -d 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l fit -d 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l posterior -d 'Latents of the initial image: sample (from the VAE\'s distribution with the seed, as diffusers) or mode (its mean) [default: sample]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask -d 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask-blur -d 'Standard deviation of a Gaussian blur of the mask, in pixels' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask-blur-y -d 'Blur of the mask along columns, in pixels [default: as --mask-blur]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l masked-content -d 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask-grow -d 'Grow the mask by this many pixels' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask-padding -d 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l extend -d 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l control -d 'ControlNet with its conditioning image, or with the image\'s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l canny -d 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l ip-adapter -d 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l ip-image -d 'Image prompt of the IP-Adapter' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l ip-scale -d 'Weight of the image prompt relative to the text prompt [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s m -l model -d 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l config -d 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l preset -d 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l refiner -d 'SDXL: model for the last steps, such as sdxl-refiner' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l refiner-start -d 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l vae -d 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l prediction -d 'Prediction type, where the model\'s own files are wrong: epsilon, v or sample' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l clip-skip -d 'Skip the last N layers of the text encoder (diffusers\' count: 1 is A1111\'s "clip skip 2")' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l original-size -d 'SDXL: `original_size` micro-conditioning [default: the image\'s size]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l crop -d 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l target-size -d 'SDXL: `target_size` micro-conditioning [default: the image\'s size]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l negative-original-size -d 'SDXL: --original-size for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l negative-crop -d 'SDXL: --crop for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l negative-target-size -d 'SDXL: --target-size for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l lora -d 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l lora-dir -d 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l embedding -d 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l lock -d 'Write the revision and the hash of every file of the models into a lock file' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l locked -d 'Use the files that a lock file names, and refuse any other' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l steps -d 'Denoising steps, 1 to 1000 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l cfg-scale -l guidance-scale -d 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l sampler -d 'Sampler [default: from the model\'s scheduler_config.json]' -r -f -a "ddpm\t'DDPM, adds noise at each step; wants many'
ddim\t'DDIM; --eta adds noise'
pndm\t'PNDM, also called PLMS; one call more than steps'
ipndm\t'improved PNDM over sigmas, fourth order'
lms\t'linear multistep, fourth order'
euler\t'Euler, first order'
euler_a\t'Euler ancestral, adds noise at each step'
heun\t'Heun, second order; two calls a step'
dpm2\t'DPM2, second order; two calls a step'
dpm2_a\t'DPM2 ancestral, adds noise; two calls a step'
dpmpp_2s_a\t'DPM-Solver++ 2S ancestral, adds noise; two calls a step'
dpmpp_sde\t'DPM-Solver++ SDE, adds noise; two calls a step'
dpmpp_2m\t'DPM-Solver++ multistep, second order'
dpmpp_2m_sde\t'DPM-Solver++ multistep, second order, adds noise'
dpmpp_3m\t'DPM-Solver++ multistep, third order'
dpmpp_3m_sde\t'DPM-Solver++ multistep, third order, adds noise'
dpmpp_singlestep\t'DPM-Solver++ singlestep, second order'
unipc\t'UniPC multistep predictor and corrector, second order'
deis\t'DEIS multistep, second order'
lcm\t'latent consistency, for models distilled so; 1 to 8 steps'
tcd\t'trajectory consistency, for models distilled so; --eta is its gamma'"
complete -c sdgen -n "__fish_sdgen_needs_command" -l schedule -d 'Noise schedule [default: the model\'s own]' -r -f -a "normal\t''
karras\t''
exponential\t''
beta\t''
sgm_uniform\t''
simple\t''
ays\t''
lu\t''"
complete -c sdgen -n "__fish_sdgen_needs_command" -l timestep-spacing -d 'Spacing of the timesteps [default: the model\'s own, or that of the sampler\'s class]' -r -f -a "linspace\t''
leading\t''
trailing\t''"
complete -c sdgen -n "__fish_sdgen_needs_command" -l sigmas -d 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l timesteps -d 'Timesteps of all steps: 999,749,499,249; they set --steps' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l guidance-rescale -d 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l cfg-interval -d 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l cache -d 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l merge-tokens -d 'Faster, less exact: merge this share of the largest maps\' tokens in self-attention, 0 to 0.75; CPU only [default: 0]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l eta -d 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l rng -d 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l device -d 'Device: auto, cpu, cuda[:N] or metal [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l dtype -d 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l memory -d 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l vae-tiling -d 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l threads -d 'CPU threads [default: the physical cores this process may use]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s o -l output -d 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l preview-every -d 'Save a small preview after every N steps [default with --preview-dir: 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l preview-dir -d 'Folder for previews, as {seed}-{step}.png' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l profile -d 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l dry-run -d 'Generate nothing: show the images of the run, their tokens, downloads, memory and estimated time; `time` measures the time on two steps of each model and size' -r -f -a "text\t'For people'
json\t'For programs'
time\t'For people, with times that are measured'"
complete -c sdgen -n "__fish_sdgen_needs_command" -l progress -d 'Form of the progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
bar\t'Bars'
plain\t'Lines'
json\t'One JSON object a line'
none\t'Only the seed and the paths of the images'"
complete -c sdgen -n "__fish_sdgen_needs_command" -l invert-mask -d 'Repaint where the mask is black'
complete -c sdgen -n "__fish_sdgen_needs_command" -l keep-unmasked -d 'Restore the pixels outside the mask from the initial image'
complete -c sdgen -n "__fish_sdgen_needs_command" -l control-guess -d 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less'
complete -c sdgen -n "__fish_sdgen_needs_command" -l offline -d 'Use the cache only, and open no connection'
complete -c sdgen -n "__fish_sdgen_needs_command" -l zero-terminal-snr -d 'Rescale the noise schedule to zero terminal SNR [default: the model\'s own]'
complete -c sdgen -n "__fish_sdgen_needs_command" -l overwrite -d 'Replace an existing file instead of choosing the next free name'
complete -c sdgen -n "__fish_sdgen_needs_command" -l no-metadata -d 'Write images without prompt and settings'
complete -c sdgen -n "__fish_sdgen_needs_command" -l show -d 'Show the finished images in the terminal'
complete -c sdgen -n "__fish_sdgen_needs_command" -s q -l quiet -d 'Print nothing but warnings and errors'
complete -c sdgen -n "__fish_sdgen_needs_command" -s v -l verbose -d 'Print how long each stage took'
complete -c sdgen -n "__fish_sdgen_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sdgen -n "__fish_sdgen_needs_command" -s V -l version -d 'Print version'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "batch" -d 'Generate the images of a job file: TOML, lines of prompts, CSV or JSONL'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "replay" -d 'Generate an image again from its metadata'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "inspect" -d 'Show the metadata of an image: prompt, settings, model'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "models" -d 'List, fetch, check and remove models'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "convert" -d 'Write a model in another layout, format or precision'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "config" -d 'Show the config file with your defaults and profiles, and its values'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "doctor" -d 'Check this machine and its settings, with advice on each problem'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "bench" -d 'Measure how fast a model runs on this machine, stage by stage'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "tokens" -d 'Show the tokens, weights and chunks of a prompt for a model'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "serve" -d 'Run an HTTP server: jobs, the APIs of OpenAI and A1111, and a page in the browser'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "worker" -d 'Run jobs from the queue that servers share'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "completions" -d 'Print a completion script for a shell'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l form -d 'Format of the file: toml, txt, csv or jsonl [default: by its extension]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l shard -d 'Run this part of the jobs only; `auto/N` takes I from the cluster\'s scheduler [default: Slurm\'s array task, else all]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l manifest -d 'Manifest of finished jobs [default: FILE\'s name with .manifest.jsonl, in the images\' folder]' -r -F
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l sheet -d 'Also save a contact sheet of the images; a matrix has labelled axes' -r -F
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l dry-run -d 'Generate nothing: show the images of the run, their tokens, downloads, memory and estimated time; `time` measures the time on two steps of each model and size' -r -f -a "text\t'For people'
json\t'For programs'
time\t'For people, with times that are measured'"
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s n -l negative-prompt -d 'Negative prompt' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l prompt-2 -d 'SDXL: prompt for the second text encoder [default: the prompt]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l negative-prompt-2 -d 'SDXL: negative prompt for the second text encoder [default: the negative prompt]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l prompt-syntax -d 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l long-prompt -d 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s W -l width -d 'Width in pixels, a multiple of 8 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s H -l height -d 'Height in pixels, a multiple of 8 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l seed -d 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l count -d 'Number of images [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l batch-size -d 'Images per forward pass; changes speed and memory, never an image [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l from-latents -d 'Decode the latents in this file, which a failed run kept with the rest of the request' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s i -l init-image -d 'Initial image, to start from instead of noise alone' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l strength -d 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l strength-steps -d 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l fit -d 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l posterior -d 'Latents of the initial image: sample (from the VAE\'s distribution with the seed, as diffusers) or mode (its mean) [default: sample]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l mask -d 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l mask-blur -d 'Standard deviation of a Gaussian blur of the mask, in pixels' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l mask-blur-y -d 'Blur of the mask along columns, in pixels [default: as --mask-blur]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l masked-content -d 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l mask-grow -d 'Grow the mask by this many pixels' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l mask-padding -d 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l extend -d 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l control -d 'ControlNet with its conditioning image, or with the image\'s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l canny -d 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l ip-adapter -d 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l ip-image -d 'Image prompt of the IP-Adapter' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l ip-scale -d 'Weight of the image prompt relative to the text prompt [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s m -l model -d 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l config -d 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l preset -d 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l refiner -d 'SDXL: model for the last steps, such as sdxl-refiner' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l refiner-start -d 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l vae -d 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l prediction -d 'Prediction type, where the model\'s own files are wrong: epsilon, v or sample' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l clip-skip -d 'Skip the last N layers of the text encoder (diffusers\' count: 1 is A1111\'s "clip skip 2")' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l original-size -d 'SDXL: `original_size` micro-conditioning [default: the image\'s size]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l crop -d 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l target-size -d 'SDXL: `target_size` micro-conditioning [default: the image\'s size]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l negative-original-size -d 'SDXL: --original-size for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l negative-crop -d 'SDXL: --crop for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l negative-target-size -d 'SDXL: --target-size for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l lora -d 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l lora-dir -d 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l embedding -d 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l lock -d 'Write the revision and the hash of every file of the models into a lock file' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l locked -d 'Use the files that a lock file names, and refuse any other' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l steps -d 'Denoising steps, 1 to 1000 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l cfg-scale -l guidance-scale -d 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l sampler -d 'Sampler [default: from the model\'s scheduler_config.json]' -r -f -a "ddpm\t'DDPM, adds noise at each step; wants many'
ddim\t'DDIM; --eta adds noise'
pndm\t'PNDM, also called PLMS; one call more than steps'
ipndm\t'improved PNDM over sigmas, fourth order'
lms\t'linear multistep, fourth order'
euler\t'Euler, first order'
euler_a\t'Euler ancestral, adds noise at each step'
heun\t'Heun, second order; two calls a step'
dpm2\t'DPM2, second order; two calls a step'
dpm2_a\t'DPM2 ancestral, adds noise; two calls a step'
dpmpp_2s_a\t'DPM-Solver++ 2S ancestral, adds noise; two calls a step'
dpmpp_sde\t'DPM-Solver++ SDE, adds noise; two calls a step'
dpmpp_2m\t'DPM-Solver++ multistep, second order'
dpmpp_2m_sde\t'DPM-Solver++ multistep, second order, adds noise'
dpmpp_3m\t'DPM-Solver++ multistep, third order'
dpmpp_3m_sde\t'DPM-Solver++ multistep, third order, adds noise'
dpmpp_singlestep\t'DPM-Solver++ singlestep, second order'
unipc\t'UniPC multistep predictor and corrector, second order'
deis\t'DEIS multistep, second order'
lcm\t'latent consistency, for models distilled so; 1 to 8 steps'
tcd\t'trajectory consistency, for models distilled so; --eta is its gamma'"
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l schedule -d 'Noise schedule [default: the model\'s own]' -r -f -a "normal\t''
karras\t''
exponential\t''
beta\t''
sgm_uniform\t''
simple\t''
ays\t''
lu\t''"
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l timestep-spacing -d 'Spacing of the timesteps [default: the model\'s own, or that of the sampler\'s class]' -r -f -a "linspace\t''
leading\t''
trailing\t''"
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l sigmas -d 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l timesteps -d 'Timesteps of all steps: 999,749,499,249; they set --steps' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l guidance-rescale -d 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l cfg-interval -d 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l cache -d 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l merge-tokens -d 'Faster, less exact: merge this share of the largest maps\' tokens in self-attention, 0 to 0.75; CPU only [default: 0]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l eta -d 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l rng -d 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l device -d 'Device: auto, cpu, cuda[:N] or metal [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l dtype -d 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l memory -d 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l vae-tiling -d 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l threads -d 'CPU threads [default: the physical cores this process may use]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s o -l output -d 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l preview-every -d 'Save a small preview after every N steps [default with --preview-dir: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l preview-dir -d 'Folder for previews, as {seed}-{step}.png' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l profile -d 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l progress -d 'Form of the progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
bar\t'Bars'
plain\t'Lines'
json\t'One JSON object a line'
none\t'Only the seed and the paths of the images'"
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l prompt -d 'Prompt of every job' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l restart -d 'Run all jobs again'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l keep-going -d 'Go on when a job fails; the default'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l fail-fast -d 'Stop at the first job that fails'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l show -d 'Show the finished images in the terminal'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l invert-mask -d 'Repaint where the mask is black'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l keep-unmasked -d 'Restore the pixels outside the mask from the initial image'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l control-guess -d 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l offline -d 'Use the cache only, and open no connection'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l zero-terminal-snr -d 'Rescale the noise schedule to zero terminal SNR [default: the model\'s own]'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l overwrite -d 'Replace an existing file instead of choosing the next free name'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -l no-metadata -d 'Write images without prompt and settings'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s q -l quiet -d 'Print nothing but warnings and errors'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s v -l verbose -d 'Print how long each stage took'
complete -c sdgen -n "__fish_sdgen_using_subcommand batch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s n -l negative-prompt -d 'Negative prompt' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l prompt-2 -d 'SDXL: prompt for the second text encoder [default: the prompt]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l negative-prompt-2 -d 'SDXL: negative prompt for the second text encoder [default: the negative prompt]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l prompt-syntax -d 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l long-prompt -d 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s W -l width -d 'Width in pixels, a multiple of 8 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s H -l height -d 'Height in pixels, a multiple of 8 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l seed -d 'Seed of the noise; image i uses seed + i; -1 picks a random one [default: random, always printed]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l count -d 'Number of images [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l batch-size -d 'Images per forward pass; changes speed and memory, never an image [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l from-latents -d 'Decode the latents in this file, which a failed run kept with the rest of the request' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s i -l init-image -d 'Initial image, to start from instead of noise alone' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l strength -d 'Denoising strength: share of the steps that change the initial image, above 0 to 1 [default: 0.8; with a mask 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l strength-steps -d 'Number of steps for a strength: the share rounded down, as diffusers, or one_more, as A1111 [default: down]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l fit -d 'Resize mode for an input image of another aspect ratio: cover, contain or stretch [default: cover]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l posterior -d 'Latents of the initial image: sample (from the VAE\'s distribution with the seed, as diffusers) or mode (its mean) [default: sample]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l mask -d 'Inpainting mask, white where the image is repainted; `alpha` takes the transparent part of the initial image' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l mask-blur -d 'Standard deviation of a Gaussian blur of the mask, in pixels' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l mask-blur-y -d 'Blur of the mask along columns, in pixels [default: as --mask-blur]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l masked-content -d 'Initial content of the masked area: original, fill (the colours around it), latent_noise or latent_nothing [default: original]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l mask-grow -d 'Grow the mask by this many pixels' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l mask-padding -d 'Inpaint the masked area only: this many pixels around it are rendered at full size and pasted back' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l extend -d 'Outpainting: pixels to add on each side, such as left=128,top=64; multiples of 8' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l control -d 'ControlNet with its conditioning image, or with the image\'s edges (canny:IMAGE); may be repeated. MODEL is a folder, a file or ORG/REPO[@REV]; SCALE is 1 and START-END 0-1 by default' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l canny -d 'Low and high thresholds of canny:IMAGE, as in OpenCV [default: 100,200]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l ip-adapter -d 'IP-Adapter for --ip-image: a file next to a folder image_encoder/, a folder, or ORG/REPO[@REV]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l ip-image -d 'Image prompt of the IP-Adapter' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l ip-scale -d 'Weight of the image prompt relative to the text prompt [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s m -l model -d 'Model: a known name, a folder, a file (.safetensors, .ckpt, .gguf), or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l config -d 'For a model in one file: folder, name or repository whose config files are used where the tensors are ambiguous, and whose weights replace missing parts' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l preset -d 'Settings of a distilled model whose files lack them: turbo, lightning, hyper or lcm' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l refiner -d 'SDXL: model for the last steps, such as sdxl-refiner' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l refiner-start -d 'Share of the noise that the base model removes before the refiner takes over, 0 to 1 [default: 0.8]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l vae -d 'Autoencoder: taesd (tiny and fast), a folder, a file, or ORG/REPO[@REV] [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l prediction -d 'Prediction type, where the model\'s own files are wrong: epsilon, v or sample' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l clip-skip -d 'Skip the last N layers of the text encoder (diffusers\' count: 1 is A1111\'s "clip skip 2")' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l original-size -d 'SDXL: `original_size` micro-conditioning [default: the image\'s size]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l crop -d 'SDXL: `crops_coords_top_left` micro-conditioning [default: 0,0]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l target-size -d 'SDXL: `target_size` micro-conditioning [default: the image\'s size]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l negative-original-size -d 'SDXL: --original-size for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l negative-crop -d 'SDXL: --crop for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l negative-target-size -d 'SDXL: --target-size for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l lora -d 'LoRA merged into the model: a file, or ORG/REPO/FILE on the hub; may be repeated [default weight: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l lora-dir -d 'Folder of the LoRAs for `<lora:NAME:WEIGHT>` in prompts' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l embedding -d 'Textual inversion: a file, or a folder of them; prompts use it by its name; may be repeated' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l lock -d 'Write the revision and the hash of every file of the models into a lock file' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l locked -d 'Use the files that a lock file names, and refuse any other' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l steps -d 'Denoising steps, 1 to 1000 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l cfg-scale -l guidance-scale -d 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l sampler -d 'Sampler [default: from the model\'s scheduler_config.json]' -r -f -a "ddpm\t'DDPM, adds noise at each step; wants many'
ddim\t'DDIM; --eta adds noise'
pndm\t'PNDM, also called PLMS; one call more than steps'
ipndm\t'improved PNDM over sigmas, fourth order'
lms\t'linear multistep, fourth order'
euler\t'Euler, first order'
euler_a\t'Euler ancestral, adds noise at each step'
heun\t'Heun, second order; two calls a step'
dpm2\t'DPM2, second order; two calls a step'
dpm2_a\t'DPM2 ancestral, adds noise; two calls a step'
dpmpp_2s_a\t'DPM-Solver++ 2S ancestral, adds noise; two calls a step'
dpmpp_sde\t'DPM-Solver++ SDE, adds noise; two calls a step'
dpmpp_2m\t'DPM-Solver++ multistep, second order'
dpmpp_2m_sde\t'DPM-Solver++ multistep, second order, adds noise'
dpmpp_3m\t'DPM-Solver++ multistep, third order'
dpmpp_3m_sde\t'DPM-Solver++ multistep, third order, adds noise'
dpmpp_singlestep\t'DPM-Solver++ singlestep, second order'
unipc\t'UniPC multistep predictor and corrector, second order'
deis\t'DEIS multistep, second order'
lcm\t'latent consistency, for models distilled so; 1 to 8 steps'
tcd\t'trajectory consistency, for models distilled so; --eta is its gamma'"
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l schedule -d 'Noise schedule [default: the model\'s own]' -r -f -a "normal\t''
karras\t''
exponential\t''
beta\t''
sgm_uniform\t''
simple\t''
ays\t''
lu\t''"
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l timestep-spacing -d 'Spacing of the timesteps [default: the model\'s own, or that of the sampler\'s class]' -r -f -a "linspace\t''
leading\t''
trailing\t''"
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l sigmas -d 'Noise levels (sigmas) of all steps, the last where the run ends: 14.6,5,1.5,0; they set --steps' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l timesteps -d 'Timesteps of all steps: 999,749,499,249; they set --steps' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l guidance-rescale -d 'Rescale the guided prediction toward the standard deviation of the conditional one, 0 to 1 [default: 0]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l cfg-interval -d 'Part of the run with guidance, as fractions; the rest runs without the unconditional pass [default: 0..1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l cache -d 'Faster, less exact: deep[:N] computes deep features at one of N calls and reuses them at the others [default: off; N: 3]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l merge-tokens -d 'Faster, less exact: merge this share of the largest maps\' tokens in self-attention, 0 to 0.75; CPU only [default: 0]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l eta -d 'Noise that ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l rng -d 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l device -d 'Device: auto, cpu, cuda[:N] or metal [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l dtype -d 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l memory -d 'Memory: auto (all networks stay loaded where they fit), low, or a size such as "6 GiB" [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l vae-tiling -d 'Decode in overlapping tiles: auto (where memory is short), on or off [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l threads -d 'CPU threads [default: the physical cores this process may use]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s o -l output -d 'Output: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l preview-every -d 'Save a small preview after every N steps [default with --preview-dir: 1]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l preview-dir -d 'Folder for previews, as {seed}-{step}.png' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l profile -d 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l progress -d 'Form of the progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
bar\t'Bars'
plain\t'Lines'
json\t'One JSON object a line'
none\t'Only the seed and the paths of the images'"
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l prompt -d 'Another prompt' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l verify -d 'Write no file: compare the new image with IMAGE, as same, close (40 dB or more) or different, which is exit code 10'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l invert-mask -d 'Repaint where the mask is black'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l keep-unmasked -d 'Restore the pixels outside the mask from the initial image'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l control-guess -d 'Guess mode of the ControlNets: the unconditional pass runs without them, and shallow blocks are weighted less'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l offline -d 'Use the cache only, and open no connection'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l zero-terminal-snr -d 'Rescale the noise schedule to zero terminal SNR [default: the model\'s own]'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l overwrite -d 'Replace an existing file instead of choosing the next free name'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -l no-metadata -d 'Write images without prompt and settings'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s q -l quiet -d 'Print nothing but warnings and errors'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s v -l verbose -d 'Print how long each stage took'
complete -c sdgen -n "__fish_sdgen_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sdgen -n "__fish_sdgen_using_subcommand inspect" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -f -a "list" -d 'Known versions, and whether they are on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -f -a "info" -d 'Show facts about a file or a model: family, precision, parts, metadata, hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -f -a "pull" -d 'Fetch a model into the cache, or update it from the hub'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -f -a "path" -d 'Print the folder of a model that is on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -f -a "verify" -d 'Compare the files of a model in the cache with the hub\'s hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -f -a "rm" -d 'Remove a model from the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -f -a "du" -d 'Show the disk usage of each model in the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list info pull path verify rm du help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from info" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from info" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -l progress -d 'Form of the progress on stderr' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
bar\t'Bars'
plain\t'Lines'
json\t'One JSON object a line'
none\t'Only the seed and the paths of the images'"
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -l half -d 'Take 16-bit variants of the weights where there are any (for `--dtype f16` and bf16)'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -s q -l quiet -d 'Print nothing but warnings and errors'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -s v -l verbose -d 'Print how long each stage took'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from path" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from path" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from verify" -l all -d 'Every model in the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from verify" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from rm" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from du" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from du" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "list" -d 'Known versions, and whether they are on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "info" -d 'Show facts about a file or a model: family, precision, parts, metadata, hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "pull" -d 'Fetch a model into the cache, or update it from the hub'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "path" -d 'Print the folder of a model that is on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Compare the files of a model in the cache with the hub\'s hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove a model from the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "du" -d 'Show the disk usage of each model in the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand convert" -l dtype -d 'f32, f16, bf16; for .gguf also q8_0, q6_k, q5_0, q5_1, q5_k, q4_0, q4_1 or q4_k [default: as it is stored]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand convert" -l layout -d 'diffusers (a folder) or single (one file) [default: as OUT is named]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand convert" -l config -d 'For a model in one file: model whose config files it uses, as in `sdgen --config`' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand convert" -l overwrite -d 'Replace what is there'
complete -c sdgen -n "__fish_sdgen_using_subcommand convert" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and not __fish_seen_subcommand_from path show help" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and not __fish_seen_subcommand_from path show help" -f -a "path" -d 'Print where the file is, or would be'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and not __fish_seen_subcommand_from path show help" -f -a "show" -d 'Print the defaults that the file and the profile make'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and not __fish_seen_subcommand_from path show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and __fish_seen_subcommand_from path" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and __fish_seen_subcommand_from show" -l profile -d 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "path" -d 'Print where the file is, or would be'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the defaults that the file and the profile make'
complete -c sdgen -n "__fish_sdgen_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand doctor" -l offline -d 'Open no connection'
complete -c sdgen -n "__fish_sdgen_using_subcommand doctor" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -s m -l model -d 'Model, as in `sdgen --model`' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -s W -l width -d 'Width in pixels [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -s H -l height -d 'Height in pixels [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -l steps -d 'Steps to time' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -l cfg-scale -d 'Guidance; 1 or less times a step without the unconditional pass' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -l dtype -d 'Arithmetic: auto, f32, f16, bf16 or int8' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -l device -d 'Device: auto, cpu, cuda[:N] or metal' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -l threads -d 'CPU threads' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand bench" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand tokens" -s m -l model -d 'Model on this machine: a known name, a folder, or ORG/REPO[@REV] [default: sd15, or CLIP\'s own vocabulary]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand tokens" -l prompt-syntax -d 'Brackets: plain or weighted [default: plain]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand tokens" -l long-prompt -d 'Prompts beyond 75 tokens: chunk, truncate or error [default: chunk, which shows every token]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand tokens" -l embedding -d 'Textual inversion: a file or a folder of them' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand tokens" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand tokens" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l host -d 'Address to listen on; another than this machine\'s own needs --token-file or --no-auth' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l port -d 'Port to listen on; 0 takes any that is free' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l token-file -d 'File whose content clients have to show as a bearer token (or as a password)' -r -F
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l allow-host -d 'Name that the server answers to besides its addresses, such as images.lan; may be repeated' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l cors -d 'Origin of pages elsewhere that may use this server, such as http://localhost:3000; may be repeated' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -s m -l model -d 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l device -d 'Device: auto, cpu, cuda[:N] or metal' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l dtype -d 'Arithmetic: auto, f32, f16, bf16 or int8' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l threads -d 'CPU threads' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l batch-size -d 'Pictures drawn in one forward, unless a job says otherwise: those of one job, or of jobs that follow one another and differ in prompts and seed alone' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l queue -d 'Jobs that may wait, more are answered with 503; or redis://[[USER:]PASSWORD@]HOST[:PORT][/DB][?size=N], where several servers and workers share a queue [default: what SDGEN_QUEUE says, or 64]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l lease -d 'Seconds after which the job of a process that is silent goes to another; for redis://, and everywhere the same' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l max-body -d 'Size of a request, in MiB' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l max-pixels -d 'Pixels of a picture that is drawn; larger start pictures are scaled down' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l max-count -d 'Pictures of one job' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l keep -d 'Lifetime of results, in hours' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l keep-size -d 'Room for results, in MiB' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l state -d 'Folder for jobs and results [default: one for each port among the user\'s own]' -r -F
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l no-auth -d 'Let everybody in who reaches the address and asks for it, or for a name of --allow-host'
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l offline -d 'Use what is in the cache and open no connection to the hub'
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -l log-prompts -d 'Write prompts into the log'
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -s q -l quiet -d 'Print nothing but errors and that it is there'
complete -c sdgen -n "__fish_sdgen_using_subcommand serve" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l queue -d 'Queue of the jobs: redis://[[USER:]PASSWORD@]HOST[:PORT][/DB], as the servers have it [default: what SDGEN_QUEUE says]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l lease -d 'Seconds after which the job of a process that is silent goes to another; for redis://, and everywhere the same' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l max-pixels -d 'Pixels of a picture' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -s m -l model -d 'Model that clients may ask for; the first is the default; may be repeated [default: every known name]' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l device -d 'Device: auto, cpu, cuda[:N] or metal' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l dtype -d 'Arithmetic: auto, f32, f16, bf16 or int8' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l threads -d 'CPU threads' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l batch-size -d 'Pictures drawn in one forward, unless a job says otherwise: those of one job, or of jobs that follow one another and differ in prompts and seed alone' -r
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l offline -d 'Use what is in the cache and open no connection to the hub'
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -l log-prompts -d 'Write prompts into the log'
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -s q -l quiet -d 'Print nothing but errors and that it is there'
complete -c sdgen -n "__fish_sdgen_using_subcommand worker" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand completions" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "batch" -d 'Generate the images of a job file: TOML, lines of prompts, CSV or JSONL'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "replay" -d 'Generate an image again from its metadata'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "inspect" -d 'Show the metadata of an image: prompt, settings, model'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "models" -d 'List, fetch, check and remove models'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "convert" -d 'Write a model in another layout, format or precision'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "config" -d 'Show the config file with your defaults and profiles, and its values'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "doctor" -d 'Check this machine and its settings, with advice on each problem'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "bench" -d 'Measure how fast a model runs on this machine, stage by stage'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "tokens" -d 'Show the tokens, weights and chunks of a prompt for a model'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "serve" -d 'Run an HTTP server: jobs, the APIs of OpenAI and A1111, and a page in the browser'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "worker" -d 'Run jobs from the queue that servers share'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from batch replay inspect models convert config doctor bench tokens serve worker completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "list" -d 'Known versions, and whether they are on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "info" -d 'Show facts about a file or a model: family, precision, parts, metadata, hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "pull" -d 'Fetch a model into the cache, or update it from the hub'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "path" -d 'Print the folder of a model that is on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "verify" -d 'Compare the files of a model in the cache with the hub\'s hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "rm" -d 'Remove a model from the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "du" -d 'Show the disk usage of each model in the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "path" -d 'Print where the file is, or would be'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the defaults that the file and the profile make'
