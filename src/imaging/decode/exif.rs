//! The first directory of a TIFF file, 32 or 64 bits wide; EXIF blocks have the same format. The
//! orientation of an image, from the places where Pillow looks for it: the EXIF block, and XMP where
//! EXIF has no orientation.

use image::metadata::Orientation;

/// Bytes with a directory of tags in them.
pub(super) struct Tags<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
}

/// A tag's entry: type and count, and the place of its values.
pub(super) struct Entry {
    kind: u64,
    /// Byte offset of the first value.
    pub(super) place: usize,
    width: usize,
    count: usize,
}

/// Most values of a tag that are read.
const MOST: usize = 1 << 16;

impl<'a> Tags<'a> {
    /// Reads the header.
    pub(super) fn open(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let tags = Self {
            bytes,
            little,
            big: false,
        };
        Some(Self {
            big: tags.number(2, 2)? == 43,
            ..tags
        })
    }

    /// The tag's entry.
    pub(super) fn find(&self, tag: u16) -> Option<Entry> {
        let wide = self.wide();
        let start = usize::try_from(self.number(wide, wide)?).ok()?;
        let width = if self.big { 8 } else { 2 };
        let entries = usize::try_from(self.number(start, width)?).ok()?.min(MOST);
        let at = |i: usize| start.checked_add(width)?.checked_add(i * (4 + 2 * wide));
        let mut all = (0..entries).map_while(at);
        self.entry(all.find(|at| self.number(*at, 2) == Some(u64::from(tag)))?)
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let kind = self.number(at + 2, 2)?;
        let width = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => return None,
        };
        let wide = self.wide();
        let count = usize::try_from(self.number(at + 4, wide)?).ok()?;
        let mut place = at + 4 + wide;
        if count.checked_mul(width)? > wide {
            place = usize::try_from(self.number(place, wide)?).ok()?;
        }
        Some(Entry {
            kind,
            place,
            width,
            count,
        })
    }

    /// The first value of an entry, if it is a number.
    pub(super) fn first(&self, entry: Entry) -> Option<f64> {
        self.value(&entry, 0)
    }

    /// All values of a tag, as far as they are numbers.
    pub(super) fn all(&self, tag: u16) -> Vec<u16> {
        self.numbers(tag)
            .into_iter()
            .map(|value| value as u16)
            .collect()
    }

    /// The parts of the file whose places and lengths are the values of two tags.
    pub(super) fn parts(&self, places: u16, lengths: u16) -> Option<Vec<&'a [u8]>> {
        let both = self.numbers(places).into_iter().zip(self.numbers(lengths));
        both.map(|(place, length)| self.bytes.get(place as usize..)?.get(..length as usize))
            .collect()
    }

    fn numbers(&self, tag: u16) -> Vec<f64> {
        let Some(entry) = self.find(tag) else {
            return Vec::new();
        };
        (0..entry.count.min(MOST))
            .map_while(|i| self.value(&entry, i))
            .collect()
    }

    /// The bytes of a tag's values.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        let Entry {
            place,
            width,
            count,
            ..
        } = self.find(tag)?;
        self.bytes
            .get(place..place.checked_add(count.checked_mul(width)?)?)
    }

    fn value(&self, entry: &Entry, index: usize) -> Option<f64> {
        let place = entry.place.checked_add(index.checked_mul(entry.width)?)?;
        Some(match entry.kind {
            2 | 7 => return None,
            5 | 10 => self.number(place, 4)? as f64 / self.number(place.checked_add(4)?, 4)? as f64,
            11 => f64::from(f32::from_bits(self.number(place, 4)? as u32)),
            12 => f64::from_bits(self.number(place, 8)?),
            _ => self.number(place, entry.width)? as f64,
        })
    }

    /// Bytes of an offset, and the most bytes of values that an entry holds itself.
    fn wide(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// The number of `width` bytes at `at`.
    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.little {
            bytes.iter().rev().fold(0, join)
        } else {
            bytes.iter().fold(0, join)
        })
    }

    /// A two-byte number in the file's byte order.
    pub(super) fn written(&self, number: u16) -> [u8; 2] {
        if self.little {
            number.to_le_bytes()
        } else {
            number.to_be_bytes()
        }
    }
}

/// JPEG's signature of an EXIF block.
pub(super) const EXIF_SIGNATURE: &[u8] = b"Exif\0\0";

/// The tag `Orientation`.
const ORIENTATION: u16 = 274;

/// The orientation of an image with this EXIF block (tags as in a TIFF file, with or without JPEG's
/// signature before them) and this XMP packet.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let said = exif.and_then(from_exif).or_else(|| xmp.and_then(from_xmp));
    said.and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

/// The tag's value; 0 for one that is not from 1 to 8.
fn from_exif(block: &[u8]) -> Option<u8> {
    let block = block.strip_prefix(EXIF_SIGNATURE).unwrap_or(block);
    let block = block.strip_prefix(EXIF_SIGNATURE).unwrap_or(block);
    let tags = Tags::open(block)?;
    let value = tags.first(tags.find(ORIENTATION)?);
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
            let block = [EXIF_SIGNATURE.repeat(times), exif(3, 1, &[0, 6])].concat();
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
