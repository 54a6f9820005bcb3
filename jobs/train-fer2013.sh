#!/usr/bin/env bash
# Train the shipped weights again from FER2013 with FER+ votes, in nine runs. Three residual networks and two that start
# from the first blocks of the face recogniser SFace are teachers. A student learns from all five, and `first` continues
# from it. `teacher-full` starts from all of SFace and learns from `first`. `shipped` continues from `first`, with both as
# teachers.
#   pip install '.[train]' torch
#   KERAS_BACKEND=torch jobs/train-fer2013.sh FER2013 FOLDER [options of fervid train]
# The result is FOLDER/shipped.keras, after about fifteen hours on two cores. With TensorFlow instead of torch it takes longer.
# Run the same command again to continue an interrupted training. For a trial: --epochs 1 --limit 300
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 FER2013 FOLDER [options of fervid train]" >&2
    exit 2
fi
recipes=$(cd "$(dirname "$0")/fer2013" && pwd)
data=$(realpath "$1")
mkdir -p "$2"
cd "$2"
shift 2
[ -e sface.keras ] || python -m fervid.training.sface_init sface.keras
[ -e sface-full.keras ] || python -m fervid.training.sface_init sface-full.keras --all-blocks
for step in teacher-adamw teacher-sgd teacher-long teacher-sface teacher-clean student first teacher-full shipped; do
    fervid train --data "$data" --recipe "$recipes/$step.toml" --out "$step.keras" "$@"
done
