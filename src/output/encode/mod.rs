//! Image file formats. A new format is a file in this folder and a row in [`FORMATS`]; file names,
//! metadata, the server's content types and error texts follow from the row.

mod png;
mod png_text;

use std::io::{BufRead, Seek};
use std::path::Path;

pub use self::png::PNG;
use crate::error::Result;
use crate::image::Size;

/// A text in a file's metadata: keyword and text.
pub type Text = (String, String);

/// Encoder of 8-bit RGB pixels, with texts as the file's metadata.
type Encode = fn(Size, &[u8], &[Text]) -> Result<Vec<u8>>;

/// An image file format.
#[derive(Debug)]
pub struct Format {
    /// Extension of file names, in lower case without the dot; also the format's name in APIs.
    pub extension: &'static str,
    /// Name in messages.
    pub label: &'static str,
    /// MIME type.
    pub mime: &'static str,
    /// First bytes of every file of this format.
    signature: &'static [u8],
    /// Encoder.
    encode: Encode,
    /// Reads size and texts of an untrusted file without decoding its pixels.
    read_metadata: fn(&mut dyn BufReadSeek) -> Result<FileMetadata>,
}

/// Every format that images are written in.
pub const FORMATS: &[&Format] = &[&PNG];

/// The format where no file name says which: stdout, previews, the server.
pub const DEFAULT: &Format = &PNG;

/// Size and texts of an image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMetadata {
    /// Width and height.
    pub size: Size,
    /// The texts, in the file's order.
    pub texts: Vec<Text>,
}

impl FileMetadata {
    /// The first text with this keyword.
    pub fn text(&self, keyword: &str) -> Option<&str> {
        let found = self.texts.iter().find(|(known, _)| known == keyword);
        found.map(|(_, text)| text.as_str())
    }
}

/// A file or buffer that metadata is read from.
pub trait BufReadSeek: BufRead + Seek {}

impl<T: BufRead + Seek> BufReadSeek for T {}

impl Format {
    /// The format of a file name, by its extension in any case.
    pub fn of_name(name: &str) -> Option<&'static Self> {
        let name = name.to_lowercase();
        FORMATS.iter().copied().find(|format| {
            let suffix = format.suffix();
            name.len() > suffix.len() && name.ends_with(&suffix)
        })
    }

    /// The format of the file at `path`, by its extension; the default format for any other.
    pub fn of_path(path: &Path) -> &'static Self {
        Self::of_name(&path.to_string_lossy()).unwrap_or(DEFAULT)
    }

    /// The extension with its dot.
    pub fn suffix(&self) -> String {
        format!(".{}", self.extension)
    }

    /// A file of this format with 8-bit RGB pixels, row by row from the top left, and `texts` as
    /// its metadata.
    ///
    /// # Errors
    /// Pixels that do not match `size`.
    pub fn encode(&self, size: Size, rgb: &[u8], texts: &[Text]) -> Result<Vec<u8>> {
        (self.encode)(size, rgb, texts)
    }
}

/// Reads size and texts of an image file, in the format that its first bytes tell.
///
/// # Errors
/// A file of no known format, a cut or damaged one, or a text beyond the limits. The message has no
/// file name; the caller knows it.
pub fn read_metadata(file: &mut dyn BufReadSeek) -> Result<FileMetadata> {
    // A file that cannot be read is refused by the format's own reader.
    let head = file.fill_buf().unwrap_or_default();
    let known = |format: &&&Format| head.starts_with(format.signature);
    let format = FORMATS.iter().find(known).unwrap_or(&DEFAULT);
    (format.read_metadata)(file)
}
