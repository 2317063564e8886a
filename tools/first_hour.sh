#!/bin/bash
# Plays a newcomer's first hour in an empty folder and fresh environments: the
# commands of README.md and of docs/guides/your_own_data.py, in their order.
#
#     tools/first_hour.sh
#
# It prints how long each step took, and fails if one does or if all of them
# take ten minutes or more.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/checkout"
git -C "$root" archive HEAD | tar -x -C "$work/checkout"
cd "$work/checkout"
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV
out=$work/own_images

# readme NAME: the command that README.md marks with a name.
readme() {
    awk -v mark="<!-- $1 -->" '
        $0 == mark { marked = 1; next }
        marked && /^```/ { if (inside) exit; inside = 1; next }
        inside { print }
    ' README.md
}

begin=$SECONDS
# step NAME COMMAND: runs a command as a shell does.
step() {
    local start=$SECONDS
    echo "== $1: $2"
    bash -c "$2"
    echo "== $1 took $((SECONDS - start)) s"
}

quickstart=$(readme quickstart-command)
step install "$(readme install-command)"
step quickstart "${quickstart/\/tmp\/quickstart/$work/quickstart}"
step "own images" ".venv/bin/python -m examples.own_images --output_dir=$out"
test -s "$out/report.html"
step runner ".venv/bin/python -c \
    \"import tsn_keras; tsn_keras.lite.copy_runner('$out')\""
step device "python3 -m venv $work/device &&
    $work/device/bin/pip install -q ai-edge-litert numpy"
cd "$out"
step "what the bundle holds" \
    "$work/device/bin/python runner.py all_tasks.tflite"
step "a prediction" "$work/device/bin/python -c \"
import numpy as np
from runner import TaskRunner
runner = TaskRunner('all_tasks.tflite')
runner.select('patterns')
scores = runner.predict(np.zeros([1, *runner.inputs[0]['shape'][1:]], 'float32'))
print(runner.labels[scores[0].argmax()])
\""
total=$((SECONDS - begin))
echo "== the first hour took $total s"
if ((total >= 600)); then
    echo "== that is ten minutes or more"
    exit 1
fi
