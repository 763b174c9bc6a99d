#!/bin/sh
# Lets clippy read the code of the feature `metal` where there is no Mac: Apple's frameworks are needed to link, not to check.
# The crates that bind to them want to know which other Objective-C runtime there is, and one names its framework in a way
# that only Apple's linker takes; a copy of the manifest and of that crate set both right. Nothing that could run is built.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
for name in src assets tests benches examples docs README.md clippy.toml; do ln -s "$root/$name" "$copy"; done
cp "$root/Cargo.lock" "$copy"
cd "$root"
metal=$(cargo metadata --locked --features metal --format-version 1 | tr , "\n" |
    sed -n 's/^"manifest_path":"\(.*\/objc2-metal-[^"/]*\)\/Cargo.toml".*/\1/p')
cp -r "$metal" "$copy/objc2-metal"
sed -i '/^#\[link(name = "Metal", kind = "framework")\]/d' "$copy/objc2-metal/src/generated/mod.rs"
runtime='{ version = "0.6", features = ["gnustep-2-1"] }'
sed "s/^\[dependencies\]/&\nobjc2 = $runtime\nblock2 = $runtime/" Cargo.toml > "$copy/Cargo.toml"
printf '\n[patch.crates-io]\nobjc2-metal = { path = "objc2-metal" }\n' >> "$copy/Cargo.toml"
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target} \
    cargo clippy --manifest-path "$copy/Cargo.toml" --lib --bins --features metal -- -D warnings
