#!/usr/bin/env bash
# Draws many pictures in one process, then as many through a server, and watches memory and open files: the most memory
# so far (within 2 %) and the files have to stay what they were after the first fifty pictures. Needs Linux's /proc and
# curl. tests/soak.sh [PICTURES] [PROGRAM]
set -eu
pictures=${1:-2000}
program=$(realpath "${2:-target/release/sdgen}")
folder=$(mktemp -d)
process=
trap 'kill $process 2> /dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"

# The most that was resident so far: within a picture memory comes and goes, and what leaks is on top of that.
peak() { awk '/^VmHWM/ { print $2 }' "/proc/$process/status"; }
# The fewest of some looks: a picture that is being written and a connection come and go.
files() {
    for _ in {1..10}; do
        find "/proc/$process/fd" -mindepth 1 | wc -l
        sleep 0.02
    done | sort -n | head -1
}

# until_drawn COUNT: waits for the file of that number.
until_drawn() {
    while [ ! -e "$folder/$(($1 - 1)).png" ]; do
        kill -0 $process 2> /dev/null || { cat "$folder/errors"; exit 1; }
        sleep 0.05
    done
}

# flat NAME: measures at the fiftieth and at the last picture but ten.
flat() {
    local first last first_files last_files
    until_drawn 50
    first=$(peak) first_files=$(files)
    until_drawn $((pictures - 10))
    last=$(peak) last_files=$(files)
    echo "$1: $pictures pictures; at most $first KiB in the first 50, $last KiB in all; open files $first_files, $last_files"
    [ "$last_files" -le "$first_files" ]
    [ $((last * 100)) -le $((first * 102)) ]
}

"$program" "a red circle" -m demo --seed 1 --steps 2 --count "$pictures" -o "{index}.png" --progress none \
    > /dev/null 2> errors &
process=$!
flat "one process"
wait $process
[ "$(find . -name '*.png' | wc -l)" -eq "$pictures" ]
find . -name '*.png' -delete

# A server remembers jobs as long as it keeps their pictures: here one MiB of them.
"$program" serve -m demo --port 0 --state state --keep-size 1 --quiet > address 2> errors &
process=$!
until grep -qo 'http://[0-9.:]*' address errors; do sleep 0.1; done
address=$(grep -oh 'http://[0-9.:]*' address errors | head -1)
for ((i = 0; i < pictures; i++)); do
    curl -sS --fail -o "$i.png" -H 'Content-Type: application/json' "$address/v1/images/generations" \
        -d "{\"prompt\": \"a red circle\", \"steps\": 2, \"seed\": $i, \"response_format\": \"b64_json\"}"
done &
flat "a server"
wait $!
kill $process
wait $process
