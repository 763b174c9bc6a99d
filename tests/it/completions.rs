//! The scripts under completions/ are what the program prints now. To renew them:
//! `cargo test --test it -- --ignored renew_completions`.

use crate::harness::{root, sdgen, text_of};

const SCRIPTS: [(&str, &str); 5] = [
    ("bash", "completions/sdgen.bash"),
    ("zsh", "completions/_sdgen"),
    ("fish", "completions/sdgen.fish"),
    ("powershell", "completions/_sdgen.ps1"),
    ("elvish", "completions/sdgen.elv"),
];

#[test]
fn the_scripts_in_the_repository_are_up_to_date() {
    for (shell, file) in SCRIPTS {
        let printed = sdgen().args(["completions", shell]).succeeds();
        assert!(
            printed.stdout() == text_of(file),
            "{file} is stale; see the head of tests/it/completions.rs"
        );
    }
}

#[test]
fn names_of_samplers_complete() {
    assert!(text_of("completions/sdgen.bash").contains("dpmpp_2m"));
}

#[test]
fn a_shell_that_asks_gets_the_names_of_models() {
    let ask = |words: &[&str]| {
        sdgen()
            .env("COMPLETE", "fish")
            .args(["--", "sdgen"])
            .args(words)
            .succeeds()
    };
    let names = ask(&["--model", "sdxl-"]);
    assert!(
        names
            .stdout()
            .lines()
            .any(|line| line.starts_with("sdxl-turbo\t")),
        "{}",
        names.stdout()
    );
    assert!(
        ask(&["batch", "b.toml", "--sampler", "dpmpp_2"])
            .stdout()
            .contains("dpmpp_2m")
    );
    let cached = sdgen()
        .file(".hf/hub/models--org--tiny/refs/main", b"x")
        .env("COMPLETE", "fish");
    assert!(
        cached
            .args(["--", "sdgen", "-m", "org/"])
            .succeeds()
            .stdout()
            .contains("org/tiny")
    );
}

/// The manual pages, one for the program and one for each subcommand.
fn pages() -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(sdgen::cli::command(), folder.path()).unwrap();
    let files = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let page = |path: std::path::PathBuf| {
        (
            path.file_name().unwrap().to_str().unwrap().to_owned(),
            std::fs::read(path).unwrap(),
        )
    };
    files.map(page).collect()
}

#[test]
fn the_manual_pages_in_the_repository_are_up_to_date() {
    for (name, page) in pages() {
        assert!(
            page == text_of(&format!("docs/man/{name}")).into_bytes(),
            "docs/man/{name} is stale"
        );
    }
}

#[test]
#[ignore = "rewrites files of the repository"]
fn renew_manual() {
    let folder = root().join("docs/man");
    std::fs::create_dir_all(&folder).unwrap();
    pages()
        .into_iter()
        .for_each(|(name, page)| std::fs::write(folder.join(name), page).unwrap());
}

#[test]
#[ignore = "rewrites files of the repository"]
fn renew_completions() {
    for (shell, file) in SCRIPTS {
        std::fs::write(
            root().join(file),
            sdgen().args(["completions", shell]).succeeds().stdout,
        )
        .unwrap();
    }
}
