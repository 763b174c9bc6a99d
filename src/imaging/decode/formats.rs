//! Image formats, recognised by their first bytes: those that are read, and those that are only
//! named in messages.

use image::ImageFormat;

/// Names of the formats that are read, for messages.
pub(super) const READ: &str = "PNG, JPEG, WebP, GIF, TIFF, BMP, TGA, ICO, QOI or PNM";

/// Format of an image file, by its decoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Format {
    Jpeg,
    Png,
    Tiff,
    Ico,
    /// A format that is left to the `image` crate.
    ImageCrate(ImageFormat),
}

/// The format of a file, or a description of a file that is not read.
pub(super) fn detect_format(bytes: &[u8]) -> Result<Format, &'static str> {
    let known = SIGNATURES
        .iter()
        .find(|(at, magic, _)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic)));
    if let Some((_, _, format)) = known {
        return Ok(*format);
    }
    if let Some((_, _, name)) = OTHERS
        .iter()
        .find(|(at, magic, _)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic)))
    {
        return Err(name);
    }
    if is_pnm(bytes) {
        return Ok(Format::ImageCrate(ImageFormat::Pnm));
    }
    if is_tga(bytes) {
        return Ok(Format::ImageCrate(ImageFormat::Tga));
    }
    Err(match bytes {
        [] => "an empty file",
        _ if is_markup(bytes) => "a web page or an SVG drawing",
        _ => "no picture of a known format",
    })
}

/// Byte offset, the signature there, and its meaning.
type Signature<T> = (usize, &'static [u8], T);

const SIGNATURES: &[Signature<Format>] = &[
    (0, b"\x89PNG\r\n\x1a\n", Format::Png),
    (0, b"\xff\xd8\xff", Format::Jpeg),
    (0, b"II*\0", Format::Tiff),
    (0, b"MM\0*", Format::Tiff),
    (0, b"II+\0", Format::Tiff),
    (0, b"MM\0+", Format::Tiff),
    (0, b"GIF87a", Format::ImageCrate(ImageFormat::Gif)),
    (0, b"GIF89a", Format::ImageCrate(ImageFormat::Gif)),
    (8, b"WEBP", Format::ImageCrate(ImageFormat::WebP)),
    (0, b"BM", Format::ImageCrate(ImageFormat::Bmp)),
    (0, b"\0\0\x01\0", Format::Ico),
    (0, b"qoif", Format::ImageCrate(ImageFormat::Qoi)),
];

/// Common kinds of files that are not read.
const OTHERS: &[Signature<&str>] = &[
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypheix", "a HEIC picture"),
    (4, b"ftypheim", "a HEIC picture"),
    (4, b"ftypheis", "a HEIC picture"),
    (4, b"ftyphevc", "a HEIC sequence"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypmsf1", "a HEIF sequence"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an AVIF sequence"),
    (4, b"ftypcrx ", "a camera's raw file (CR3)"),
    (4, b"ftyp", "a film"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"#?RGBE", "a Radiance HDR picture"),
    (0, b"farbfeld", "a farbfeld picture"),
    (0, b"icns", "an Apple icon"),
    (0, b"\x0a\x05\x01", "a PCX picture"),
    (0, b"\x01\xda", "an SGI picture"),
    (0, b"PF\n", "a PFM picture"),
    (0, b"Pf\n", "a PFM picture"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"),
    (0, b"IIU\0", "a camera's raw file (RW2)"),
    (0, b"IIRO", "a camera's raw file (ORF)"),
    (0, b"\x1a\x45\xdf\xa3", "a film"),
    (8, b"AVI ", "a film"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS and not yet the picture itself",
    ),
];

/// Returns true for `P1` to `P7` and white space or a comment.
fn is_pnm(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'1'..=b'7', after, ..] if after.is_ascii_whitespace() || *after == b'#')
}

/// Returns true if the header is plausible: TGA has no signature of its own.
fn is_tga(bytes: &[u8]) -> bool {
    let &[
        _,
        map,
        kind,
        _,
        _,
        _,
        _,
        depth,
        _,
        _,
        _,
        _,
        w0,
        w1,
        h0,
        h1,
        bits,
        flags,
        ..,
    ] = bytes
    else {
        return false;
    };
    let palette = kind & 7 == 1;
    matches!((map, kind & !8), (0, 2 | 3) | (1, 1))
        && (!palette || matches!(depth, 15 | 16 | 24 | 32))
        && matches!(bits, 8 | 15 | 16 | 24 | 32)
        && u16::from_le_bytes([w0, w1]) > 0
        && u16::from_le_bytes([h0, h1]) > 0
        && flags & 0b1100_0000 == 0
}

fn is_markup(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    text.trim_ascii_start().first() == Some(&b'<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_known_by_name() {
        let named = [
            (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "HEIC"),
            (b"\0\0\0\x1cftypavif", "AVIF"),
            (b"\0\0\0\x20ftypisom", "film"),
            (b"\xff\x0a\x00", "JPEG XL"),
            (b"<!DOCTYPE html>", "web page"),
            (b"\xef\xbb\xbf <svg/>", "SVG"),
            (b"", "empty"),
            (b"hello", "no picture"),
        ];
        for (bytes, name) in named {
            let told = detect_format(bytes).unwrap_err();
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn a_tga_is_told_by_a_header_that_makes_sense() {
        let header = |map, kind, depth, bits| {
            [
                0, map, kind, 0, 0, 0, 0, depth, 0, 0, 0, 0, 5, 0, 4, 0, bits, 0x20, 1, 2, 3,
            ]
        };
        for sound in [
            header(0, 2, 0, 24),
            header(0, 10, 0, 32),
            header(1, 9, 24, 8),
            header(0, 3, 0, 8),
        ] {
            assert_eq!(
                detect_format(&sound),
                Ok(Format::ImageCrate(ImageFormat::Tga))
            );
        }
        for wrong in [
            header(1, 1, 23, 8),
            header(0, 2, 0, 23),
            header(2, 2, 0, 24),
            header(0, 4, 0, 24),
        ] {
            assert!(detect_format(&wrong).is_err());
        }
    }
}
