"""Parameters of ``keychaincredential``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lab.nas.server.schema import NOT_REQUIRED, Model, NonEmptyString


class KeyPair(Model):
    """Attributes of a key pair; the public key can be derived."""

    private_key: str | None = None
    public_key: str | None = None


class Credentials(Model):
    """Attributes of an SSH connection."""

    host: str
    port: int = 22
    username: str = "root"
    private_key: int
    remote_host_key: str
    connect_timeout: int = 10


class CreatePair(Model):
    """A new key pair."""

    name: NonEmptyString
    type: Literal["SSH_KEY_PAIR"]
    attributes: KeyPair


class CreateCredentials(Model):
    """A new SSH connection."""

    name: NonEmptyString
    type: Literal["SSH_CREDENTIALS"]
    attributes: Credentials


class CreateArgs(Model):
    """Arguments of create."""

    keychain_credential_create: Annotated[CreatePair | CreateCredentials, Field(discriminator="type")]


class Update(Model):
    """What can be changed: attributes as a whole."""

    name: NonEmptyString = NOT_REQUIRED
    attributes: dict[str, Any] = NOT_REQUIRED


class UpdateArgs(Model):
    """Arguments of update."""

    id: int
    keychain_credential_update: Update


class DeleteOptions(Model):
    """Options of delete."""

    cascade: bool = False


class DeleteArgs(Model):
    """Arguments of delete."""

    id: int
    options: DeleteOptions = DeleteOptions()


class Scan(Model):
    """Whose host key to ask for."""

    host: NonEmptyString
    port: int = 22
    connect_timeout: int = 10


class ScanArgs(Model):
    """Arguments of remote_ssh_host_key_scan."""

    keychain_remote_ssh_host_key_scan: Scan


class Pair(Model):
    """Whose key to let in."""

    remote_hostname: str = NOT_REQUIRED
    username: str = "root"
    public_key: NonEmptyString


class PairArgs(Model):
    """Arguments of ssh_pair."""

    options: Pair


class Setup(Model):
    """Which NAS to set up, and as whom."""

    name: NonEmptyString
    url: Annotated[str, Field(pattern=r"^https?://")]
    verify_ssl: bool = True
    token: str | None = None
    admin_username: str = "root"
    password: str | None = None
    otp_token: str | None = None
    username: str = "root"
    private_key: int
    connect_timeout: int = 10
    sudo: bool = False


class SetupArgs(Model):
    """Arguments of remote_ssh_semiautomatic_setup."""

    data: Setup


class NewKey(Model):
    """A key pair to make."""

    generate_key: Literal[True] = True
    name: NonEmptyString


class OldKey(Model):
    """A key pair to use."""

    generate_key: Literal[False] = False
    existing_key_id: int


class SemiAutomatic(Model):
    """Set-up by logging in to the other NAS."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    verify_ssl: bool = True
    token: str | None = None
    admin_username: str = "root"
    password: str | None = None
    otp_token: str | None = None
    username: str = "root"
    connect_timeout: int = 10
    sudo: bool = False


class Manual(Model):
    """Set-up with values that are known."""

    host: str
    port: int = 22
    username: str = "root"
    remote_host_key: str
    connect_timeout: int = 10


class Connection(Model):
    """A connection to set up, with its key."""

    private_key: Annotated[NewKey | OldKey, Field(discriminator="generate_key")]
    connection_name: NonEmptyString
    setup_type: Literal["MANUAL", "SEMI-AUTOMATIC"] = "MANUAL"
    manual_setup: Manual = NOT_REQUIRED
    semi_automatic_setup: SemiAutomatic = NOT_REQUIRED


class ConnectionArgs(Model):
    """Arguments of setup_ssh_connection."""

    options: Connection
