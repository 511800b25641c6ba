#!/usr/bin/env bash
# All that takes a GPU, in one call of about ten minutes: what is here, tests, the benchmark, its pictures, soaks, runs.
#
#     bench/gpu_check.sh [FOLDER]     results/bench-gpu where none is given; it is made, or written over
#     PARTS="tests" bench/gpu_check.sh      some of: doctor tests compiling bench grid soak runs
#
# Nothing has to be installed but the dependencies, and nothing is downloaded. PYTHON names another interpreter. Every
# part has a limit of time, leaves its output in FOLDER, and lets the next one go on where it fails.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=. PYTHONUNBUFFERED=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-4}"
python="${PYTHON:-python3}"
folder="${1:-results/bench-gpu}"
parts=" ${PARTS:-doctor tests bench grid soak runs} "
mkdir -p "$folder"
failed=""

"$python" - <<'END' || exit 2
import importlib.util, sys
need = "torch torchvision numpy click rich matplotlib sklearn PIL safetensors msgspec psutil pynvml pytest hypothesis"
missing = [name for name in need.split() if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(f"not installed: {', '.join(missing)}")
import torch
if not torch.cuda.is_available():
    sys.exit("torch finds no CUDA device")
print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Python {sys.version.split()[0]}")
END

# part NAME LIMIT COMMAND...: run it where it was asked for, its output into FOLDER/NAME.txt and the end of it shown
part() {
    local name="$1" limit="$2"
    shift 2
    [[ "$parts" == *" $name "* ]] || return 0
    echo "--- $name"
    local started=$SECONDS
    timeout "$limit" "$@" >"$folder/$name.txt" 2>&1
    local code=$?
    tail -n 40 "$folder/$name.txt"
    echo "--- $name: exit code $code after $((SECONDS - started)) s"
    [[ $code == 0 ]] || failed="$failed $name"
}

accelmnist=("$python" -m accelmnist)
# With pytest-xdist where it is there: most of the time is spent waiting for compilers.
workers=()
"$python" -c 'import xdist' 2>/dev/null && workers=(-n 6)
tests=("$python" -m pytest -q --durations=8 -p no:cacheprovider "${workers[@]}" tests)

runs() {
    local engine precision code=0
    for engine in eager cuda_graph fused persistent; do
        for precision in fp32 bf16; do
            timeout 60 "${accelmnist[@]}" run --device cuda --engine "$engine" --precision "$precision" \
                --out "$folder/run-$engine-$precision" || code=1
        done
    done
    timeout 60 "${accelmnist[@]}" run --device cuda --engine cuda_graph --profile --out "$folder/profile-cuda_graph" || code=1
    timeout 60 "${accelmnist[@]}" run --device cuda --engine fused --profile --out "$folder/profile-fused" || code=1
    timeout 60 "${accelmnist[@]}" run --device cuda --engine persistent --profile --out "$folder/profile-persistent" || code=1
    return $code
}
# Two minutes of soak in all: a device that is wrong, lost or slow is exit code 1.
soak() {
    local engine code=0
    for engine in eager cuda_graph fused persistent; do
        timeout 75 "${accelmnist[@]}" soak --devices cuda --engine "$engine" --for 30s --out "$folder/soak-$engine" || code=1
    done
    return $code
}
part doctor 30 "${accelmnist[@]}" doctor
part tests 220 "${tests[@]}" -k "cuda and not compil"
part compiling 500 "${tests[@]}" -k "cuda and compil"
part bench 130 "${accelmnist[@]}" bench --devices cuda --engines eager,cuda_graph,fused,persistent --batch-sizes 128,256,1024 \
    --precisions fp32,bf16 --time-limit 90 --out "$folder/bench"
part grid 110 "${accelmnist[@]}" bench --devices cuda --engines eager,cuda_graph,fused,persistent --mode training \
    --batch-sizes 128,512 --hidden 128 --hidden 512,512 --optimizers sgd,sgd-momentum,adam --time-limit 70 \
    --out "$folder/grid"
for several in soak runs; do
    if [[ "$parts" == *" $several "* ]]; then
        echo "--- $several"
        $several >"$folder/$several.txt" 2>&1 || failed="$failed $several"
        tail -n 60 "$folder/$several.txt"
    fi
done

[[ -z "$failed" ]] && echo "all parts passed" || { echo "failed:$failed"; exit 1; }
