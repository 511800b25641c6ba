#!/bin/sh
# A prolog of Slurm: a node whose devices compute wrong is drained before a job begins on it. Every node has a copy of
# it that may be executed (chmod 755), and slurm.conf says:
#
#     Prolog=/etc/slurm/soak_prolog.sh
#     PrologFlags=Alloc,DeferBatch                 # on all nodes of a job before it begins, not before a first step
#     SchedulerParameters=nohold_on_prolog_fail    # a batch job goes elsewhere, after 2 minutes; else it is held
#
# Slurm drains a node whose prolog's exit code isn't 0. Only a device that is wrong, lost or slow is that (1); a soak
# that can't be made at all (2: a device is another's; 127: accelmnist isn't there) leaves the node be, for that is no
# fault of a device. Slurm runs a prolog without arguments, without a PATH, and keeps nothing that it prints: `sinfo -R`
# says "Prolog error". So all that it needs is set here, and what was found is in the system's log.
PATH=/opt/accelmnist/bin:/usr/bin:/bin
# The GPUs of this job, none of another that runs here. Where Slurm gives whole nodes and names no GPUs: leave it out.
CUDA_VISIBLE_DEVICES=${SLURM_JOB_GPUS:-}
export PATH CUDA_VISIBLE_DEVICES
said=$(accelmnist soak --for 20s --synthetic --no-save --quiet 2>&1)
code=$?
logger -t accelmnist "job ${SLURM_JOB_ID:-?}: exit code $code: $said"
[ "$code" -ne 1 ]
