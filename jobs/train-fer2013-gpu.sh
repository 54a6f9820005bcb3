#!/usr/bin/env bash
# Train weights of the shipped architecture on a GPU: five large teachers at once, then a student that learns from them.
#   pip install '.[train]' torch        (or jax with its CUDA plugin, and KERAS_BACKEND=jax)
#   KERAS_BACKEND=torch jobs/train-fer2013-gpu.sh FER2013 FOLDER [options of fervid train]
# The result is FOLDER/shipped.keras. TEACHERS=3 trains the first three teachers only; AT_ONCE=1 one after another.
# Run the same command again to continue an interrupted training. For a trial on a CPU:
#   AT_ONCE=1 jobs/train-fer2013-gpu.sh FER2013 FOLDER --epochs 1 --limit 130 --no-mixed-precision
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 FER2013 FOLDER [options of fervid train]" >&2
    exit 2
fi
recipes=$(cd "$(dirname "$0")/fer2013-gpu" && pwd)
data=$(realpath "$1")
mkdir -p "$2"
cd "$2"
shift 2
teachers=${TEACHERS:-5}
at_once=${AT_ONCE:-$teachers}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # JAX: several runs share the GPU's memory

fit() { # NAME RECIPE [options]
    local name=$1 recipe=$2
    shift 2
    fervid train --data "$data" --recipe "$recipe" --out "$name.keras" "$@" >"$name.log" 2>&1 ||
        { echo "$name failed; the end of $name.log:" >&2; tail -n 3 "$name.log" >&2; return 1; }
    tail -n 1 "$name.log"
}

running=()
for number in $(seq "$teachers"); do
    fit "teacher-$number" "$recipes/teacher.toml" --seed "$number" "$@" &
    running+=($!)
    if [ "${#running[@]}" -ge "$at_once" ] || [ "$number" = "$teachers" ]; then
        for one in "${running[@]}"; do wait "$one"; done
        running=()
    fi
done
[ -e sface.keras ] || python -m fervid.training.sface_init sface.keras
names=$(seq -f '"teacher-%g.keras"' -s ', ' "$teachers")
for step in student shipped; do
    sed "s/^teachers = .*/teachers = [$names]/" "$recipes/$step.toml" >"$step.toml"
    fit "$step" "$step.toml" "$@"
done
