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
#[ignore = "rewrites files of the repository"]
fn renew_completions() {
    for (shell, file) in SCRIPTS {
        std::fs::write(root().join(file), sdgen().args(["completions", shell]).succeeds().stdout).unwrap();
    }
}
