#!/bin/sh
# A step of `git bisect run`: is the trainer that is checked out slower than a good one, both measured in the same rounds?
#
#     git worktree add ../good GOOD
#     git bisect start BAD GOOD
#     git bisect run sh …/bench/examples/gate.sh 'python ../good/trainer.py' 'python trainer.py' [options of bench]
#
# To bisect accelmnist, the two are 'PYTHONPATH=../good python' and "PYTHONPATH=$PWD python". SHARE=5% is what counts as
# slower; 2% if it isn't set. The exit code is 0 if it is as fast, 1 if it is slower, and 125, which has git leave the
# commit out, if that can't be told: it doesn't start, is wrong, or needs a longer --time-limit.
good=$1 new=$2
shift 2
share=${SHARE:-2%}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
accelmnist bench --beside "good=$good" --beside "new=$new" --engines eager --mode training --batch-sizes 256 \
    --out "$out/bench" --quiet "$@" >&2
said=$(accelmnist compare "$out/bench:good" "$out/bench:new" --fail-on "$share" --threshold "$share" --json)
code=$?
case "$code $said" in
    1*) exit 1 ;;
    0*'"outcome": "ambiguous"'*) exit 125 ;;
    0*) exit 0 ;;
    *) exit 125 ;;
esac
