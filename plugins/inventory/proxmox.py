# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: proxmox
short_description: Proxmox VE guests as inventory hosts
version_added: 0.1.0
author:
  - resilient.platform contributors (@resilient-platform)
description:
  - Lists the virtual machines and containers of a Proxmox VE cluster with one request, however many there are (and one to log in
    if a password is used).
  - Groups them by kind, node, status, pool and tag.
  - The name of its configuration file ends in C(proxmox.yml) or C(proxmox.yaml).
  - Everything that the API says is marked as unsafe, and is never evaluated as a template.
extends_documentation_fragment:
  - constructed
  - inventory_cache
  - community.library_inventory_filtering_v1.inventory_filter
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [resilient.platform.proxmox]
  api_host:
    description: Name or address of a node of the cluster.
    type: str
    required: true
    env:
      - name: PROXMOX_HOST
  api_port:
    description: Port of the API.
    type: int
    default: 8006
    env:
      - name: PROXMOX_PORT
  api_user:
    description: User with its realm.
    type: str
    required: true
    env:
      - name: PROXMOX_USER
  api_password:
    description: Password. Not needed with O(api_token_id).
    type: str
    env:
      - name: PROXMOX_PASSWORD
  api_token_id:
    description: Name of an API token of O(api_user).
    type: str
    env:
      - name: PROXMOX_TOKEN_ID
  api_token_secret:
    description: Secret of the token.
    type: str
    env:
      - name: PROXMOX_TOKEN_SECRET
  validate_certs:
    description: Whether the server has to prove who it is.
    type: bool
    default: true
    env:
      - name: PROXMOX_VALIDATE_CERTS
  ca_path:
    description: File with the CA that signed the server's certificate.
    type: path
    env:
      - name: PROXMOX_CA_PATH
  addresses:
    description:
      - Ask the guest agent of each running virtual machine for its addresses, as C(proxmox_addresses). One request more for each.
      - A guest without agent has none.
    type: bool
    default: false
  templates:
    description: Whether templates are hosts, too.
    type: bool
    default: false
  group_prefix:
    description: Prefix of the groups, such as C(proxmox_node_pve1) or C(proxmox_tag_vault).
    type: str
    default: proxmox_
  concurrency:
    description: How many requests may be on their way at once.
    type: int
    default: 6
requirements:
  - proxmoxer >= 2.3.0
  - requests
seealso:
  - module: resilient.platform.proxmox_vm_info
"""

EXAMPLES = r"""
---
# platform.proxmox.yml; PROXMOX_TOKEN_SECRET is in the environment
plugin: resilient.platform.proxmox
api_host: pve.example.com
api_user: inventory@pve
api_token_id: ansible
ca_path: /etc/ssl/pve-root-ca.pem
addresses: true
filters:
  - include: "'platform' in proxmox_tags"
  - exclude: true
compose:
  ansible_host: proxmox_addresses | first
keyed_groups:
  - key: proxmox_pool
    prefix: pool
"""

import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.community.library_inventory_filtering_v1.plugins.plugin_utils.inventory_filter import filter_host, parse_filters
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.argspec import connection_from
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.plugin_utils._proxmox_inventory import (
    HostVars,
    group_names,
    host_names,
    make_unsafe,
    read_hosts,
)

CONNECTION = ("api_host", "api_port", "api_user", "api_password", "api_token_id", "api_token_secret", "validate_certs", "ca_path")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]
    """Reads guests, keeps them in the cache if there is one, and makes hosts and groups of them."""

    NAME = "resilient.platform.proxmox"

    def verify_file(self, path: str) -> bool:
        """Accept files that end in proxmox.yml or proxmox.yaml."""
        return bool(super().verify_file(path)) and path.endswith(("proxmox.yml", "proxmox.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Fill the inventory."""
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        for host, name in self._named(self._hosts(path, cache)):
            self._add(name, host)

    def _hosts(self, path: str, cache: bool) -> list[HostVars]:
        """Return the hosts from the cache, or from the API."""
        key = self.get_cache_key(path)
        use_cache = self.get_option("cache")
        if use_cache and cache and key in self._cache:
            return list(self._cache[key])
        hosts = self._read()
        if use_cache:
            self._cache[key] = hosts
        return hosts

    def _read(self) -> list[HostVars]:
        concurrency = max(1, self.get_option("concurrency"))
        try:
            client = ProxmoxClient(connection_from({name: self._option(name) for name in CONNECTION}), concurrency=concurrency)
            return read_hosts(client, addresses=self.get_option("addresses"), concurrency=concurrency)
        except PlatformError as exc:
            raise AnsibleParserError(str(exc)) from exc

    def _option(self, name: str) -> t.Any:
        """Return an option; the file's author may have written a template, such as a look-up of the secret."""
        value = self.get_option(name)
        return self.templar.template(value) if isinstance(value, str) and self.templar.is_template(value) else value

    def _named(self, hosts: list[HostVars]) -> list[tuple[HostVars, str]]:
        wanted = [host for host in hosts if self.get_option("templates") or not host["proxmox_template"]]
        return list(zip(wanted, host_names(wanted)))

    def _add(self, name: str, host: HostVars) -> None:
        """Add one host with its variables and groups, unless a filter leaves it out."""
        variables = make_unsafe(host)
        name = make_unsafe(name)
        if not filter_host(self, name, variables, parse_filters(self.get_option("filters"))):
            return
        self.inventory.add_host(name)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        for group in group_names(host):
            safe = self._sanitize_group_name(self.get_option("group_prefix") + group)
            self.inventory.add_group(safe)
            self.inventory.add_child(safe, name)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)
