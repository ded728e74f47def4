#!/usr/bin/env bash
# Draws the pictures of docs/lr-finder.md with `anneal find-lr`: real sweeps of a small network on the embedded digits.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
cargo build --release --quiet -p anneal
mkdir -p docs/img/lr-finder
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cat > "$scratch/sweep.toml" <<'TOML'
[data]
dataset = "digits"
batch_size = 64
[model]
type = "mlp"
[optimizer]
type = "adam"
lr = 1e-3
[lr_finder]
num_it = 200
smoothing = 0.9
rule = "minimum"
TOML
draw() {
    local name="$1"
    shift
    # Exit code 3 is what the flat and the diverging one are about.
    "$target/release/anneal" find-lr "$scratch/sweep.toml" "$@" --overwrite --plot "docs/img/lr-finder/$name.svg" | tail -n 3 || true
    echo "docs/img/lr-finder/$name.svg"
}
draw good --set lr_finder.repeats=5
draw noisy --set data.batch_size=2 --set lr_finder.num_it=100 --set lr_finder.smoothing=0.5
draw flat --set lr_finder.start_lr=1e-9 --set lr_finder.end_lr=1e-6
draw diverging --set lr_finder.start_lr=0.3 --set lr_finder.end_lr=100
