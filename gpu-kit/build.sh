#!/usr/bin/env bash
# Builds what a machine with a GPU, and without compiler and network, needs to test and measure Anneal, into
# gpu-kit/parcels/: folders of at most 60 MB. `gpu-kit/run.sh` runs it there. docs/gpu.md has the whole of it.
#
#   gpu-kit/build.sh [wgpu]
#
# `cuda` is built with kernels as CUDA C++ (feature nvrtc). burn links an LLVM all the same, which its build fetches from
# the network: here DOCS_RS makes it leave that out, and LLVM's functions are stubs that abort.
set -euo pipefail
cd "$(dirname "$0")/.."
backend="${1:-nvrtc}"
data="${ANNEAL_DATA_DIR:-../shared/datasets}"
triple=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/anneal/target}-cuda"
export CARGO_PROFILE_RELEASE_STRIP=true
mkdir -p "$CARGO_TARGET_DIR"
stubs="$CARGO_TARGET_DIR/llvm-stubs"
if [ "$backend" = nvrtc ]; then
    # cudarc asks the driver for the functions of this version; 13.0 is what the machine has.
    export DOCS_RS=1 CUDARC_CUDA_VERSION=13000
    [ -f "$stubs.o" ] || gcc -c -fPIC -x c /dev/null -o "$stubs.o"
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-Clink-arg=$stubs.o -Clink-arg=-Wl,--error-limit=0"
fi

# variant NAME FEATURES TARGETS...: the programs, into parcels/NAME.
variant() {
    local name=$1 features=$2 try
    shift 2
    local build=(cargo build --release --target "$triple" -p anneal --no-default-features --features "$features" "$@")
    for try in 1 2; do
        if "${build[@]}" --message-format=json-render-diagnostics >"$CARGO_TARGET_DIR/$name.json" 2>"$CARGO_TARGET_DIR/$name.log"; then
            break
        fi
        # What the linker misses are functions of LLVM: a stub for each, that says its name and aborts.
        if [ "$try" = 2 ] || ! grep -q 'undefined symbol: ' "$CARGO_TARGET_DIR/$name.log"; then
            tail -40 "$CARGO_TARGET_DIR/$name.log"
            return 1
        fi
        {
            echo '#include <stdio.h>'
            echo '#include <stdlib.h>'
            { cat "$stubs.names" 2>/dev/null; grep -o 'undefined symbol: [A-Za-z0-9_]*' "$CARGO_TARGET_DIR/$name.log" | sed 's/.*: //'; } |
                sort -u | tee "$stubs.new" |
                sed 's/.*/void &(void) { fputs("a stub of LLVM was called: &\\n", stderr); abort(); }/'
        } >"$stubs.c"
        mv "$stubs.new" "$stubs.names"
        gcc -c -fPIC "$stubs.c" -o "$stubs.o"
    done
    mkdir -p "$work/$name"
    python3 - "$CARGO_TARGET_DIR/$name.json" "$work/$name" <<'PYTHON'
import json, shutil, sys
for line in open(sys.argv[1]):
    message = json.loads(line)
    if message.get("executable"):
        shutil.copy(message["executable"], f"{sys.argv[2]}/{message['target']['name']}")
PYTHON
    ls -l "$work/$name"
}

parcels=gpu-kit/parcels
work="$CARGO_TARGET_DIR/kit"
rm -rf "$parcels" "$work"
mkdir -p "$work"
# Correctness without autotune: the same kernels each time.
variant exact "flex,$backend" --bin anneal --test gpu --test gpu_runs --test resident --bench throughput
variant tuned "flex,$backend,autotune" --bench throughput --bin anneal --test resident
variant fused "flex,$backend,autotune,fusion" --bench throughput

# What the programs want of the machine.
for program in "$work"/*/*; do
    echo "$program: $(objdump -T "$program" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)"
done

parcel() {
    local number=$1
    shift
    mkdir -p "$parcels/$number"
    "$@"
    du -sh "$parcels/$number"
}
pack() { tar -C "$work" -c "$@" | xz -1 --lzma2=preset=1,dict=192MiB; }
programs() { pack exact >"$parcels/1/exact.tar.xz"; cp -r "$data/mnist" "$parcels/1/"; }
speed() { pack tuned fused >"$parcels/2/speed.tar.xz"; }
cifar() { mkdir -p "$parcels/$1/cifar10"; for file in "${@:2}"; do cp "$data/cifar10/$file" "$parcels/$1/cifar10/"; done; }
parcel 1 programs
parcel 2 speed
parcel 3 cifar 3 data_batch_{1,2}.bin.gz
parcel 4 cifar 4 data_batch_{3,4}.bin.gz
parcel 5 cifar 5 data_batch_5.bin.gz test_batch-first1000.bin.gz batches.meta.txt
