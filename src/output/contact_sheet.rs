//! Contact sheets: the images of a batch in one image, a matrix with its axes labelled. The labels
//! are drawn with a bitmap font.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{Rgb, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::encode::{Format, Text};
use crate::error::{Error, Kind, Result};
use crate::image::Size;

/// Metadata of a contact sheet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// The program's version.
    pub version: String,
    /// Images of the sheet; the record of each is in its own file.
    pub pictures: Vec<Entry>,
}

/// An image of a sheet, as the sheet's metadata lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of the image's job.
    pub name: String,
    /// Path of the image.
    pub file: PathBuf,
    /// The seed that made it.
    pub seed: u64,
    /// Prompt of the image.
    pub prompt: String,
    /// Position in its matrix: axis → value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<String, String>,
}

/// Keyword of the sheet's text chunk.
pub(super) const KEYWORD: &str = "sdgen-sheet";

/// A picture of the sheet.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Path of the image; a missing file leaves a grey cell.
    pub path: PathBuf,
    /// Caption of an image outside a matrix.
    pub name: String,
    /// Axes and values, the slowest first.
    pub at: Vec<(String, String)>,
    /// Tiles of one group make one table.
    pub group: usize,
}

/// Largest side of a picture on the sheet.
const SIDE: u32 = 256;
/// Largest side of the sheet.
const MAX_SHEET: u32 = 16_384;
const GAP: u32 = 8;
const GLYPH: u32 = 8;
const WHITE: Rgb<u8> = Rgb([255; 3]);
const BLACK: Rgb<u8> = Rgb([0; 3]);
const GREY: Rgb<u8> = Rgb([225; 3]);

/// One table of the sheet: the label of its corner, column labels, row labels and cells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Grid {
    corner: String,
    columns: Vec<String>,
    rows: Vec<String>,
    /// (row, column) → number of the tile.
    cells: HashMap<(usize, usize), usize>,
    /// True if each cell has its tile's name as a caption.
    captioned: bool,
}

/// The file of a sheet with `tiles`, and with `entries`, if given, as its metadata.
///
/// # Errors
/// No tile; a sheet that would be too large.
pub fn encode_sheet(
    tiles: &[Tile],
    entries: Option<Vec<Entry>>,
    format: &Format,
) -> Result<Vec<u8>> {
    let image = render_sheet(tiles)?;
    let size = Size::new(image.width(), image.height());
    let contents = |pictures| Contents {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pictures,
    };
    let text = entries
        .map(|entries| serde_json::to_string(&contents(entries)))
        .transpose();
    let text =
        text.map_err(|e| Error::internal("cannot serialise a sheet's pictures").source(e))?;
    let texts: Vec<Text> = text
        .into_iter()
        .map(|text| (KEYWORD.to_owned(), text))
        .collect();
    format.encode(size, image.as_raw(), &texts)
}

fn render_sheet(tiles: &[Tile]) -> Result<RgbImage> {
    let grids = group_into_grids(tiles);
    let most = |count: fn(&Grid) -> usize| grids.iter().map(count).max().unwrap_or(0);
    let (columns, rows) = (
        most(|grid| grid.columns.len()),
        grids.iter().map(|grid| grid.rows.len()).sum::<usize>(),
    );
    let side = [columns, rows]
        .into_iter()
        .map(|n| MAX_SHEET / (n.max(1) as u32 + 1))
        .min()
        .unwrap_or(SIDE)
        .min(SIDE);
    if side < 4 * GLYPH || tiles.is_empty() {
        return Err(Error::new(
            Kind::Usage,
            format!("no sheet holds {columns} by {rows} pictures"),
        ));
    }
    let thumbnails: Vec<Option<RgbImage>> = tiles
        .iter()
        .map(|tile| thumbnail(&tile.path, side))
        .collect();
    let blocks: Vec<RgbImage> = grids
        .iter()
        .map(|grid| render_grid(grid, tiles, &thumbnails))
        .collect();
    let width = blocks.iter().map(RgbImage::width).max().unwrap_or(1);
    let mut sheet = RgbImage::from_pixel(width, blocks.iter().map(RgbImage::height).sum(), WHITE);
    let mut top = 0;
    for block in blocks {
        imageops::replace(&mut sheet, &block, 0, top);
        top += i64::from(block.height());
    }
    Ok(sheet)
}

fn thumbnail(path: &Path, side: u32) -> Option<RgbImage> {
    let image = image::open(path).ok()?;
    let fits = image.width() <= side && image.height() <= side;
    Some(
        if fits {
            image
        } else {
            image.thumbnail(side, side)
        }
        .to_rgb8(),
    )
}

/// The tables: one for each group with axes, one for all other tiles.
fn group_into_grids(tiles: &[Tile]) -> Vec<Grid> {
    let mut groups: Vec<(Option<usize>, Vec<usize>)> = Vec::new();
    for (i, tile) in tiles.iter().enumerate() {
        let group = Some(tile.group).filter(|_| !tile.at.is_empty());
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, members)) => members.push(i),
            None => groups.push((group, vec![i])),
        }
    }
    groups
        .into_iter()
        .map(|(group, members)| {
            if group.is_some() {
                matrix_grid(tiles, &members)
            } else {
                captioned_grid(&members)
            }
        })
        .collect()
}

/// The table of a matrix: its last axis gives the columns, the others the rows.
fn matrix_grid(tiles: &[Tile], members: &[usize]) -> Grid {
    let mut grid = Grid::default();
    for &i in members {
        let Some(((axis, column), down)) = tiles[i].at.split_last() else {
            continue;
        };
        let row: Vec<&str> = down.iter().map(|(_, value)| value.as_str()).collect();
        let place = (
            index_of_label(&mut grid.rows, row.join(" ")),
            index_of_label(&mut grid.columns, column.clone()),
        );
        grid.cells.insert(place, i);
        let names: Vec<&str> = down.iter().map(|(axis, _)| axis.as_str()).collect();
        grid.corner = [names.join(" "), axis.clone()]
            .join("\\")
            .trim_start_matches('\\')
            .to_owned();
    }
    grid
}

/// Index of `label` in `labels`, which is appended if it is new.
fn index_of_label(labels: &mut Vec<String>, label: String) -> usize {
    labels
        .iter()
        .position(|known| *known == label)
        .unwrap_or_else(|| {
            labels.push(label);
            labels.len() - 1
        })
}

/// A table with about as many columns as rows, and with captions.
fn captioned_grid(members: &[usize]) -> Grid {
    let columns = (members.len() as f64).sqrt().ceil().max(1.0) as usize;
    let cells = members
        .iter()
        .enumerate()
        .map(|(n, i)| ((n / columns, n % columns), *i))
        .collect();
    let rows = members.len().div_ceil(columns);
    Grid {
        corner: String::new(),
        columns: vec![String::new(); columns],
        rows: vec![String::new(); rows],
        cells,
        captioned: true,
    }
}

fn render_grid(grid: &Grid, tiles: &[Tile], thumbnails: &[Option<RgbImage>]) -> RgbImage {
    let shown = || grid.cells.values().filter_map(|i| thumbnails[*i].as_ref());
    let cell_width = shown()
        .map(RgbImage::width)
        .max()
        .unwrap_or(SIDE)
        .max(8 * GLYPH);
    let cell_height = shown().map(RgbImage::height).max().unwrap_or(SIDE);
    let line = 2 * GLYPH + GAP;
    let longest = grid
        .rows
        .iter()
        .chain([&grid.corner])
        .map(|label| label.chars().count() as u32)
        .max()
        .unwrap_or(0);
    let left = if grid.captioned {
        0
    } else {
        (longest * GLYPH + GAP).min(SIDE + GAP)
    };
    let head = if grid.captioned { 0 } else { line };
    let caption = if grid.captioned { line } else { 0 };
    let step = (cell_width + GAP, cell_height + GAP + caption);
    let size = |n: usize, step: u32, edge: u32| n as u32 * step + edge + GAP;
    let mut block = RgbImage::from_pixel(
        size(grid.columns.len(), step.0, left),
        size(grid.rows.len(), step.1, head),
        WHITE,
    );
    draw_text(
        &mut block,
        &grid.corner,
        [GAP, GAP],
        left.saturating_sub(GAP),
    );
    for (column, label) in grid.columns.iter().enumerate() {
        draw_text(
            &mut block,
            label,
            [left + GAP + column as u32 * step.0, GAP],
            cell_width,
        );
    }
    for (row, label) in grid.rows.iter().enumerate() {
        let top = head + GAP + row as u32 * step.1;
        draw_text(
            &mut block,
            label,
            [GAP, top + cell_height / 2 - GLYPH],
            left.saturating_sub(GAP),
        );
    }
    for (&(row, column), &i) in &grid.cells {
        let at = [
            left + GAP + column as u32 * step.0,
            head + GAP + row as u32 * step.1,
        ];
        let empty = || RgbImage::from_pixel(cell_width, cell_height, GREY);
        let picture = thumbnails[i].clone().unwrap_or_else(empty);
        imageops::replace(&mut block, &picture, i64::from(at[0]), i64::from(at[1]));
        if grid.captioned {
            draw_text(
                &mut block,
                &tiles[i].name,
                [at[0], at[1] + cell_height + GAP / 2],
                cell_width,
            );
        }
    }
    block
}

/// One line of text, twice the font's size where `room` pixels hold that, cut where they do not
/// hold it at all.
fn draw_text(image: &mut RgbImage, line: &str, [left, top]: [u32; 2], room: u32) {
    let length = line.chars().count() as u32;
    let scale = if length * 2 * GLYPH <= room { 2 } else { 1 };
    for (n, c) in line
        .chars()
        .take((room / GLYPH / scale) as usize)
        .enumerate()
    {
        let glyph = BASIC_FONTS
            .get(c)
            .or_else(|| LATIN_FONTS.get(c))
            .or_else(|| BASIC_FONTS.get('?'));
        for (y, row) in glyph.unwrap_or_default().into_iter().enumerate() {
            for x in (0..GLYPH).filter(|x| row >> x & 1 == 1) {
                draw_dot(
                    image,
                    left + (n as u32 * GLYPH + x) * scale,
                    top + y as u32 * scale,
                    scale,
                );
            }
        }
    }
}

fn draw_dot(image: &mut RgbImage, left: u32, top: u32, side: u32) {
    for (x, y) in (0..side).flat_map(|x| (0..side).map(move |y| (left + x, top + y))) {
        if x < image.width() && y < image.height() {
            image.put_pixel(x, y, BLACK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(path: PathBuf, at: &[(&str, &str)], group: usize) -> Tile {
        let at = at
            .iter()
            .map(|(axis, value)| ((*axis).to_owned(), (*value).to_owned()))
            .collect();
        Tile {
            path,
            name: "n".into(),
            at,
            group,
        }
    }

    #[test]
    fn the_last_axis_goes_to_the_right() {
        let none = PathBuf::new;
        let mut tiles = Vec::new();
        for sampler in ["euler", "ddim"] {
            for steps in ["4", "8", "12"] {
                tiles.push(tile(none(), &[("sampler", sampler), ("steps", steps)], 3));
            }
        }
        tiles.push(tile(none(), &[], 4));
        let grids = group_into_grids(&tiles);
        assert_eq!(
            (grids.len(), grids[0].corner.as_str()),
            (2, "sampler\\steps")
        );
        assert_eq!(
            (grids[0].columns.clone(), grids[0].rows.clone()),
            (
                vec!["4".into(), "8".into(), "12".into()],
                vec!["euler".to_owned(), "ddim".into()]
            )
        );
        assert_eq!(grids[0].cells[&(1, 2)], 5);
        assert!(grids[1].captioned);
    }

    #[test]
    fn pictures_and_labels_are_on_the_sheet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        RgbImage::from_pixel(64, 64, Rgb([255, 0, 0]))
            .save(&path)
            .unwrap();
        let tiles: Vec<Tile> = ["1", "2"]
            .map(|seed| tile(path.clone(), &[("seed", seed)], 0))
            .into();
        let sheet = render_sheet(&tiles).unwrap();
        let count = |colour: Rgb<u8>| sheet.pixels().filter(|pixel| **pixel == colour).count();
        assert_eq!(count(Rgb([255, 0, 0])), 2 * 64 * 64);
        assert!(count(BLACK) > 100, "labels");
        assert!(render_sheet(&[]).is_err());
    }
}
