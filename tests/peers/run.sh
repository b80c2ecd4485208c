#!/usr/bin/env bash
# Checks onnxpress from outside, with the Python packages onnx and onnxruntime.
#
#   tests/peers/run.sh            everything that can be run here
#
# Makes a virtual environment in target/peers from requirements.txt, builds a release, and runs the
# checks of this folder. Those on shared models need the shared material: ONNXPRESS_SHARED, by
# default ../shared beside the checkout; without it they are left out, and that is said.
#
#   PYTHON                    the interpreter for the environment (python3)
#   ONNXPRESS_SHARED          folder with models/, data/ and hostile/
#   ONNXPRESS_KILLS           how often check_hostile kills a run at a random moment (100)
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
peers=$root/tests/peers
venv=${CARGO_TARGET_DIR:-$root/target}/peers
export ONNXPRESS_SHARED=${ONNXPRESS_SHARED:-$root/../shared}

if ! cmp -s "$peers/requirements.txt" "$venv/requirements.txt"; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --requirement "$peers/requirements.txt"
    cp "$peers/requirements.txt" "$venv/requirements.txt"
fi
cargo build --locked --release --bins --examples
release=${CARGO_TARGET_DIR:-$root/target}/release
export ONNXPRESS=${ONNXPRESS:-$release/onnxpress}

failed=()
check() {
    local name=$1
    shift
    echo "== $name"
    "$@" || failed+=("$name")
}
skip() { echo "== $1: left out: $2"; }

# The text form, on all fixtures but the two that are expected to differ.
fixtures=()
for model in fixtures/*.onnx fixtures/graphs/*.onnx; do
    case $model in
    */sparse_init.onnx | */unsorted.onnx) ;;
    *) fixtures+=("$model") ;;
    esac
done
check check_text "$venv/bin/python" "$peers/check_text.py" "$release/examples/text_form" "${fixtures[@]}"

check check_functions "$venv/bin/python" "$peers/check_functions.py"

check check_opset "$venv/bin/python" "$peers/check_opset.py" \
    "$ONNXPRESS convert {in} -o {out} --opset {target} --force -q" --cases hand

check check_fold "$venv/bin/python" "$peers/check_fold.py"

check check_constants "$venv/bin/python" -W ignore "$peers/check_constants.py"
check check_engine env "ONNXPRESS_RUN_MODELS=$release/examples/run_models" \
    "$venv/bin/python" -W ignore "$peers/check_engine.py"

check check_shapes "$venv/bin/python" -W ignore "$peers/check_shapes.py"

check check_random "$venv/bin/python" -W ignore "$peers/check_random.py"
check check_kinds "$venv/bin/python" "$peers/check_kinds.py"
check check_operators "$venv/bin/python" "$peers/check_operators.py"
check check_kernels "$venv/bin/python" -W ignore "$peers/check_kernels.py"
check prune_masked "$venv/bin/python" "$peers/prune_masked.py"
check prune_sparse "$venv/bin/python" "$peers/prune_sparse.py"
check check_engine_ort "$venv/bin/python" "$peers/check_engine_ort.py"
check check_bodies "$venv/bin/python" "$peers/check_bodies.py"
check check_report "$venv/bin/python" "$peers/check_report.py"

if [[ -f $ONNXPRESS_SHARED/models/models.json && -d $ONNXPRESS_SHARED/data ]]; then
    check check_roundtrip "$venv/bin/python" "$peers/check_roundtrip.py"
    check quantize_models "$venv/bin/python" "$peers/quantize_models.py"
    check prune_models "$venv/bin/python" "$peers/prune_models.py"
    check factorize_models "$venv/bin/python" "$peers/factorize_models.py"
check distill_models "$venv/bin/python" "$peers/distill_models.py" "cifar_resnet8_bn=prune 0.5"
    check weights_models "$venv/bin/python" "$peers/weights_models.py"
    check dynamic_models "$venv/bin/python" "$peers/dynamic_models.py"
    check nbits_models "$venv/bin/python" "$peers/nbits_models.py"
    check check_qoperator "$venv/bin/python" "$peers/check_qoperator.py"
    check check_figures "$venv/bin/python" "$peers/check_figures.py"
    check all_models "$venv/bin/python" "$peers/all_models.py"
    check simplify_models "$venv/bin/python" "$peers/simplify_models.py"
else
    skip "check_roundtrip, quantize_models, check_qoperator, all_models" "no models/ and data/ in $ONNXPRESS_SHARED"
fi

if [[ -d $ONNXPRESS_SHARED/cases ]]; then
    check check_cases "$venv/bin/python" "$peers/check_cases.py"
else
    skip check_cases "no cases/ in $ONNXPRESS_SHARED"
fi

if [[ -f $ONNXPRESS_SHARED/hostile/run_faults.py ]]; then
    check check_hostile env "ONNXPRESS_KILLS=${ONNXPRESS_KILLS:-100}" \
        "$venv/bin/python" "$peers/check_hostile.py"
else
    skip "check_hostile" "no hostile/ in $ONNXPRESS_SHARED"
fi

if ((${#failed[@]})); then
    echo "failed: ${failed[*]}"
    exit 1
fi
echo "all checks passed"
