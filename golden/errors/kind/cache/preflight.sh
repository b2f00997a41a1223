#!/bin/sh
set -eu
echo widget
