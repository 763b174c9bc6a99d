//! Tests of extra networks against diffusers: ControlNet, the tiny autoencoder, the image encoder
//! of IP-Adapter.

use std::sync::Arc;

use super::clip_vision::{ClipVision, VisionConfig};
use super::controlnet::{ControlConfig, ControlNet, Strength};
use super::golden::{backends, golden, near, tensors};
use super::taesd::{TinyConfig, TinyDecoder, TinyEncoder};
use crate::catalog::ModelFiles;
use crate::imaging::{Pixels, Transparency};
use crate::nn::{Backend, Weights};

fn files(adapter: &str) -> ModelFiles {
    ModelFiles::folder(adapter, adapter, golden(&format!("adapters/{adapter}")))
}

fn weights(files: &ModelFiles, path: &str, backend: &Backend) -> Weights {
    Weights::open(Arc::new(files.tensors_at(path).unwrap()), backend).unwrap()
}

#[test]
fn control_networks_agree() {
    let golden = tensors("components/controlnet-a.safetensors");
    let files = files("controlnet-a");
    let config = ControlConfig::parse("config.json", files.json("config.json").unwrap()).unwrap();
    for backend in backends() {
        let weights = weights(&files, "diffusion_pytorch_model.safetensors", &backend);
        let network = ControlNet::load(&weights, &config).unwrap();
        let input = |name: &str| &golden[&format!("controlnet/a/in.{name}")];
        let conditioning = network
            .condition(input("encoder_hidden_states"), None)
            .unwrap();
        let hint = network.hint(input("controlnet_cond")).unwrap();
        let said = |scale: f64, rising: bool| {
            let strength = Strength { scale, rising };
            network
                .forward(input("sample"), 500.0, &conditioning, &hint, strength)
                .unwrap()
                .tensors()
        };
        let (whole, half, rising) = (said(1.0, false), said(0.5, false), said(1.0, true));
        assert_eq!(whole.len(), 13);
        for (i, map) in whole.iter().enumerate() {
            let name = if i == 12 {
                "mid".to_owned()
            } else {
                format!("down{i:02}")
            };
            let expected = &golden[&format!("controlnet/a/out.{name}")];
            near(&name, map, expected);
            near(&name, &half[i], &(expected * 0.5).unwrap());
            near(
                &name,
                &rising[i],
                &(expected * 10f64.powf(i as f64 / 12.0 - 1.0)).unwrap(),
            );
        }
    }
}

#[test]
fn the_tiny_autoencoder_agrees_both_ways() {
    let golden = tensors("components/taesd.safetensors");
    let files = files("taesd");
    let config: TinyConfig = files.json("config.json").unwrap();
    config.check("config.json").unwrap();
    assert_eq!(config.factor(), 8);
    for backend in backends() {
        let weights = weights(&files, "diffusion_pytorch_model.safetensors", &backend);
        let decoder = TinyDecoder::load(&weights, &config).unwrap();
        let encoder = TinyEncoder::load(&weights, &config).unwrap();
        weights.finish(&[]).unwrap();
        let image = decoder.forward(&golden["vae_decode/a/in.z"]).unwrap();
        near("decoder", &image, &golden["vae_decode/a/out.image"]);
        let latents = encoder.forward(&golden["vae_encode/a/in.x"]).unwrap();
        near("encoder", &latents, &golden["vae_encode/a/out.latents"]);
    }
}

#[test]
fn the_picture_encoder_agrees() {
    let golden = tensors("components/ip-adapter.safetensors");
    let files = files("ip-adapter");
    let folder = "models/image_encoder";
    let config: VisionConfig = files.json(&format!("{folder}/config.json")).unwrap();
    for backend in backends() {
        let weights = weights(&files, &format!("{folder}/model.safetensors"), &backend);
        let encoder = ClipVision::load(&weights, &config).unwrap();
        let seen = encoder
            .forward(&golden["image_encoder/a/in.pixel_values"])
            .unwrap();
        near(
            "embedding",
            &seen,
            &golden["image_encoder/a/out.image_embeds"],
        );
        let path = super::golden::golden("inputs/ip_96.png");
        let picture = Pixels::read(
            "ip_image",
            &path.to_str().unwrap().into(),
            Transparency::Dropped,
        )
        .unwrap();
        let square = picture.center_square(32);
        let pixels = encoder.normalised(&square.rgb, 32).unwrap();
        near(
            "pixels",
            &pixels,
            &golden["image_encoder/a/in.pixel_values"],
        );
    }
}
