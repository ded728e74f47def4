#!/usr/bin/env bash
# Tests and measures Anneal on the GPU of this machine with what `gpu-kit/build.sh` built elsewhere. It needs no compiler
# and no network; Python with torch for the comparison.
#
#   gpu-kit/run.sh receive N         takes gpu-kit/parcels/N to KIT (default /tmp/anneal-kit), where it stays
#   gpu-kit/run.sh GROUP,... SECONDS runs these, each part of them within its own limit:
#     check      optimizers, finder, resume, checkpoints, resident data, against flex
#     repeat     the same run twice, of several kinds
#     steps      training steps of STEPS
#     profile    where the time of a step goes
#     watch      ends what still warms up after WARM seconds
#     loaded     batches of resident data, again and again
#     cifar      CIFAR-10, several seeds; the first run compiles and tunes
#     mnist      the same with MNIST
#     settle     waits for all of the above
#     peers      the same steps in torch
#
# Each part has a limit of its own, and none may go past SECONDS. A part that fails, hangs or finds no time is a line in
# the results, and the next goes on. Results: $OUT/results.jsonl (default KIT/out), and $OUT/logs.tar.gz.
# GPU: the device as Anneal names it (default cuda). TORCH: as torch does (default cuda). BATCH: of the large networks.
set -uo pipefail
cd "$(dirname "$0")/.."
kit="${KIT:-/tmp/anneal-kit}"
out="${OUT:-$kit/out}"
gpu="${GPU:-cuda}"
torch="${TORCH:-cuda}"
batch="${BATCH:-512}"
mkdir -p "$kit" "$out"
results="$out/results.jsonl"
logs="$kit/logs"
export ANNEAL_GPU="$gpu" ANNEAL_BIN="$kit/exact/anneal" ANNEAL_DATA_DIR="$kit/data"

receive() {
    local parcel="gpu-kit/parcels/$1"
    for archive in "$parcel"/*.tar.xz; do
        [ -e "$archive" ] && tar -C "$kit" -xJf "$archive" && rm "$archive"
    done
    mkdir -p "$kit/data"
    for set in mnist cifar10; do
        [ -d "$parcel/$set" ] && mkdir -p "$kit/data/$set" && mv "$parcel/$set"/* "$kit/data/$set/"
    done
    du -sh "$kit"/*
}

began=$SECONDS
left() { echo $((limit - (SECONDS - began))); }

# part NAME SECONDS COMMAND...: runs a command within its limit. Its lines of JSON go to the results, all else to its log.
part() {
    local name=$1 most=$2 from=$SECONDS rc
    shift 2
    if (($(left) < 3)); then
        echo "{\"part\": \"$name\", \"skipped\": \"no time left\"}" >>"$results"
        return 0
    fi
    ((most > $(left))) && most=$(left)
    timeout -k 3 "$most" "$@" >"$logs/$name" 2>&1 </dev/null
    rc=$?
    {
        grep -a '^{.*}$' "$logs/$name" | sed "s/^{/{\"part\": \"$name\", /"
        echo "{\"part\": \"$name\", \"rc\": $rc, \"seconds\": $((SECONDS - from))}"
    } >>"$results"
}

# Where NVRTC and the headers of CUDA lie.
find_cuda() {
    local dir
    for dir in "${CUDA_PATH:-}" /usr/local/cuda /usr/local/cuda-* /opt/cuda; do
        if [ -n "$dir" ] && [ -e "$dir/include/cuda_fp16.h" ]; then
            export CUDA_PATH="$dir" LD_LIBRARY_PATH="$dir/lib64:$dir/targets/x86_64-linux/lib:${LD_LIBRARY_PATH:-}"
            break
        fi
    done
    # The driver, and NVRTC where only Python has it.
    for dir in /usr/local/nvidia/lib64 /usr/local/nvidia/lib \
        "$(python3 -c 'import nvidia, glob; print(glob.glob(list(nvidia.__path__)[0] + "/*/lib/libnvrtc.so*")[0].rsplit("/", 1)[0])' 2>/dev/null)"; do
        [ -d "$dir" ] && export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}:$dir"
    done
}

machine() {
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
    echo "CUDA_PATH=${CUDA_PATH:-} LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}"
    ldconfig -p | grep -E 'libcuda\.|libnvrtc|libvulkan'
    nproc
    free -g | head -2
    ldd --version | head -1
    python3 -c 'import torch; print("torch", torch.__version__, torch.version.cuda)'
    "$kit/exact/anneal" list devices
}

# Everything warms up together, which is when kernels are compiled and tuned: each program holds the lock of `turn` with
# others. What is timed waits until all have warmed up, and holds it alone (`--turn`).
beside_others() { (flock -s 9; "$@") 9>>"$kit/turn" & }

settle() { wait; }

check() {
    local program
    # Two words: a program, and a filter of its tests.
    for program in gpu gpu_runs "resident batches_of_a_gpu"; do
        beside_others part "check-${program%% *}" "${CHECK:-240}" "$kit/exact/"$program --nocapture --test-threads=6
    done
}

# The same run twice: whether the weights are the same bits.
twice() {
    local one
    rm -rf "$kit/twice/$1"
    for one in a b; do
        "$kit/exact/anneal" train --quiet --device "$gpu" --epochs 2 --set "model.type=$2" --set "data.resident=$3" \
            --set "data.workers=$4" --out "$kit/twice/$1/$one" || return
    done
    cmp "$kit"/twice/"$1"/{a,b}/model.safetensors && echo "{\"twice\": \"$1\", \"same\": true}"
}
repeat() {
    local model resident workers name
    for model in mlp lenet; do
        for resident in true false; do
            for workers in 0 1; do
                name="$model-resident-$resident-workers-$workers"
                beside_others part "twice-$name" 120 bash -c "twice $name $model $resident $workers"
            done
        done
    done
}

# Whether threads and load change what a device computes.
loaded() {
    local i variant
    for variant in exact tuned; do
        for i in 1 2 3 4 5 6; do
            part "loaded-$variant-$i" 60 "$kit/$variant/resident" batches_of_a_gpu --nocapture
        done &
    done
}

# A step is VARIANT:MODEL:BATCH:PRECISION.
steps=${STEPS:-$(echo {exact:mlp:1024,tuned:lenet:1024,tuned:resnet9:$batch,tuned:resnet18:$batch}:{f32,bf16})}
steps() {
    local step variant model size precision
    for step in $steps; do
        IFS=: read -r variant model size precision <<<"$step"
        part "steps-$variant-$model-$precision" 420 "$kit/$variant/throughput" --steps --case "$model:$size" --device "$gpu" \
            --precision "$precision" --seconds 1 --turn "$kit/turn" &
    done
}
# Which kernels the time of a step goes to: burn writes each launch. Slow, so apart.
profile() {
    local variant=${PROFILE:-tuned}
    beside_others part "profile-$variant" 300 env CUBECL_DEBUG_OPTION=profile CUBECL_DEBUG_LOG=stdout \
        "$kit/$variant/throughput" --steps --case "resnet9:$batch" --device "$gpu" --precision bf16 --seconds 0.1
}
# torch comes last, when nothing else runs.
peers() {
    part torch 60 python3 crates/anneal/benches/throughput/peer.py --device "$torch" --seconds 1 \
        --cases "${PEERS:-$(sed 's/[a-z]*:\([a-z0-9]*:[0-9]*:[a-z0-9]*\)/\1/g; s/ /,/g' <<<"$steps")}"
}

# Several seeds in one process: the first run compiles and tunes, those after it are warm.
train() {
    local name=$1 most=$2 summary
    shift 2
    rm -rf "$kit/train/$name"
    part "train-$name" "$most" "$kit/tuned/anneal" compare "$@" --device "$gpu" --out "$kit/train/$name" --json
    for summary in "$kit/train/$name"/*/*/summary.json; do
        [ -e "$summary" ] || continue
        echo "{\"part\": \"train-$name\", \"summary\": $(tr -d '\n' <"$summary")}" >>"$results"
    done
}
cifar() {
    CUBECL_AUTOTUNE_LEVEL=${LEVEL:-minimal} beside_others train cifar "${CIFAR:-330}" examples/cifar10/speedrun.toml \
        --set data.dataset=cifar10-train --seeds 6
}
mnist() { beside_others train mnist "${MNIST:-200}" examples/mnist/one-epoch.toml --seeds 3; }

# What still warms up after WARM seconds would keep all others from their turn: it ends.
watch() {
    (
        sleep "${WARM:-320}"
        flock -n -s 9 || exit 0
        for pid in $(pgrep -x throughput); do
            before=$(awk '{print $14 + $15}' "/proc/$pid/stat")
            sleep 0.4
            (($(awk '{print $14 + $15}' "/proc/$pid/stat") - before > 8)) && kill "$pid"
        done
    ) 2>/dev/null 9>>"$kit/turn" &
}

verb="${1:-}"
case "$verb" in
    receive) receive "$2"; exit ;;
    "") sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
limit="${2:?seconds}"
find_cuda
export -f machine twice
export kit gpu
rm -rf "$logs"; mkdir -p "$logs"; : >"$kit/turn"
part machine 20 bash -c machine
for group in ${verb//,/ }; do "$group"; done
wait
tar -C "$kit" -czf "$out/logs.tar.gz" logs
for log in "$logs"/*; do
    echo "== ${log##*/}"
    tail -n "${TAIL:-4}" "$log" | cut -c1-300
done
echo "== results, $((SECONDS - began)) s"
cut -c1-400 "$results"
