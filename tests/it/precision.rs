//! What arithmetic of fewer bits costs: pictures in it against the same pictures in single precision, as the peak signal
//! to noise ratio in decibels.

use std::path::Path;

use sdgen::config::Hub;
use sdgen::{Engine, Event, Flow, Params, Planner};

fn quiet(_: &Event) -> Flow {
    Flow::Continue
}

/// The bytes of a picture.
fn draw(model: &str, dtype: &str, seed: u64) -> Vec<u8> {
    let params = Params {
        prompt: Some("a red circle on a blue background".to_owned()),
        model: Some(model.to_owned()),
        steps: Some(8),
        seed: Some(seed),
        dtype: Some(dtype.to_owned()),
        ..Params::default()
    };
    let plan = Planner::new(Hub::default()).plan(&params, &mut quiet).unwrap();
    let mut bytes = Vec::new();
    Engine::new()
        .generate(&plan, &mut quiet, &mut |image| {
            bytes.extend(image.rgb);
            Ok(())
        })
        .unwrap();
    bytes
}

/// Of bytes; 99 where nothing differs.
fn decibels(got: &[u8], expected: &[u8]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let squares = got.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    let mean = squares.sum::<f64>() / got.len() as f64;
    if mean == 0.0 { 99.0 } else { 10.0 * (255.0 * 255.0 / mean).log10() }
}

#[test]
fn fewer_bits_stay_close_to_single_precision() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    let tiny = |name: &str| models.join(name).to_str().unwrap().to_owned();
    for model in ["demo".to_owned(), tiny("sd15"), tiny("sd21-v")] {
        let exact = draw(&model, "f32", 1);
        // Measured at least: f16 74, bf16 51, int8 44.
        for (dtype, least) in [("f16", 45.0), ("bf16", 35.0), ("int8", 30.0)] {
            let ratio = decibels(&draw(&model, dtype, 1), &exact);
            println!("{model} {dtype}: {ratio:.1} dB");
            assert!(ratio > least, "{model} in {dtype}: {ratio:.1} dB");
        }
    }
}
