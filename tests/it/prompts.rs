//! Weighted and long prompts, from the command line to the picture; `sdgen tokens`.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{copy, golden_model, sdgen, tiny};

/// The pixels that these arguments draw.
fn draw(arguments: &[&str]) -> Vec<u8> {
    let run = sdgen()
        .args(tiny().into_iter().skip(1))
        .args(arguments)
        .args(["-o", "-"]);
    image::load_from_memory(&run.succeeds().stdout)
        .unwrap()
        .into_rgb8()
        .into_raw()
}

#[test]
fn weights_change_the_picture_only_in_the_weighted_syntax() {
    let plain = draw(&["a (cat:1.9)"]);
    let weighted = draw(&["a (cat:1.9)", "--prompt-syntax", "weighted"]);
    assert!(plain != weighted);
    let without = draw(&["a cat"]);
    assert_eq!(
        draw(&[
            "a (cat:1)",
            "--prompt-syntax",
            "weighted",
            "--long-prompt",
            "chunk"
        ]),
        without
    );
}

#[test]
fn a_long_prompt_is_cut_with_a_warning_read_whole_or_refused() {
    let long = format!("{}lighthouse", "cat ".repeat(75));
    let run = |how: &str| {
        sdgen()
            .args(tiny().into_iter().skip(1))
            .args([&long, "--long-prompt", how])
    };
    assert!(
        run("truncate")
            .succeeds()
            .stderr
            .contains("left out: `lighthouse`")
    );
    assert!(!run("chunk").succeeds().stderr.contains("left out"));
    let refused = run("error").fails(2).stderr;
    assert!(
        refused.contains("prompt") && refused.contains("76 tokens"),
        "{refused}"
    );
    assert!(
        refused.contains("`lighthouse` is the first word too many"),
        "{refused}"
    );
}

#[test]
fn a_wrong_weight_is_refused_before_a_model_is_looked_for() {
    let run = sdgen().args([
        "a cat",
        "-n",
        "(grey:99)",
        "--prompt-syntax",
        "weighted",
        "-m",
        "no/model",
    ]);
    let refused = run.fails(2).stderr;
    assert!(refused.contains("got `99` at character 2"), "{refused}");
}

#[test]
fn tokens_are_shown_with_weights_and_chunks() {
    let prompt = "a (cat:1.3) BREAK sea";
    let json = sdgen()
        .args(["tokens", prompt, "--prompt-syntax", "weighted", "--json"])
        .succeeds()
        .stdout;
    let shown: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(
        (&shown[0]["encoder"], &shown[0]["tokens"]),
        (&"clip".into(), &3.into())
    );
    assert_eq!(
        shown[0]["chunks"][0]["ids"].as_array().unwrap()[..3],
        [49406, 320, 2368].map(Value::from)
    );
    assert_eq!(shown[0]["chunks"][0]["ids"].as_array().unwrap().len(), 77);
    assert_eq!(shown[0]["chunks"][0]["tokens"][1]["piece"], "cat</w>");
    assert_eq!(shown[0]["chunks"][0]["tokens"][1]["weight"], 1.3);
    assert_eq!(shown[0]["chunks"][1]["tokens"][0]["piece"], "sea</w>");
    // The demo model has a small vocabulary of its own.
    let text = sdgen()
        .args(["tokens", "a cat", "-m", "demo"])
        .succeeds()
        .stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.starts_with("text_encoder: tokens 3, chunks 1 of up to "),
        "{text}"
    );
}

/// A copy of the golden model in `folder` whose text encoder's table is said to have `rows` rows.
fn model(folder: &Path, rows: u64) {
    copy(Path::new(&golden_model("sd15")), folder);
    let path = folder.join("text_encoder/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["vocab_size"] = rows.into();
    std::fs::write(path, config.to_string()).unwrap();
}

#[test]
fn the_words_of_a_model_are_read_from_its_folder() {
    let root = tempfile::tempdir().unwrap();
    let added = json!({"<cat-toy>": 49408, "Zed": 49409}).to_string();
    for (name, rows) in [("resized", 49410), ("left", 49408), ("wider", 49416)] {
        let folder = root.path().join(name);
        model(&folder, rows);
        copy(
            Path::new(&golden_model("sd21-v"))
                .join("tokenizer")
                .as_path(),
            &folder.join("tokenizer"),
        );
        std::fs::write(folder.join("tokenizer/added_tokens.json"), &added).unwrap();
    }
    let tokens = |name: &str, prompt: &str| {
        sdgen()
            .args(["tokens", prompt, "-m"])
            .args([root.path().join(name)])
    };
    let shown = tokens("resized", "a <cat-toy>, zed")
        .succeeds()
        .says_nothing();
    assert!(
        shown.stdout().contains("49408  1       <cat-toy>")
            && shown.stdout().contains("49409  1       Zed")
    );
    let shown = tokens("wider", "<cat-toy>")
        .succeeds()
        .says("49416 rows, and 49410 tokens have a name");
    assert!(shown.stdout().contains("49408"));
    let beyond = tokens("left", "a <cat-toy>").fails(5);
    beyond
        .says("`<cat-toy>` is token 49408, and the text encoder's table has 49408 rows")
        .says("resize_token");
    tokens("left", "a cat").succeeds();
    let draw = sdgen()
        .args(tiny().into_iter().take(9))
        .args(["-n", "a <cat-toy>", "-m"]);
    draw.args([root.path().join("left")])
        .fails(5)
        .says("`<cat-toy>` is token 49408");
}

#[test]
fn a_folder_without_a_tokenizer_says_so() {
    let root = tempfile::tempdir().unwrap();
    let bare = root.path().join("bare");
    model(&bare, 49408);
    std::fs::remove_dir_all(bare.join("tokenizer")).unwrap();
    let draw = || {
        sdgen()
            .args(tiny().into_iter().take(9))
            .args(["-m"])
            .args([&bare])
    };
    let warned = draw()
        .args(["--sampler", "euler"])
        .succeeds()
        .says("has no vocabulary in `tokenizer/`");
    assert!(
        warned.stderr.contains("bare` has no")
            && warned.stderr.contains("CLIP's own of 49408 tokens is used")
    );
    let tokens = || sdgen().args(["tokens", "a cat", "-m"]).args([&bare]);
    assert!(
        tokens()
            .succeeds()
            .says("warning: ")
            .stdout()
            .contains("2368")
    );
    std::fs::remove_dir_all(bare.join("text_encoder")).unwrap();
    model(&bare, 49410);
    std::fs::remove_dir_all(bare.join("tokenizer")).unwrap();
    tokens()
        .fails(5)
        .says("has no vocabulary in `tokenizer/`, and CLIP's is not this model's")
        .says("49410 rows");
    draw()
        .fails(5)
        .says("expected `tokenizer/tokenizer.json`, or vocab.json and merges.txt there");
}

#[test]
fn a_conversion_carries_the_tokenizer_or_says_what_stays_behind() {
    let root = tempfile::tempdir().unwrap();
    let (model, single) = (golden_model("sd15"), root.path().join("single.safetensors"));
    let convert =
        |from: &Path, to: &Path| sdgen().args([Path::new("convert"), from, to]).succeeds();
    assert!(
        !convert(Path::new(&model), &single)
            .stderr
            .contains("warning")
    );
    let folder = root.path().join("folder");
    convert(&single, &folder);
    let tokens = |model: &Path| {
        sdgen()
            .args(["tokens", "a <cat-toy>!", "-m"])
            .args([model])
            .succeeds()
    };
    let shown = tokens(&folder).says_nothing();
    assert_eq!(shown.stdout(), tokens(&single).says_nothing().stdout());
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        assert!(folder.join("tokenizer").join(name).is_file(), "{name}");
    }
    std::fs::write(
        folder.join("tokenizer/added_tokens.json"),
        r#"{"<cat-toy>": 49408}"#,
    )
    .unwrap();
    let again = root.path().join("again");
    convert(&folder, &again);
    assert!(again.join("tokenizer/added_tokens.json").is_file());
    let left = convert(&folder, &root.path().join("again.gguf"));
    left.says("warning: `tokenizer/` is not CLIP's own")
        .says("`--config ");
}

#[test]
fn the_web_uis_reading_is_that_of_the_model() {
    let ids = |model: &str, syntax: &str| {
        let run = sdgen().args([
            "tokens",
            "wow!! it\u{2019}s",
            "-m",
            model,
            "--prompt-syntax",
            syntax,
            "--json",
        ]);
        let shown: Value = serde_json::from_slice(&run.succeeds().stdout).unwrap();
        shown[0]["chunks"][0]["ids"].as_array().unwrap()[1..7]
            .iter()
            .map(|id| id.as_u64().unwrap())
            .collect()
    };
    let second = golden_model("sd21-v");
    let web: Vec<u64> = ids(&second, "weighted");
    assert_eq!(web, [2781, 748, 585, 568, 49407, 0]);
    // diffusers' reading has the padding in place of each exclamation mark.
    let plain: Vec<u64> = ids(&second, "plain");
    assert_eq!(plain[..4], [2781, 0, 0, 585]);
    let first: Vec<u64> = ids(&golden_model("sd15"), "weighted");
    assert_eq!(first, [2781, 748, 585, 568, 49407, 49407]);
}
