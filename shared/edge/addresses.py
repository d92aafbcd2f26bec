"""Where a call comes from."""

import ipaddress


def client_address(forwarded_for: str, peer: str) -> str:
    """The client's address as the load balancer saw it.

    Google's load balancer appends "<client ip>,<its own ip>" to whatever the client sent, so only the last but one
    entry is not the client's own claim. Without a load balancer before us it is the peer.
    https://cloud.google.com/load-balancing/docs/https#x-forwarded-for_header
    """
    entries = [entry.strip() for entry in forwarded_for.split(",")]
    found = _find_address(entries[-2]) if len(entries) > 1 else None
    return found or _find_address(peer) or "0.0.0.0"


def client_network(address: str) -> str:
    """The /24 of an IPv4 address, the /64 of an IPv6 one: what limits count."""
    bits = 24 if "." in address and ":" not in address else 64
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))


def _find_address(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address).partition("%")[0]
