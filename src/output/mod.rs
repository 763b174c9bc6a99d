//! Images to files: names from templates, encoding with metadata, and writing. Plain data, without
//! rendering of the pixels.

pub mod a1111_labels;
pub mod a1111_text;
pub mod atomic_file;
pub mod contact_sheet;
pub mod encode;
pub mod file_names;
pub mod image_writer;
pub mod latents;
pub mod metadata;
