#!/bin/sh
# Puts HAProxy for the load-balancer tests into .tools/haproxy/ of this project. See from-debian.sh.
#
# usage: tests/get-haproxy.sh [--optional]
#
# With --optional, a missing HAProxy is reported and is no failure; tests that need it are skipped.
set -eu

name=haproxy
programs=haproxy
version=-v
packages="haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0"
. "$(dirname -- "$0")/from-debian.sh"
