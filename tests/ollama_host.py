"""Print where the `ollama` command would look for its server when OLLAMA_HOST is the first argument (envconfig.Host and
ConnectableHost of Ollama 0.24): a server that listens on every address is asked on loopback."""

import ipaddress
import sys


def connectable(text):
    text = text.strip().strip("\"'").strip()
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest, default = "http", text, "11434"
    else:
        default = {"http": "80", "https": "443"}.get(scheme, "11434")
    place = rest.partition("/")[0]
    host, port = place.strip("[]"), ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host, colon, port = place.rpartition(":")
        if not colon:
            host, port = place, ""
        host = host.strip("[]")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        port = default
    # A server told "localhost" listens on 127.0.0.1 alone; as a replica the name would be ::1 as well.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}.get(host, host)
    return "%s://%s:%s" % (scheme, "[%s]" % host if ":" in host else host, port)


if __name__ == "__main__":
    print(connectable(sys.argv[1] if len(sys.argv) > 1 else ""))
