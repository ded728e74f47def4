#!/usr/bin/env bash
# Draws the pictures of docs/schedules with `anneal schedule`, from the first TOML block of each page. A page may say how
# with a comment: <!-- picture: --epochs 30 --base-lr 0.1 -->
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
cargo build --release --quiet -p anneal
mkdir -p docs/schedules/img
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
for page in docs/schedules/*.md; do
    name="$(basename "$page" .md)"
    grep -q "img/$name.svg" "$page" || continue
    awk '/^```toml/ { inside = 1; next } /^```/ { if (inside) exit } inside' "$page" > "$scratch/$name.toml"
    args="$(sed -n 's/^<!-- picture: \(.*\) -->$/\1/p' "$page" | head -n 1)"
    if [ -z "$args" ]; then
        args="--base-lr 0.1 --epochs 100 --steps-per-epoch 10"
    fi
    if [ "$name" = reduce_on_plateau ]; then
        # A loss that falls in steps and rests between them.
        awk 'BEGIN { for (i = 0; i < 100; i++) print 2 - 0.3 * int(i / 25) - 0.03 * (i % 25 < 10 ? i % 25 : 10) }' > "$scratch/metrics"
        args="$args --metrics $scratch/metrics"
    fi
    # The arguments are words: no quotes on purpose.
    if "$target/release/anneal" schedule "$scratch/$name.toml" $args --format csv --overwrite --plot "docs/schedules/img/$name.svg" >/dev/null; then
        echo "docs/schedules/img/$name.svg"
    else
        echo "$page: no picture" >&2
    fi
done
