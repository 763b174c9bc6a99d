//! Pictures and masks to start from, and refiners, through the binary: what a combination draws, or
//! which error of its own it is.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::TempDir;

use crate::harness::{Outcome, copy, golden_model, sdgen, tiny};

/// A folder with a.png (48 × 40 pixels), white-left.png (a mask of 24 × 20, its left half white)
/// and black.png.
struct Inputs(TempDir);

impl Inputs {
    fn new() -> Self {
        let inputs = Self(tempfile::tempdir().unwrap());
        let colours = |x: u32, y: u32| Rgb([x as u8 * 5, y as u8 * 6, 90]);
        RgbImage::from_fn(48, 40, colours)
            .save(inputs.path("a.png"))
            .unwrap();
        let half = |x: u32, _| Luma([if x < 12 { 255 } else { 0 }]);
        GrayImage::from_fn(24, 20, half)
            .save(inputs.path("white-left.png"))
            .unwrap();
        GrayImage::new(48, 40)
            .save(inputs.path("black.png"))
            .unwrap();
        inputs
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Arguments with `@name` for the path of an input.
    fn args(&self, args: &[&str]) -> Vec<String> {
        args.iter()
            .map(|arg| {
                arg.strip_prefix('@')
                    .map_or((*arg).to_owned(), |name| self.path(name))
            })
            .collect()
    }
}

/// A copy of a golden model with pieces of text in its files replaced.
fn changed(changes: &[(&str, &str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(&golden_model("sd15")), folder.path());
    for (file, old, new) in changes {
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} has no {old}");
        std::fs::write(&path, text.replacen(old, new, 1)).unwrap();
    }
    folder
}

/// Without sizes: they follow from the picture.
fn base() -> Vec<String> {
    let model = golden_model("sd15");
    [
        "a cat", "--steps", "2", "--seed", "7", "-o", "out.png", "--model", &model,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn drawn(outcome: &Outcome) -> RgbImage {
    image::open(outcome.path("out.png")).unwrap().into_rgb8()
}

#[test]
fn wrong_combinations_have_errors_of_their_own() {
    let inputs = Inputs::new();
    let refused: &[(&[&str], &[&str])] = &[
        (
            &["-i", "@a.png", "--strength", "0"],
            &["--strength: expected a number above 0", "no step at all"],
        ),
        (
            &["-i", "@a.png", "--strength", "0.4", "--sampler", "euler"],
            &[
                "--strength: expected at least 0.5 for one of 2 steps",
                "more steps",
            ],
        ),
        (
            &["-i", "@a.png", "--mask", "@black.png"],
            &["--mask: the mask is black all over", "--invert-mask"],
        ),
        (
            &["-i", "@a.png", "--mask", "alpha"],
            &["--mask: the initial picture has no alpha channel"],
        ),
        (
            &["-i", "@a.png", "--mask-blur", "3"],
            &["--mask-blur: there is no mask", "`--mask`"],
        ),
        (
            &["-i", "@a.png", "--mask-padding", "8"],
            &["--mask-padding: there is no mask"],
        ),
        (
            &["--mask", "@black.png"],
            &["--mask: there is no picture", "`--init-image`"],
        ),
        (
            &["--extend", "left=8"],
            &["--extend: there is no picture", "`--init-image`"],
        ),
        (
            &["-i", "@a.png", "--extend", "left=12"],
            &["--extend: expected `SIDE=PX`", "got `left=12`"],
        ),
        (
            &["-i", "@a.png", "--extend", "lft=8"],
            &["--extend: unknown side `lft`", "did you mean `left`?"],
        ),
        (
            &["-i", "@a.png", "--extend", "left=64", "-W", "64"],
            &["--extend: 64x40 leaves no room"],
        ),
        (
            &[
                "-i",
                "@a.png",
                "--extend",
                "left=4096",
                "-W",
                "64",
                "-H",
                "9",
            ],
            &["--height: expected a multiple"],
        ),
        (
            &["--refiner-start", "0.8"],
            &[
                "--refiner-start: there is no refiner",
                "--refiner sdxl-refiner",
            ],
        ),
        (
            &["--refiner", "sdxl-refiner", "--refiner-start", "1"],
            &["--refiner-start: expected a number"],
        ),
        (
            &[
                "-i",
                "@a.png",
                "--mask",
                "@white-left.png",
                "--refiner",
                "sdxl-refiner",
            ],
            &["--refiner: a refiner knows nothing of masks"],
        ),
        (
            &["--refiner", "sdxl-refiner"],
            &[
                "--refiner: a refiner needs a base model of the XL family",
                "--model sdxl",
            ],
        ),
    ];
    for (args, texts) in refused {
        let outcome = sdgen().args(base()).args(inputs.args(args)).fails(2);
        let outcome = texts
            .iter()
            .fold(outcome, |outcome, text| outcome.says(text));
        assert!(outcome.files().is_empty(), "{args:?}");
    }
}

#[test]
fn models_that_need_a_picture_say_so() {
    let inputs = Inputs::new();
    let inpainting = changed(&[(
        "unet/config.json",
        "\"in_channels\": 4",
        "\"in_channels\": 9",
    )]);
    for args in [&[][..], &["-i", "@a.png"]] {
        let run = sdgen()
            .args(tiny())
            .arg_path("--model", inpainting.path())
            .args(inputs.args(args));
        run.fails(2)
            .says("--mask: ")
            .says("is an inpainting model")
            .says("`--init-image` and `--mask`");
    }
    let refiner = changed(&[(
        "model_index.json",
        "\"StableDiffusionPipeline\"",
        "\"StableDiffusionXLImg2ImgPipeline\", \"requires_aesthetics_score\": true",
    )]);
    let run = sdgen().args(tiny()).arg_path("--model", refiner.path());
    run.fails(2)
        .says("is a refiner")
        .says("--refiner sdxl-refiner");
}

#[test]
fn a_mask_of_another_size_is_fitted_and_what_it_leaves_out_is_kept() {
    let inputs = Inputs::new();
    let args = inputs.args(&[
        "-i",
        "@a.png",
        "--mask",
        "@white-left.png",
        "--keep-unmasked",
    ]);
    let picture = drawn(&sdgen().args(base()).args(args).succeeds());
    assert_eq!(picture.dimensions(), (48, 40));
    let start = image::open(inputs.path("a.png")).unwrap().into_rgb8();
    // Lanczos blurs the edge of the enlarged mask by a few pixels.
    assert!((30..48).all(|x| picture.get_pixel(x, 20) == start.get_pixel(x, 20)));
    assert!((0..18).any(|x| picture.get_pixel(x, 20) != start.get_pixel(x, 20)));
}

#[test]
fn a_picture_grows_on_the_sides_that_are_named() {
    let inputs = Inputs::new();
    let args = inputs.args(&[
        "-i",
        "@a.png",
        "--extend",
        "left=16,bottom=8",
        "--keep-unmasked",
    ]);
    let picture = drawn(&sdgen().args(base()).args(args).succeeds());
    assert_eq!(picture.dimensions(), (64, 48));
    let start = image::open(inputs.path("a.png")).unwrap().into_rgb8();
    assert!(
        (0..48).all(|x| (0..40).all(|y| picture.get_pixel(x + 16, y) == start.get_pixel(x, y)))
    );
}

#[test]
fn a_part_is_rendered_and_the_picture_keeps_its_size() {
    let inputs = Inputs::new();
    let mut args = base();
    args.extend(inputs.args(&[
        "-i",
        "@a.png",
        "--mask",
        "@white-left.png",
        "--mask-padding",
        "4",
    ]));
    args.extend(["-W", "32", "-H", "64"].map(str::to_owned));
    let picture = drawn(&sdgen().args(args).succeeds());
    assert_eq!(picture.dimensions(), (48, 40));
    let start = image::open(inputs.path("a.png")).unwrap().into_rgb8();
    assert!((30..48).all(|x| picture.get_pixel(x, 20) == start.get_pixel(x, 20)));
    assert!((0..18).any(|x| picture.get_pixel(x, 20) != start.get_pixel(x, 20)));
}
