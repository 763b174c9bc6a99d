//! The directory of a zip archive, as far as torch writes them: every member stored as it is. A
//! compressed member is refused, so that no archive holds more than its own length.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::Bytes;
use crate::error::{Error, Result};

/// First bytes of an archive: the signature of a local file header.
pub(super) const MAGIC: &[u8; 4] = b"PK\x03\x04";
/// Signatures: end of central directory, its ZIP64 variant and the ZIP64 locator, central directory
/// entry, local file header.
const END: u64 = 0x0605_4b50;
const END_64: u64 = 0x0606_4b50;
const LOCATOR: u64 = 0x0706_4b50;
const ROW: u64 = 0x0201_4b50;
const MEMBER: u64 = 0x0403_4b50;
/// The end record and its comment of 16-bit length.
const LONGEST_END: usize = 22 + 0xffff;

/// Name → byte range of each member.
pub(super) fn members(
    file: &mut Bytes<'_, impl Read + Seek>,
) -> Result<BTreeMap<String, Range<usize>>> {
    let (count, size, start) = end(file)?;
    if start
        .checked_add(size)
        .is_none_or(|end| end > file.length as u64)
        || count > size / 46
    {
        return Err(file.broken("is no valid zip archive: its directory lies outside"));
    }
    seek(file, start)?;
    let directory = file.take(size as usize)?;
    let mut rest = directory.as_slice();
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let row = Row::read(&mut rest)
            .ok_or_else(|| file.broken("is no valid zip archive: its directory ends early"))?;
        if row.method != 0 || row.packed != row.size {
            let what = format!("holds `{}` compressed, which torch never does", row.name);
            return Err(file
                .broken(what)
                .hint("unpack it and save the model with torch again, or as safetensors"));
        }
        let place = row.place(file)?;
        if members.insert(row.name.clone(), place).is_some() {
            return Err(file.broken(format!(
                "is no valid zip archive: `{}` stands in it twice",
                row.name
            )));
        }
    }
    Ok(members)
}

/// Number of members, size and start of the central directory.
fn end(file: &mut Bytes<'_, impl Read + Seek>) -> Result<(u64, u64, u64)> {
    let tail = file.length.min(LONGEST_END);
    seek(file, (file.length - tail) as u64)?;
    let bytes = file.take(tail)?;
    let at = (0..=tail.saturating_sub(22))
        .rev()
        .find(|at| number(&bytes[*at..], 0, 4) == Some(END));
    let at = at.filter(|_| tail >= 22).ok_or_else(|| lost(file))?;
    let field = |place, size| number(&bytes[at..], place, size).unwrap_or(0);
    let (count, size, start) = (field(10, 2), field(12, 4), field(16, 4));
    if count < 0xffff && size < 0xffff_ffff && start < 0xffff_ffff {
        return Ok((count, size, start));
    }
    let locator = at.checked_sub(20).map(|at| &bytes[at..]);
    let locator = locator
        .filter(|bytes| number(bytes, 0, 4) == Some(LOCATOR))
        .ok_or_else(|| lost(file))?;
    let place = number(locator, 8, 8).ok_or_else(|| lost(file))?;
    seek(file, place)?;
    let record = file.take(56)?;
    let field = |place| number(&record, place, 8).unwrap_or(0);
    if number(&record, 0, 4) != Some(END_64) {
        return Err(lost(file));
    }
    Ok((field(32), field(40), field(48)))
}

fn lost(file: &Bytes<'_, impl Read + Seek>) -> Error {
    file.broken("is no valid zip archive: its directory is missing")
        .hint("the file may be cut short")
}

/// A member's entry in the central directory.
struct Row {
    name: String,
    method: u64,
    packed: u64,
    size: u64,
    start: u64,
}

impl Row {
    /// Reads the next entry of `rest`.
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let fixed = rest.split_off(..46)?;
        let field = |place, size| number(fixed, place, size).unwrap_or(0);
        let name = rest.split_off(..field(28, 2) as usize)?;
        let extra = rest.split_off(..field(30, 2) as usize)?;
        rest.split_off(..field(32, 2) as usize)?;
        let mut row = Self {
            name: String::from_utf8_lossy(name).into_owned(),
            method: field(10, 2),
            packed: field(20, 4),
            size: field(24, 4),
            start: field(42, 4),
        };
        row.widen(extra);
        (number(fixed, 0, 4) == Some(ROW)).then_some(row)
    }

    /// Reads the 64-bit values of fields that 32 bits do not hold, in their order in the ZIP64
    /// extra field (kind 1).
    fn widen(&mut self, mut extra: &[u8]) {
        while let (Some(kind), Some(length)) = (number(extra, 0, 2), number(extra, 2, 2)) {
            let Some(mut field) = extra.get(4..4 + length as usize) else {
                return;
            };
            extra = &extra[4 + length as usize..];
            if kind != 1 {
                continue;
            }
            for value in [&mut self.size, &mut self.packed, &mut self.start] {
                if *value == 0xffff_ffff
                    && let Some(wide) = field.split_off(..8)
                {
                    *value = number(wide, 0, 8).unwrap_or(u64::MAX);
                }
            }
        }
    }

    /// Byte range of the member's data: after its local header, whose length only that header
    /// gives.
    fn place(&self, file: &mut Bytes<'_, impl Read + Seek>) -> Result<Range<usize>> {
        seek(file, self.start)?;
        let header: [u8; 30] = file.array()?;
        let field = |place, size| number(&header, place, size).unwrap_or(0);
        let start = self.start.checked_add(30 + field(26, 2) + field(28, 2));
        let end = start.and_then(|start| start.checked_add(self.size));
        match (start, end) {
            (Some(start), Some(end)) if field(0, 4) == MEMBER && end <= file.length as u64 => {
                Ok(start as usize..end as usize)
            }
            _ => Err(file.broken(format!(
                "is no valid zip archive: `{}` lies outside",
                self.name
            ))),
        }
    }
}

/// The little-endian number of `size` bytes at `place`.
fn number(bytes: &[u8], place: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(place..place + size)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

fn seek(file: &mut Bytes<'_, impl Read + Seek>, place: u64) -> Result<()> {
    file.file
        .seek(SeekFrom::Start(place))
        .map(|_| ())
        .map_err(|_| file.short())
}
