#!/usr/bin/env bash
# Write the locks envs/*.txt from the specs envs/*.in: one lock for every supported Python, from the public index alone.
# Needs `uv` on the PATH (or as $UV).
set -euo pipefail
cd "$(dirname "$0")/../envs"

lock() { # lock OUTPUT ARGUMENT...: without the lines an override shut out
    local output=$1
    shift
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.10 --no-annotate \
        --custom-compile-command scripts/lock_envs.sh "$@" --output-file "$output"
    sed -i.bak "/sys_platform == 'never'/d" "$output" && rm "$output.bak"
}

for name in env transnet_env audio_env tracking_env; do
    development=dev.in
    [ "$name" = env ] && development=env.dev.in
    lock "$name.txt" "$name.in" --overrides overrides.txt "${@}"
    lock "$name.dev.txt" "$development" --constraints "$name.txt" "${@}"
done

# The CUDA libraries alone: torch and its ordinary requirements stand in each environment's own lock.
lock torch-cuda.txt transnet_env.in "${@}"
grep -E '^(#|cuda-|nvidia-|triton)' torch-cuda.txt >torch-cuda.tmp && mv torch-cuda.tmp torch-cuda.txt
