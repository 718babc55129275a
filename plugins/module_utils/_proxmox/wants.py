# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What a user wants of one key of a guest's configuration. Pure: each knows its value, given the current one.

An option that is not given is left alone. An option that is given is made exactly so; parts of a property string that are
not given (a network's address, a disk's volume) are carried over.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props


class Want(t.Protocol):
    """One wanted key."""

    def value(self, current: str | None) -> str | None:
        """Return the whole value that the key should have; ``None`` if the key should not be there."""

    def same(self, left: str | None, right: str | None) -> bool:
        """Whether two values mean the same."""

    def show(self, value: str | None) -> t.Any:
        """Return *value* as a diff shows it."""


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A number, word or property string, compared by meaning; *default* is what an absent key means."""

    wanted: str
    default: str | None = None

    def value(self, current: str | None) -> str | None:
        """The wanted one."""
        return self.wanted

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare with the default in the place of an absent key."""
        same = props.same_value if self.default in ("0", "1") else props.same_scalar
        return same(self.default if left is None else left, self.default if right is None else right)

    def show(self, value: str | None) -> t.Any:
        """As it is."""
        return value


@dataclasses.dataclass(frozen=True)
class Text(Scalar):
    """Free text, the server may add a line end. Empty text removes the key."""

    def value(self, current: str | None) -> str | None:
        """The wanted one, without the line end."""
        return self.wanted.rstrip() or None

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare without line ends."""
        return (left or "").rstrip() == (right or "").rstrip()


@dataclasses.dataclass(frozen=True)
class Part:
    """One property of a property string, such as ``enabled`` of ``agent``; the others are carried over."""

    key: str
    wanted: str
    default: str | None = None

    def value(self, current: str | None) -> str | None:
        """The current string with this property."""
        found = props.parse_properties(current or "", self.key)
        found[self.key] = self.wanted
        return props.format_properties(found, self.key)

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare this property only."""
        return props.same_scalar(self._own(left), self._own(right))

    def _own(self, value: str | None) -> str | None:
        return props.parse_properties(value or "", self.key).get(self.key, self.default)

    def show(self, value: str | None) -> t.Any:
        """As it is."""
        return value


@dataclasses.dataclass(frozen=True)
class Tags:
    """The exact set of tags."""

    wanted: frozenset[str]

    def value(self, current: str | None) -> str | None:
        """The set as Proxmox stores it."""
        return props.format_tags(self.wanted) or None

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare sets."""
        return props.parse_tags(left) == props.parse_tags(right)

    def show(self, value: str | None) -> t.Any:
        """A sorted list."""
        return None if value is None else sorted(props.parse_tags(value))


@dataclasses.dataclass(frozen=True)
class SshKeys:
    """The exact list of public keys for the cloud-init user."""

    wanted: tuple[str, ...]

    def value(self, current: str | None) -> str | None:
        """The keys percent-encoded, as the API wants them."""
        return props.encode_ssh_keys(self.wanted) or None

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare the decoded keys, in any order."""
        return set(props.decode_ssh_keys(left)) == set(props.decode_ssh_keys(right))

    def show(self, value: str | None) -> t.Any:
        """The decoded keys."""
        return None if value is None else props.decode_ssh_keys(value)


@dataclasses.dataclass(frozen=True)
class Words:
    """A list in one string (name servers, search domains), compared item by item."""

    wanted: tuple[str, ...]

    def value(self, current: str | None) -> str | None:
        """The items with blanks between them."""
        return " ".join(self.wanted) or None

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare items in order."""
        return props.parse_words(left) == props.parse_words(right)

    def show(self, value: str | None) -> t.Any:
        """A list."""
        return None if value is None else props.parse_words(value)


@dataclasses.dataclass(frozen=True)
class IpConfig:
    """The addresses of one network device; exact."""

    wanted: t.Mapping[str, str]

    def value(self, current: str | None) -> str | None:
        """The property string, in the order of Proxmox' documentation."""
        return ",".join(f"{key}={self.wanted[key]}" for key in ("gw", "gw6", "ip", "ip6") if key in self.wanted) or None

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare without regard to order."""
        return props.parse_properties(left or "", "ip") == props.parse_properties(right or "", "ip")

    def show(self, value: str | None) -> t.Any:
        """As it is."""
        return value


@dataclasses.dataclass(frozen=True)
class Network:
    """A network device; what is not given, above all the address, is carried over. Empty values remove a property."""

    wanted: t.Mapping[str, str]

    def value(self, current: str | None) -> str | None:
        """The current device with the wanted properties."""
        found = props.parse_net(current) if current else {"model": "virtio"}
        found.update(self.wanted)
        return props.format_net({key: value for key, value in found.items() if value != ""})

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare property by property."""
        if left is None or right is None:
            return left is right
        return _meaningful_net(left) == _meaningful_net(right)

    def show(self, value: str | None) -> t.Any:
        """The device, with a placeholder for an address that the server makes."""
        if value is None:
            return None
        found = props.parse_net(value)
        address = found.pop("macaddr", props.GENERATED)
        model = found.pop("model")
        return ",".join([f"{model}={address}"] + [f"{key}={found[key]}" for key in sorted(found)])


def _meaningful_net(text: str) -> dict[str, str]:
    """Return the properties without those that say the default."""
    found = props.parse_net(text)
    for key in ("firewall", "link_down"):
        if props.flag(found.get(key, "0")) is False:
            found.pop(key, None)
    return found


@dataclasses.dataclass(frozen=True)
class Absent:
    """A key that may not be there. A disk's volume is kept, as ``unusedN``."""

    def value(self, current: str | None) -> str | None:
        """Nothing."""
        return None

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare presence."""
        return left is right or (left is not None and right is not None)

    def show(self, value: str | None) -> t.Any:
        """As it is."""
        return value


@dataclasses.dataclass(frozen=True)
class Password:
    """The cloud-init user's password. The server shows only that there is one.

    Args:
        wanted: The password.
        always: Write it at every run; otherwise only when the guest is made, or has none.
    """

    wanted: str = dataclasses.field(repr=False)
    always: bool = False

    def value(self, current: str | None) -> str | None:
        """The wanted one."""
        return self.wanted

    def same(self, left: str | None, right: str | None) -> bool:
        """Whether both are there, unless it is to be written always."""
        return left is not None and right is not None and not self.always

    def show(self, value: str | None) -> t.Any:
        """Never the password."""
        return None if value is None else "(a password)"
