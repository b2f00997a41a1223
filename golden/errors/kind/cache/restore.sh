#!/bin/sh
set -eu
cat "$HOLDFAST_INPUT"
