#!/bin/sh
# Installs missing Debian packages and lists them. Usage: debian-packages.sh build|check|packages|test
# Fast when nothing is missing. Without apt-get, it lists the required packages and succeeds.
set -eu

python=${PYTHON:-python3}
packages="gcc libc6-dev pkg-config libopus-dev libssl-dev"
# A compiler for Windows, what builds the libraries and CPython that packages contain, and what checks the signatures of
# a Python for Windows.
for_packages="gcc-mingw-w64-x86-64-posix make perl xz-utils osslsigncode"
case ${1:-build} in
build) ;;
check) packages="$packages clang-format" ;;
packages) packages="$packages $for_packages" ;;
# Browsers for the page, clang for sanitizers and fuzzers, PulseAudio as a virtual sound card, network namespaces and
# NATs, a TURN server, the openssl program as a DTLS peer, GStreamer as publisher and player, a voice for the benchmarks,
# C++, C#, Pascal and valgrind for programs that use the C library, Janus as a foreign media server, opusdec for recordings,
# nginx and Caddy for the configurations in docs/, Wine and C++ for Windows programs, QEMU for the Raspberry Pi wheel.
test)
    packages="$packages chromium firefox-esr clang libclang-rt-dev clang-format"
    packages="$packages pulseaudio pulseaudio-utils libasound2-plugins iproute2 nftables coturn openssl"
    packages="$packages simple-whip-client gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
    packages="$packages gstreamer1.0-plugins-bad gstreamer1.0-nice python3-gi gir1.2-gst-plugins-bad-1.0"
    packages="$packages espeak-ng janus opus-tools"
    packages="$packages g++ valgrind mono-mcs fp-compiler nginx-light caddy"
    packages="$packages $for_packages g++-mingw-w64-x86-64-posix wine wine64 qemu-user-static"
    ;;
*)
    echo "usage: $0 build|check|packages|test" >&2
    exit 2
    ;;
esac

# Debian splits headers and ensurepip from its Python; other builds include them.
if ! command -v "$python" >/dev/null; then
    packages="$packages python3 python3-venv python3-dev"
else
    "$python" -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"
    "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
        packages="$packages python3-dev"
fi

if ! command -v apt-get >/dev/null; then
    echo "apt-get not found; install these packages (Debian names): $packages" >&2
    exit 0
fi

# shellcheck disable=SC2086 # Word splitting is intended.
installed=$(dpkg-query -W -f '${Package}=${db:Status-Status} ' $packages 2>/dev/null || true)
missing=
for package in $packages; do
    case " $installed" in
    *" $package=installed "*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "missing packages, and no sudo to install them:$missing" >&2
        echo "As root: apt-get install$missing" >&2
        exit 1
    }
    root=sudo
fi
echo "Installing Debian packages:$missing" >&2
# shellcheck disable=SC2086 # Word splitting is intended.
{
    $root apt-get update -q
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
} >&2
