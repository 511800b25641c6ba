#!/bin/sh
# A prolog of Slurm (slurm.conf: Prolog=…/soak_prolog.sh): a node whose devices compute wrong is drained before a job
# begins on it, and the job goes elsewhere.
#
# Slurm drains the node and queues the job anew if a prolog's exit code isn't 0. Only a device that is wrong, lost or slow
# is that (1); a soak that can't be made at all (2: accelmnist isn't there, a device is another's) leaves the node be,
# for that is no fault of a device. TIME=20s is how long; ACCELMNIST=… is the program.
said=$(${ACCELMNIST:-accelmnist} soak --for "${TIME:-20s}" --no-save --quiet ${DEVICES:+--devices "$DEVICES"} "$@" 2>&1)
code=$?
echo "accelmnist: $said" >&2
[ "$code" -ne 1 ]
