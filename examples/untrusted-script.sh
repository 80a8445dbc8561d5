#!/bin/sh
# Runs a script that somebody sent on a copy of a folder, shows what it would change, and asks before it does:
#   sh examples/untrusted-script.sh ./my-project ./script-from-a-stranger.sh
set -eu
project=$1
script=$2

sandbox=$(croft create "$project" --preset development --memory 1g --pids 200)
trap 'croft rm "$sandbox" >/dev/null' EXIT

croft exec --interactive --timeout 5m "$sandbox" -- sh -s <"$script" || echo "it ended with $?"
croft diff "$sandbox"
printf 'Apply this to %s? [y/N] ' "$project"
read -r answer
[ "$answer" != y ] || croft apply "$sandbox" "$project"
