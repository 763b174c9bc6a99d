//! Runs the program in a folder of its own, with an environment of its own, and asks how it went.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Arguments that draw one tiny picture with the model of the golden tests.
pub(crate) fn tiny() -> Vec<String> {
    let model = golden_model("sd15");
    [
        "a cat", "--width", "32", "--height", "32", "--steps", "2", "--seed", "7", "--model",
        &model,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The path of a model of the golden tests.
pub(crate) fn golden_model(name: &str) -> String {
    root()
        .join("tests/golden/models")
        .join(name)
        .display()
        .to_string()
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository as text.
pub(crate) fn text_of(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A folder of files at another place: a link, or a copy where links are not to be had.
pub(crate) fn link(from: &Path, to: &Path) {
    #[cfg(unix)]
    std::os::unix::fs::symlink(from, to).unwrap();
    #[cfg(not(unix))]
    copy(from, to);
}

/// Copies a file, or a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        copy(&path, &to.join(path.file_name().unwrap()));
    }
}

/// One run of the program.
pub(crate) struct Run {
    command: Command,
    folder: TempDir,
    stdin: Vec<u8>,
}

/// A run in an empty folder, with an empty model cache and no connection.
pub(crate) fn sdgen() -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sdgen"));
    let proxies = [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ];
    let own = [
        "NO_COLOR",
        "SDGEN_HOLD",
        "SDGEN_CONFIG",
        "SDGEN_PROFILE",
        "SDGEN_CPU",
        "SDGEN_QUEUE",
        "SLURM_ARRAY_TASK_ID",
        "JOB_COMPLETION_INDEX",
        "COMPLETE",
    ];
    proxies
        .into_iter()
        .chain(sdgen::env::HUB_VARIABLES.iter().copied())
        .chain(own)
        .for_each(|name| {
            command.env_remove(name);
        });
    let home = folder.path().join(".hf");
    command
        .current_dir(&folder)
        .env("HF_HOME", &home)
        .env("HF_HUB_OFFLINE", "1");
    command.env("HOME", &home).env("XDG_CONFIG_HOME", &home);
    Run {
        command,
        folder,
        stdin: Vec::new(),
    }
}

impl Run {
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn arg_path(mut self, flag: &str, path: &Path) -> Self {
        self.command.arg(flag).arg(path);
        self
    }

    /// Allows the program no more than `megabytes` of memory of its own.
    #[cfg(target_os = "linux")]
    pub(crate) fn limited(mut self, megabytes: usize) -> Self {
        let program = self.command.get_program().to_owned();
        let script = format!("ulimit -d {}; exec \"$0\" \"$@\"", megabytes * 1024);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(program);
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.current_dir(&self.folder);
        self.command = shell;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Holds the run once so many steps are done, until the returned file is gone.
    pub(crate) fn held(mut self, steps: usize) -> (Self, tempfile::TempPath) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{steps}").unwrap();
        self.command.env("SDGEN_HOLD", file.path());
        (self, file.into_temp_path())
    }

    pub(crate) fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    /// Puts a file into the run's folder.
    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    /// The run's folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The command itself, for a test that watches it run.
    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs, and expects success.
    pub(crate) fn succeeds(self) -> Outcome {
        self.exits(0)
    }

    /// Runs, and expects an exit code, a message, and no data.
    pub(crate) fn fails(self, code: i32) -> Outcome {
        let outcome = self.exits(code);
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
        assert!(outcome.stderr.contains("error"), "{outcome:?}");
        outcome
    }

    /// Runs, and expects an exit code.
    pub(crate) fn exits(mut self, code: i32) -> Outcome {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        // The program may end without reading; that is not the test's matter.
        let _ = child.stdin.take().unwrap().write_all(&self.stdin);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let outcome = Outcome {
            stdout: output.stdout,
            stderr,
            folder: self.folder,
        };
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        assert_eq!(output.status.code(), Some(code), "{outcome:?}");
        outcome
    }
}

/// How a run went. The folder is removed with it.
pub(crate) struct Outcome {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) folder: TempDir,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "stdout: {} bytes, stderr:\n{}",
            self.stdout.len(),
            self.stderr
        )
    }
}

impl Outcome {
    /// Expects a text on stderr.
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected {text:?} in\n{self:?}");
        self
    }

    /// Expects nothing on stderr.
    pub(crate) fn says_nothing(self) -> Self {
        assert_eq!(self.stderr, "");
        self
    }

    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// What the user was told.
    pub(crate) fn stderr(&self) -> &str {
        &self.stderr
    }

    /// Every visible and temporary file in the run's folder, by name.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".hf")
            .collect();
        names.sort();
        names
    }

    /// A path in the run's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
