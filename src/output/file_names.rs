//! Output paths: templates with fields, names that are legal on every system, and the checks that
//! can be made before anything is computed.

use std::path::{Path, PathBuf};

use super::atomic_file::{Existing, cannot_write, folder_of, new_temporary};
use super::encode::{self, Format};
use crate::error::{Error, Kind, Result};
use crate::params::Request;

/// The template used when a request names none.
pub const DEFAULT_TEMPLATE: &str = "{model}-{seed}.png";

/// Longest value of one field in a name, in bytes.
const MAX_VALUE: usize = 80;
/// Longest file name, in bytes; file systems allow 255, and a number may be added.
const MAX_NAME: usize = 230;

/// A field of a template: its name and the function that returns its value.
type Field = (&'static str, fn(&Values<'_>) -> String);

/// Every field that a template may have.
pub const FIELDS: &[Field] = &[
    ("seed", |v| v.seed.to_string()),
    ("index", |v| v.index.to_string()),
    ("name", |v| v.name.to_owned()),
    ("model", |v| v.model.to_owned()),
    ("sampler", |v| v.request.sampler.to_string()),
    ("steps", |v| v.request.steps.to_string()),
    ("width", |v| v.request.width.to_string()),
    ("height", |v| v.request.height.to_string()),
    ("prompt", |v| v.request.prompt.clone()),
];

/// Values of a template's fields for one image.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The request that made it.
    pub request: &'a Request,
    /// The model's short name.
    pub model: &'a str,
    /// The picture's seed.
    pub seed: u64,
    /// Index of the image within the request, from 0.
    pub index: u64,
    /// Name of its job in a batch.
    pub name: &'a str,
}

/// Job name of an image outside a batch.
pub const UNNAMED: &str = "picture";

/// Destination of the images of a request.
#[derive(Clone, Debug)]
pub enum Destination {
    /// One PNG to stdout.
    Stdout,
    /// Files, named by a template.
    Files {
        /// Template of the file names.
        template: Template,
        /// Treatment of files that are already there.
        existing: Existing,
    },
}

impl Destination {
    /// Reads an `--output` value for `count` images, with all checks that are possible before the
    /// model is known.
    ///
    /// # Errors
    /// An unknown field; a name without an image format's extension; a folder that does not exist or is not
    /// writable.
    pub fn parse(output: Option<&str>, existing: Existing, count: u64) -> Result<Self> {
        match (output.unwrap_or(DEFAULT_TEMPLATE), count) {
            ("-", 0..=1) => Ok(Self::Stdout),
            ("-", _) => Err(
                Error::expected("output", "a file name for several pictures", "-")
                    .hint("stdout takes one picture; use a template such as `out-{seed}.png`"),
            ),
            (text, _) => {
                let template = Template::parse(text)?.numbered(count);
                template.check_fixed_folder()?;
                Ok(Self::Files { template, existing })
            }
        }
    }

    /// Checks the folder of a picture once every field's value is known.
    ///
    /// # Errors
    /// The folder does not exist or is not writable.
    pub fn check(&self, values: &Values<'_>) -> Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::Files { template, .. } => check_folder(folder_of(&template.path(values))),
        }
    }
}

/// A file name with fields in it.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
    format: &'static Format,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Field(Field),
}

impl Template {
    /// Reads a template; `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// An unknown field, an open brace, or a name without an image format's extension.
    pub fn parse(text: &str) -> Result<Self> {
        let format = check_name("output", text)?;
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            push_text(&mut parts, before);
            if after.starts_with("{{") || after.starts_with("}}") {
                push_text(&mut parts, &after[..1]);
                rest = &after[2..];
                continue;
            }
            let closed = after
                .strip_prefix('{')
                .and_then(|after| after.split_once('}'));
            let (name, behind) = closed.ok_or_else(|| {
                Error::field(
                    "output",
                    format!("`{text}` has a brace without its partner"),
                )
                .hint("write `{{` or `}}` for a brace in the name")
            })?;
            parts.push(Part::Field(find_field(name)?));
            rest = behind;
        }
        push_text(&mut parts, rest);
        Ok(Self { parts, format })
    }

    /// The same template with `-{index}` before the extension, if several pictures would take one
    /// name.
    #[must_use]
    pub fn numbered(mut self, count: u64) -> Self {
        let tells_apart = |part: &Part| matches!(part, Part::Field(("seed" | "index", _)));
        if count < 2 || self.parts.iter().any(tells_apart) {
            return self;
        }
        // Invariant: the last part is text that ends in the extension, as `check_name` saw.
        if let Some(Part::Text(last)) = self.parts.pop() {
            let (stem, extension) = last.split_at(last.len() - self.format.suffix().len());
            push_text(&mut self.parts, stem);
            push_text(&mut self.parts, "-");
            self.parts.push(Part::Field(FIELDS[1]));
            push_text(&mut self.parts, extension);
        }
        self
    }

    /// Format of the files, by the extension.
    pub fn format(&self) -> &'static Format {
        self.format
    }

    /// The path for one picture. Values are made safe: none can leave the folder or make an illegal
    /// name.
    pub fn path(&self, values: &Values<'_>) -> PathBuf {
        let text: String = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Field((_, value)) => sanitize_value(&value(values)),
            })
            .collect();
        let path = PathBuf::from(text);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = legal_name(&name, self.format);
        path.with_file_name(name)
    }

    /// Checks the folder if its path holds no field.
    fn check_fixed_folder(&self) -> Result<()> {
        let mut fixed = String::new();
        let mut in_folder = false;
        for part in self.parts.iter().rev() {
            match part {
                Part::Text(text) => fixed.insert_str(0, text),
                Part::Field(_) if in_folder => return Ok(()),
                Part::Field(_) => fixed.insert(0, '_'),
            }
            in_folder = fixed.contains(std::path::is_separator);
        }
        check_folder(folder_of(Path::new(&fixed)))
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

fn find_field(name: &str) -> Result<Field> {
    FIELDS
        .iter()
        .find(|(known, _)| *known == name)
        .copied()
        .ok_or_else(|| {
            Error::unknown(
                "output",
                "template field",
                name,
                FIELDS.iter().map(|row| row.0),
            )
        })
}

/// Checks the name of a single image file, and its folder, as those of pictures are checked.
///
/// # Errors
/// A name without an image format's extension, by `field`; a folder that does not exist or is not
/// writable.
pub fn check_file(field: &str, path: &Path) -> Result<()> {
    check_name(field, &path.to_string_lossy())?;
    check_folder(folder_of(path))
}

/// Checks a file name; returns the format that its extension stands for.
fn check_name(field: &str, text: &str) -> Result<&'static Format> {
    let flag = field.replace('_', "-");
    if text.is_empty() {
        return Err(Error::field(field, "the name is empty"));
    }
    if text.ends_with(std::path::is_separator) || Path::new(text).is_dir() {
        let folder = text.trim_end_matches(std::path::is_separator);
        let name = match field {
            "output" => DEFAULT_TEMPLATE.to_owned(),
            _ => field.to_owned() + &encode::DEFAULT.suffix(),
        };
        let message = format!("`{text}` is a folder, expected a file");
        return Err(Error::field(field, message)
            .hint(format!("name a file in it: `--{flag} {folder}/{name}`")));
    }
    let found = Format::of_name(text);
    let suffix = found.unwrap_or(encode::DEFAULT).suffix();
    let name = Path::new(text).file_name().unwrap_or_default();
    if name.len() > MAX_NAME + suffix.len() {
        let message = format!(
            "the file name has {} bytes, too many for file systems",
            name.len()
        );
        let hint = format!("expected at most {MAX_NAME} before `{suffix}`");
        return Err(Error::field(field, message).hint(hint));
    }
    found.ok_or_else(|| {
        let names = |of: fn(&Format) -> String| {
            let names: Vec<String> = encode::FORMATS.iter().map(|format| of(format)).collect();
            names.join(" or ")
        };
        let (suffixes, labels) = (
            names(Format::suffix),
            names(|format| format.label.to_owned()),
        );
        let renamed = Path::new(text).with_extension(encode::DEFAULT.extension);
        Error::expected(field, format!("a name that ends in {suffixes}"), text).hint(format!(
            "pictures are {labels} files: `--{flag} {}`",
            renamed.display()
        ))
    })
}

/// Checks that a folder exists and takes a new file, by creating a temporary one.
fn check_folder(folder: &Path) -> Result<()> {
    if !folder.exists() {
        let shown = folder.display();
        return Err(Error::new(
            Kind::Output,
            format!("the output folder `{shown}` does not exist"),
        )
        .hint(format!("create it first: `mkdir -p {shown}`")));
    }
    if !folder.is_dir() {
        return Err(Error::new(
            Kind::Output,
            format!("`{}` is a file, expected a folder", folder.display()),
        ));
    }
    new_temporary(folder).map_err(|e| cannot_write(folder, &e))?;
    Ok(())
}

/// A field's value as part of a name: no separators, no control characters, nothing that Windows
/// refuses, no dots or blanks at either end, and not too long.
fn sanitize_value(value: &str) -> String {
    let forbidden = |c: char| c.is_control() || "<>:\"/\\|?*".contains(c);
    let words: Vec<String> = value
        .split_whitespace()
        .map(|word| {
            word.chars()
                .map(|c| if forbidden(c) { '_' } else { c })
                .collect()
        })
        .collect();
    let joined = words.join(" ");
    let cut = truncate_bytes(joined.trim_matches(['.', ' ']), MAX_VALUE);
    match cut.trim_end_matches(['.', ' ']) {
        "" => "_".to_owned(),
        name => name.to_owned(),
    }
}

/// At most `limit` bytes, never half a character.
fn truncate_bytes(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The whole file name within the limits of file systems.
fn legal_name(name: &str, format: &Format) -> String {
    let (stem, extension) = name.split_at(name.len().saturating_sub(format.suffix().len()));
    let reserved = ["con", "prn", "aux", "nul"];
    let device = stem.split('.').next().unwrap_or_default().to_lowercase();
    let numbered = |prefix: &str| {
        device
            .strip_prefix(prefix)
            .is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
    };
    let guard = if reserved.contains(&device.as_str()) || numbered("com") || numbered("lpt") {
        "_"
    } else {
        ""
    };
    format!("{guard}{}{extension}", truncate_bytes(stem, MAX_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::metadata::tests::request;

    fn name(template: &str, prompt: &str, count: u64) -> String {
        let request = Request {
            prompt: prompt.to_owned(),
            ..request()
        };
        let values = Values {
            request: &request,
            model: "sd15",
            seed: 7,
            index: 2,
            name: "cat",
        };
        let template = Template::parse(template).unwrap().numbered(count);
        template.path(&values).to_string_lossy().into_owned()
    }

    fn refusal(text: &str) -> (String, Vec<String>) {
        let error = Destination::parse(Some(text), Existing::Keep, 1).unwrap_err();
        (error.to_string(), error.hints().to_vec())
    }

    #[test]
    fn every_field_has_its_value() {
        let all = "{seed}_{index}_{model}_{sampler}_{steps}_{width}x{height}_{prompt}_{name}.png";
        assert_eq!(
            name(all, "a cat", 1),
            "7_2_sd15_euler_a_20_512x768_a cat_cat.png"
        );
        assert_eq!(name(DEFAULT_TEMPLATE, "a cat", 1), "sd15-7.png");
        assert_eq!(name("{{{seed}}}.PNG", "", 1), "{7}.PNG");
    }

    #[test]
    fn several_pictures_are_numbered_unless_the_template_tells_them_apart() {
        assert_eq!(name("a.png", "", 1), "a.png");
        assert_eq!(name("a.png", "", 3), "a-2.png");
        assert_eq!(name("{model}.png", "", 3), "sd15-2.png");
        assert_eq!(name("a-{seed}.png", "", 3), "a-7.png");
    }

    #[test]
    fn no_value_leaves_the_folder_or_makes_an_illegal_name() {
        for (prompt, expected) in [
            ("../../etc/passwd", "_.._etc_passwd.png"),
            ("/abs", "_abs.png"),
            ("a\\b:c*?\"<>|\u{7}\n d", "a_b_c_______ d.png"),
            ("..", "_.png"),
            ("", "_.png"),
            (" . ", "_.png"),
            ("con", "_con.png"),
            ("COM1.x", "_COM1.x.png"),
            ("{seed}", "{seed}.png"),
            ("ends. ", "ends.png"),
        ] {
            assert_eq!(name("{prompt}.png", prompt, 1), expected, "{prompt:?}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = name("{prompt}.png", &"灯".repeat(500), 1);
        assert_eq!(long, format!("{}.png", "灯".repeat(26)));
        let four = name("{prompt}{prompt}{prompt}{prompt}.png", &"x".repeat(500), 1);
        assert_eq!(four.len(), MAX_NAME + 4);
    }

    #[test]
    fn wrong_outputs_are_refused_with_a_way_out() {
        let (message, hints) = refusal("{sed}.png");
        assert_eq!(message, "output: unknown template field `sed`");
        assert!(hints[0].contains("did you mean `seed`?"), "{hints:?}");
        let (message, hints) = refusal("a.jpg");
        assert_eq!(
            message,
            "output: expected a name that ends in .png, got `a.jpg`"
        );
        assert!(hints[0].contains("a.png"));
        assert!(
            refusal("a{seed.png")
                .0
                .contains("a brace without its partner")
        );
        assert!(refusal("").0.contains("empty"));
        let (message, hints) = refusal("/");
        assert_eq!(message, "output: `/` is a folder, expected a file");
        assert!(hints[0].contains("/{model}-{seed}.png"));
        let (message, hints) = refusal("no/such/folder/a.png");
        assert_eq!(message, "the output folder `no/such/folder` does not exist");
        assert_eq!(hints, ["create it first: `mkdir -p no/such/folder`"]);
        assert!(Destination::parse(Some("-"), Existing::Keep, 2).is_err());
    }

    #[test]
    fn a_folder_with_fields_is_checked_once_their_values_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let template = format!("{}/{{model}}/{{seed}}.png", folder.path().display());
        let destination = Destination::parse(Some(&template), Existing::Keep, 1).unwrap();
        let request = request();
        let values = Values {
            request: &request,
            model: "sd15",
            seed: 7,
            index: 0,
            name: "cat",
        };
        assert!(
            destination
                .check(&values)
                .unwrap_err()
                .to_string()
                .contains("sd15` does not exist")
        );
        std::fs::create_dir(folder.path().join("sd15")).unwrap();
        destination.check(&values).unwrap();
        assert_eq!(
            std::fs::read_dir(folder.path().join("sd15"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn a_name_that_no_file_system_takes_is_refused() {
        let named = |length: usize| Template::parse(&format!("{}.png", "n".repeat(length)));
        assert!(named(MAX_NAME).is_ok());
        let error = named(MAX_NAME + 1).unwrap_err().to_string();
        assert!(error.contains("235 bytes"), "{error}");
        assert!(Template::parse(&format!("{}/a.png", "n".repeat(300))).is_ok());
    }
}
