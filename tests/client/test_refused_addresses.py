"""Metadata and link-local addresses are refused in each of their IPv6 notations."""

import ipaddress

import pytest

from router.client.refused_addresses import refused

METADATA = int(ipaddress.IPv4Address("169.254.169.254"))


def behind(prefix: str, length: int, inner: int = METADATA, suffix: int = 0) -> str:
    """An IPv6 address with an embedded IPv4 address (RFC 6052, section 2.2), which skips bits 64 to 71."""
    bits = f"{int(ipaddress.IPv6Address(prefix)):0128b}"[:length] + f"{inner:032b}"
    if length < 96:
        bits = bits[:64] + "0" * 8 + bits[64:]
    return str(ipaddress.IPv6Address(int(bits.ljust(128, "0"), 2) | suffix))


@pytest.mark.parametrize("prefix", ["2001:db8::", "64:ff9b:1::", "fd00:1234:5678::"])
@pytest.mark.parametrize("length", [32, 40, 48, 56, 64, 96])
def test_an_address_behind_a_nat64_prefix_is_recognized(prefix: str, length: int) -> None:
    known = length < 96 or prefix == "64:ff9b:1::"  # a prefix of 96 bits could be any address
    assert refused(behind(prefix, length)) is known
    assert refused(behind(prefix, length, int(ipaddress.IPv4Address("100.100.100.200")))) is known
    assert not refused(behind(prefix, length, int(ipaddress.IPv4Address("203.0.113.7"))))


def test_the_examples_of_the_rfcs_are_recognized() -> None:
    # RFC 6052, section 2.4: 192.0.2.33 behind prefixes of each length.
    written = ["2001:db8:c000:221::", "2001:db8:1c0:2:21::", "2001:db8:122:c000:2:2100::", "2001:db8:122:3c0:0:221::"]
    written += ["2001:db8:122:344:c0:2:2100:0", "2001:db8:122:344::c000:221"]
    prefixes = ["2001:db8::", "2001:db8:100::", "2001:db8:122::", "2001:db8:122:300::"]
    prefixes += ["2001:db8:122:344::", "2001:db8:122:344::"]
    inner = int(ipaddress.IPv4Address("192.0.2.33"))
    lengths = (32, 40, 48, 56, 64, 96)

    assert [behind(prefix, length, inner) for prefix, length in zip(prefixes, lengths, strict=True)] == written


@pytest.mark.parametrize("length", [48, 56, 64, 96])
def test_the_local_nat64_prefix_is_recognized_at_every_length(length: int) -> None:
    assert refused(behind("64:ff9b:1::", length, int(ipaddress.IPv4Address("169.254.7.9"))))
    if length < 64:
        assert refused(behind("64:ff9b:1::", length, suffix=1))


@pytest.mark.parametrize(
    "address",
    [
        *("::a9fe:a9fe", "::ffff:169.254.169.254", "::ffff:0:169.254.1.1", "64:ff9b::a9fe:1"),
        *("2002:a9fe:a9fe::1", "2002:a9fe:1:7::9"),  # 6to4
        *("2001:0:a9fe:a9fe::1", "2001:0:203.0.113.1::".replace("203.0.113.1", "cb00:7101") + "5601:5601"),  # Teredo
        *("2001:db8::5efe:169.254.169.254", "2001:db8::200:5efe:a9fe:1", "2001:db8::100:5efe:a9fe:1"),  # ISATAP
        *("fe80::1", "fe80::a9fe:a9fe%eth0", "fd00:c1::a9fe:a9fe", "fd00:ec2::254", "fd00:a9fe:a9fe::1"),
        *("fd00:42::42", "fd20:ce::254"),
    ],
)
def test_every_spelling_of_a_refused_address_is_refused(address: str) -> None:
    assert refused(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "::1", "2001:db8::1", "fd12::7", "::ffff:10.0.0.1", "64:ff9b::cb00:7107"),
        "2001:db8:1:a9fe::1",  # an address of a network, and one of an interface
        "2001:db8::a9fe:1234",  # the last bits of an interface's address
        "2001:db8:a9fe:a9fe:1:2:3:4",
    ],
)
def test_any_other_address_is_allowed(address: str) -> None:
    assert not refused(address)
