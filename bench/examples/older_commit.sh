#!/bin/sh
# Measures the accelmnist of this checkout beside that of an older commit, each with its own code, by the same Python:
#
#     sh bench/examples/older_commit.sh COMMIT [options of bench, such as --engines eager --fail-on 2%]
#
# The native kernels of `fused` are built there first, which takes a minute or two. If that fails, `fused` is skipped
# there, and says why.
set -eu
commit=$1
shift
older=$(mktemp -d)
trap 'git worktree remove --force "$older"' EXIT
git worktree add --quiet --detach "$older" "$commit"
(cd "$older" && python setup.py --quiet build_ext --inplace) >&2 || echo "no native kernels of $commit" >&2
accelmnist bench --beside "older=PYTHONPATH=$older python" "$@"
