//! Imports point down, and the data layers know nothing of tensors: docs/ARCHITECTURE.md, read from
//! the source.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::harness::root;

/// Every top-level module from the bottom up. A module imports what stands in lines below its own,
/// or itself.
const LAYERS: &[&[&str]] = &[
    &["kernels"],
    &["error"],
    &["event", "image", "named_enum", "text"],
    &["env", "device"],
    &["schedulers", "imaging", "tensor_file"],
    &["family", "guidance"],
    &["nn"],
    &["registry"],
    &["prompt"],
    &["adapters"],
    &["params"],
    &["rng", "output"],
    &["planner"],
    &["batch"],
    &["models"],
    &["pipeline"],
    &["engine", "convert"],
    &["serve"],
    &["cli"],
];

/// Pure data: no word of candle in them.
const DATA: &[&str] = &[
    "error.rs",
    "event.rs",
    "image.rs",
    "named_enum.rs",
    "env",
    "text.rs",
    "device.rs",
    "imaging",
    "prompt",
    "tensor_file",
    "family",
    "registry",
    "params",
    "output",
    "planner",
    "adapters",
    "batch",
    "kernels",
    "schedulers/config.rs",
    "schedulers/edm.rs",
    "schedulers/schedule.rs",
    "schedulers/scheduler_file.rs",
    "schedulers/sigmas.rs",
    "schedulers/train_sigmas.rs",
    "schedulers/types.rs",
];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    std::fs::read_dir(path)
        .unwrap()
        .flat_map(|entry| sources(&entry.unwrap().path()))
        .collect()
}

/// The code of a file: no comments, and nothing from its tests on.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]");
    lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The top-level modules that a text names.
fn imports(code: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect::<String>()
    };
    let names = code.split("crate::").skip(1).map(name);
    names.filter(|name| !name.is_empty()).collect()
}

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("module `{module}` has no place in LAYERS"))
}

#[test]
fn no_import_points_upward() {
    let src = root().join("src");
    let mut wrong = Vec::new();
    for file in sources(&src)
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "rs"))
    {
        let inside = file.strip_prefix(&src).unwrap();
        let module = inside
            .iter()
            .next()
            .unwrap()
            .to_string_lossy()
            .replace(".rs", "");
        let is_test =
            inside.to_string_lossy().ends_with("_tests.rs") || inside.ends_with("golden.rs");
        if ["main", "lib"].contains(&module.as_str()) || is_test {
            continue;
        }
        let upward = |import: &String| *import != module && layer(import) >= layer(&module);
        wrong.extend(
            imports(&code(file))
                .into_iter()
                .filter(upward)
                .map(|to| format!("{}: {to}", inside.display())),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn data_knows_nothing_of_tensors() {
    for file in DATA
        .iter()
        .flat_map(|name| sources(&root().join("src").join(name)))
    {
        assert!(!code(&file).contains("candle"), "{}", file.display());
    }
}

/// What a family has is data of `family`; no other module asks which one it is.
#[test]
fn families_are_told_apart_in_one_place() {
    let src = root().join("src");
    for file in sources(&src) {
        let inside = file.strip_prefix(&src).unwrap();
        let is_test = inside.to_string_lossy().ends_with("_tests.rs");
        if inside.starts_with("family") || is_test || file.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let code = code(&file);
        for word in ["Family::SD", ".family ==", ".family !=", "match family"] {
            assert!(!code.contains(word), "{}: `{word}`", file.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_its_budget() {
    for file in sources(&root().join("src")) {
        let lines = code(&file).lines().count();
        assert!(lines <= 550, "{}: {lines} lines", file.display());
    }
}

#[test]
fn imports_are_found_in_code_and_not_in_comments() {
    assert_eq!(
        imports("use crate::error::{Kind};\nlet x = crate::nn::f();"),
        ["error", "nn"].map(str::to_owned).into()
    );
}

/// A doc comment opens with a noun or a verb, so that it can be read without the code below it.
#[test]
fn no_doc_comment_opens_with_a_question_word() {
    const WORDS: &[&str] = &[
        "What", "How", "Where", "Which", "Who", "Whose", "Whether", "When", "That",
    ];
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        if file.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let mut inside = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let comment = ["/// ", "//! "]
                .iter()
                .find_map(|mark| line.strip_prefix(mark));
            let first = comment.and_then(|text| text.split_whitespace().next());
            if !inside && first.is_some_and(|word| WORDS.contains(&word)) {
                wrong.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
            inside = comment.is_some();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
