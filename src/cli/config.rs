//! The user's defaults: `--profile`, and `sdgen config path|show`.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::terminal;
use crate::batch::{Fields, Place};
use crate::env::{self, DefaultsFile};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, tell};
use crate::params::{Combine, Params, Profiles};

/// Choice of a profile. Only the command line has this flag.
#[derive(Args)]
#[group(skip)]
pub(super) struct Profile {
    /// Profile of your config file whose values are defaults [default: SDGEN_PROFILE]
    #[arg(long, value_name = "NAME", help_heading = "Defaults")]
    profile: Option<String>,
}

impl Profile {
    /// The defaults that the user's file and the profile make.
    pub(super) fn defaults(&self) -> Result<Defaults> {
        let (file, note) = read()?;
        let name = self.profile.clone().or_else(env::profile);
        let params = file.params(name.as_deref())?;
        Ok(Defaults { file, params, note })
    }
}

/// Defaults for values that the user does not give.
pub(super) struct Defaults {
    file: Profiles,
    params: Params,
    note: Option<String>,
}

impl Defaults {
    /// Tells what is noteworthy about them.
    pub(super) fn announce(self, observer: &mut dyn Observer) -> Result<Self> {
        match self.note.clone() {
            None => Ok(self),
            Some(message) => tell(observer, &Event::Note { message }).map(|()| self),
        }
    }

    /// The defaults as fields of a batch.
    pub(super) fn fields(&self) -> Fields {
        Fields::of(
            &self.params,
            &Place::new(&self.file.path().display().to_string().into(), 0),
        )
    }

    /// The given parameters over the defaults.
    pub(super) fn complete(&self, said: &Params) -> Params {
        let defaults = match said.from_latents {
            Some(_) => self.params.for_latents(),
            None => self.params.clone(),
        };
        said.clone().combine(defaults)
    }

    /// A whole request over those defaults that no picture depends on.
    pub(super) fn complete_execution(&self, request: Params) -> Params {
        request.combine(self.params.execution())
    }

    /// The error, with a word on where the wrong value came from.
    pub(super) fn blamed(&self, error: Error, said: &Params) -> Error {
        self.file.blamed(error, &self.params, said)
    }
}

/// The user's file, and a note if a file has no effect because this user may not look for it.
pub(super) fn read() -> Result<(Profiles, Option<String>)> {
    match env::defaults_file()? {
        None => Ok((Profiles::default(), None)),
        Some(DefaultsFile {
            path,
            is_out_of_reach: false,
        }) => Ok((Profiles::read(&path)?, None)),
        Some(DefaultsFile {
            path,
            is_out_of_reach: true,
        }) => {
            let note = format!(
                "no defaults: this user may not look for `{}`",
                path.display()
            );
            Ok((Profiles::absent(&path), Some(note)))
        }
    }
}

#[derive(Args)]
#[group(skip)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print where the file is, or would be
    Path,
    /// Print the defaults that the file and the profile make
    Show {
        #[command(flatten)]
        profile: Profile,

        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Prints the path or the values.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Path => path(),
        Action::Show { profile, json } => show(&profile.defaults()?, *json),
    }
}

fn path() -> anyhow::Result<()> {
    let file = env::defaults_file()?.ok_or_else(|| {
        Error::new(
            Kind::Usage,
            "there is no home folder to keep a config file in",
        )
        .hint("set SDGEN_CONFIG to a file")
    })?;
    terminal::write_data(format!("{}\n", file.path.display()).as_bytes())?;
    Ok(())
}

fn show(defaults: &Defaults, json: bool) -> anyhow::Result<()> {
    let Defaults { file, params, .. } = defaults;
    let names: Vec<&str> = file.names().collect();
    if json {
        return terminal::write_json(
            &json!({ "path": file.path(), "profiles": names, "defaults": params }),
        );
    }
    let values = toml::to_string(params).context("cannot write TOML")?;
    let there = if file.path().exists() {
        ""
    } else {
        " (not there)"
    };
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    let head = format!("# {}{there}; profiles: {names}\n", file.path().display());
    terminal::write_data((head + &values).as_bytes())?;
    Ok(())
}
