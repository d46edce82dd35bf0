#!/bin/sh
# Builds the libraries that wheels and SDKs contain and prints the folder that has them; fast when they are built.
# Usage: third-party.sh linux-x64|linux-arm64|windows-x64 [python|python-headers]
#
#   include/  lib/lib{opus,crypto}.a  lib/pkgconfig/  licenses/   static libraries for the target (always)
#   python/                   with "python" (linux-x64): CPython with its standard library, works in any folder
#   python/include/ and lib/  with "python-headers" (windows-x64): CPython's headers and the import library python3.dll
#
# The sources are the upstream tarballs of Debian's source packages, pinned in the table below. The script needs:
#   linux-x64, linux-arm64   the Python package ziglang (in $PYTHON, by default python3), whose C compiler links against
#                            glibc 2.28
#   windows-x64              Debian's gcc-mingw-w64-x86-64-posix
#   all                      make, perl, pkg-config, xz-utils, binutils, and apt (or the tarballs)
#
#   PYTHON                      the Python that has ziglang
#   BASS_WEBRTC_SOURCES         a folder with tarballs, searched first
#   BASS_WEBRTC_DEBIAN_MIRROR   URL of a Debian mirror; by default the first one that apt uses here
#   BASS_WEBRTC_CACHE           where results are kept (by default ~/.cache/bass-webrtc)
set -eu

# name, tarball (below pool/main/ of a Debian mirror), SHA-256
sources='
opus     o/opus/opus_1.6.1.orig.tar.xz                    001ac615b9f8f8994b229ad2b1a5969ed12ab48b0d154d0af1016a5899cd6ba1
openssl  o/openssl/openssl_3.5.7.orig.tar.gz              a8c0d28a529ca480f9f36cf5792e2cd21984552a3c8e4aa11a24aa31aeac98e8
python   p/python3.13/python3.13_3.13.5.orig.tar.xz       93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640
zlib     z/zlib/zlib_1.3.dfsg+really1.3.1.orig.tar.gz     60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb
libffi   libf/libffi/libffi_3.4.4.orig.tar.gz             d66c56ad259a82cf2a9dfc408b32bf5da52371500b84745f7fb8b645712df676
'

usage() {
    echo "usage: $0 linux-x64|linux-arm64|windows-x64 [python (linux-x64) | python-headers (windows-x64)]" >&2
    exit 2
}

[ $# -ge 1 ] && [ $# -le 2 ] || usage
target=$1
component=${2:-}
case $target in
linux-x64) machine=x86_64-linux-gnu openssl_target=linux-x86_64 components=python ;;
linux-arm64) machine=aarch64-linux-gnu openssl_target=linux-aarch64 components= ;;
windows-x64) machine=x86_64-w64-mingw32 openssl_target=mingw64 components=python-headers ;;
*) usage ;;
esac
[ -z "$component" ] || [ "$component" = "$components" ] || usage

fail() {
    echo "third-party.sh: $*" >&2
    exit 1
}

# Only what is written here decides how the libraries are built.
unset CFLAGS CPPFLAGS CXXFLAGS LDFLAGS LIBS MAKEFLAGS MFLAGS GNUMAKEFLAGS CONFIG_SITE PKG_CONFIG_PATH

case $target in
windows-x64)
    CC=$machine-gcc-posix AR=$machine-ar RANLIB=$machine-ranlib
    command -v "$CC" >/dev/null || fail "$CC is missing (Debian: gcc-mingw-w64-x86-64-posix)"
    compiler=$(cat "$("$CC" -print-file-name=libgcc.a)" "$("$CC" -print-file-name=libmingwex.a)" | sha256sum)
    ;;
*)
    zig=$("${PYTHON:-python3}" -c 'import ziglang, os; print(os.path.dirname(ziglang.__file__) + "/zig")' 2>/dev/null) ||
        fail "${PYTHON:-python3} has no module ziglang; install it (pip install ziglang) or set PYTHON to one that has it"
    # Names without a folder, because OpenSSL and Python record them.
    CC=zig-cc AR=zig-ar RANLIB=zig-ranlib
    compiler=$("$zig" version)
    ;;
esac

cache=${BASS_WEBRTC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bass-webrtc}
case $cache in
/*) ;;
*) cache=$PWD/$cache ;;
esac
case $cache in
*[[:space:]]*) fail "the cache is $cache, but configure scripts refuse spaces; set BASS_WEBRTC_CACHE to another folder" ;;
esac
key=$({
    cat "$0"
    echo "$compiler"
} | sha256sum | cut -c1-12)
prefix=$cache/third-party/$target-$key
log=$prefix.log
case $component in
python) result=$prefix/python/bin/python3.13 ;;
python-headers) result=$prefix/python/include/Python.h ;;
*) result=$prefix/lib/libopus.a ;;
esac
if [ -e "$result" ]; then
    touch "$prefix"
    echo "$prefix"
    exit 0
fi

mkdir -p "$cache/third-party" "$cache/sources" ||
    fail "the cache $cache cannot be written; set BASS_WEBRTC_CACHE to another folder"
# Another process may build the same at this time: wait for it. The lock ends with this process.
exec 9>"$cache/third-party/$target.lock"
flock 9
if [ -e "$result" ]; then
    echo "$prefix"
    exit 0
fi
rm -rf "$cache/third-party/.$target-"* # what a killed process left
# What no build has used for a week.
find "$cache/third-party" -maxdepth 1 -name "$target-*" -mtime +7 -exec rm -rf {} +
work=$(mktemp -d "$cache/third-party/.$target-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
jobs=$(nproc)

# run COMMAND...: with its output in the log, whose end is shown when the command fails.
run() {
    echo "+ $*" >>"$log"
    "$@" >>"$log" 2>&1 9>&- || {
        tail -n 30 "$log" >&2
        fail "$1 failed; the whole output is in $log"
    }
}

# ------------------------------------------------------------------ sources

check() { # check FILE SHA256
    actual=$(sha256sum "$1" | cut -d' ' -f1)
    [ "$actual" = "$2" ] || fail "$1 has SHA-256 $actual, expected $2; delete it and try again"
}

# unpack NAME: fetches and checks its tarball, unpacks it to $work/NAME and sets $version.
unpack() {
    set -- "$1" $(echo "$sources" | sed -n "s/^$1  *//p")
    file=${2##*/}
    version=${file#*_}
    version=${version%.orig.tar.*}
    if [ -f "${BASS_WEBRTC_SOURCES:-}/$file" ]; then
        tarball=$BASS_WEBRTC_SOURCES/$file
    else
        tarball=$cache/sources/$file
        [ -f "$tarball" ] || download "$1" "$2" "$3" "$tarball"
    fi
    check "$tarball" "$3"
    rm -rf "${work:?}/$1"
    mkdir "$work/$1"
    tar -xf "$tarball" -C "$work/$1" --strip-components=1
}

download() { # download NAME PATH SHA256 FILE
    helper=/usr/lib/apt/apt-helper
    [ -x $helper ] || fail "$helper, which downloads ${4##*/}, is missing; put the file into a folder and set" \
        "BASS_WEBRTC_SOURCES to it"
    mirror=${BASS_WEBRTC_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' |
        grep -v -e -security | head -n 1)}
    [ -n "$mirror" ] || fail "apt has no Debian mirror configured; set BASS_WEBRTC_DEBIAN_MIRROR to the URL of one"
    url=$mirror/pool/main/$2
    $helper download-file "$url" "$work/${4##*/}" "SHA256:$3" >&2 || fail "cannot download $url (see above).
If the server says 404, Debian has replaced this version of $1: it keeps only those of its current suites. Either get
the file from Debian's snapshot archive, put it into a folder and set BASS_WEBRTC_SOURCES to that folder; or move the
pin: 'apt-cache showsrc' of a current suite names the new .orig.tar file and its SHA-256 for the table in $0"
    mv "$work/${4##*/}" "$4"
}

# ------------------------------------------------------------------ compilers

# The archives become part of a shared library whose own functions alone are visible.
flags='-O3 -ffunction-sections -fdata-sections'
if [ "$target" = windows-x64 ]; then
    # Without checks that need libssp, which would be one more DLL.
    flags="$flags -D_FORTIFY_SOURCE=0 -fno-stack-protector"
else
    mkdir "$work/bin"
    for tool in "cc -target $machine.2.28" ar ranlib; do
        printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$zig" "$tool" >"$work/bin/zig-${tool%% *}"
    done
    chmod +x "$work"/bin/*
    export ZIG_GLOBAL_CACHE_DIR="$cache/zig" ZIG_LOCAL_CACHE_DIR="$work/zig" PATH="$work/bin:$PATH"
    flags="$flags -g0 -fPIC -fvisibility=hidden -fno-sanitize=undefined"
fi
export CC AR RANLIB SOURCE_DATE_EPOCH=1735689600
new=$work/new # becomes the prefix

# pc NAME LIBRARIES: for what was unpacked last
pc() {
    cat >"$new/lib/pkgconfig/$1.pc" <<END
prefix=\${pcfiledir}/../..
Name: $1
Description: static library for bass-webrtc
Version: $version
Cflags: -I\${prefix}/include
Libs: -L\${prefix}/lib $2
END
}

# ------------------------------------------------------------------ libcrypto, libopus

# What the core uses is AES (CTR, GCM), SHA-1 and HMAC. The library reads no configuration file and leaves
# the process's exit alone, because it is one part of somebody else's program.
crypto_options='no-shared no-module no-dso no-tests no-apps no-docs no-makedepend no-engine no-legacy no-autoload-config
    no-atexit no-pinshared no-async no-thread-pool no-sock no-ui-console no-winstore no-http no-comp no-tls no-dtls
    no-quic no-srtp no-psk no-srp no-nextprotoneg no-ssl-trace no-ct no-cmp no-cms no-ocsp no-ts no-rfc3779 no-ec no-dh
    no-dsa no-ml-dsa no-ml-kem no-slh-dsa no-sm2 no-sm3 no-sm4 no-argon2 no-aria no-bf no-blake2 no-camellia no-cast
    no-chacha no-cmac no-des no-idea no-md4 no-mdc2 no-ocb no-poly1305 no-rc2 no-rc4 no-rmd160 no-scrypt no-seed
    no-siphash no-siv no-whirlpool'

openssl() { # openssl MAKE_TARGETS OPTION...: builds in $work/openssl
    make_targets=$1
    shift
    cd "$work/openssl"
    run ./Configure "$openssl_target" "$@" --prefix=/usr --openssldir=/etc/ssl --libdir=lib "CFLAGS=$flags"
    run make -s -j"$jobs" build_generated
    # shellcheck disable=SC2086 # Word splitting is intended.
    run make -s -j"$jobs" $make_targets
}

build_libraries() {
    mkdir -p "$new/include/openssl" "$new/include/opus" "$new/lib/pkgconfig" "$new/licenses"

    unpack openssl
    # shellcheck disable=SC2086 # Word splitting is intended.
    openssl libcrypto.a $crypto_options
    cp include/openssl/*.h "$new/include/openssl"
    cp libcrypto.a "$new/lib"
    cp LICENSE.txt "$new/licenses/openssl.txt"
    case $target in
    windows-x64) system='-lws2_32 -lgdi32 -lcrypt32 -ladvapi32 -luser32' ;;
    *) system='-ldl -pthread' ;;
    esac
    pc libcrypto "-lcrypto $system"

    # With the models that conceal loss (deep PLC) and enhance speech (OSCE). DRED, which no browser negotiates, would
    # add 0.6 MB.
    unpack opus
    cd "$work/opus"
    dot_product=-mcpu=generic+dotprod # zig's way to say -march=armv8.2-a+dotprod
    run ./configure --host="$machine" --disable-shared --disable-doc --disable-extra-programs --disable-hardening \
        --enable-deep-plc --enable-osce "CPPFLAGS=-DOPUS_EXPORT=" "CFLAGS=$flags" \
        "ARM_DOTPROD_INTR_CFLAGS=$dot_product"
    run make -s -j"$jobs" libopus.la
    cp include/opus*.h "$new/include/opus"
    cp .libs/libopus.a "$new/lib"
    cp COPYING "$new/licenses/opus.txt"
    pc opus '-lopus -lm'

    rm -rf "$prefix"
    mv "$new" "$prefix"
}

# ------------------------------------------------------------------ CPython

# What Python's ssl and hashlib use in addition; still without a configuration file of the machine.
ssl_options='no-shared no-module no-dso no-tests no-apps no-docs no-makedepend no-engine no-legacy no-autoload-config
    no-atexit no-pinshared no-async no-thread-pool no-winstore no-comp no-dtls no-quic no-srtp no-srp no-nextprotoneg
    no-ssl-trace no-ct no-cmp no-cms no-ocsp no-http no-ts no-rfc3779 no-ml-dsa no-slh-dsa no-sm2 no-sm3 no-sm4
    no-argon2 no-aria no-bf no-camellia no-cast no-idea no-md4 no-mdc2 no-ocb no-rc2 no-rc4 no-rmd160 no-seed no-siphash
    no-siv no-whirlpool'

# Modules that need a library which is not built here, or that no server needs.
left_out='_tkinter _curses _curses_panel _sqlite3 _bz2 _lzma _dbm _gdbm readline _uuid nis'

build_python() {
    deps=$work/deps
    mkdir -p "$deps/include" "$deps/lib"

    unpack openssl
    # The certificates of the machine: /etc/ssl/certs of Debian, Ubuntu, Arch, openSUSE and Fedora 43 is indexed; older
    # Fedora, RHEL and its relatives have one file.
    bundle=/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
    sed -i "s|\(define X509_CERT_FILE *\)OPENSSLDIR \"/cert.pem\"|\1\"$bundle\"|" \
        "$work/openssl/include/internal/common.h"
    grep -q "X509_CERT_FILE.*$bundle" "$work/openssl/include/internal/common.h" ||
        fail "OpenSSL defines X509_CERT_FILE in another place now; adapt build_python"
    # shellcheck disable=SC2086 # Word splitting is intended.
    openssl "libcrypto.a libssl.a" $ssl_options
    cp -r include/openssl "$deps/include"
    cp libcrypto.a libssl.a "$deps/lib"

    unpack zlib
    cd "$work/zlib"
    run env "CFLAGS=$flags" ./configure --static
    run make -s -j"$jobs" libz.a
    cp zlib.h zconf.h "$deps/include"
    cp libz.a "$deps/lib"

    unpack libffi
    cd "$work/libffi"
    # This version calls a function of its own that no header declares.
    run ./configure --host="$machine" --disable-shared --disable-docs --disable-multi-os-directory "--prefix=$deps" \
        "CFLAGS=$flags -Wno-implicit-function-declaration"
    run make -s -j"$jobs" install

    # All modules are part of libpython, which needs only glibc: nothing in the folder has to find anything else in it.
    unpack python
    mkdir "$work/python/build"
    cd "$work/python/build"
    for module in $left_out; do
        export "py_cv_module_$module=n/a"
    done
    run env MODULE_BUILDTYPE=static PKG_CONFIG=false \
        "OPT=-DNDEBUG -O3 -g0 -fwrapv -fno-sanitize=undefined -Wno-date-time" \
        "ZLIB_CFLAGS=-I$deps/include" "ZLIB_LIBS=-L$deps/lib -lz" \
        "LIBFFI_CFLAGS=-I$deps/include" "LIBFFI_LIBS=-L$deps/lib -lffi" \
        ../configure --prefix=/usr --enable-shared --without-static-libpython --without-ensurepip \
        --disable-test-modules --with-openssl="$deps" "LIBS=-ldl -pthread" \
        "LDFLAGS=-Wl,-Bsymbolic -Wl,--gc-sections -Wl,-rpath,'\$\$ORIGIN/../lib'"
    sed -i 's/-Wl,-h/-Wl,-soname,/' Makefile # zig knows only the long name
    run make -s -j"$jobs" python pybuilddir.txt PY3LIBRARY=

    # What "make install" does, without tests, programs and compiled files.
    made=$work/made
    mkdir -p "$made/bin" "$made/include" "$made/lib/python3.13/lib-dynload"
    cp python "$made/bin/python3.13"
    cp libpython3.13.so.1.0 "$made/lib"
    strip --strip-unneeded "$made/bin/python3.13" "$made/lib/libpython3.13.so.1.0"
    cp -r ../Include "$made/include/python3.13"
    cp pyconfig.h "$made/include/python3.13"
    cp -r ../Lib/. "$made/lib/python3.13"
    # With the settings of the build, but without the names of this machine's folders.
    cp build/lib.*/_sysconfigdata_*.py "$made/lib/python3.13"
    sed -i "s|$work|/build|g" "$made"/lib/python3.13/_sysconfigdata_*.py
    cd "$made/lib/python3.13"
    rm -rf test idlelib tkinter turtledemo turtle.py ensurepip pydoc_data pydoc.py __phello__ sqlite3 curses dbm
    find . -name __pycache__ -prune -exec rm -rf {} +
    for name in zlib libffi; do
        cp "$work/$name/LICENSE" "$prefix/licenses/$name.txt"
    done
    # The second file has the licenses of what Python contains, such as expat and libmpdec.
    cat "$work/python/LICENSE" "$work/python/Doc/license.rst" >"$prefix/licenses/python.txt"
    mv "$made" "$prefix/python"
}

# The headers of the limited API and what links an extension module with python3.dll.
build_python_headers() {
    unpack python
    made=$work/python-headers
    mkdir -p "$made/lib"
    cp -r "$work/python/Include" "$made/include"
    cp "$work/python/PC/pyconfig.h.in" "$made/include/pyconfig.h"
    {
        echo 'LIBRARY python3.dll'
        echo EXPORTS
        sed -n 's/^EXPORT_FUNC(\(\w*\)).*/    \1/p; s/^EXPORT_DATA(\(\w*\)).*/    \1 DATA/p' "$work/python/PC/python3dll.c"
    } >"$work/python3.def"
    run "$machine-dlltool" -d "$work/python3.def" -l "$made/lib/libpython3.dll.a"
    cp "$work/python/LICENSE" "$prefix/licenses/python.txt"
    mv "$made" "$prefix/python"
}

start=$(date +%s)
: >"$log"
[ -e "$prefix/lib/libopus.a" ] || build_libraries
case $component in
python) build_python ;;
python-headers) build_python_headers ;;
esac
echo "third-party.sh: built for $target in $(($(date +%s) - start)) s" >&2
echo "$prefix"
