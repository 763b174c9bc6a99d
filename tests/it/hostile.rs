//! Mutations of good inputs through every reader of what strangers write. The same readers run
//! under cargo-fuzz, see fuzz/README.md; here each gets a few thousand inputs, always the same
//! ones, or as many as `SDGEN_HOSTILE_SECONDS` allows.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::root;

#[path = "../hostile/targets.rs"]
pub(crate) mod targets;

/// Inputs a target gets in an ordinary run.
const INPUTS: u64 = 3000;
/// Bytes that mean something to one reader or another.
const TOKENS: &[&[u8]] = &[
    b"(",
    b")",
    b"[",
    b"]",
    b":1.3)",
    b"BREAK",
    b"\\",
    b"\"",
    b"{",
    b"}",
    b"\n",
    b"\0",
    b"\xff",
    b"\x80",
    b"inf",
    b"nan",
    b"-",
    b"1e999",
    b"99999999999999999999",
    b"[[",
    b"=",
    b"'''",
    b"\"\"\"",
    b"Steps: ",
    b"GGUF",
    b"PK\x03\x04",
    b"\x80\x02",
    b"IHDR",
    b"iTXt",
    b"zTXt",
    b"IEND",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"F32",
    b"data_offsets",
];

/// Marsaglia's xorshift: the same inputs in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

/// One of `seeds`, changed in a few places.
fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, TOKENS[dice.below(TOKENS.len())].iter().copied())),
            4 => {
                let end = (at + dice.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let other = &seeds[dice.below(seeds.len())];
                let from = dice.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let end = (at + dice.below(64)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
        }
    }
    bytes
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/seeds").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[test]
fn no_reader_panics_whatever_it_is_given() {
    let seconds = std::env::var("SDGEN_HOSTILE_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let scratch = tempfile::tempdir().unwrap();
    for (name, target) in targets::TARGETS {
        let (seeds, started, mut count) = (seeds(name), Instant::now(), 0);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        seeds.iter().for_each(|seed| target(seed));
        let enough = |count: u64| match seconds {
            None => count >= INPUTS,
            Some(seconds) => started.elapsed() >= Duration::from_secs(seconds),
        };
        while !enough(count) {
            let input = mutated(&seeds, &mut dice);
            let begun = Instant::now();
            let outcome = std::panic::catch_unwind(|| target(&input));
            let slow = begun.elapsed() > Duration::from_secs(5);
            if outcome.is_err() || slow {
                let path = scratch.keep().join(format!("{name}-{count}"));
                std::fs::write(&path, &input).unwrap();
                panic!(
                    "{name}: input {count} {}; it is kept in {}",
                    if slow { "hangs" } else { "panics" },
                    path.display()
                );
            }
            count += 1;
        }
        println!(
            "{name}: {count} inputs in {:.0} s",
            started.elapsed().as_secs_f64()
        );
    }
}

#[test]
fn every_reader_has_a_fuzz_target() {
    for (name, _) in targets::TARGETS {
        let path = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(Path::new(&path).is_file(), "{}", path.display());
    }
}
