# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sdgen_global_optspecs
    string join \n n/negative-prompt= prompt-2= negative-prompt-2= prompt-syntax= long-prompt= W/width= H/height= seed= count= batch-size= i/init-image= strength= fit= posterior= mask= mask-blur= mask-grow= invert-mask keep-unmasked mask-padding= extend= m/model= refiner= refiner-start= prediction= clip-skip= original-size= crop= target-size= negative-original-size= negative-crop= negative-target-size= offline lock= locked= steps= cfg-scale= sampler= schedule= timestep-spacing= sigmas= timesteps= zero-terminal-snr guidance-rescale= cfg-interval= eta= rng= device= dtype= threads= o/output= overwrite no-metadata profile= progress= q/quiet v/verbose h/help V/version
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

complete -c sdgen -n "__fish_sdgen_needs_command" -s n -l negative-prompt -d 'What to keep out of the picture' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l prompt-2 -d 'SDXL: what the second text encoder reads [default: the prompt]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l negative-prompt-2 -d 'SDXL: what the second text encoder reads of what to keep out [default: the negative prompt]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l prompt-syntax -d 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l long-prompt -d 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s W -l width -d 'Width in pixels, a multiple of 8 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s H -l height -d 'Height in pixels, a multiple of 8 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l seed -d 'Seed of the noise; image i uses seed + i [default: random, always printed]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l count -d 'How many pictures [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l batch-size -d 'Pictures per forward pass; changes speed and memory, never a picture [default: 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s i -l init-image -d 'Start from this picture instead of noise alone' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l strength -d 'Share of the steps that repaint it, above 0 to 1 [default: 0.8; with a mask 1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l fit -d 'How a picture of another shape is fitted: cover, contain or stretch [default: cover]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l posterior -d 'Latents of the picture: sample (drawn with the seed, as diffusers) or mode (the mean) [default: sample]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask -d 'Repaint only where this picture is white, or `alpha`: where the start picture is transparent' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask-blur -d 'Blur the mask\'s edge by this many pixels' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask-grow -d 'Grow the mask by this many pixels' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l mask-padding -d 'Render only the mask\'s surroundings, this many pixels around it, at full size, and paste them back' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l extend -d 'Paint beyond the start picture\'s edges: left=128,top=64; multiples of 8' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s m -l model -d 'Model: a known name, a folder, or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l refiner -d 'SDXL: a model that draws the last steps, such as sdxl-refiner' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l refiner-start -d 'Share of the noise that the base model takes away before the refiner goes on, 0 to 1 [default: 0.8]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l prediction -d 'What the network predicts, where the model\'s own files are wrong: epsilon, v or sample' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l clip-skip -d 'Skip the last N layers of the text encoder (diffusers\' count: 1 is A1111\'s "clip skip 2")' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l original-size -d 'SDXL: the size that the picture is told to have had [default: its own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l crop -d 'SDXL: how much is told to be cropped away at the top and the left [default: 0,0]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l target-size -d 'SDXL: the size that the picture is told to have [default: its own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l negative-original-size -d 'SDXL: --original-size for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l negative-crop -d 'SDXL: --crop for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l negative-target-size -d 'SDXL: --target-size for the negative prompt [default: the same]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l lock -d 'Write the revision and the hash of every file of the models into a lock file' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l locked -d 'Draw with the files that a lock file names, and refuse any other' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l steps -d 'Denoising steps, 1 to 1000 [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l cfg-scale -l guidance-scale -d 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model\'s own]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l sampler -d 'Sampler [default: as the model\'s scheduler_config.json says]' -r -f -a "ddpm\t'DDPM, adds noise at each step; wants many'
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
complete -c sdgen -n "__fish_sdgen_needs_command" -l schedule -d 'How the noise levels are spaced [default: as the model says]' -r -f -a "normal\t''
karras\t''
exponential\t''
beta\t''
sgm_uniform\t''
simple\t''
ays\t''
lu\t''"
complete -c sdgen -n "__fish_sdgen_needs_command" -l timestep-spacing -d 'Which of the model\'s timesteps are visited [default: as the model or the sampler\'s class says]' -r -f -a "linspace\t''
leading\t''
trailing\t''"
complete -c sdgen -n "__fish_sdgen_needs_command" -l sigmas -d 'Noise levels one by one, the last being where the run ends: 14.6,5,1.5,0; steps follow from them' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l timesteps -d 'Timesteps one by one: 999,749,499,249; steps follow from them' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l guidance-rescale -d 'Pull the guided output back to the contrast of the unguided one, 0 to 1 [default: 0]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l cfg-interval -d 'Part of the run with guidance, as fractions; the rest runs the prompt alone [default: 0..1]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l eta -d 'How much noise ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l rng -d 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l device -d 'Device: auto, cpu, cuda[:N] or metal [default: auto]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l dtype -d 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l threads -d 'CPU threads [default: the physical cores this process may use]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -s o -l output -d 'Where to write: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l profile -d 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]' -r
complete -c sdgen -n "__fish_sdgen_needs_command" -l progress -d 'How progress is shown on stderr' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
bar\t'Bars'
plain\t'Lines'
json\t'One JSON object a line'
none\t'Nothing but the seed and where the pictures are'"
complete -c sdgen -n "__fish_sdgen_needs_command" -l invert-mask -d 'Repaint where the mask is black instead'
complete -c sdgen -n "__fish_sdgen_needs_command" -l keep-unmasked -d 'Put the pixels outside the mask back as they were'
complete -c sdgen -n "__fish_sdgen_needs_command" -l offline -d 'Use what is in the cache and open no connection'
complete -c sdgen -n "__fish_sdgen_needs_command" -l zero-terminal-snr -d 'Rescale the model\'s noise so that its last timestep holds no signal [default: as the model says]'
complete -c sdgen -n "__fish_sdgen_needs_command" -l overwrite -d 'Replace an existing file instead of choosing the next free name'
complete -c sdgen -n "__fish_sdgen_needs_command" -l no-metadata -d 'Write no prompt and settings into the PNG'
complete -c sdgen -n "__fish_sdgen_needs_command" -s q -l quiet -d 'Print nothing but errors'
complete -c sdgen -n "__fish_sdgen_needs_command" -s v -l verbose -d 'Print how long each stage took'
complete -c sdgen -n "__fish_sdgen_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sdgen -n "__fish_sdgen_needs_command" -s V -l version -d 'Print version'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "inspect" -d 'Show what a picture says about itself: prompt, settings, model'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "models" -d 'List, fetch, check and remove models'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "config" -d 'Show the file with your defaults and profiles, and what it says'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "doctor" -d 'Look for what keeps sdgen from working well on this machine, and say how to mend it'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "bench" -d 'Measure how fast a model runs on this machine, stage by stage'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "tokens" -d 'Show how a model reads a prompt: tokens, weights and chunks'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "completions" -d 'Print a completion script for a shell'
complete -c sdgen -n "__fish_sdgen_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand inspect" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -f -a "list" -d 'Known versions, and whether they are on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -f -a "pull" -d 'Fetch a model into the cache, or what the hub has newer of it'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -f -a "path" -d 'Print the folder of a model that is on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -f -a "verify" -d 'Compare the files of a model in the cache with the hub\'s hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -f -a "rm" -d 'Remove a model from the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -f -a "du" -d 'Show how much of the disk each model in the cache takes'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and not __fish_seen_subcommand_from list pull path verify rm du help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -l progress -d 'How progress is shown on stderr' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
bar\t'Bars'
plain\t'Lines'
json\t'One JSON object a line'
none\t'Nothing but the seed and where the pictures are'"
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -l half -d 'Take 16-bit variants of the weights where there are any (for `--dtype f16` and bf16)'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from pull" -s q -l quiet -d 'Print nothing but errors'
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
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "pull" -d 'Fetch a model into the cache, or what the hub has newer of it'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "path" -d 'Print the folder of a model that is on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Compare the files of a model in the cache with the hub\'s hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove a model from the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "du" -d 'Show how much of the disk each model in the cache takes'
complete -c sdgen -n "__fish_sdgen_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
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
complete -c sdgen -n "__fish_sdgen_using_subcommand tokens" -l json -d 'Print JSON'
complete -c sdgen -n "__fish_sdgen_using_subcommand tokens" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand completions" -s h -l help -d 'Print help'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from inspect models config doctor bench tokens completions help" -f -a "inspect" -d 'Show what a picture says about itself: prompt, settings, model'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from inspect models config doctor bench tokens completions help" -f -a "models" -d 'List, fetch, check and remove models'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from inspect models config doctor bench tokens completions help" -f -a "config" -d 'Show the file with your defaults and profiles, and what it says'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from inspect models config doctor bench tokens completions help" -f -a "doctor" -d 'Look for what keeps sdgen from working well on this machine, and say how to mend it'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from inspect models config doctor bench tokens completions help" -f -a "bench" -d 'Measure how fast a model runs on this machine, stage by stage'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from inspect models config doctor bench tokens completions help" -f -a "tokens" -d 'Show how a model reads a prompt: tokens, weights and chunks'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from inspect models config doctor bench tokens completions help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and not __fish_seen_subcommand_from inspect models config doctor bench tokens completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "list" -d 'Known versions, and whether they are on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "pull" -d 'Fetch a model into the cache, or what the hub has newer of it'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "path" -d 'Print the folder of a model that is on this machine'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "verify" -d 'Compare the files of a model in the cache with the hub\'s hashes'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "rm" -d 'Remove a model from the cache'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "du" -d 'Show how much of the disk each model in the cache takes'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "path" -d 'Print where the file is, or would be'
complete -c sdgen -n "__fish_sdgen_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the defaults that the file and the profile make'
