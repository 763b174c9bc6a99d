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
    &["env", "device", "hash"],
    &["schedulers", "imaging", "tensor_file", "hub"],
    &["family", "guidance"],
    &["nn"],
    &["catalog"],
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
    "hub",
    "catalog",
    "hash.rs",
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
    // Not `image_crate::`, a module of another name.
    let is_own = |at: &usize| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let starts = code.match_indices("crate::").map(|(at, _)| at);
    let names = starts
        .filter(is_own)
        .map(|at| name(&code[at + "crate::".len()..]));
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

/// The file of a module path within `src`, by its longest known beginning.
fn file_of(path: &[String], files: &BTreeSet<String>) -> Option<String> {
    (1..=path.len()).rev().find_map(|n| {
        let stem = path[..n].join("/");
        let candidates = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
        candidates.into_iter().find(|file| files.contains(file))
    })
}

/// Files that the code of `file` names by a path from `crate` or `super`. A `mod.rs` stands for its
/// whole room and does not count.
fn imported_files(file: &str, code: &str, files: &BTreeSet<String>) -> BTreeSet<String> {
    let mut own: Vec<String> = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if own.last().is_some_and(|name| name == "mod") {
        own.pop();
    }
    let words = |text: &str| -> Vec<String> {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let path = &text[..end.unwrap_or(text.len())];
        path.split("::").map(str::to_owned).collect()
    };
    let mut found = BTreeSet::new();
    for (start, root) in ["crate::", "super::"]
        .iter()
        .flat_map(|root| code.match_indices(root))
        .filter(|(at, _)| !code[..*at].ends_with("::"))
    {
        let path = words(&code[start..]);
        let ups = path.iter().take_while(|word| *word == "super").count();
        let base = if root == "crate::" {
            &[][..]
        } else {
            &own[..own.len().saturating_sub(ups)]
        };
        let rest: Vec<String> = path[ups.max(1)..]
            .iter()
            .filter(|word| !word.is_empty())
            .cloned()
            .collect();
        // `use a::{b, c::d}` names files behind the brace too.
        let after = &code[start + path.join("::").len()..];
        let list = after
            .strip_prefix('{')
            .and_then(|list| list.split(';').next());
        let mut ends = vec![Vec::new()];
        for item in list
            .into_iter()
            .flat_map(|list| list.split(['{', '}', ',']))
        {
            ends.push(words(item.trim()));
        }
        for end in ends {
            let path: Vec<String> = base.iter().chain(&rest).chain(&end).cloned().collect();
            let target = file_of(&path, files);
            found.extend(target.filter(|target| target != file && !target.ends_with("mod.rs")));
        }
    }
    found
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let src = root().join("src");
    let sources: Vec<PathBuf> = sources(&src)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "rs"))
        .collect();
    let name = |file: &PathBuf| {
        file.strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let files: BTreeSet<String> = sources.iter().map(name).collect();
    let mut imports: Vec<(String, BTreeSet<String>)> = sources
        .iter()
        .map(|file| (name(file), imported_files(&name(file), &code(file), &files)))
        .collect();
    assert!(
        imports.iter().any(|(_, to)| to.len() > 3),
        "imports are found"
    );
    // Files that import only files already taken away are taken away; a circle stays.
    let mut gone = BTreeSet::new();
    while let Some(at) = imports.iter().position(|(_, to)| to.is_subset(&gone)) {
        gone.insert(imports.swap_remove(at).0);
    }
    // So is what only leads into one.
    while let Some(at) = imports
        .iter()
        .position(|(file, _)| !imports.iter().any(|(_, to)| to.contains(file)))
    {
        imports.swap_remove(at);
    }
    assert!(imports.is_empty(), "{imports:#?}");
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

#[test]
fn documents_name_files_that_exist() {
    let mut known = 0;
    for document in [
        "CONTRIBUTING.md",
        "docs/ARCHITECTURE.md",
        "docs/reliability.md",
    ] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for span in text.split('`').skip(1).step_by(2) {
            let is_path = span.contains('/') && (span.ends_with(".rs") || span.starts_with("src/"));
            if !is_path || span.contains([' ', '*', '{']) {
                continue;
            }
            known += 1;
            let found = [root().join(span), root().join("src").join(span)];
            assert!(
                found.iter().any(|path| path.exists()),
                "{document}: `{span}`"
            );
        }
    }
    assert!(known > 20, "{known}");
}
