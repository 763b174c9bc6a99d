
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
            cand -n 'What to keep out of the picture'
            cand --negative-prompt 'What to keep out of the picture'
            cand --prompt-2 'SDXL: what the second text encoder reads [default: the prompt]'
            cand --negative-prompt-2 'SDXL: what the second text encoder reads of what to keep out [default: the negative prompt]'
            cand --prompt-syntax 'Brackets in prompts: plain (text, as diffusers) or weighted ((word:1.3), [word], BREAK, as A1111) [default: plain]'
            cand --long-prompt 'Prompts beyond 75 tokens: chunk (read all), truncate (as diffusers, with a warning) or error [default: truncate]'
            cand -W 'Width in pixels, a multiple of 8 [default: the model''s own]'
            cand --width 'Width in pixels, a multiple of 8 [default: the model''s own]'
            cand -H 'Height in pixels, a multiple of 8 [default: the model''s own]'
            cand --height 'Height in pixels, a multiple of 8 [default: the model''s own]'
            cand --seed 'Seed of the noise; image i uses seed + i [default: random, always printed]'
            cand --count 'How many pictures [default: 1]'
            cand --batch-size 'Pictures per forward pass; changes speed and memory, never a picture [default: 1]'
            cand -i 'Start from this picture instead of noise alone'
            cand --init-image 'Start from this picture instead of noise alone'
            cand --strength 'Share of the steps that repaint it, above 0 to 1 [default: 0.8; with a mask 1]'
            cand --fit 'How a picture of another shape is fitted: cover, contain or stretch [default: cover]'
            cand --posterior 'Latents of the picture: sample (drawn with the seed, as diffusers) or mode (the mean) [default: sample]'
            cand --mask 'Repaint only where this picture is white, or `alpha`: where the start picture is transparent'
            cand --mask-blur 'Blur the mask''s edge by this many pixels'
            cand --mask-grow 'Grow the mask by this many pixels'
            cand --mask-padding 'Render only the mask''s surroundings, this many pixels around it, at full size, and paste them back'
            cand --extend 'Paint beyond the start picture''s edges: left=128,top=64; multiples of 8'
            cand -m 'Model: a known name, a folder, or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]'
            cand --model 'Model: a known name, a folder, or ORG/REPO[@REV] on the Hugging Face hub [default: sd15]'
            cand --refiner 'SDXL: a model that draws the last steps, such as sdxl-refiner'
            cand --refiner-start 'Share of the noise that the base model takes away before the refiner goes on, 0 to 1 [default: 0.8]'
            cand --prediction 'What the network predicts, where the model''s own files are wrong: epsilon, v or sample'
            cand --clip-skip 'Skip the last N layers of the text encoder (diffusers'' count: 1 is A1111''s "clip skip 2")'
            cand --original-size 'SDXL: the size that the picture is told to have had [default: its own]'
            cand --crop 'SDXL: how much is told to be cropped away at the top and the left [default: 0,0]'
            cand --target-size 'SDXL: the size that the picture is told to have [default: its own]'
            cand --negative-original-size 'SDXL: --original-size for the negative prompt [default: the same]'
            cand --negative-crop 'SDXL: --crop for the negative prompt [default: the same]'
            cand --negative-target-size 'SDXL: --target-size for the negative prompt [default: the same]'
            cand --lock 'Write the revision and the hash of every file of the models into a lock file'
            cand --locked 'Draw with the files that a lock file names, and refuse any other'
            cand --steps 'Denoising steps, 1 to 1000 [default: the model''s own]'
            cand --cfg-scale 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]'
            cand --guidance-scale 'Guidance, 0 to 50; 1 or less skips the unconditional pass [default: the model''s own]'
            cand --sampler 'Sampler [default: as the model''s scheduler_config.json says]'
            cand --schedule 'How the noise levels are spaced [default: as the model says]'
            cand --timestep-spacing 'Which of the model''s timesteps are visited [default: as the model or the sampler''s class says]'
            cand --sigmas 'Noise levels one by one, the last being where the run ends: 14.6,5,1.5,0; steps follow from them'
            cand --timesteps 'Timesteps one by one: 999,749,499,249; steps follow from them'
            cand --guidance-rescale 'Pull the guided output back to the contrast of the unguided one, 0 to 1 [default: 0]'
            cand --cfg-interval 'Part of the run with guidance, as fractions; the rest runs the prompt alone [default: 0..1]'
            cand --eta 'How much noise ddim and tcd add at each step, 0 to 1 [default: 0; tcd: 0.3]'
            cand --rng 'Source of noise: torch (as PyTorch on a CPU) or philox (as PyTorch on CUDA) [default: torch]'
            cand --device 'Device: auto, cpu, cuda[:N] or metal [default: auto]'
            cand --dtype 'Arithmetic: auto, f32, f16, bf16 or int8 [default: auto, which is f32 on the CPU and f16 elsewhere]'
            cand --threads 'CPU threads [default: the physical cores this process may use]'
            cand -o 'Where to write: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]'
            cand --output 'Where to write: a path, a template such as out/{seed}-{index}.png, or `-` for stdout [default: {model}-{seed}.png]'
            cand --profile 'Profile of your config file whose values are defaults [default: SDGEN_PROFILE]'
            cand --progress 'How progress is shown on stderr'
            cand --invert-mask 'Repaint where the mask is black instead'
            cand --keep-unmasked 'Put the pixels outside the mask back as they were'
            cand --offline 'Use what is in the cache and open no connection'
            cand --zero-terminal-snr 'Rescale the model''s noise so that its last timestep holds no signal [default: as the model says]'
            cand --overwrite 'Replace an existing file instead of choosing the next free name'
            cand --no-metadata 'Write no prompt and settings into the PNG'
            cand -q 'Print nothing but errors'
            cand --quiet 'Print nothing but errors'
            cand -v 'Print how long each stage took'
            cand --verbose 'Print how long each stage took'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand inspect 'Show what a picture says about itself: prompt, settings, model'
            cand models 'List, fetch, check and remove models'
            cand config 'Show the file with your defaults and profiles, and what it says'
            cand doctor 'Look for what keeps sdgen from working well on this machine, and say how to mend it'
            cand bench 'Measure how fast a model runs on this machine, stage by stage'
            cand tokens 'Show how a model reads a prompt: tokens, weights and chunks'
            cand completions 'Print a completion script for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
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
            cand pull 'Fetch a model into the cache, or what the hub has newer of it'
            cand path 'Print the folder of a model that is on this machine'
            cand verify 'Compare the files of a model in the cache with the hub''s hashes'
            cand rm 'Remove a model from the cache'
            cand du 'Show how much of the disk each model in the cache takes'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;models;list'= {
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;models;pull'= {
            cand --progress 'How progress is shown on stderr'
            cand --half 'Take 16-bit variants of the weights where there are any (for `--dtype f16` and bf16)'
            cand -q 'Print nothing but errors'
            cand --quiet 'Print nothing but errors'
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
            cand pull 'Fetch a model into the cache, or what the hub has newer of it'
            cand path 'Print the folder of a model that is on this machine'
            cand verify 'Compare the files of a model in the cache with the hub''s hashes'
            cand rm 'Remove a model from the cache'
            cand du 'Show how much of the disk each model in the cache takes'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;models;help;list'= {
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
            cand --json 'Print JSON'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;completions'= {
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'sdgen;help'= {
            cand inspect 'Show what a picture says about itself: prompt, settings, model'
            cand models 'List, fetch, check and remove models'
            cand config 'Show the file with your defaults and profiles, and what it says'
            cand doctor 'Look for what keeps sdgen from working well on this machine, and say how to mend it'
            cand bench 'Measure how fast a model runs on this machine, stage by stage'
            cand tokens 'Show how a model reads a prompt: tokens, weights and chunks'
            cand completions 'Print a completion script for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'sdgen;help;inspect'= {
        }
        &'sdgen;help;models'= {
            cand list 'Known versions, and whether they are on this machine'
            cand pull 'Fetch a model into the cache, or what the hub has newer of it'
            cand path 'Print the folder of a model that is on this machine'
            cand verify 'Compare the files of a model in the cache with the hub''s hashes'
            cand rm 'Remove a model from the cache'
            cand du 'Show how much of the disk each model in the cache takes'
        }
        &'sdgen;help;models;list'= {
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
        &'sdgen;help;completions'= {
        }
        &'sdgen;help;help'= {
        }
    ]
    $completions[$command]
}
