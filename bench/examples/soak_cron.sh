#!/bin/sh
# A soak every night by cron, which sends a mail if it prints anything: so it prints only what is wrong.
#
#     PATH=/opt/accelmnist/bin:/usr/bin:/bin
#     0 2 * * *  sh /opt/accelmnist/soak_cron.sh /var/lib/accelmnist --for 30m
#
# The first argument is the folder of all soaks, the others are options of `accelmnist soak`. One that was stopped goes
# on the next night. The exit code is that of the soak: 0 all is as it should be, 1 a device is wrong, lost or slow.
folder=$1
shift
mkdir -p "$folder" && cd "$folder" || exit 2
stopped=$(grep -ls '^  "status": "\(running\|interrupted\)"' */soak.json | tail -n 1)
if [ -n "$stopped" ]; then
    said=$(accelmnist soak --resume "$(dirname "$stopped")" --quiet 2>&1)
else
    said=$(accelmnist soak --out "$(date +%Y%m%d-%H%M%S)" --quiet "$@" 2>&1)
fi
code=$?
[ "$code" -eq 0 ] || echo "$said"
exit "$code"
