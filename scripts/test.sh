#!/usr/bin/env bash
# Pass every check: lint, types, import contracts, and the tests, each step's under that step's own interpreter.
# Prepares what it needs (environments with their development extras, models). Arguments go to the pytest of `env`.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh --dev
base=$(dirname "$(envs/.installer/bin/python -m services.environments --home)")
env=$base/env/bin
"$env/derush" models fetch --quiet
"$env/derush" models fetch --quiet whisper-tiny.en # optional, and tested

"$env/ruff" format --check .
"$env/ruff" check .
# Types are checked against the libraries that are really there: a step's under its own environment.
steps=workflow_scripts/step
"$env/mypy" config services web scripts workflow_scripts/stepkit "${steps}1" "${steps}2" "${steps}6" "${steps}7"
"$env/mypy" --python-executable "$base/transnet_env/bin/python" "${steps}3"
"$env/mypy" --python-executable "$base/audio_env/bin/python" "${steps}4"
"$env/mypy" --python-executable "$base/tracking_env/bin/python" "${steps}5"
"$env/lint-imports"

# One report for all interpreters: every pytest appends its counts, the last line adds them up.
report=$(mktemp -d)
trap 'rm -rf "$report"' EXIT
failed=0
run_tests() { # run_tests ENVIRONMENT ARGUMENT...
    local name=$1
    shift
    echo "== tests under $name"
    "$base/$name/bin/python" -m pytest --junit-xml "$report/$name.xml" "$@" || failed=1
}
# Two at a time: most tests wait for processes.
run_tests transnet_env -n 2 tests/steps/step3
run_tests audio_env -n 2 tests/steps/step4
run_tests tracking_env -n 2 tests/steps/step5
# A file stays in one process: its tests may share what one run made.
run_tests env -n 2 --dist loadfile tests/unit tests/integration tests/panel tests/browser tests/steps/step1 tests/steps/step2 tests/steps/step6 tests/steps/step7 "$@"

"$env/python" scripts/count_tests.py "$report"/*.xml
exit "$failed"
