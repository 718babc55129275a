"""``auth``: logins. A refused login is a result, not an error."""

from __future__ import annotations

import datetime
import hmac
import secrets
import time
from typing import Annotated, Any, Literal

from pydantic import Field

from lab.nas.server import ejson
from lab.nas.server.middleware import Call
from lab.nas.server.registry import method
from lab.nas.server.schema import Model
from lab.nas.server.secret import check_key
from lab.nas.server.session import Session
from lab.nas.server.user import account

Entry = dict[str, Any]
FAILURE_DELAY = 1.0  # authenticator level 1: at least one second
_TOKENS: dict[str, Entry] = {}


class LoginOptions(Model):
    """Options of a login."""

    user_info: bool = True


class ApiKeyPlain(Model):
    """Login with an API key."""

    mechanism: Literal["API_KEY_PLAIN"]
    username: str
    api_key: str
    login_options: LoginOptions = LoginOptions()


class PasswordPlain(Model):
    """Login with a password."""

    mechanism: Literal["PASSWORD_PLAIN"]
    username: str
    password: str
    login_options: LoginOptions = LoginOptions()


class TokenPlain(Model):
    """Login with a token from ``auth.generate_token``."""

    mechanism: Literal["TOKEN_PLAIN"]
    token: str
    login_options: LoginOptions = LoginOptions()


class LoginArgs(Model):
    """Arguments of login_ex."""

    login_data: Annotated[ApiKeyPlain | PasswordPlain | TokenPlain, Field(discriminator="mechanism")]


@method("auth.mechanism_choices", public=True)
def mechanism_choices(call: Call) -> Any:
    """The mechanisms on offer; clients ask before each login."""
    return ["API_KEY_PLAIN", "PASSWORD_PLAIN", "TOKEN_PLAIN"]


def _failed(kind: str = "AUTH_ERR") -> Entry:
    time.sleep(FAILURE_DELAY)
    return {"response_type": kind}


def _check_api_key(call: Call, text: str, username: str | None) -> tuple[str, Entry | None]:
    """Return the response type and, for SUCCESS, the key's entry. A key that came in clear is revoked."""
    number = text.partition("-")[0]
    entry = call.mw.store.find("api_key", int(number)) if number.isdigit() else None
    if entry is None or not check_key(text, entry) or username not in (None, entry["username"]):
        return "AUTH_ERR", None
    if entry["revoked"] or (entry["expires_at"] and entry["expires_at"] < time.time()):
        return "EXPIRED", None
    assert call.session is not None
    if not call.session.secure:
        call.mw.store.update("api_key", entry["id"], {"revoked": True, "revoked_reason": "Attempt to use over an insecure transport"})
        return "EXPIRED", None
    return "SUCCESS", entry


def _log_in(session: Session, username: str, kind: str, data: Entry) -> str:
    """Bind the session to an account; DENIED for one without API privilege."""
    found = account(session.mw, username)
    if found is None or not found["roles"]:
        return "DENIED"
    session.user = found
    session.credentials = {"type": kind, "data": data, "login_at": ejson.now()}
    return "SUCCESS"


@method("auth.login_ex", LoginArgs, public=True)
def login_ex(call: Call, data: Entry) -> Any:
    """Log in; the answer's ``response_type`` says how it went."""
    assert call.session is not None
    outcome, username, kind, details = _authenticate(call, data)
    if outcome == "SUCCESS":
        outcome = _log_in(call.session, username, kind, details)
    if outcome != "SUCCESS":
        return _failed(outcome)
    info = _me(call.session) if data["login_options"]["user_info"] else None
    return {"response_type": "SUCCESS", "user_info": info, "authenticator": "LEVEL_1"}


def _authenticate(call: Call, data: Entry) -> tuple[str, str, str, Entry]:
    if data["mechanism"] == "API_KEY_PLAIN":
        outcome, entry = _check_api_key(call, data["api_key"], data["username"])
        return outcome, data["username"], "API_KEY", {"api_key": {"id": entry["id"], "name": entry["name"]}} if entry else {}
    if data["mechanism"] == "PASSWORD_PLAIN":
        good = account(call.mw, data["username"]) is not None and hmac.compare_digest(data["password"].encode(), call.mw.config["password"].encode())
        return "SUCCESS" if good else "AUTH_ERR", data["username"], "LOGIN_PASSWORD", {}
    token = _token(call, data["token"])
    return ("SUCCESS", token["username"], "TOKEN", {}) if token else ("AUTH_ERR", "", "TOKEN", {})


def _token(call: Call, text: str) -> Entry | None:
    assert call.session is not None
    token = _TOKENS.get(text)
    if token is None or token["ends"] < time.monotonic() or (token["match_origin"] and token["origin"] != call.session.origin):
        return None
    if token["single_use"]:
        del _TOKENS[text]
    return token


class KeyArgs(Model):
    """Arguments of login_with_api_key."""

    api_key: str


@method("auth.login_with_api_key", KeyArgs, public=True)
def login_with_api_key(call: Call, text: str) -> Any:
    """The older way in: true or false."""
    assert call.session is not None
    outcome, entry = _check_api_key(call, text, None)
    if entry is not None and outcome == "SUCCESS":
        outcome = _log_in(call.session, entry["username"], "API_KEY", {"api_key": {"id": entry["id"], "name": entry["name"]}})
    if outcome != "SUCCESS":
        _failed()
    return outcome == "SUCCESS"


class PasswordArgs(Model):
    """Arguments of login."""

    username: str
    password: str
    otp_token: str | None = None


@method("auth.login", PasswordArgs, public=True)
def login(call: Call, username: str, password: str, otp_token: str | None) -> Any:
    """The older way in with a password: true or false."""
    data = {"mechanism": "PASSWORD_PLAIN", "username": username, "password": password, "login_options": {"user_info": False}}
    return login_ex(call, data)["response_type"] == "SUCCESS"


class TokenArgs(Model):
    """Arguments of login_with_token."""

    token: str


@method("auth.login_with_token", TokenArgs, public=True)
def login_with_token(call: Call, text: str) -> Any:
    """The older way in with a token: true or false."""
    data = {"mechanism": "TOKEN_PLAIN", "token": text, "login_options": {"user_info": False}}
    return login_ex(call, data)["response_type"] == "SUCCESS"


class GenerateArgs(Model):
    """Arguments of generate_token."""

    ttl: int | None = 600
    attrs: dict[str, Any] = {}
    match_origin: bool = True
    single_use: bool = False


@method("auth.generate_token", GenerateArgs)
def generate_token(call: Call, ttl: int | None, attrs: Entry, match_origin: bool, single_use: bool) -> Any:
    """A token that logs in as the caller for ``ttl`` seconds."""
    assert call.session is not None and call.session.user is not None
    text = secrets.token_urlsafe(48)
    ends = time.monotonic() + (600 if ttl is None else ttl)
    _TOKENS[text] = {"username": call.session.user["username"], "ends": ends, "origin": call.session.origin, "match_origin": match_origin,
                     "single_use": single_use, "attrs": attrs}
    return text


def _me(session: Session) -> Entry:
    assert session.user is not None
    user = session.user
    return {
        "pw_name": user["username"], "pw_gecos": user["full_name"], "pw_dir": user["home"], "pw_shell": user["shell"], "pw_uid": user["uid"],
        "pw_gid": user["uid"], "grouplist": None, "sid": None, "source": "LOCAL", "local": True, "attributes": {},
        "two_factor_config": {"provisioning_uri": None, "secret_configured": False, "interval": 30, "otp_digits": 6},
        "privilege": {"allowlist": [{"method": "*", "resource": "*"}], "roles": {"$set": user["roles"]}, "web_shell": True, "webui_access": True},
        "account_attributes": ["LOCAL", "SYS_ADMIN", *(["API_KEY"] if session.credentials["type"] == "API_KEY" else ["PASSWORD_LOGIN"])],
    }


@method("auth.me")
def me(call: Call) -> Any:
    """Who is logged in here."""
    assert call.session is not None
    return _me(call.session)


@method("auth.logout")
def logout(call: Call) -> Any:
    """Back to not being logged in."""
    assert call.session is not None
    call.session.user, call.session.credentials = None, {}
    return True


@method("auth.sessions")
def sessions(call: Call) -> Any:
    """The sessions of this NAS."""
    found = [one for one in call.mw.sessions if one.user is not None]
    return [{"id": one.id, "current": one is call.session, "internal": False, "origin": one.origin, "credentials": one.credentials["type"],
             "credentials_data": {"username": one.user["username"] if one.user else None, **one.credentials["data"]},
             "created_at": one.created_at.astimezone(datetime.timezone.utc), "secure_transport": one.secure} for one in found]
