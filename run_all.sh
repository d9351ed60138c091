#!/usr/bin/env bash
# Take archives of rushes through all seven steps. Builds the environments and fetches the models on first use.
#
#   ./run_all.sh --demo                    the footage that comes with Derush
#   ./run_all.sh <folder-or-archive>…      your own
#
# Every option of `derush run` is taken: --steps 1-3,6 --force --dry-run --fail-fast --engine NAME --json, see --help.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/scripts/setup.sh"
derush=$(cd "$here" && envs/.installer/bin/python -m services.environments --home)/bin/derush
case " $* " in
*" --help "*) ;;
*) "$derush" models fetch --quiet ;;
esac
exec "$derush" run "$@"
