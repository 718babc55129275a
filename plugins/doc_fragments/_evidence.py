# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - python >= 3.11
"""

    # One place for copies.
    DESTINATION = r"""
options:
  destination:
    description: Where the copy lies.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the destination in messages, manifests and reports.
        type: str
        required: true
      type:
        description: V(s3) for a bucket, V(directory) for a directory that this host reaches, such as an NFS mount, V(sftp) for an SFTP server.
        type: str
        choices: [s3, directory, sftp]
        required: true
      offsite:
        description: Whether it survives the loss of the site. Modules do not look at it; playbooks select by it.
        type: bool
      path:
        description: The directory (O(destination.type=directory) or V(sftp)). It must exist, because an absent mount would go unnoticed.
        type: path
      host:
        description: Name or address of the SFTP server. Jump hosts and the like are told by the SSH configuration of the user.
        type: str
      port:
        description: Its port.
        type: int
        default: 22
      username:
        description: Who logs in there, by key.
        type: str
      private_key_file:
        description: The key. Without it, what the SSH configuration and the agent offer is used.
        type: path
      known_hosts_file:
        description: Where the server's host key stands; without it the user's own file. An unknown host is refused.
        type: path
      endpoint:
        description: URL of the S3 server.
        type: str
      bucket:
        description: The bucket. It must exist.
        type: str
      prefix:
        description: Put before every key in the bucket.
        type: str
        default: ''
      region:
        description: Region that requests are signed for.
        type: str
        default: us-east-1
      access_key:
        description: Access key; the environment variable E(AWS_ACCESS_KEY_ID) is used if it is not given.
        type: str
      secret_key:
        description: Secret key; the environment variable E(AWS_SECRET_ACCESS_KEY) is used if it is not given.
        type: str
      ca_path:
        description: PEM file (or directory) of the CA that signed the server's certificate; the system's CAs if it is not given.
        type: path
      validate_certs:
        description: Whether the server's certificate must be trusted.
        type: bool
        default: true
      timeout:
        description: Seconds to wait for a connection.
        type: int
        default: 10
requirements:
  - minio >= 7.2 for O(destination.type=s3)
"""

    # Several places; not required.
    DESTINATIONS = r"""
options:
  destinations:
    description: Where copies lie.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the destination in messages, manifests and reports.
        type: str
        required: true
      type:
        description: V(s3) for a bucket, V(directory) for a directory that this host reaches, such as an NFS mount, V(sftp) for an SFTP server.
        type: str
        choices: [s3, directory, sftp]
        required: true
      offsite:
        description: Whether it survives the loss of the site. Modules do not look at it; playbooks select by it.
        type: bool
      path:
        description: The directory. It must exist, because an absent mount would go unnoticed.
        type: path
      host:
        description: Name or address of the SFTP server. Jump hosts and the like are told by the SSH configuration of the user.
        type: str
      port:
        description: Its port.
        type: int
        default: 22
      username:
        description: Who logs in there, by key.
        type: str
      private_key_file:
        description: The key. Without it, what the SSH configuration and the agent offer is used.
        type: path
      known_hosts_file:
        description: Where the server's host key stands; without it the user's own file. An unknown host is refused.
        type: path
      endpoint:
        description: URL of the S3 server.
        type: str
      bucket:
        description: The bucket. It must exist.
        type: str
      prefix:
        description: Put before every key in the bucket.
        type: str
        default: ''
      region:
        description: Region that requests are signed for.
        type: str
        default: us-east-1
      access_key:
        description: Access key; the environment variable E(AWS_ACCESS_KEY_ID) is used if it is not given.
        type: str
      secret_key:
        description: Secret key; the environment variable E(AWS_SECRET_ACCESS_KEY) is used if it is not given.
        type: str
      ca_path:
        description: PEM file (or directory) of the CA that signed the server's certificate; the system's CAs if it is not given.
        type: path
      validate_certs:
        description: Whether the server's certificate must be trusted.
        type: bool
        default: true
      timeout:
        description: Seconds to wait for a connection.
        type: int
        default: 10
requirements:
  - minio >= 7.2 for destinations of the type S3
"""
