#!/bin/sh
# ollama-start.sh DIR PORT: start the Ollama that ollama-install.sh put under DIR on 127.0.0.1:PORT,
# wait until it answers, print its process id.
#
# The environment passes through (OLLAMA_NUM_PARALLEL, OLLAMA_MAX_QUEUE, OLLAMA_KEEP_ALIVE, ...).
# PRELOAD=tiny loads a model before returning. Stop it with `kill PID`: streams are cut, the runner goes
# too. A crash is `kill -KILL -- -PID`; without the minus the runner process is left behind.
set -eu

[ $# = 2 ] || { echo "usage: $0 DIR PORT" >&2; exit 2; }
dir=$(cd "$1" && pwd)
port=$2
base=http://127.0.0.1:$port
log=$dir/serve-$port.log

mkdir -p "$dir/home"
if curl -s -o /dev/null "$base/"; then
    echo "$0: port $port is in use" >&2
    exit 1
fi

# setsid: server and runner form one process group, which is what a crash test kills.
HOME=$dir/home OLLAMA_MODELS=$dir/models OLLAMA_HOST=127.0.0.1:$port OLLAMA_NO_CLOUD=1 \
    GIN_MODE=release OLLAMA_KEEP_ALIVE=${OLLAMA_KEEP_ALIVE:-30m} \
    setsid "$dir/bin/ollama" serve >"$log" 2>&1 </dev/null &
pid=$!

tries=0
until curl -fs -o /dev/null "$base/api/version"; do
    tries=$((tries + 1))
    if [ $tries -gt 100 ] || ! kill -0 $pid 2>/dev/null; then
        tail -n 5 "$log" >&2
        kill $pid 2>/dev/null || :
        exit 1
    fi
    sleep 0.1
done

if [ -n "${PRELOAD:-}" ]; then
    curl -fsS -o /dev/null "$base/api/generate" -d "{\"model\":\"$PRELOAD\"}"
fi
echo $pid >"$dir/serve-$port.pid"
echo $pid
