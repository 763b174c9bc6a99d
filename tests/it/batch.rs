//! Batches through the binary: examples, kills, locks, shards, failures, and pictures in company.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Outcome, golden_model, root, sdgen, text_of};

/// Jobs of the golden tests' model, whose pictures take milliseconds.
fn jobs(body: &str) -> String {
    format!(
        "[output]\ndir = 'out'\n[defaults]\nmodel = '{}'\nprompt = 'a cat'\nwidth = 32\nheight = 32\nsteps = 2\n{body}",
        golden_model("sd15")
    )
}

/// Name → bytes of the pictures in a folder; anything else that is no manifest is an error.
fn pictures(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| !path.to_string_lossy().ends_with(".manifest.jsonl"));
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(
                name.ends_with(".png") && !name.starts_with('.'),
                "{name} was left behind"
            );
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}

fn lines(manifest: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(manifest).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

fn batch(text: &str, args: &[&str]) -> Outcome {
    sdgen()
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml"])
        .args(args)
        .succeeds()
}

/// Whether a picture has a figure on a ground: some of its pixels are far from that of its corner.
fn shows_something(path: &Path) -> bool {
    let picture = image::open(path).unwrap().to_rgb8();
    let corner = picture.get_pixel(2, 2).0;
    let far = |pixel: &&image::Rgb<u8>| pixel.0.iter().zip(corner).any(|(a, b)| a.abs_diff(b) > 90);
    let figure = picture.pixels().filter(far).count();
    (200..picture.pixels().len()).contains(&figure)
}

#[test]
fn the_examples_draw_their_pictures() {
    let run = sdgen().arg_path("batch", &example("batch.toml"));
    let outcome = run
        .args(["--steps", "2", "--sheet", "sheet.png"])
        .succeeds()
        .says("9 jobs: 9 drawn");
    let names: Vec<String> = pictures(&outcome.path("out/batch")).into_keys().collect();
    assert_eq!(names[..2], ["circle.png", "samplers-dpmpp_2m-1.png"]);
    assert_eq!(
        names[5..],
        [
            "shapes-1.png",
            "shapes-2.png",
            "shapes-3.png",
            "shapes-4.png"
        ]
    );
    for path in names
        .iter()
        .map(|name| outcome.path("out/batch").join(name))
    {
        assert!(shows_something(&path), "{}", path.display());
    }
    let sheet = image::open(outcome.path("sheet.png")).unwrap();
    assert!(
        sheet.width() > 128 && sheet.height() > 256,
        "{}x{}",
        sheet.width(),
        sheet.height()
    );

    let run = sdgen().arg_path("batch", &example("prompts.txt"));
    let outcome = run
        .args(["-m", "demo", "--steps", "2", "-W", "64", "-H", "64"])
        .succeeds();
    assert_eq!(
        pictures(outcome.path("").as_path().join(".").as_path()).len(),
        3
    );
}

#[cfg(unix)]
#[test]
fn the_example_script_runs_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(example("nightly.sh"));
        command
            .env("SDGEN", env!("CARGO_BIN_EXE_sdgen"))
            .env("HF_HUB_OFFLINE", "1")
            .current_dir(&folder);
        command
            .args(["--steps", "1", "-W", "64", "-H", "64"])
            .args(args)
            .output()
            .unwrap()
    };
    let output = run(&[]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(pictures(&folder.path().join("out/batch")).len(), 9);
    assert!(String::from_utf8_lossy(&run(&[]).stderr).contains("9 jobs: 0 drawn, 9 done before"));
}

#[cfg(unix)]
#[test]
fn the_files_for_schedulers_say_what_the_program_takes() {
    let text = text_of("examples/kubernetes.yaml");
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("command: "))
        .unwrap();
    let words: Vec<String> = serde_json::from_str(line).unwrap();
    assert!(
        sdgen::cli::command().try_get_matches_from(&words).is_ok(),
        "{words:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    for task in ["4", "5"] {
        let mut script = Command::new(example("slurm.sh"));
        script
            .env("SDGEN", env!("CARGO_BIN_EXE_sdgen"))
            .current_dir(&folder)
            .arg(folder.path().join("b.toml"));
        script
            .env("SLURM_ARRAY_TASK_ID", task)
            .env("SLURM_ARRAY_TASK_MIN", "4")
            .env("SLURM_ARRAY_TASK_COUNT", "2");
        std::fs::write(
            folder.path().join("b.toml"),
            jobs("[[job]]\nname = 'j'\nmatrix.seed = '1..=8'\n"),
        )
        .unwrap();
        let output = script.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(pictures(&folder.path().join("out")).len(), 8);
    let mut parallel = Command::new("bash");
    assert!(
        parallel
            .arg("-n")
            .arg(example("parallel.sh"))
            .status()
            .unwrap()
            .success()
    );
}

/// Draws `seeds` pictures by two samplers, killed `kills` times, and compares with a run that
/// nobody disturbed.
fn survives(seeds: usize, kills: usize) {
    let text = jobs(&format!(
        "[[job]]\nname = 'k'\nmatrix.sampler = ['euler_a', 'dpmpp_2m']\nmatrix.seed = '1..={seeds}'\n"
    ));
    let whole = batch(&text, &["-q"]);
    let expected = pictures(&whole.path("out"));
    assert_eq!(expected.len(), 2 * seeds);

    let mut run =
        sdgen()
            .file("b.toml", text.as_bytes())
            .args(["batch", "b.toml", "--progress", "json"]);
    let out = run.path().join("out");
    let mut random = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..kills {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let begun = pictures_there(&out);
        let mut child = run.command().stderr(Stdio::null()).spawn().unwrap();
        // Some progress, and then any moment.
        while pictures_there(&out) < begun + seeds / (2 * kills)
            && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(random % 50_000));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let stopped = pictures_there(&out);
    assert!(
        stopped < expected.len(),
        "the kills came too late to tell anything"
    );
    let last = run.succeeds();
    assert!(
        pictures(&last.path("out")) == expected,
        "other files or other bytes than without kills"
    );
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines(&last.path("out/b.manifest.jsonl"))
        .iter()
        .filter(|line| line["state"] == "done")
    {
        *done
            .entry(line["file"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert_eq!(
        (done.len(), done.values().max()),
        (expected.len(), Some(&1)),
        "drawn again after its line"
    );
}

fn pictures_there(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".png"))
        .count()
}

#[test]
fn a_batch_that_is_killed_goes_on_where_it_was() {
    survives(20, 3);
}

#[test]
#[ignore = "takes a minute: two hundred jobs and five kills"]
fn two_hundred_jobs_survive_five_kills() {
    survives(100, 5);
}

#[test]
fn parts_together_are_the_whole() {
    let text = jobs("[[job]]\nname = 'p'\nmatrix.seed = '1..=24'\n");
    let whole = pictures(&batch(&text, &["-q"]).path("out"));
    let mut parts = BTreeMap::new();
    for shard in ["0/3", "1/3", "2/3"] {
        let part = pictures(&batch(&text, &["-q", "--shard", shard]).path("out"));
        assert!((1..24).contains(&part.len()), "{shard}: {}", part.len());
        for (name, bytes) in part {
            assert!(parts.insert(name, bytes).is_none(), "a job of two parts");
        }
    }
    assert!(parts == whole);
    // A Slurm array's environment says the same as the flag, and a whole run takes over what the
    // parts have done.
    let run = |index: &str| {
        sdgen()
            .env("SLURM_ARRAY_TASK_ID", index)
            .env("SLURM_ARRAY_TASK_COUNT", "3")
    };
    let first = run("0")
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml"])
        .succeeds()
        .says("shard 0/3: ");
    let done = pictures(&first.path("out")).len();
    let folder = first.folder.path().to_owned();
    let mut rest = sdgen();
    rest.command().current_dir(&folder);
    rest.args(["batch", "b.toml"])
        .succeeds()
        .says(&format!("24 jobs: {} drawn, {done} done before", 24 - done));
    assert!(pictures(&folder.join("out")) == whole);
    let lost = sdgen()
        .env("JOB_COMPLETION_INDEX", "1")
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml"]);
    lost.fails(2)
        .says("--shard: JOB_COMPLETION_INDEX says that this is task 1")
        .says("auto/8");
}

#[test]
fn every_error_of_a_batch_is_told_and_nothing_is_drawn() {
    let text = jobs(
        "[[job]]\nname = 'a'\nstepz = 3\n[[job]]\nname = 'b'\nsteps = 0\nsampler = 'eulr'\n[[job]]\nname = 'c'\n\
         model = 'sd51'\n[[job]]\nname = 'd'\ninit_image = 'none.png'\n[[job]]\nname = 'd'\n",
    );
    let run = sdgen()
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml"])
        .fails(2);
    let outcome = run
        .says("error: b.toml:11: stepz: there is no such field\nhint: did you mean `steps`?")
        .says("b.toml:14: steps: expected a number from 1 to 1000, got `0`")
        .says("b.toml:15: sampler: unknown sampler `eulr`")
        .says("b.toml:18: model: model `sd51` is no known name")
        .says("b.toml:21: init_image: cannot read `none.png`")
        .says("b.toml:22: name: `d` is the name of the job at b.toml:19")
        .says("error: 6 errors in `b.toml`; nothing was drawn");
    assert_eq!(outcome.files(), ["b.toml"]);
    let run = sdgen()
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml", "--progress", "json"])
        .fails(2);
    let first: Value = serde_json::from_str(run.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["file"], &first["line"], &first["field"]),
        (&"b.toml".into(), &11.into(), &"stepz".into())
    );
}

#[test]
fn a_job_that_fails_leaves_the_others_done() {
    let text = jobs(
        "[[job]]\nname = 'bad'\ninit_image = 'start.png'\n[[job]]\nname = 'good'\nmatrix.seed = '1..=3'\n",
    );
    let run = |folder: &Path, args: &[&str]| {
        let mut run = sdgen();
        run.command().current_dir(folder);
        run.args(["batch", "b.toml"]).args(args)
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("b.toml"), text).unwrap();
    std::fs::write(folder.path().join("start.png"), "no picture").unwrap();
    let failed = run(folder.path(), &[]).fails(9);
    failed
        .says("failed bad: ")
        .says("4 jobs: 3 drawn, 0 done before, 1 failed")
        .says("error: 1 of 4 jobs failed");
    let manifest = folder.path().join("out/b.manifest.jsonl");
    assert!(
        lines(&manifest)
            .iter()
            .any(|line| line["job"] == "bad" && line["state"] == "failed")
    );
    run(folder.path(), &["--fail-fast", "--restart"])
        .fails(9)
        .says("0 drawn, 0 done before, 1 failed, 3 left");
    std::fs::write(
        folder.path().join("start.png"),
        std::fs::read(folder.path().join("out/good-1.png")).unwrap(),
    )
    .unwrap();
    run(folder.path(), &[]).succeeds().says("4 jobs: 4 drawn");
    // A picture that was changed or removed is drawn again, the others are not.
    std::fs::remove_file(folder.path().join("out/good-2.png")).unwrap();
    std::fs::write(folder.path().join("out/good-3.png"), "x").unwrap();
    run(folder.path(), &[])
        .succeeds()
        .says("4 jobs: 2 drawn, 2 done before");
}

#[test]
fn a_file_that_is_gone_when_its_turn_comes_fails_alone() {
    let text = jobs(
        "[[job]]\nname = 'first'\n[[job]]\nname = 'gone'\ninit_image = 'start.png'\nheight = 64\n\
         [[job]]\nname = 'last'\nheight = 64\n",
    );
    let start = image::RgbImage::from_pixel(32, 32, image::Rgb([90, 20, 200]));
    let (mut run, hold) = sdgen()
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml", "-q"])
        .held(1);
    let picture = run.path().join("start.png");
    start.save(&picture).unwrap();
    let mut child = run.command().stderr(Stdio::null()).spawn().unwrap();
    while !run
        .path()
        .join("out/b.manifest.jsonl")
        .metadata()
        .is_ok_and(|file| file.len() > 0)
    {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::fs::remove_file(&picture).unwrap();
    drop(hold);
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let names: Vec<String> = pictures(&run.path().join("out")).into_keys().collect();
    assert_eq!(names, ["first.png", "last.png"]);
}

#[test]
fn two_processes_do_not_draw_one_batch() {
    let text = jobs("[[job]]\nname = 'slow'\n");
    let (mut run, _hold) = sdgen()
        .file("b.toml", text.as_bytes())
        .args(["batch", "b.toml", "-q"])
        .held(1);
    let mut child = run.command().stderr(Stdio::null()).spawn().unwrap();
    while !run
        .path()
        .join("out/b.manifest.jsonl")
        .metadata()
        .is_ok_and(|file| file.len() > 0)
    {
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut second = sdgen().args(["batch", "b.toml"]);
    second.command().current_dir(run.path());
    second
        .fails(2)
        .says("another process is drawing the batch of")
        .says("--shard 0/2");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn files_of_others_are_not_replaced_unless_asked() {
    let run = || {
        sdgen()
            .file("b.toml", jobs("[[job]]\nname = 'a'\n").as_bytes())
            .file("out/a.png", b"mine")
    };
    let outcome = run()
        .args(["batch", "b.toml"])
        .fails(8)
        .says("`out/a.png` is there already");
    assert_eq!(std::fs::read(outcome.path("out/a.png")).unwrap(), b"mine");
    run().args(["batch", "b.toml", "--overwrite"]).succeeds();
}

#[test]
fn a_picture_in_company_is_the_picture_alone() {
    let text = jobs(
        "[[job]]\nname = 'c'\nmatrix.prompt = ['a cat', 'two dogs', 'a house']\nmatrix.seed = '3..=4'\n\
         [[job]]\nname = 'n'\nnegative_prompt = 'blurry'\n[[job]]\nname = 'o'\nsampler = 'euler_a'\ncount = 3\n\
         [[job]]\nname = 'u'\ncfg_scale = 1\ncount = 2\n",
    );
    let alone = batch(&text, &[]);
    let company = batch(&text, &["--batch-size", "4"]).says("c-1-3, c-1-4, c-2-3, c-2-4");
    assert!(pictures(&alone.path("out")) == pictures(&company.path("out")));
    let single = [
        "two dogs",
        "--model",
        &golden_model("sd15"),
        "-W",
        "32",
        "-H",
        "32",
        "--steps",
        "2",
    ];
    let single = sdgen()
        .args(single)
        .args(["--seed", "4", "-o", "a.png"])
        .succeeds();
    assert_eq!(
        std::fs::read(single.path("a.png")).unwrap(),
        pictures(&alone.path("out"))["c-2-4.png"]
    );
}

#[test]
fn conditioning_is_made_once_for_equal_prompts() {
    let text =
        jobs("[[job]]\nname = 'x'\nmatrix.steps = [1, 2]\nmatrix.prompt = ['a cat', 'a dog']\n");
    let outcome = batch(&text, &["--progress", "json"]);
    let events: Vec<Value> = outcome
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let begun = |stage: &str| {
        events
            .iter()
            .filter(|e| e["event"] == "begin" && e["stage"] == stage)
            .count()
    };
    assert_eq!((begun("encode"), begun("denoise")), (2, 4));
    // Text encoder, denoiser, decoder: once.
    assert_eq!(begun("load"), 3);
}

#[test]
fn jobs_come_from_stdin_tables_and_flags() {
    let model = golden_model("sd15");
    let tiny = ["-m", &model, "-W", "32", "-H", "32", "--steps", "1"];
    let lines = sdgen()
        .args(["batch", "-"])
        .args(tiny)
        .stdin(b"a cat\n# no\na dog --name d --seed 4\n")
        .succeeds();
    assert_eq!(
        pictures(lines.folder.path().join(".").as_path())
            .into_keys()
            .collect::<Vec<_>>(),
        ["0001.png", "d.png"]
    );
    let csv = sdgen()
        .file("j.csv", b"name,prompt,seed\nx,\"a, b\",4\ny,c,5\n")
        .args(["batch", "j.csv"])
        .args(tiny);
    let csv = csv.succeeds();
    assert!(csv.path("x.png").is_file() && csv.path("y.png").is_file());
    let json = sdgen().args(["batch", "-", "--form", "jsonl"]).args(tiny);
    assert!(
        json.stdin(b"{\"name\": \"z\", \"prompt\": \"a\"}\n")
            .succeeds()
            .path("z.png")
            .is_file()
    );
}

#[test]
fn events_have_a_schema_and_name_their_jobs() {
    let outcome = batch(
        &jobs("[[job]]\nname = 'a'\n[[job]]\nname = 'b'\n"),
        &["--progress", "json"],
    );
    let events: Vec<Value> = outcome
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        events
            .iter()
            .all(|event| event["schema"] == 1 && event["time"].is_f64()),
        "{events:#?}"
    );
    let of = |name: &str| {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("queued")
            .iter()
            .map(|event| event["job"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(of("saved")[1]["jobs"], serde_json::json!(["b"]));
    let done = of("done")[0];
    assert_eq!(
        (&done["images"], done["stages"]["denoise"].is_f64()),
        (&2.into(), true)
    );
    let documented = text_of("docs/events.md");
    for event in &events {
        for key in event.as_object().unwrap().keys() {
            assert!(
                documented.contains(&format!("`{key}`")),
                "docs/events.md lacks `{key}` of {event}"
            );
        }
    }
}

#[test]
fn a_dry_run_tells_jobs_tokens_memory_and_time_and_draws_nothing() {
    let text =
        jobs("[[job]]\nname = 'a'\nmatrix.seed = '1..=3'\n[[job]]\nname = 'far'\nmodel = 'sdxl'\n");
    let outcome = batch(&text, &["--dry-run=json"]);
    assert_eq!(outcome.files(), ["b.toml"]);
    let report: Value = serde_json::from_str(outcome.stdout()).unwrap();
    assert_eq!(report["jobs"].as_array().unwrap().len(), 3);
    assert_eq!(
        (
            &report["jobs"][0]["tokens"][0]["tokens"],
            &report["jobs"][0]["name"]
        ),
        (&2.into(), &"a-1".into())
    );
    assert_eq!(
        report["absent"]["sdxl"],
        serde_json::json!({ "jobs": 1, "bytes": null })
    );
    assert!(report["estimate"]["seconds"].as_f64().unwrap() > 0.0);
    let text = batch(&text, &["--dry-run"]);
    assert!(
        text.stdout().contains("a-1 -> out/a-1.png: ")
            && text.stdout().contains("to be fetched: sdxl, for 1 job")
    );
    let single = sdgen()
        .args(["a cat", "-m", "demo", "-W", "64", "-H", "64", "--dry-run"])
        .succeeds();
    assert!(
        single.stdout().contains("1 picture: about "),
        "{}",
        single.stdout()
    );
    assert!(single.files().is_empty());
}

#[test]
fn shown_pictures_need_a_terminal() {
    sdgen()
        .args(["x", "-m", "demo", "--show"])
        .fails(2)
        .says("--show: stdout is no terminal");
}
