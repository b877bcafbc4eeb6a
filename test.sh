#!/bin/sh
# Runs all tests. Debian packages that they need are installed when they are missing and we may.
set -eu
cd "$(dirname "$0")"

missing=""
need() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need cc gcc
need make make
need kill procps
need script bsdutils
need curl curl
need openssl openssl
need nghttp nghttp2-client
need chromium chromium
# Application servers for lunette/tests/applications; php-cgi does where there is no php-fpm.
ls /usr/sbin/php-fpm* >/dev/null 2>&1 || command -v php-cgi >/dev/null 2>&1 || missing="$missing php-fpm"
need uwsgi uwsgi-core
[ -e /usr/lib/uwsgi/plugins/python3_plugin.so ] || missing="$missing uwsgi-plugin-python3"
need gunicorn gunicorn
need node nodejs
need haproxy haproxy
need memcached memcached
need redis-server redis-server
ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || missing="$missing postgresql"
need setpriv util-linux
/usr/bin/python3 -c 'import grpc' 2>/dev/null || missing="$missing python3-grpcio"
/usr/bin/python3 -c 'import prometheus_client' 2>/dev/null || missing="$missing python3-prometheus-client"
/usr/bin/python3 -c 'import h2' 2>/dev/null || missing="$missing python3-h2"
[ -e /usr/lib/x86_64-linux-gnu/lua/5.1/cjson.so ] || [ -e /usr/lib/aarch64-linux-gnu/lua/5.1/cjson.so ] || missing="$missing lua-cjson"

if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "missing Debian packages:$missing" >&2
        echo "install them, or run this once as root" >&2
        exit 1
    fi
    apt-get update -q
    # The names are separate words.
    # shellcheck disable=SC2086
    apt-get install -y -q --no-install-recommends $missing
fi

# The total comes last, where it is found; a pipe would hide how cargo ended.
out=$(mktemp)
trap 'rm -f "$out" "$out.failed"' EXIT
{ cargo test --workspace --locked --no-fail-fast "$@" || touch "$out.failed"; } 2>&1 | tee "$out"
awk '/^test result:/ { programs++; passed += $4; failed += $6; ignored += $8 }
     END { printf "== %d tests passed, %d failed, %d ignored, in %d programs\n", passed, failed, ignored, programs }' "$out"
[ ! -e "$out.failed" ]
