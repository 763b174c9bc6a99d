//! What the world does to a run: signals, closed ends, limits, odd names, files that vanish.
//! docs/reliability.md has a row for each.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use crate::harness::{Run, copy, golden_model, sdgen, tiny};

#[expect(
    unsafe_code,
    reason = "the standard library sends no signals but SIGKILL"
)]
fn send(process: u32, signal: libc::c_int) {
    // SAFETY: no memory is involved; the process is our own child and not yet waited for.
    assert_eq!(
        unsafe { libc::kill(libc::pid_t::try_from(process).unwrap(), signal) },
        0
    );
}

/// A run that is held to a limit of the system.
#[expect(unsafe_code, reason = "limits are set between fork and exec")]
fn limited(mut run: Run, resource: libc::__rlimit_resource_t, most: u64) -> Run {
    let set = move || {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: the call reads one struct of our own.
        match unsafe { libc::setrlimit(resource, &raw const limit) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { run.command().pre_exec(set) };
    run
}

/// A run of many steps that has begun to draw, or to load.
fn begun(run: &mut Run, word: &str) -> (std::process::Child, impl Iterator<Item = String> + use<>) {
    let mut child = run.command().stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line.contains(word)), "{word}");
    (child, lines)
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let (mut run, _hold) = sdgen()
        .args(tiny())
        .args(["--progress", "json", "-o", "a.png"])
        .held(1);
    let (mut child, _lines) = begun(&mut run, r#""event":"step""#);
    // Both are waiting when the process goes on.
    for signal in [libc::SIGSTOP, libc::SIGINT, libc::SIGTERM, libc::SIGCONT] {
        send(child.id(), signal);
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(run.path()).unwrap().count(), 0);
}

#[test]
fn a_closed_terminal_stops_the_run_like_ctrl_c() {
    let (mut run, _hold) = sdgen()
        .args(tiny())
        .args(["--progress", "json", "-o", "a.png"])
        .held(1);
    let (mut child, lines) = begun(&mut run, r#""event":"step""#);
    send(child.id(), libc::SIGHUP);
    assert!(lines.last().unwrap().contains(r#""kind":"interrupted""#));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_reader_that_leaves_early_is_an_error_of_the_output() {
    let mut run = sdgen().args(tiny()).args(["-o", "-", "--progress", "none"]);
    let mut child = run
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut message = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(8), "{message}");
    assert!(
        message.contains("cannot write the picture to stdout"),
        "{message}"
    );
}

#[test]
fn a_model_that_vanishes_while_it_is_in_use_is_named() {
    let model = tempfile::tempdir().unwrap();
    copy(Path::new(&golden_model("sd15")), model.path());
    let (mut run, hold) = sdgen().args(tiny()).args(["--progress", "json"]).held(1);
    run.command().arg("--model").arg(model.path());
    let (mut child, lines) = begun(&mut run, "text_encoder");
    for part in [
        "text_encoder/model",
        "unet/diffusion_pytorch_model",
        "vae/diffusion_pytorch_model",
    ] {
        let file = model.path().join(format!("{part}.safetensors"));
        std::fs::OpenOptions::new()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(100)
            .unwrap();
    }
    drop(hold);
    let rest: Vec<String> = lines.collect();
    // Mapped already or not yet opened: either way it is a bad model file, and said so.
    assert_eq!(child.wait().unwrap().code(), Some(5), "{rest:?}");
    assert!(
        rest.iter().any(|line| line.contains("cut short")),
        "{rest:?}"
    );
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_the_picture_is_kept_elsewhere() {
    let run = limited(
        sdgen().args(tiny()).args(["-o", "a.png"]),
        libc::RLIMIT_FSIZE,
        512,
    );
    let outcome = run.fails(8).says("cannot write `a.png`");
    assert!(outcome.files().is_empty(), "{:?}", outcome.files());
}

#[cfg(target_os = "linux")]
#[test]
fn a_decoder_without_memory_goes_on_in_tiles() {
    let size = [
        "--width",
        "512",
        "--height",
        "512",
        "--steps",
        "1",
        "--threads",
        "1",
        "--sampler",
        "euler",
    ];
    let run = sdgen()
        .args(tiny())
        .args(size)
        .args(["-o", "a.png"])
        .env("MALLOC_ARENA_MAX", "1");
    let outcome = limited(run, libc::RLIMIT_AS, 180 << 20).succeeds();
    let outcome = outcome
        .says("memory ran out")
        .says("decoding again in tiles");
    assert_eq!(outcome.files(), ["a.png"]);
}

#[test]
fn names_with_blanks_letters_of_all_scripts_and_line_breaks_are_kept() {
    for name in ["a b.png", "灯台 ünï.png", "two\nlines.png", "-dash.png"] {
        let outcome = sdgen()
            .args(tiny())
            .arg_path("-o", &Path::new(".").join(name))
            .env("LC_ALL", "C");
        assert_eq!(outcome.succeeds().files(), [name]);
    }
    let invalid = std::ffi::OsStr::from_bytes(b"\xff.png");
    sdgen()
        .args(tiny())
        .arg_path("-o", Path::new(invalid))
        .fails(2);
}

#[test]
fn no_prompt_leaves_the_folder_or_makes_a_name_of_windows_devices() {
    let prompts = [
        ("../../up", ".._.._up.png"),
        ("/etc/passwd", "_etc_passwd.png"),
        ("con", "_con.png"),
        ("LPT1.x", "_LPT1.x.png"),
        ("a\u{0}\u{7}b", "a__b.png"),
    ];
    for (prompt, name) in prompts {
        let mut args = tiny();
        "-".clone_into(&mut args[0]);
        let outcome = sdgen()
            .args(args)
            .args(["-o", "{prompt}.png"])
            .stdin(prompt.as_bytes())
            .succeeds();
        let found = outcome.files();
        assert_eq!(found.len(), 1, "{prompt:?}: {found:?}");
        assert_eq!(
            found[0].trim_start_matches(['.', '_']),
            name.trim_start_matches(['.', '_']),
            "{prompt:?}"
        );
        assert!(!found[0].starts_with(".."), "{found:?}");
    }
}

#[test]
fn a_link_in_the_place_of_the_picture_is_never_written_through() {
    for (flags, kept, written) in [
        (&[][..], true, "a-1.png"),
        (&["--overwrite"], false, "a.png"),
    ] {
        let run = sdgen()
            .file("precious", b"mine")
            .args(tiny())
            .args(["-o", "a.png"])
            .args(flags);
        std::os::unix::fs::symlink("precious", run.path().join("a.png")).unwrap();
        let outcome = run.succeeds().says(&format!("saved {written}"));
        assert_eq!(std::fs::read(outcome.path("precious")).unwrap(), b"mine");
        assert_eq!(outcome.path("a.png").is_symlink(), kept);
    }
}
