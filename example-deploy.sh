#!/bin/sh
# Stands in for your deploy script. rules.example.yaml runs it for a push to main: the commit is its argument, the
# event's raw body its standard input.
set -eu
mkdir -p out
echo "deploy $1, pushed by $PUSHED_BY, body of $(wc -c | tr -d ' ') bytes" >>out/deploys.log
