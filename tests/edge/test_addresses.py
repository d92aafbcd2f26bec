import pytest

from shared.edge.addresses import client_address, client_network


@pytest.mark.parametrize(
    ("forwarded_for", "expected"),
    [
        ("198.51.100.7,203.0.113.1", "198.51.100.7"),
        ("198.51.100.7, 203.0.113.1", "198.51.100.7"),
        ("1.1.1.1,8.8.8.8,198.51.100.7,203.0.113.1", "198.51.100.7"),  # what the client claims stands to the left
        ("unknown,198.51.100.7,203.0.113.1", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6,203.0.113.1", "2001:db8:1:2:3:4:5:6"),
        ("::ffff:198.51.100.7,203.0.113.1", "198.51.100.7"),
        ("", "127.0.0.1"),
        ("198.51.100.7", "127.0.0.1"),  # one entry was written by the client alone
        ("1.1.1.1,nonsense,203.0.113.1", "127.0.0.1"),
        ("1.1.1.1,,203.0.113.1", "127.0.0.1"),
    ],
)
def test_the_clients_address_is_the_entry_before_the_load_balancers(forwarded_for: str, expected: str) -> None:
    assert client_address(forwarded_for, "127.0.0.1") == expected


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0".partition("%")[0], "fe80::/64"),
    ],
)
def test_a_network_is_what_limits_count(address: str, network: str) -> None:
    assert client_network(address) == network


def test_a_peer_without_an_address_has_one_all_the_same() -> None:
    assert client_network(client_address("", "")) == "0.0.0.0/24"
