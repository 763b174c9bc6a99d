#!/usr/bin/env bash
# Draws many pictures in one process and watches its memory and its open files: tests/soak.sh [PICTURES] [PROGRAM]
# Both have to stay flat after the first pictures (memory within 2 %). Needs Linux's /proc.
set -eu
pictures=${1:-2000}
program=${2:-target/release/sdgen}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$program" "a red circle" -m demo --seed 1 --steps 2 --count "$pictures" -o "$folder/{index}.png" \
    --progress none > /dev/null 2> "$folder/errors" &
process=$!

resident() { awk '/^VmRSS/ { print $2 }' "/proc/$process/status"; }
files() { find "/proc/$process/fd" -mindepth 1 | wc -l; }
drawn() { find "$folder" -name '*.png' | wc -l; }

while [ "$(drawn)" -lt 50 ]; do
    kill -0 $process 2> /dev/null || { cat "$folder/errors"; exit 1; }
    sleep 0.1
done
first=$(resident) first_files=$(files) most=0
while most_now=$(resident 2> /dev/null) && [ -n "$most_now" ]; do
    most=$((most_now > most ? most_now : most))
    last_files=$(files 2> /dev/null || echo 0)
    if [ "$last_files" -gt "$first_files" ]; then
        echo "open files: $first_files, then $last_files"
        exit 1
    fi
    sleep 0.2
done
wait $process
echo "$(drawn) pictures; resident $first KiB after 50, $most KiB at the most; $first_files open files"
[ "$(drawn)" -eq "$pictures" ]
[ $((most * 100)) -le $((first * 102)) ]
