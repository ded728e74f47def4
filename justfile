# Every chore. CARGO_TARGET_DIR is kept if it is set.

# list the chores
default:
    @just --list

# train the embedded example
run *ARGS:
    cargo run --release -- {{ARGS}}

# everything that CI tests
test:
    cargo test --release --workspace

# format and lints, as CI checks them
lint:
    cargo fmt --all --check
    python3 .ci/links.py
    python3 .ci/indexes.py
    python3 .ci/module_cycles.py
    python3 .ci/exports.py
    python3 .ci/promises.py
    cargo clippy --release --workspace --all-targets -- -D warnings

# exported names that nothing outside their crate uses, and whether a program meets them anyway
exports:
    python3 .ci/exports.py

# licences, bans, sources (and advisories, where the database can be reached)
deny:
    cargo deny check bans licenses sources
    cargo deny check advisories

# benchmarks: cost of a schedule step, of the trainer's loop, of optimizer steps
bench *ARGS:
    cargo bench --workspace {{ARGS}}

# the trainer's overhead over a bare burn loop, as a ratio
bench-overhead:
    cargo bench -p anneal --bench overhead

# 200 SIGKILLs of a training process at random instants, each resumed and compared with the uninterrupted run
kill-campaign KILLS="200":
    ANNEAL_KILLS={{KILLS}} cargo test --release -p anneal --test kills -- --nocapture

# mutated configs, formulas, schedules, checkpoints, weights, data files and images, so many seconds for each
fuzz SECONDS="60" *ARGS:
    ANNEAL_FUZZ_SECONDS={{SECONDS}} cargo test --release --workspace --test fuzz -- --nocapture --test-threads=1 {{ARGS}}

# the study behind the finder's default rule: docs/lr-finder-study/ (about half an hour on two cores)
lr-study *ARGS:
    cargo run --release -p anneal --example lr_study -- docs/lr-finder-study {{ARGS}}

# the GPU path, on the device that ANNEAL_GPU names (default gpu); where no GPU is in sight, on Mesa's software driver
gpu-test *ARGS:
    bash .ci/gpu-test {{ARGS}}

# jobs of several MPI processes on this machine (Debian: libopenmpi-dev openmpi-bin libclang-dev)
mpi-test *ARGS:
    bash .ci/mpi {{ARGS}}

# kills of a random process of an MPI job, each resumed and compared with the uninterrupted run
mpi-kills KILLS="50":
    ANNEAL_MPI_KILLS={{KILLS}} bash .ci/mpi a_killed_process

# a job of 4 MPI processes on two hosts, which are network namespaces of this machine: the bytes of one process (root)
mpi-hosts:
    bash .ci/mpi-hosts

# what the sum of a step's gradients costs over MPI, by the number of parameters, beside MPI's all-reduce
mpi-bench PROCESSES="2":
    #!/usr/bin/env bash
    set -euo pipefail
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/anneal/target}"
    cargo build --release --workspace --features anneal/mpi --example mpi_sum
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 RAYON_NUM_THREADS=1
    mpirun -n {{PROCESSES}} --bind-to none --oversubscribe "$CARGO_TARGET_DIR/release/examples/mpi_sum"

# programs and data for a machine with a GPU but without compiler and network, in gpu-kit/parcels; there: gpu-kit/run.sh
gpu-kit *ARGS:
    bash gpu-kit/build.sh {{ARGS}}

# burn's older CPU backend, which the default build leaves out
ndarray-test *ARGS:
    bash .ci/ndarray {{ARGS}}

# each crate alone compiles with no features, its defaults and flex; and every other feature of `anneal` (the GPUs' need
# the network: cuda fetches an LLVM)
features *FEATURES="ndarray wgpu vulkan metal cuda nvrtc wgpu,autotune wgpu,fusion":
    bash .ci/features {{FEATURES}}

# what a sweep costs beside as many training steps
bench-finder:
    cargo bench -p anneal --bench finder

# training steps here and in PyTorch, in turns, and both operation by operation; the first time makes a Python with torch
bench-throughput *ARGS="--profile":
    #!/usr/bin/env bash
    set -euo pipefail
    dir="${XDG_CACHE_HOME:-$HOME/.cache}/anneal/peers"
    python="${ANNEAL_PYTHON:-$dir/bin/python}"
    "$python" -c "import torch" 2>/dev/null || { just peers "$dir"; python="$dir/bin/python"; }
    cargo bench -q -p anneal --bench throughput --no-run
    "$python" crates/anneal/benches/throughput/peer.py {{ARGS}} -- cargo bench -q -p anneal --bench throughput --

# the kernels beside burn's operations, with so many random shapes for each layer and instruction set
kernel-shapes CASES="5000":
    PROPTEST_CASES={{CASES}} cargo test --release --workspace --test conv --test linear --test norm --test pool --test transformer --test forced

# the portable kernels on small shapes under Miri (rustup component add --toolchain nightly miri rust-src)
kernel-miri *ARGS:
    cp Cargo.lock .ci/kernels/
    MIRIFLAGS="-Zmiri-ignore-leaks -Zmiri-tree-borrows -Zmiri-permissive-provenance" cargo +nightly miri test --manifest-path .ci/kernels/Cargo.toml {{ARGS}}

# the kernels of every instruction set on small shapes under the address sanitizer (a nightly compiler)
kernel-asan *ARGS:
    cp Cargo.lock .ci/kernels/
    RUSTFLAGS="-Zsanitizer=address" ASAN_OPTIONS=detect_leaks=0 cargo +nightly test \
        --target "$(rustc -vV | sed -n 's/^host: //p')" --manifest-path .ci/kernels/Cargo.toml {{ARGS}}

# tokens per second of training steps of gpt and gru beside PyTorch's
bench-language *ARGS:
    #!/usr/bin/env bash
    set -euo pipefail
    dir="${XDG_CACHE_HOME:-$HOME/.cache}/anneal/peers"
    python="${ANNEAL_PYTHON:-$dir/bin/python}"
    "$python" -c "import torch" 2>/dev/null || { just peers "$dir"; python="$dir/bin/python"; }
    cargo bench -q -p anneal --bench language --no-run
    "$python" crates/text/tests/python/torch_language.py speed {{ARGS}} -- cargo bench -q -p anneal --bench language --

# a Python with the peers that tests compare with: TensorBoard, PyTorch (5 GB); then: export ANNEAL_PYTHON=DIR/bin/python
peers DIR="${XDG_CACHE_HOME:-$HOME/.cache}/anneal/peers":
    python3 -m venv {{DIR}}
    {{DIR}}/bin/pip install --quiet torch safetensors numpy tensorboard

# API docs and the book
docs:
    cargo doc --release --workspace --no-deps
    mdbook build docs

# the lists of schedules and optimizers in the book, from the registries
docs-indexes:
    python3 .ci/indexes.py --write

# the pictures of docs/schedules, drawn by `anneal schedule`
docs-pictures:
    bash docs/pictures.sh
    bash docs/lr-finder-pictures.sh

# the golden traces that the tests read, copied again
golden:
    cp ../shared/golden/schedulers.jsonl crates/lr-core/tests/golden/
    cp ../shared/golden/optimizers.jsonl crates/optim-adaptive/tests/golden/
    cp ../shared/golden/lr_finder.jsonl crates/trainer/tests/golden/

# all that CI does
ci:
    bash .ci/run
