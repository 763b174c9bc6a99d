//! LoRAs and embeddings from the command line to the picture: what they change and what they leave
//! alone, requests one after the other in one process, and files that are damaged or of another
//! make. What diffusers draws with them is among the golden cases.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, View, serialize_to_file};
use sdgen::env::Hub;
use sdgen::{Engine, Error, Event, Flow, Params, Planner, Stage};

use crate::harness::{copy, golden_model, root, sdgen, tiny};

fn lora(name: &str) -> String {
    root()
        .join("tests/golden/adapters/lora")
        .join(name)
        .display()
        .to_string()
}

fn embedding(name: &str) -> String {
    root()
        .join("tests/golden/adapters/embeddings")
        .join(name)
        .display()
        .to_string()
}

/// The request of [`tiny`].
fn params() -> Params {
    Params {
        prompt: Some("a cat".into()),
        model: Some(golden_model("sd15")),
        width: Some(32),
        height: Some(32),
        steps: Some(2),
        seed: Some(7.into()),
        ..Params::default()
    }
}

fn with_lora(loras: &[String]) -> Params {
    Params {
        lora: Some(loras.iter().map(|lora| lora.as_str().into()).collect()),
        ..params()
    }
}

/// A process: the model stays in memory from request to request.
struct Process {
    planner: Planner,
    engine: Engine,
    /// What was loaded, and what was told.
    loads: Vec<String>,
    told: Vec<String>,
}

impl Process {
    fn new() -> Self {
        let planner = Planner::new(Hub {
            offline: true,
            ..Hub::default()
        });
        Self {
            planner,
            engine: Engine::new(),
            loads: Vec::new(),
            told: Vec::new(),
        }
    }

    fn try_draw(&mut self, params: &Params) -> Result<Vec<u8>, Error> {
        let (loads, told) = (&mut self.loads, &mut self.told);
        loads.clear();
        told.clear();
        let mut observer = |event: &Event| {
            match event {
                Event::Begin {
                    stage: Stage::Load,
                    what,
                } => loads.push(what.clone()),
                Event::Warning { message } | Event::Note { message } => told.push(message.clone()),
                _ => {}
            }
            Flow::Continue
        };
        let plan = self.planner.plan(params, &mut observer)?;
        let mut pixels = Vec::new();
        self.engine.generate(&plan, &mut observer, &mut |image| {
            pixels.clone_from(&image.rgb);
            Ok(())
        })?;
        Ok(pixels)
    }

    fn draw(&mut self, params: &Params) -> Vec<u8> {
        self.try_draw(params).unwrap()
    }
}

fn fresh(params: &Params) -> Vec<u8> {
    Process::new().draw(params)
}

#[test]
fn weight_zero_is_no_lora_at_all() {
    let none = fresh(&params());
    assert_eq!(
        fresh(&with_lora(&[format!(
            "{}:0",
            lora("sd15_lokr.safetensors")
        )])),
        none
    );
    assert_ne!(fresh(&with_lora(&[lora("sd15_lokr.safetensors")])), none);
}

#[test]
fn requests_of_one_process_are_those_of_fresh_ones() {
    let network = lora("sd15_lokr.safetensors");
    let both = lora("sd15_peft.safetensors");
    let words = Params {
        prompt: Some("a photo of <tok-a>".into()),
        embedding: Some(vec![embedding("tok-a.safetensors")]),
        ..params()
    };
    let requests = [
        params(),
        with_lora(&[format!("{network}:0.8")]),
        with_lora(&[format!("{both}:0.8")]),
        words.clone(),
        with_lora(&[format!("{both}:0.8"), format!("{network}:0.8")]),
        with_lora(&[format!("{both}:0.3")]),
        params(),
    ];
    let mut process = Process::new();
    let drawn: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| process.draw(request))
        .collect();
    for (i, request) in requests.iter().enumerate().skip(1) {
        assert_eq!(drawn[i], fresh(request), "request {i}");
        assert!(i == 6 || drawn[i] != drawn[i - 1], "request {i}");
    }
}

#[test]
fn only_networks_that_a_lora_touches_are_loaded_anew() {
    let network = lora("sd15_lokr.safetensors");
    let mut process = Process::new();
    process.draw(&params());
    process.draw(&with_lora(std::slice::from_ref(&network)));
    assert_eq!(process.loads, ["unet"]);
    process.draw(&with_lora(std::slice::from_ref(&network)));
    assert!(process.loads.is_empty(), "{:?}", process.loads);
    process.draw(&with_lora(&[
        network,
        lora("sd15_kohya_te_only.safetensors"),
    ]));
    assert_eq!(process.loads, ["text_encoder"]);
}

#[test]
fn a_lora_whose_file_has_changed_is_another_lora() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let mut process = Process::new();
    let mut draw = |name: &str| {
        copy(Path::new(&lora(name)), &path);
        process.draw(&with_lora(&[path.display().to_string()]))
    };
    let (first, second) = (draw("sd15_lokr.safetensors"), draw("sd15_peft.safetensors"));
    assert_eq!(second, fresh(&with_lora(&[lora("sd15_peft.safetensors")])));
    assert_ne!(first, second);
}

#[test]
fn a_lock_file_holds_loras_to_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ink.safetensors");
    std::fs::copy(lora("sd15_kohya.safetensors"), &file).unwrap();
    let params = with_lora(&[file.display().to_string()]);
    let lock = Some(folder.path().join("x.lock").display().to_string());
    let mut process = Process::new();
    let drawn = process
        .try_draw(&Params {
            lock: lock.clone(),
            ..params.clone()
        })
        .unwrap();
    let locked = Params {
        locked: lock,
        ..params
    };
    assert!(process.try_draw(&locked).unwrap() == drawn);
    std::fs::copy(lora("sd15_peft.safetensors"), &file).unwrap();
    let error = process.try_draw(&locked).unwrap_err().to_string();
    assert!(
        error.contains("ink.safetensors` is another file than the locked one"),
        "{error}"
    );
}

#[test]
fn a_prompt_names_loras_of_a_folder_and_pictures_tell_of_them() {
    let folder = root()
        .join("tests/golden/adapters/lora")
        .display()
        .to_string();
    for syntax in ["plain", "weighted"] {
        let args = tiny()
            .into_iter()
            .skip(1)
            .chain(["--prompt-syntax".into(), syntax.into()]);
        let run =
            sdgen()
                .args(args)
                .args(["a cat <lora:sd15_lokr:0.5:lbw=1,0>", "--lora-dir", &folder]);
        let outcome = run
            .args(["-v", "-o", "a.png"])
            .succeeds()
            .says("lora `sd15_lokr`: 128 of 128 modules");
        let outcome = outcome.says("(`lbw=1,0`) are left out");
        let found = sdgen()
            .arg_path("inspect", &outcome.path("a.png"))
            .args(["--json"])
            .succeeds();
        let found: serde_json::Value = serde_json::from_str(found.stdout()).unwrap();
        let request = &found["sdgen"]["request"];
        assert_eq!(request["prompt"], "a cat");
        let told = &request["loras"][0];
        assert_eq!(
            (told["name"].as_str(), told["weight"].as_f64()),
            (Some("sd15_lokr"), Some(0.5))
        );
        assert_eq!(told["hash"].as_str().map(str::len), Some(64));
        assert_eq!(found["parameters"]["prompt"], "a cat <lora:sd15_lokr:0.5>");
        let hashes = found["parameters"]["fields"]["Lora hashes"]
            .as_str()
            .unwrap();
        assert!(hashes.starts_with("sd15_lokr: "), "{hashes}");
        let pixels = image::open(outcome.path("a.png"))
            .unwrap()
            .into_rgb8()
            .into_raw();
        assert_eq!(
            pixels,
            fresh(&with_lora(&[format!(
                "{}:0.5",
                lora("sd15_lokr.safetensors")
            )]))
        );
    }
    let near =
        sdgen()
            .args(tiny().into_iter().skip(1))
            .args(["<lora:sd15_loker>", "--lora-dir", &folder]);
    near.fails(2).says("did you mean `sd15_lokr`?");
}

/// A tensor of a file that is made here.
#[derive(Clone)]
struct Made(Dtype, Vec<usize>, Vec<u8>);

impl Made {
    fn floats(shape: &[usize], value: f32) -> Self {
        let count = shape.iter().product();
        Self(
            Dtype::F32,
            shape.to_vec(),
            vec![value; count]
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
        )
    }
}

impl View for &Made {
    fn dtype(&self) -> Dtype {
        self.0
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.2).into()
    }

    fn data_len(&self) -> usize {
        self.2.len()
    }
}

/// A file of tensors by name and shape, every number of which is `value`.
fn file(folder: &Path, name: &str, value: f32, tensors: &[(&str, &[usize])]) -> PathBuf {
    let path = folder.join(name);
    let made: HashMap<String, Made> = tensors
        .iter()
        .map(|(name, shape)| ((*name).to_owned(), Made::floats(shape, value)))
        .collect();
    serialize_to_file(made.iter(), None, &path).unwrap();
    path
}

/// The tensors of a LoRA of the golden tests under the names that `renamed` gives them.
fn as_named(name: &str, renamed: impl Fn(&str) -> String) -> HashMap<String, Made> {
    let bytes = std::fs::read(lora(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let made = |(name, t): (String, safetensors::tensor::TensorView<'_>)| {
        (
            renamed(&name),
            Made(t.dtype(), t.shape().to_vec(), t.data().to_vec()),
        )
    };
    file.tensors().into_iter().map(made).collect()
}

/// What a LoRA of these tensors draws, and what was told.
fn drawn_with(tensors: &HashMap<String, Made>, about: Option<&str>) -> (Vec<u8>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    if let Some(about) = about {
        std::fs::write(folder.path().join("adapter_config.json"), about).unwrap();
    }
    serialize_to_file(tensors.iter(), None, &path).unwrap();
    let mut process = Process::new();
    let pixels = process.draw(&with_lora(&[path.display().to_string()]));
    let about_loras =
        |line: &&String| line.starts_with("lora ") && !line.contains(" modules, weight 1");
    let told: Vec<&String> = process.told.iter().filter(about_loras).collect();
    (pixels, format!("{told:?}"))
}

/// peft's module and part with kohya's part.
fn split(name: &str) -> (&str, &str) {
    let part = |from, to| Some((name.strip_suffix(from)?, to));
    part(".lora_A.weight", "lora_down.weight")
        .or(part(".lora_B.weight", "lora_up.weight"))
        .unwrap()
}

/// kohya's name of one of peft, with `unet` and `text` before it.
fn kohya(name: &str, unet: &str, text: &str) -> String {
    let (module, part) = split(name);
    let (network, module) = module.split_once('.').unwrap();
    let prefix = if network == "unet" { unet } else { text };
    format!("{prefix}{}.{part}", module.replace('.', "_"))
}

/// What diffusers' `convert_state_dict_to_kohya` makes of the file, with an alpha of another type
/// each time.
#[test]
fn an_alpha_may_be_a_number_of_any_type() {
    let drawn = fresh(&with_lora(&[lora("sd15_peft.safetensors")]));
    let rank = 4u8;
    let whole = |bytes: usize| [vec![rank], vec![0; bytes - 1]].concat();
    for (dtype, shape, bytes) in [
        (Dtype::I64, vec![], whole(8)),
        (Dtype::I32, vec![1], whole(4)),
        (Dtype::U16, vec![], whole(2)),
        (Dtype::U8, vec![1, 1], whole(1)),
        (Dtype::F64, vec![], 4f64.to_le_bytes().to_vec()),
        (
            Dtype::BF16,
            vec![],
            half::bf16::from_f32(4.0).to_le_bytes().to_vec(),
        ),
        (Dtype::F8_E4M3, vec![1], vec![0x48]),
    ] {
        let mut tensors = as_named("sd15_peft.safetensors", |name| {
            kohya(name, "lora_unet_", "lora_te1_")
        });
        let downs: Vec<String> = tensors
            .keys()
            .filter(|name| name.contains("lora_down"))
            .cloned()
            .collect();
        for down in downs {
            assert_eq!(tensors[&down].1[0], usize::from(rank));
            let alpha = down.replace("lora_down.weight", "alpha");
            tensors.insert(alpha, Made(dtype, shape.clone(), bytes.clone()));
        }
        assert!(
            drawn_with(&tensors, None) == (drawn.clone(), "[]".into()),
            "{dtype:?}"
        );
    }
}

#[test]
fn modules_are_known_by_the_names_of_every_program() {
    let drawn = fresh(&with_lora(&[lora("sd15_peft.safetensors")]));
    let names: [&dyn Fn(&str) -> String; 4] = [
        &|name| {
            kohya(name, "lycoris_", "lora_te_text_model_")
                .replace("text_model_text_model_", "text_model_")
        },
        &|name| kohya(name, "lora_unet_", "lycoris_"),
        &|name| {
            name.replace("unet.", "diffusion_model.")
                .replace("diffusion_model.", "unet.")
        },
        &|name| {
            name.replace(".lora_A.", ".lora.down.")
                .replace(".lora_B.", ".lora.up.")
        },
    ];
    for (i, renamed) in names.into_iter().enumerate() {
        let found = drawn_with(&as_named("sd15_peft.safetensors", renamed), None);
        assert!(
            found == (drawn.clone(), "[]".into()),
            "names {i}: {}",
            found.1
        );
    }
    let lokr = fresh(&with_lora(&[lora("sd15_lokr.safetensors")]));
    let tensors = as_named("sd15_lokr.safetensors", |name| {
        name.replace("lora_unet_", "lycoris_")
    });
    assert!(drawn_with(&tensors, None).0 == lokr);
}

#[test]
fn peft_keeps_the_strength_in_a_file_beside_its_own() {
    let mut tensors = as_named("sd15_peft.safetensors", str::to_owned);
    tensors.retain(|name, _| name.starts_with("unet."));
    let (drawn, _) = drawn_with(&tensors, None);
    let renamed =
        |(name, made): (&String, &Made)| (name.replace("unet.", "base_model.model."), made.clone());
    let peft: HashMap<String, Made> = tensors.iter().map(renamed).collect();
    let (unknown, told) = drawn_with(&peft, None);
    assert!(
        unknown == drawn && told.contains("adapter_config.json"),
        "{told}"
    );
    let same = r#"{"r": 4, "lora_alpha": 4, "use_rslora": false, "alpha_pattern": {}}"#;
    assert!(drawn_with(&peft, Some(same)) == (drawn.clone(), "[]".into()));
    let root = r#"{"r": 4, "lora_alpha": 2, "use_rslora": true, "alpha_pattern": null}"#;
    assert!(drawn_with(&peft, Some(root)).0 == drawn);
    let other = r#"{"r": 4, "lora_alpha": 4, "alpha_pattern": {"attn[12].to_q": 16}}"#;
    assert!(drawn_with(&peft, Some(other)).0 != drawn);
}

#[test]
fn what_is_no_matter_of_the_family_is_not_blamed_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let (down, up) = (
        format!("{MODULE}.lora_down.weight"),
        format!("{MODULE}.lora_up.weight"),
    );
    let pair: [(&str, &[usize]); 2] = [(&down, &[2, 64]), (&up, &[64, 2])];
    let with = |part: &str| (format!("{MODULE}.{part}"), vec![2, 2, 2]);
    for (part, what) in [
        (with("dora_scale"), "DoRA"),
        (with("lora_magnitude_vector.weight"), "DoRA"),
        (with("oft_blocks"), "OFT"),
        (("oft_unet_x.oft_blocks".to_owned(), vec![2, 2, 2]), "OFT"),
        (
            ("unet.mid_block.x.oft_R.weight".to_owned(), vec![2, 2]),
            "OFT",
        ),
        (with("a1.weight"), "GLoRA"),
        (with("on_input"), "IA3"),
        (with("lambda_layer"), "T-LoRA"),
    ] {
        let tensors: Vec<_> = pair
            .iter()
            .copied()
            .chain([(part.0.as_str(), part.1.as_slice())])
            .collect();
        let path = file(folder.path(), "a.safetensors", 1.0, &tensors);
        let error = Process::new()
            .try_draw(&with_lora(&[path.display().to_string()]))
            .unwrap_err();
        let all = format!("{error} {:?}", error.hints());
        assert!(
            all.contains(what) && all.contains("does not merge") && !all.contains("family"),
            "{all}"
        );
    }
    let path = file(
        folder.path(),
        "a.safetensors",
        1.0,
        &[(&down, &[2, 32]), (&up, &[64, 2])],
    );
    let error = Process::new()
        .try_draw(&with_lora(&[path.display().to_string()]))
        .unwrap_err();
    let all = format!("{error} {:?}", error.hints());
    assert!(
        all.contains("layers have other sizes") && !all.contains("family"),
        "{all}"
    );
    let alpha = format!("{MODULE}.alpha");
    let path = file(
        folder.path(),
        "a.safetensors",
        1.0,
        &[pair[0], pair[1], (&alpha, &[3])],
    );
    let error = Process::new()
        .try_draw(&with_lora(&[path.display().to_string()]))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("of shape [3], expected one number"),
        "{error}"
    );
}

/// tests/golden/pickles.py made them with the vectors of `tok-multi`.
#[test]
fn embeddings_of_the_first_program_are_those_of_others() {
    let drawn = fresh(&with_words(
        &embedding("tok-multi.safetensors"),
        "a photo of tok-multi, oil",
    ));
    for name in ["first", "first-old", "first-half"] {
        let path = root()
            .join("tests/golden/pickles")
            .join(format!("{name}.pt"))
            .display()
            .to_string();
        let own = fresh(&with_words(&path, &format!("a photo of {name}, oil")));
        assert!(own == drawn, "{name}");
    }
}

const MODULE: &str = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q";

#[test]
fn loras_that_are_damaged_or_of_another_make_are_refused_for_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (down, up) = (
        format!("{MODULE}.lora_down.weight"),
        format!("{MODULE}.lora_up.weight"),
    );
    let alpha = format!("{MODULE}.alpha");
    let dora = format!("{MODULE}.dora_scale");
    let (first, second) = (
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",
    );
    let whole = std::fs::read(lora("sd15_lokr.safetensors")).unwrap();
    let cut = folder.path().join("cut.safetensors");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let made =
        |value, tensors: &[(&str, &[usize])]| file(folder.path(), "a.safetensors", value, tensors);
    let refused = |path: &Path, texts: &[&str]| {
        let error = Process::new()
            .try_draw(&with_lora(&[path.display().to_string()]))
            .unwrap_err();
        let all = format!("{error:?}");
        assert_eq!(error.kind().row().exit_code, 5, "{all}");
        texts
            .iter()
            .for_each(|text| assert!(all.contains(text), "expected {text:?} in {all}"));
    };
    refused(&cut, &["cut.safetensors", "its header claims"]);
    let fine: &[(&str, &[usize])] = &[(&down, &[2, 64]), (&up, &[64, 2])];
    refused(
        &made(f32::NAN, fine),
        &["a.safetensors", "no finite numbers"],
    );
    refused(
        &made(1.0, &[(&down, &[3, 64]), (&up, &[64, 2])]),
        &["ranks that differ", "[3, 64]", "[64, 2]"],
    );
    refused(
        &made(1.0, &[(&down, &[2, 32]), (&up, &[64, 2])]),
        &["changes a weight of 64×32, expected 64×64"],
    );
    refused(
        &made(1.0, &[(&down, &[2, 64])]),
        &["lacks its `lora_up.weight`"],
    );
    refused(&made(1.0, &[(&alpha, &[])]), &["`alpha` and nothing else"]);
    refused(
        &made(
            1.0,
            &[(&down, &[2, 64]), (&up, &[64, 2]), (&dora, &[64, 1])],
        ),
        &["DoRA"],
    );
    refused(
        &made(1.0, &[(first, &[2, 64]), (second, &[64, 2])]),
        &["is no LoRA for", "looks like a LoRA for SDXL"],
    );
    refused(&made(1.0, &[("conv_in.weight", &[4])]), &["is no LoRA"]);
    let missing = Process::new()
        .try_draw(&with_lora(&["no/such.safetensors".into()]))
        .unwrap_err();
    assert_eq!(
        (missing.field_name(), missing.kind().row().exit_code),
        (Some("lora"), 2)
    );
}

#[test]
fn modules_that_the_model_has_not_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let names = [MODULE, "lora_unet_no_such_module"].map(|module| {
        [
            format!("{module}.lora_down.weight"),
            format!("{module}.lora_up.weight"),
        ]
    });
    let shapes: [&[usize]; 2] = [&[2, 64], &[64, 2]];
    let tensors: Vec<(&str, &[usize])> = names
        .iter()
        .flat_map(|pair| pair.iter().map(String::as_str).zip(shapes))
        .collect();
    let path = file(folder.path(), "half.safetensors", 0.01, &tensors);
    let mut process = Process::new();
    process.draw(&with_lora(&[path.display().to_string()]));
    let told = process.told.join("\n");
    assert!(
        told.contains("lora `half`: 1 of 2 modules, weight 1"),
        "{told}"
    );
    assert!(
        told.contains("1 of 2 modules have no place in this model"),
        "{told}"
    );
    assert!(told.contains("lora_unet_no_such_module"), "{told}");
}

/// The request with an embedding and a prompt.
fn with_words(embedding: &str, prompt: &str) -> Params {
    Params {
        prompt: Some(prompt.into()),
        embedding: Some(vec![embedding.to_owned()]),
        ..params()
    }
}

#[test]
fn an_embedding_is_a_word_by_its_files_name() {
    let folder = root()
        .join("tests/golden/adapters/embeddings")
        .display()
        .to_string();
    let bracketed = fresh(&with_words(
        &embedding("tok-a.safetensors"),
        "a photo of <tok-a>",
    ));
    assert_eq!(fresh(&with_words(&folder, "a photo of TOK-A")), bracketed);
    assert_ne!(
        fresh(&Params {
            prompt: Some("a photo of tok-a".into()),
            ..params()
        }),
        bracketed
    );
    let several = fresh(&with_words(
        &embedding("tok-multi.safetensors"),
        "a photo of tok-multi, oil",
    ));
    assert_eq!(
        fresh(&with_words(&embedding("a1111.pt"), "a photo of a1111, oil")),
        several
    );
    // Weights and chunks know of words: the same picture where they change nothing.
    let plain = with_words(&folder, "a photo of (tok-multi:1), oil");
    let weighted = Params {
        prompt_syntax: Some("weighted".into()),
        long_prompt: Some("chunk".into()),
        ..plain
    };
    assert_eq!(fresh(&weighted), several);
}

#[test]
fn the_vectors_of_a_word_are_shown_as_tokens() {
    let run = sdgen().args([
        "tokens",
        "a (tok-multi:1.5) cat",
        "--prompt-syntax",
        "weighted",
        "--json",
    ]);
    let outcome = run
        .args(["--embedding", &embedding("tok-multi.safetensors")])
        .succeeds();
    let shown: serde_json::Value = serde_json::from_str(outcome.stdout()).unwrap();
    let tokens = shown[0]["chunks"][0]["tokens"].as_array().unwrap();
    let rows: Vec<(u64, &str, f64)> = tokens
        .iter()
        .map(|row| {
            (
                row["id"].as_u64().unwrap(),
                row["piece"].as_str().unwrap(),
                row["weight"].as_f64().unwrap(),
            )
        })
        .collect();
    let word = [
        (49408, "<tok-multi>", 1.5),
        (49409, "<tok-multi>_1", 1.5),
        (49410, "<tok-multi>_2", 1.5),
    ];
    assert_eq!(rows[1..4], word);
    assert_eq!((rows.len(), rows[4].1), (5, "cat</w>"));
}

#[test]
fn embeddings_that_do_not_fit_are_refused_for_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path, text: &str| {
        let words = with_words(&path.display().to_string(), "a b cat");
        let error = Process::new().try_draw(&words).unwrap_err();
        assert_eq!(error.kind().row().exit_code, 5, "{error:?}");
        assert!(
            error.to_string().contains(text),
            "expected {text:?} in {error}"
        );
        // Nobody minds a file whose word is not used.
        let unused = with_words(&path.display().to_string(), "a cat");
        assert_eq!(Process::new().draw(&unused), fresh(&params()));
    };
    let made =
        |value, tensors: &[(&str, &[usize])]| file(folder.path(), "b.safetensors", value, tensors);
    refused(
        &made(1.0, &[("emb_params", &[2, 768])]),
        "width 768, expected 64",
    );
    refused(
        &made(f32::INFINITY, &[("emb_params", &[2, 64])]),
        "no finite numbers",
    );
    refused(
        &made(1.0, &[("clip_l", &[1, 64]), ("clip_g", &[1, 64])]),
        "clip_g of 64 and clip_l of 64, expected 64",
    );
    refused(
        &made(1.0, &[("emb_params", &[2, 3, 64])]),
        "has shape [2, 3, 64]",
    );
    refused(&made(1.0, &[("a", &[64]), ("b", &[64])]), "is no embedding");
    let cut = folder.path().join("b.safetensors");
    std::fs::write(&cut, [0; 5]).unwrap();
    refused(&cut, "cut short");
}
