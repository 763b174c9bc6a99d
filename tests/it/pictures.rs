//! Pictures as people have and send them: masks with transparency, photos that are larger than what
//! is drawn, several large ones at one time.

use std::io::{Cursor, Write};

use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA, Rgba, RgbaImage};
use serde_json::json;

use crate::harness::{golden_model, sdgen};
use crate::serve::{Server, base64, png};

fn encoded(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Whether a pixel of 64 by 64 lies in the square that is painted anew.
fn inside(x: u32, y: u32) -> bool {
    (16..40).contains(&x) && (8..32).contains(&y)
}

fn grey(inner: u8, outer: u8) -> Vec<u8> {
    encoded(GrayImage::from_fn(64, 64, |x, y| {
        Luma([if inside(x, y) { inner } else { outer }])
    }))
}

fn rgba(inner: [u8; 4], outer: [u8; 4]) -> Vec<u8> {
    encoded(RgbaImage::from_fn(64, 64, |x, y| {
        Rgba(if inside(x, y) { inner } else { outer })
    }))
}

fn grey_alpha(inner: [u8; 2], outer: [u8; 2]) -> Vec<u8> {
    encoded(GrayAlphaImage::from_fn(64, 64, |x, y| {
        LumaA(if inside(x, y) { inner } else { outer })
    }))
}

/// A palette of a black that is transparent, and a white.
fn palette() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![0, 0, 0, 255, 255, 255]);
    encoder.set_trns(vec![0]);
    let indices: Vec<u8> = (0..64 * 64)
        .map(|i| u8::from(inside(i % 64, i / 64)))
        .collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&indices).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn of_a_mask_the_brightness_counts_and_not_what_is_transparent() {
    let picture = png(64, 64, false);
    let model = golden_model("sd15");
    let drawn = |mask: &[u8]| {
        let run = sdgen().file("a.png", &picture).file("mask.png", mask);
        let run = run.args([
            "a cat", "--steps", "2", "--seed", "7", "-i", "a.png", "--mask", "mask.png",
        ]);
        let outcome = run
            .args(["-o", "out.png", "--keep-unmasked", "--model", &model])
            .succeeds();
        image::open(outcome.path("out.png")).unwrap().into_rgb8()
    };
    let wanted = drawn(&grey(255, 0));
    let masks = [
        ("white on a transparent canvas", rgba([255; 4], [0; 4])),
        ("white in grey and alpha", grey_alpha([255; 2], [0; 2])),
        ("a transparent colour of a palette", palette()),
        (
            "white that is hardly to be seen",
            rgba([255, 255, 255, 9], [0, 0, 0, 9]),
        ),
        ("white on an opaque black", rgba([255; 4], [0, 0, 0, 255])),
    ];
    for (name, mask) in masks {
        assert!(drawn(&mask) == wanted, "{name}");
    }
}

#[test]
fn a1111s_masks_are_painted_where_they_are_opaque() {
    let server = Server::start(&[]);
    let drawn = |mask: &[u8]| {
        let sent = json!({
            "prompt": "a", "steps": 1, "seed": 7, "width": 64, "height": 64, "denoising_strength": 1,
            "init_images": [base64(&png(64, 64, false))], "mask": base64(mask), "mask_blur": 0,
            "inpaint_full_res": false,
        });
        server.post("/sdapi/v1/img2img", &sent).is(200).json()["images"].clone()
    };
    let wanted = drawn(&grey(255, 0));
    let masks = [
        (
            "black strokes on a transparent canvas",
            rgba([0, 0, 0, 255], [0; 4]),
        ),
        (
            "white everywhere, seen in part",
            rgba([255; 4], [255, 255, 255, 128]),
        ),
        ("grey strokes with alpha", grey_alpha([90, 129], [90, 128])),
        ("opaque, white on black", rgba([255; 4], [0, 0, 0, 255])),
        ("a palette", palette()),
    ];
    for (name, mask) in masks {
        assert!(drawn(&mask) == wanted, "{name}");
    }
    let sent = json!({
        "prompt": "a", "init_images": [base64(&png(64, 64, false))], "mask": base64(b"no picture"),
        "width": 64, "height": 64,
    });
    let wrong = server.post("/sdapi/v1/img2img", &sent).is(422).text();
    assert!(
        wrong.contains("mask") && wrong.contains("no picture of a known format"),
        "{wrong}"
    );
}

/// A photo of 12 megapixels.
fn photo() -> Vec<u8> {
    encoded(GrayImage::from_fn(4032, 3024, |x, y| {
        Luma([(x / 16 + y / 12) as u8])
    }))
}

#[test]
fn a_photo_larger_than_what_is_drawn_is_scaled_down() {
    let server = Server::start(&["--max-pixels", "16384"]);
    let photo = base64(&photo());
    let size = |fields: serde_json::Value| {
        let mut sent = json!({"prompt": "a", "init_image": photo, "steps": 1, "strength": 1});
        sent.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let order = server.post("/v1/jobs", &sent).is(202).json();
        let id = order["job_id"].as_str().unwrap();
        assert_eq!(server.ended(id)["state"], "completed");
        let drawn =
            image::load_from_memory(&server.get(&format!("/v1/jobs/{id}/image")).is(200).body)
                .unwrap();
        (drawn.width(), drawn.height())
    };
    assert_eq!(size(json!({})), (144, 104));
    assert_eq!(size(json!({"width": 64, "height": 64})), (64, 64));
    assert_eq!(size(json!({"extend": "left=16"})), (152, 96));
    let sent = json!({"prompt": "a", "init_image": photo, "width": 256, "height": 128});
    server.post("/v1/jobs", &sent).is(422);
}

/// A PNG of zeros, so many pixels wide and high, made row by row.
#[cfg(target_os = "linux")]
fn nothing(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    for _ in 0..side {
        stream.write_all(&vec![0; side as usize * 4]).unwrap();
    }
    stream.finish().unwrap();
    writer.finish().unwrap();
    bytes
}

/// Each takes 290 MB to decode; what is asked for is refused only after that.
#[cfg(target_os = "linux")]
#[test]
fn six_large_pictures_at_once_wait_for_one_another() {
    let server = Server::start(&[]);
    let limit = libc::rlimit {
        rlim_cur: 2_500_000_000,
        rlim_max: 2_500_000_000,
    };
    #[expect(unsafe_code, reason = "the standard library sets no limits")]
    // SAFETY: the call reads one struct of our own; the process is our own child.
    let set = unsafe {
        libc::prlimit(
            server.process(),
            libc::RLIMIT_AS,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(set, 0);
    let head = "--x\r\ncontent-disposition: form-data; name=\"mask\"; filename=\"a\"\r\n\r\n";
    let body = [head.as_bytes(), &nothing(6000), b"\r\n--x--\r\n"].concat();
    let kind = "content-type: multipart/form-data; boundary=x\r\n";
    std::thread::scope(|scope| {
        let ask = || {
            server
                .request("POST", "/v1/images/edits", kind, &body)
                .is(400)
                .text()
        };
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        for answer in asked {
            let answer = answer.join().unwrap();
            assert!(answer.contains("is missing"), "{answer}");
        }
    });
    server.get("/health").is(200);
}
