//! Tokenizers in every layout and texts as A1111 reads them, against transformers and open_clip
//! (made by tests/golden/tokenizer_layouts.py and tests/golden/a1111_texts.py).

use std::path::Path;

use serde_json::{Value, json};

use super::*;

const PLAIN: Reading = Reading {
    syntax: Syntax::Plain,
    long: LongPrompt::Truncate,
};
const WEB: Reading = Reading {
    syntax: Syntax::Weighted,
    long: LongPrompt::Chunk,
};

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/tokenizer")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn prompt(text: &str) -> Prompt<'_> {
    Prompt {
        field: "prompt",
        text,
    }
}

/// The content of a text in all its chunks.
fn content(tokenizer: &Tokenizer, text: &str, reading: Reading) -> Vec<u32> {
    let chunked = tokenizer.chunks(&prompt(text), reading, &[]).unwrap();
    chunked
        .chunks
        .concat()
        .iter()
        .map(|token| token.id)
        .collect()
}

/// The whole of a text that fits into a chunk.
fn filled(tokenizer: &Tokenizer, text: &str, reading: Reading) -> Vec<u32> {
    let chunked = tokenizer.chunks(&prompt(text), reading, &[]).unwrap();
    tokenizer.ids(&chunked.chunks[0], reading.syntax)
}

/// A small vocabulary of the golden file, `@base` or one made of it.
fn vocabulary(all: &Value, name: &str) -> Value {
    let mut tokens: Vec<&str> = all["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap())
        .collect();
    match name {
        "@fewer" => tokens.truncate(tokens.len() - 2),
        "@other" => {
            let place = |i: usize| {
                tokens
                    .iter()
                    .position(|token| *token == all["swap"][i])
                    .unwrap()
            };
            let (i, j) = (place(0), place(1));
            tokens.swap(i, j);
        }
        _ => {}
    }
    tokens
        .into_iter()
        .zip(0u32..)
        .map(|(token, id)| (token.to_owned(), Value::from(id)))
        .collect()
}

/// A folder with the files of a layout, in which vocabularies are given by name.
fn folder(all: &Value, files: &Value) -> (tempfile::TempDir, ModelFiles) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("tokenizer")).unwrap();
    for (name, file) in files.as_object().unwrap() {
        let pairs = all["merges"].as_array().unwrap().iter();
        let pair = |pair: &Value| {
            format!(
                "{} {}\n",
                pair[0].as_str().unwrap(),
                pair[1].as_str().unwrap()
            )
        };
        let mut file = file.clone();
        if let Some(model) = file.get_mut("model") {
            model["vocab"] = vocabulary(all, model["vocab"].as_str().unwrap());
            model["merges"] = all["merges"].clone();
        }
        let text = match name.as_str() {
            "merges.txt" => "#version: 0.2\n".to_owned() + &pairs.map(pair).collect::<String>(),
            "vocab.json" => vocabulary(all, file.as_str().unwrap()).to_string(),
            _ => file.to_string(),
        };
        std::fs::write(root.path().join("tokenizer").join(name), text).unwrap();
    }
    let files = ModelFiles::folder("m", "m", root.path().to_owned());
    (root, files)
}

fn small(files: &Value, rows: usize) -> Result<Tokenizer> {
    let (_root, files) = folder(&golden("layouts.json"), files);
    Tokenizer::load(
        &files,
        "tokenizer",
        Shape {
            rows,
            ..Shape::CLIP
        },
    )
}

/// Tokenizer files as transformers 4 saved them.
fn old() -> Value {
    json!({"vocab.json": "@base", "merges.txt": "@merges", "tokenizer_config.json": {"model_max_length": 24}})
}

#[test]
fn every_layout_is_read_as_transformers_reads_it() {
    let all = golden("layouts.json");
    let layouts = all["layouts"].as_array().unwrap();
    assert!(layouts.len() >= 20);
    for layout in layouts {
        let (name, size) = (&layout["name"], layout["size"].as_u64().unwrap() as usize);
        let (_root, files) = folder(&all, &layout["files"]);
        let tokenizer = Tokenizer::load(
            &files,
            "tokenizer",
            Shape {
                rows: size,
                ..Shape::CLIP
            },
        )
        .unwrap();
        assert_eq!(
            (tokenizer.first_word() as usize, tokenizer.notice()),
            (size, None),
            "{name}"
        );
        for (text, golden) in all["texts"]
            .as_array()
            .unwrap()
            .iter()
            .zip(layout["ids"].as_array().unwrap())
        {
            let ours = filled(&tokenizer, text.as_str().unwrap(), PLAIN);
            assert_eq!(ours, ids(golden), "{name}: {text}");
        }
    }
}

#[test]
fn texts_are_read_as_a1111_reads_them() {
    let none = ModelFiles::embedded("none", &[]);
    let rows = golden("a1111.json");
    assert!(rows.as_array().unwrap().len() >= 300);
    for (open_clip, key) in [(true, "open_clip"), (false, "clip")] {
        let tokenizer = Tokenizer::load(
            &none,
            "tokenizer",
            Shape {
                open_clip,
                ..Shape::CLIP
            },
        )
        .unwrap();
        for row in rows.as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            assert_eq!(
                content(&tokenizer, text, WEB),
                ids(&row[key]),
                "{key}: {text:?}"
            );
        }
    }
}

#[test]
fn an_exclamation_mark_is_a_word_to_open_clip_and_padding_to_diffusers() {
    let all = golden("layouts.json");
    let mut files = old();
    files["special_tokens_map.json"] = json!({"pad_token": "!"});
    let (_root, files) = folder(&all, &files);
    let load = |open_clip| {
        Tokenizer::load(
            &files,
            "tokenizer",
            Shape {
                open_clip,
                rows: 523,
                ..Shape::CLIP
            },
        )
        .unwrap()
    };
    let (open_clip, clip) = (load(true), load(false));
    // 256 is `!` at a word's end, 520 `!!`, 522 the end.
    assert_eq!(content(&open_clip, "! cat!!", PLAIN), [0, 513, 0, 0]);
    assert_eq!(content(&open_clip, "! (cat:1.2)!!", WEB), [256, 513, 520]);
    let tail = |tokenizer, reading| filled(tokenizer, "cat", reading)[2..5].to_vec();
    assert_eq!(
        (tail(&open_clip, PLAIN), tail(&open_clip, WEB)),
        (vec![522, 0, 0], vec![522, 0, 0])
    );
    assert_eq!(
        (tail(&clip, PLAIN), tail(&clip, WEB)),
        (vec![522, 0, 0], vec![522, 522, 522])
    );
}

#[test]
fn the_models_own_words_are_read_in_both_syntaxes() {
    let mut files = old();
    files["added_tokens.json"] = json!({"<cat-toy>": 523, "Zed": 524});
    let (_root, files) = folder(&golden("layouts.json"), &files);
    for open_clip in [false, true] {
        let shape = Shape {
            open_clip,
            rows: 525,
            ..Shape::CLIP
        };
        let tokenizer = Tokenizer::load(&files, "tokenizer", shape).unwrap();
        assert_eq!(
            content(&tokenizer, "a <cat-toy>, zed", PLAIN),
            [320, 523, 267, 524]
        );
        assert_eq!(
            [523, 524, 513].map(|id| tokenizer.piece(id, &[])),
            ["<cat-toy>", "Zed", "cat</w>"]
        );
        assert_eq!(
            content(&tokenizer, "a (<CAT-TOY>:1.2), Zed", WEB),
            [320, 523, 267, 524]
        );
    }
}

#[test]
fn a_word_of_several_vectors_is_written_out_in_both_syntaxes() {
    let mut files = old();
    files["added_tokens.json"] = json!({"<toy>": 523, "<toy>_1": 524, "<toy>_2": 525});
    let (_root, files) = folder(&golden("layouts.json"), &files);
    let shape = Shape {
        rows: 526,
        ..Shape::CLIP
    };
    let tokenizer = Tokenizer::load(&files, "tokenizer", shape).unwrap();
    for reading in [PLAIN, WEB] {
        assert_eq!(
            content(&tokenizer, "a <toy> a", reading),
            [320, 523, 524, 525, 320]
        );
    }
    assert_eq!(
        content(&tokenizer, "a (<toy>:1.2)", WEB),
        [320, 523, 524, 525]
    );
}

#[test]
fn what_does_not_fit_is_shown_as_it_was_mended() {
    let none = ModelFiles::embedded("none", &[]);
    let tokenizer = Tokenizer::load(
        &none,
        "tokenizer",
        Shape {
            open_clip: true,
            ..Shape::CLIP
        },
    )
    .unwrap();
    let text = format!(
        "{}\u{201c}The\u{201d} &lt;Last&gt; (ﬁne:1.2)  words",
        "cat ".repeat(74)
    );
    let reading = Reading {
        long: LongPrompt::Truncate,
        ..WEB
    };
    assert_eq!(
        tokenizer
            .chunks(&prompt(&text), reading, &[])
            .unwrap()
            .dropped,
        "The\" <Last> fine words"
    );
}

#[test]
fn words_of_embeddings_follow_the_models_own() {
    let mut files = old();
    files["added_tokens.json"] = json!({"<cat-toy>": 523});
    let tokenizer = small(&files, 524).unwrap();
    let word = |name: &str| Word {
        names: vec![format!("<{name}>"), name.to_owned()],
        vectors: 2,
    };
    let chunked = tokenizer
        .chunks(&prompt("<ink> <cat-toy>"), PLAIN, &[word("ink")])
        .unwrap();
    let found: Vec<u32> = chunked.chunks[0].iter().map(|token| token.id).collect();
    assert_eq!(found, [524, 525, 523]);
    let pieces: Vec<String> = found
        .iter()
        .map(|id| tokenizer.piece(*id, &[word("ink")]))
        .collect();
    assert_eq!(pieces, ["<ink>", "<ink>_1", "<cat-toy>"]);
    let error = tokenizer
        .chunks(&prompt("a"), PLAIN, &[word("cat-toy")])
        .unwrap_err();
    assert_eq!(error.field_name(), Some("embedding"));
    assert!(
        error
            .message()
            .contains("`<cat-toy>` is a token of the model's own"),
        "{error}"
    );
}

#[test]
fn a_table_of_another_size_is_refused_or_told() {
    let mut files = old();
    files["added_tokens.json"] = json!({"<cat-toy>": 523});
    let tokenizer = small(&files, 523).unwrap();
    assert_eq!(content(&tokenizer, "a cat", PLAIN), [320, 513]);
    let error = tokenizer
        .chunks(&prompt("a <cat-toy>"), PLAIN, &[])
        .unwrap_err();
    assert!(
        error
            .message()
            .contains("`<cat-toy>` is token 523, and the text encoder's table has 523 rows")
    );
    let error = small(&files, 500).err().unwrap();
    assert!(
        error
            .message()
            .contains("is token 521, and the text encoder's table has 500 rows"),
        "{error}"
    );
    files["special_tokens_map.json"] = json!({"pad_token": "<pad>"});
    let error = small(&files, 524).err().unwrap();
    assert!(error.message().contains("`<pad>` is token 524"), "{error}");
    let notice = small(&old(), 525).unwrap().notice().unwrap().to_owned();
    assert!(
        notice.contains("table has 525 rows, and 523 tokens have a name"),
        "{notice}"
    );
    assert!(notice.contains("`tokenizer/`"), "{notice}");
}

#[test]
fn a_folder_without_a_vocabulary_says_so_or_is_refused() {
    let config = json!({"tokenizer_config.json": {}});
    for files in [
        json!({}),
        config,
        json!({"vocab.json": "@base"}),
        json!({"merges.txt": "@merges"}),
    ] {
        let tokenizer = small(&files, 49408).unwrap();
        let notice = tokenizer.notice().unwrap();
        assert!(
            notice.starts_with("`m` has no vocabulary in `tokenizer/` (neither tokenizer.json"),
            "{notice}"
        );
        assert_eq!(content(&tokenizer, "a cat", PLAIN), [320, 2368]);
        for rows in [49409, 523] {
            let error = small(&files, rows).err().unwrap();
            assert!(error.message().contains("49408"), "{error}");
        }
    }
    // A single-file model has no place for one.
    let none = ModelFiles::embedded("none", &[]);
    let notice = |rows| {
        Tokenizer::load(
            &none,
            "tokenizer",
            Shape {
                rows,
                ..Shape::CLIP
            },
        )
        .unwrap()
        .notice
    };
    assert_eq!(notice(49408), None);
    assert!(notice(49410).unwrap().contains("49410 rows"));
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let with = |name: &str, value: Value| {
        let mut files = old();
        files[name] = value;
        small(&files, 523).err().unwrap().to_string()
    };
    let left = with("tokenizer_config.json", json!({"padding_side": "left"}));
    assert!(left.contains("`padding_side` is `left`"), "{left}");
    let left = with(
        "tokenizer_config.json",
        json!({"truncation_side": "left", "padding_side": "right"}),
    );
    assert!(left.contains("`truncation_side` is `left`"), "{left}");
    let decoder = json!({"added_tokens_decoder": {"523": {"lstrip": true}}});
    let nameless = with("tokenizer_config.json", decoder);
    assert!(nameless.contains("is no added token"), "{nameless}");
    let unnamed = with("tokenizer_config.json", json!({"eos_token": ""}));
    assert!(unnamed.contains("no token ``"), "{unnamed}");
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("tokenizer")).unwrap();
    let unigram =
        json!({"model": {"type": "Unigram", "vocab": {}, "merges": []}, "added_tokens": []});
    for (text, expected) in [
        (unigram.to_string(), "a model of type `Unigram`"),
        (
            json!({"model": {"type": "BPE", "vocab": {}}}).to_string(),
            "merges",
        ),
        (json!({"added_tokens": []}).to_string(), "model"),
        ("{".to_owned(), "tokenizer.json"),
    ] {
        std::fs::write(root.path().join("tokenizer/tokenizer.json"), text).unwrap();
        let files = ModelFiles::folder("m", "m", root.path().to_owned());
        let error = Tokenizer::load(&files, "tokenizer", Shape::CLIP)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}
