#!/bin/sh
# Fetches simple-whip-server, a WHIP front end for Janus, into build/whip-server for the tests. Does nothing if it is there.
# Usage: whip-server.sh NPM. The Debian package is unpacked, not installed: it depends on Debian's nodejs,
# which cannot be installed beside a newer one.
set -eu
npm=${1:-npm}
folder=build/whip-server
[ ! -f "$folder/.complete" ] || exit 0
command -v apt-get >/dev/null && command -v "$npm" >/dev/null || {
    echo "The Janus test needs apt-get and npm; it will be skipped." >&2
    exit 0
}
echo "Fetching simple-whip-server" >&2
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
{
    apt-get download -q -o APT::Sandbox::User=root simple-whip-server
    dpkg-deb -x simple-whip-server_*.deb package
    "$npm" install --silent --no-audit --no-fund --no-package-lock --prefix . \
        express@4 cors@2 colors@1 debug@4 async@3 websocket@1
} >&2
cp package/usr/share/simple-whip-server/src/server.js package/usr/share/simple-whip-server/src/whip-janus.js .
rm -r package simple-whip-server_*.deb
touch .complete
