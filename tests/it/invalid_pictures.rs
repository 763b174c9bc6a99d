//! Networks whose numbers run away: caught where it happens, decoded again where that helps, and
//! nothing lost that was drawn.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

use crate::harness::{Outcome, Run, copy, golden_model, sdgen, tiny};

const TEXT: &str = "text_encoder/model.safetensors";
const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
pub(crate) const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

/// A copy of a model of the golden tests in which one tensor is `factor` times what it was.
pub(crate) fn spoilt(file: &str, tensor: &str, factor: f32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(&golden_model("sd15")), folder.path());
    let path = folder.path().join(file);
    let bytes = std::fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let scaled: Vec<u8> = floats(&tensors.tensor(tensor).unwrap())
        .into_iter()
        .flat_map(|value| (value * factor).clamp(-f32::MAX, f32::MAX).to_le_bytes())
        .collect();
    let views = tensors.tensors().into_iter().map(|(name, view)| {
        let (dtype, data) = if name == tensor {
            (Dtype::F32, &scaled[..])
        } else {
            (view.dtype(), view.data())
        };
        (
            name,
            TensorView::new(dtype, view.shape().to_vec(), data).unwrap(),
        )
    });
    let file = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    std::fs::write(&path, file).unwrap();
    folder
}

fn floats(view: &TensorView<'_>) -> Vec<f32> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
        Dtype::F16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
            .collect(),
        other => panic!("tensors of type {other:?}"),
    }
}

fn draw(model: &TempDir, args: &[&str]) -> Run {
    sdgen()
        .args(tiny())
        .arg_path("--model", model.path())
        .args(["-o", "a.png"])
        .args(args)
}

/// The pixels of a picture.
fn pixels(path: &Path) -> Vec<u8> {
    image::open(path).unwrap().to_rgb8().into_raw()
}

fn kept(outcome: &Outcome) -> PathBuf {
    assert_eq!(outcome.files(), ["a.latents.safetensors"]);
    outcome.path("a.latents.safetensors")
}

#[test]
fn a_network_that_runs_away_is_named_with_its_call_and_its_layer() {
    let layers: &[(&str, &str, &str)] = &[
        (
            TEXT,
            "text_model.encoder.layers.0.mlp.fc1",
            "the text encoder gives values",
        ),
        (
            UNET,
            "down_blocks.0.resnets.0.conv1",
            "the denoising network at call 1 of 3 gives values",
        ),
        (
            VAE,
            "decoder.mid_block.resnets.0.conv1",
            "the autoencoder's decoder gives values",
        ),
    ];
    for (file, layer, message) in layers {
        let model = spoilt(file, &format!("{layer}.weight"), f32::MAX);
        let outcome = draw(&model, &[]).fails(7).says(message);
        outcome
            .says(&format!("from layer `{layer}` on"))
            .says("hint: try another seed");
    }
}

#[test]
fn a_picture_of_one_colour_is_no_picture() {
    let model = spoilt(VAE, "decoder.conv_out.weight", 0.0);
    draw(&model, &[])
        .fails(7)
        .says("the picture is of one colour all over");
}

#[test]
fn a_decoder_that_overflows_in_half_precision_decodes_again_in_single() {
    let model = spoilt(VAE, "decoder.conv_in.weight", 1e8);
    let outcome = draw(
        &model,
        &["--dtype", "f16", "--progress", "plain", "--count", "2"],
    )
    .succeeds();
    assert_eq!(outcome.files(), ["a-0.png", "a-1.png"]);
    // The second picture is decoded in single precision at once.
    assert_eq!(
        outcome
            .stderr
            .matches("decoding again in single precision")
            .count(),
        1,
        "{outcome:?}"
    );
}

#[test]
fn what_was_drawn_is_kept_and_decoded_later() {
    let broken = spoilt(VAE, "decoder.conv_in.weight", f32::MAX);
    let failed = draw(&broken, &["-n", "dogs"]).fails(7);
    let latents = kept(&failed);
    let failed = failed.says(&format!("sdgen --from-latents {}", "a.latents.safetensors"));

    let sound = golden_model("sd15");
    let expected = sdgen()
        .args(tiny())
        .args(["-n", "dogs", "-o", "a.png"])
        .succeeds();
    let again = sdgen()
        .arg_path("--from-latents", &latents)
        .args(["-m", &sound, "-o", "b.png"])
        .succeeds();
    assert!(!again.stderr.contains("denoise"), "{again:?}");
    assert_eq!(
        pixels(&again.path("b.png")),
        pixels(&expected.path("a.png"))
    );
    let inspected = sdgen()
        .args([Path::new("inspect"), &again.path("b.png")])
        .succeeds();
    for line in [
        "prompt            a cat",
        "negative_prompt   dogs",
        "seed              7",
    ] {
        assert!(inspected.stdout().contains(line), "{}", inspected.stdout());
    }
    drop(failed);
}

#[test]
fn a_batch_keeps_what_it_cannot_decode_and_says_where() {
    let broken = spoilt(VAE, "decoder.conv_in.weight", f32::MAX);
    let model = broken.path().display();
    let text = format!(
        "[output]\ndir = 'out'\n[defaults]\nmodel = '{model}'\nprompt = 'a cat'\nwidth = 32\nheight = 32\nsteps = 2\n\
         [[job]]\nname = 'x'\ncount = 2\nseed = 7\n"
    );
    let run = sdgen().file("b.toml", text.as_bytes());
    let mut failed = run
        .args(["batch", "b.toml", "--batch-size", "2"])
        .fails(9)
        .says("2 of 2 jobs failed");
    let manifest = std::fs::read_to_string(failed.path("out/b.manifest.jsonl")).unwrap();
    let sound = golden_model("sd15");
    for (name, seed) in [("x-0", "7"), ("x-1", "8")] {
        let file = format!("out/{name}.latents.safetensors");
        assert!(
            manifest.contains(&format!("\"latents\":\"{file}\"")),
            "{manifest}"
        );
        failed = failed.says(&format!("its latents are kept in {file}"));
        let again = sdgen().arg_path("--from-latents", &failed.path(&file));
        let again = again.args(["-m", &sound, "-o", "a.png"]).succeeds();
        let mut expected = tiny();
        *expected.iter_mut().find(|arg| *arg == "7").unwrap() = seed.to_owned();
        let expected = sdgen().args(expected).args(["-o", "a.png"]).succeeds();
        assert_eq!(
            pixels(&again.path("a.png")),
            pixels(&expected.path("a.png")),
            "{name}"
        );
    }
}

#[test]
fn latents_from_a_file_decide_what_they_decide() {
    let broken = spoilt(VAE, "decoder.conv_in.weight", f32::MAX);
    let failed = draw(&broken, &[]).fails(7);
    let latents = kept(&failed);
    let decode = || sdgen().arg_path("--from-latents", &latents);
    decode()
        .args(["--steps", "4"])
        .fails(2)
        .says("--steps: is decided by the file of latents");
    decode()
        .args(["a dog"])
        .fails(2)
        .says("prompt: is decided by the file of latents");
    decode()
        .args(["-m", &golden_model("sd21-v"), "-o", "{prompt}.png"])
        .succeeds()
        .says("saved a cat.png");
    let missing = sdgen().args(["--from-latents", "no.safetensors"]);
    missing
        .fails(2)
        .says("--from-latents: `no.safetensors` cannot be read");
    let picture = sdgen()
        .args(["--from-latents", "a.png"])
        .file("a.png", b"not tensors");
    picture
        .fails(2)
        .says("`a.png` holds no tensors")
        .says("expected a file that sdgen kept");
}
