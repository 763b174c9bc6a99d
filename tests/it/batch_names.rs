//! Whose a picture's name is: batches, one after the other and side by side, replace nothing of one
//! another.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::{Outcome, Run, golden_model, sdgen};

/// A run in a folder that other runs share.
fn within(folder: &Path, args: &[&str]) -> Run {
    let mut run = sdgen();
    run.command().current_dir(folder);
    run.args(args).args([
        "-m",
        &golden_model("sd15"),
        "-W",
        "32",
        "-H",
        "32",
        "--steps",
        "1",
    ])
}

/// Draws a file of prompts.
fn lines(folder: &Path, file: &str, text: &str, args: &[&str]) -> Outcome {
    std::fs::write(folder.join(file), text).unwrap();
    within(folder, &[&["batch", file], args].concat()).succeeds()
}

/// Name → bytes of every picture of a folder.
fn pictures(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pictures = entries.filter(|path| path.extension().is_some_and(|e| e == "png"));
    let named =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    pictures
        .map(|path| (named(&path), std::fs::read(&path).unwrap()))
        .collect()
}

/// Whether everything that was there is there still, as it was.
fn keeps(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> bool {
    before
        .iter()
        .all(|(name, bytes)| after.get(name) == Some(bytes))
}

fn prompt_of(folder: &Path, name: &str) -> String {
    let record = sdgen::output::metadata::read(&folder.join(name))
        .unwrap()
        .sdgen
        .unwrap();
    record.request().unwrap().prompt
}

#[test]
fn a_line_that_is_put_in_changes_nothing_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lines(folder, "jobs.txt", "a cat\na dog\n", &[]).says("2 jobs: 2 drawn");
    let before = pictures(folder);
    let on_top =
        lines(folder, "jobs.txt", "a house\na cat\na dog\n", &[]).says("1 drawn, 2 done before");
    on_top.says("`0001.png` is another job's picture and stays; this one goes to `0001-1.png`");
    let after = pictures(folder);
    assert!(keeps(&before, &after));
    assert_eq!(
        (after.len(), prompt_of(folder, "0001-1.png").as_str()),
        (3, "a house")
    );
    // In the middle, twice the same, and another order.
    lines(folder, "jobs.txt", "a house\na cat\na cat\na dog\n", &[]).says("1 drawn, 3 done before");
    lines(folder, "jobs.txt", "a dog\na cat\na house\na cat\n", &[]).says("0 drawn, 4 done before");
    assert!(keeps(&after, &pictures(folder)));
    assert_eq!(pictures(folder).len(), 4);
    // Fewer are as before.
    lines(folder, "jobs.txt", "a house\n", &[]).says("0 drawn, 1 done before");
}

#[test]
fn batches_from_stdin_are_told_by_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let piped = |text: &str| {
        within(folder, &["batch", "-"])
            .stdin(text.as_bytes())
            .succeeds()
    };
    piped("a cat\na dog\n").says("2 drawn");
    let before = pictures(folder);
    piped("a house\n").says("1 drawn");
    piped("a house\na cat\n").says("0 drawn, 2 done before");
    assert!(keeps(&before, &pictures(folder)));
    assert_eq!(prompt_of(folder, "0001-1.png"), "a house");
    piped("a cat\na dog\n").says("0 drawn, 2 done before");
}

#[test]
fn files_of_one_name_in_two_folders_are_two_batches() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["x", "y"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    lines(folder, "x/jobs.txt", "a cat\n", &[]).says("1 drawn");
    let before = pictures(folder);
    lines(folder, "y/jobs.txt", "a dog\n", &[]).says("1 drawn");
    lines(folder, "jobs.csv", "prompt\na house\n", &[]).says("1 drawn");
    let after = pictures(folder);
    assert!(keeps(&before, &after));
    assert_eq!(prompt_of(folder, "0001-1.png"), "a dog");
    assert_eq!(prompt_of(folder, "0001-2.png"), "a house");
    for (file, text) in [
        ("x/jobs.txt", "a cat\n"),
        ("y/jobs.txt", "a dog\n"),
        ("jobs.csv", "prompt\na house\n"),
    ] {
        lines(folder, file, text, &[]).says("0 drawn, 1 done before");
    }
    // One batch that starts anew is no other batch's matter.
    lines(folder, "y/jobs.txt", "a dog\n", &["--restart"]).says("1 drawn");
    assert_eq!(pictures(folder), after);
}

#[test]
fn a_named_job_that_draws_something_else_leaves_the_old_picture() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lines(folder, "jobs.txt", "a cat --name pet --seed 1\n", &[]);
    let before = pictures(folder);
    lines(folder, "jobs.txt", "a dog --name pet --seed 1\n", &[]).says("1 drawn");
    assert!(keeps(&before, &pictures(folder)));
    assert_eq!(prompt_of(folder, "pet-1.png"), "a dog");
    // Each is found again.
    lines(folder, "jobs.txt", "a dog --name pet --seed 1\n", &[]).says("0 drawn, 1 done before");
    lines(folder, "jobs.txt", "a cat --name pet --seed 1\n", &[]).says("0 drawn, 1 done before");
    // Asked for, it is replaced.
    lines(
        folder,
        "jobs.txt",
        "a house --name pet --seed 1\n",
        &["--overwrite"],
    )
    .says("1 drawn");
    assert_eq!(
        (
            prompt_of(folder, "pet.png").as_str(),
            pictures(folder).len()
        ),
        ("a house", 2)
    );
    lines(
        folder,
        "jobs.txt",
        "a mouse --name pet --seed 1\n",
        &["--restart"],
    )
    .says("1 drawn");
    assert_eq!(prompt_of(folder, "pet.png"), "a mouse");
}

#[test]
fn a_picture_that_somebody_changed_is_theirs_and_a_broken_one_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lines(
        folder,
        "jobs.txt",
        "a cat --name a --seed 1\na dog --name b --seed 2\n",
        &[],
    );
    let [first, second] = ["a.png", "b.png"].map(|name| std::fs::read(folder.join(name)).unwrap());
    image::RgbImage::new(8, 8)
        .save(folder.join("a.png"))
        .unwrap();
    std::fs::write(folder.join("b.png"), &second[..second.len() / 2]).unwrap();
    lines(
        folder,
        "jobs.txt",
        "a cat --name a --seed 1\na dog --name b --seed 2\n",
        &[],
    )
    .says("2 drawn");
    let after = pictures(folder);
    assert_eq!((&after["a-1.png"], &after["b.png"]), (&first, &second));
    assert_eq!(image::open(folder.join("a.png")).unwrap().width(), 8);
}

#[test]
fn a_sheet_is_checked_announced_and_described_as_pictures_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("jobs.txt"), "a cat --seed 3\na dog --name d\n").unwrap();
    std::fs::create_dir(folder.join("there")).unwrap();
    let sheet = |name: &str| within(folder, &["batch", "jobs.txt", "--sheet", name]);
    sheet("sheet.jpg")
        .fails(2)
        .says("--sheet: expected a name that ends in .png, got `sheet.jpg`");
    sheet("no/sheet.png")
        .fails(8)
        .says("the output folder `no` does not exist");
    sheet("there")
        .fails(2)
        .says("--sheet: `there` is a folder, expected a file");
    assert!(pictures(folder).is_empty(), "nothing was drawn");
    sheet("sheet.png").succeeds().says("saved sheet.png");
    let first = pictures(folder)["sheet.png"].clone();
    sheet("sheet.png").succeeds().says("saved sheet-1.png");
    assert_eq!(pictures(folder)["sheet.png"], first);
    let events = sheet("sheet.png")
        .args(["--overwrite", "--progress", "json"])
        .succeeds();
    let saved = events
        .stderr
        .lines()
        .rev()
        .find(|line| line.contains("\"saved\""))
        .unwrap()
        .to_owned();
    assert!(
        saved.contains("sheet.png") && !saved.contains("seed"),
        "{saved}"
    );
    let told = sdgen()
        .arg_path("inspect", &folder.join("sheet.png"))
        .args(["--json"])
        .succeeds();
    let told: serde_json::Value = serde_json::from_str(told.stdout()).unwrap();
    let pictures = told["sheet"]["pictures"].as_array().unwrap();
    assert_eq!(
        (pictures.len(), &pictures[0]["seed"], &pictures[1]["prompt"]),
        (2, &3.into(), &"a dog".into())
    );
    sdgen()
        .arg_path("inspect", &folder.join("sheet.png"))
        .succeeds();
    sdgen()
        .arg_path("replay", &folder.join("sheet.png"))
        .fails(2)
        .says("is a sheet of several pictures");
}

#[test]
fn batches_may_begin_with_a_byte_order_mark() {
    let mark = "\u{feff}";
    let files = [
        ("a.txt", format!("{mark}# mine\r\na cat\r\n")),
        ("b.txt", format!("{mark}a cat\r\n{mark}a dog\r\n")),
        ("c.jsonl", format!("{mark}{{\"prompt\":\"a cat\"}}\r\n")),
        ("d.csv", format!("{mark}prompt,seed\r\na cat,4\r\n")),
        (
            "e.toml",
            format!("{mark}[[job]]\r\nprompt = 'a {{@w.txt}}'\r\nseed = 3\r\n"),
        ),
    ];
    for (name, text) in &files {
        let run = sdgen()
            .file(name, text.as_bytes())
            .file("w.txt", format!("{mark}cat\r\n").as_bytes());
        let run = run
            .args(["batch", name, "-m", "demo", "--dry-run=json"])
            .succeeds();
        let report: serde_json::Value = serde_json::from_str(run.stdout()).unwrap();
        assert_eq!(report["jobs"][0]["request"]["prompt"], "a cat", "{name}");
    }
    let utf_16: Vec<u8> = "\u{feff}a cat\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for name in ["a.txt", "a.jsonl", "a.csv", "a.toml"] {
        let run = sdgen()
            .file(name, &utf_16)
            .args(["batch", name, "-m", "demo"])
            .fails(2);
        run.says(&format!("cannot read the batch `{name}`: it is UTF-16"));
    }
    sdgen()
        .args(["batch", "-", "-m", "demo"])
        .stdin(&utf_16)
        .fails(2)
        .says("it is UTF-16");
    sdgen()
        .file("a.txt", b"a caf\xe9\n")
        .args(["batch", "a.txt", "-m", "demo"])
        .fails(2)
        .says("line 1 is not UTF-8");
}

#[test]
fn a_seed_of_minus_one_is_none() {
    let text = "[defaults]\nmodel = 'demo'\nseed = 7\n[[job]]\nname = 'a'\nprompt = 'x'\nseed = -1\n\
                [[job]]\nname = 'b'\nprompt = 'x'\nseed = -1\n[[job]]\nname = 'c'\nprompt = 'x'\n";
    let run = sdgen()
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml", "--dry-run=json"])
        .succeeds();
    let report: serde_json::Value = serde_json::from_str(run.stdout()).unwrap();
    let seeds: Vec<u64> = report["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["request"]["seed"].as_u64().unwrap())
        .collect();
    assert!(
        seeds[0] != seeds[1] && seeds[0] != 7 && seeds[2] == 7,
        "{seeds:?}"
    );
    let wrong = text.replacen("seed = -1", "seed = -2", 1);
    let run = sdgen()
        .file("b.toml", wrong.as_bytes())
        .args(["batch", "b.toml", "--dry-run"])
        .fails(2);
    run.says("b.toml:7: seed: ").says("-1 for a random one");
    let lines = sdgen().file("p.txt", b"a --seed -1\nb --seed=-1\nc --seed -3\n");
    lines
        .args(["batch", "p.txt", "-m", "demo", "--dry-run"])
        .fails(2)
        .says("p.txt:3: ")
        .says("-1 for a random one");
}
