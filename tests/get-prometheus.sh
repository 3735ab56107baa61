#!/bin/sh
# Puts Prometheus and promtool for the tests of alerts and metrics into .tools/prometheus/ of this project. See from-debian.sh.
#
# usage: tests/get-prometheus.sh [--optional]
#
# With --optional, a missing Prometheus is reported and is no failure; tests that need it are skipped.
set -eu

name=prometheus
programs="prometheus promtool"
version=--version
packages=prometheus
. "$(dirname -- "$0")/from-debian.sh"
