"""HAProxy in front of the APIs, configured as docs/operations/several-hosts.md recommends."""

from .host import Host

PORT = 8080
CONFIGURATION = """
global
    maxconn 1000
    stats socket {folder}/socket mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout check 5s
    timeout client 60s
    timeout server 60s
    timeout queue 10s
    option redispatch
    retries 3
    retry-on conn-failure empty-response 503
frontend front
    bind :{port}
    default_backend apis
backend apis
    balance roundrobin
    http-response set-header x-served-by %s
    option httpchk GET /readyz
    default-server check inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


def start(host: Host, apis: list[Host]) -> None:
    servers = "\n".join(f"    server {api.name} {api.address}:8080" for api in apis)
    file = host.folder / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(folder=host.folder, port=PORT, servers=servers))
    host.start("haproxy", "haproxy", "-db", "-f", file, environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
