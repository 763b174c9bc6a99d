//! Orientation of an image, from the places where Pillow looks for it: the EXIF block, and XMP
//! where EXIF has no orientation.

use image::metadata::Orientation;

use super::tags::Tags;

/// JPEG's signature of an EXIF block.
pub(super) const MARK: &[u8] = b"Exif\0\0";

/// The tag `Orientation`.
const TAG: u16 = 274;

/// The orientation of an image with this EXIF block (tags as in a TIFF file, with or without JPEG's
/// signature before them) and this XMP packet.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let said = exif.and_then(from_exif).or_else(|| xmp.and_then(from_xmp));
    said.and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

/// The tag's value; 0 for one that is not from 1 to 8.
fn from_exif(block: &[u8]) -> Option<u8> {
    let block = block.strip_prefix(MARK).unwrap_or(block);
    let block = block.strip_prefix(MARK).unwrap_or(block);
    let tags = Tags::open(block)?;
    let value = tags.first(tags.find(TAG)?);
    Some(
        (1..=8)
            .find(|orientation| value == Some(f64::from(*orientation)))
            .unwrap_or(0),
    )
}

/// The attribute or element `tiff:Orientation` in a packet of XMP.
fn from_xmp(packet: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    packet
        .windows(NAME.len())
        .enumerate()
        .filter(|(_, window)| *window == NAME)
        .find_map(|(at, _)| {
            let rest = &packet[at + NAME.len()..];
            let digit = rest
                .strip_prefix(b"=\"")
                .or_else(|| rest.strip_prefix(b">"))?
                .first()?;
            digit.is_ascii_digit().then(|| digit - b'0')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An EXIF block with one tag of a type, its bytes in the entry itself or behind it.
    fn exif(kind: u16, count: u32, value: &[u8]) -> Vec<u8> {
        let mut block = b"MM\0*\0\0\0\x08\0\x01\x01\x12".to_vec();
        block.extend(kind.to_be_bytes());
        block.extend(count.to_be_bytes());
        if value.len() <= 4 {
            block.extend(value);
            block.resize(22, 0);
        } else {
            block.extend(22u32.to_be_bytes());
            block.extend(value);
        }
        block
    }

    fn said(exif: Option<Vec<u8>>, xmp: Option<&str>) -> u8 {
        orientation(exif.as_deref(), xmp.map(str::as_bytes)).to_exif()
    }

    #[test]
    fn a_tag_of_any_type_of_number_counts() {
        let six = [
            (1, vec![6]),
            (3, vec![0, 6]),
            (4, vec![0, 0, 0, 6]),
            (9, vec![0, 0, 0, 6]),
        ];
        for (kind, value) in six {
            assert_eq!(said(Some(exif(kind, 1, &value)), None), 6, "{kind}");
        }
        assert_eq!(said(Some(exif(5, 1, &[0, 0, 0, 6, 0, 0, 0, 1])), None), 6);
        assert_eq!(said(Some(exif(3, 2, &[0, 8, 0, 1])), None), 8);
        assert_eq!(said(Some(exif(3, 3, &[0, 3, 0, 1, 0, 1])), None), 3);
        for (kind, value) in [(3, vec![0, 9]), (2, b"6\0".to_vec()), (3, vec![])] {
            assert_eq!(
                said(Some(exif(kind, 1, &value)), None),
                1,
                "{kind} {value:?}"
            );
        }
    }

    #[test]
    fn jpegs_mark_may_stand_before_it_twice() {
        for times in 0..3 {
            let block = [MARK.repeat(times), exif(3, 1, &[0, 6])].concat();
            assert_eq!(said(Some(block), None), 6, "{times}");
        }
    }

    #[test]
    fn xmp_counts_where_exif_says_nothing() {
        let attribute = r#"<rdf:Description tiff:Orientation="8" xmlns:tiff=""/>"#;
        assert_eq!(said(None, Some(attribute)), 8);
        assert_eq!(
            said(None, Some("<tiff:Orientation>3</tiff:Orientation>")),
            3
        );
        assert_eq!(said(Some(b"nonsense".to_vec()), Some(attribute)), 8);
        assert_eq!(said(Some(exif(3, 1, &[0, 6])), Some(attribute)), 6);
        assert_eq!(said(Some(exif(3, 1, &[0, 1])), Some(attribute)), 1);
        assert_eq!(said(None, Some("tiff:Orientation='8'")), 1);
    }
}
