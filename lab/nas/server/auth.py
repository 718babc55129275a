"""``auth``: logins. A refused login is a result, not an error."""

from __future__ import annotations

import datetime
import errno
import hmac
import secrets
import time
from typing import Annotated, Any, Literal

from pydantic import Field

from lab.nas.server import ejson, scram
from lab.nas.server.errors import CallError
from lab.nas.server.middleware import Call
from lab.nas.server.registry import method
from lab.nas.server.schema import Model
from lab.nas.server.secret import check_key
from lab.nas.server.session import Session
from lab.nas.server.user import account

Entry = dict[str, Any]
FAILURE_DELAY = 1.0  # authenticator level 1: at least one second
OTP_TOKEN = "246810"  # what the second factor of the account "second-factor" always is
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


class OtpToken(Model):
    """The second step of a login that was answered with OTP_REQUIRED."""

    mechanism: Literal["OTP_TOKEN"]
    otp_token: str
    login_options: LoginOptions = LoginOptions()


class Scram(Model):
    """A message of SCRAM-SHA-512; since 26."""

    mechanism: Literal["SCRAM"]
    scram_type: Literal["CLIENT_FIRST_MESSAGE", "CLIENT_FINAL_MESSAGE"]
    rfc_str: str


class LoginArgs(Model):
    """Arguments of login_ex up to 25.10."""

    login_data: Annotated[ApiKeyPlain | PasswordPlain | TokenPlain | OtpToken, Field(discriminator="mechanism")]


class LoginArgs26(Model):
    """Arguments of login_ex from 26 on."""

    login_data: Annotated[ApiKeyPlain | PasswordPlain | TokenPlain | OtpToken | Scram, Field(discriminator="mechanism")]


@method("auth.mechanism_choices", public=True)
def mechanism_choices(call: Call) -> Any:
    """The mechanisms on offer; clients ask before each login."""
    return ["API_KEY_PLAIN", "PASSWORD_PLAIN", "TOKEN_PLAIN", *(["SCRAM"] if call.mw.version >= "26" else [])]


def _failed(kind: str = "AUTH_ERR") -> Entry:
    time.sleep(FAILURE_DELAY)
    return {"response_type": kind}


def _check_api_key(call: Call, text: str, username: str | None) -> tuple[str, Entry | None]:
    """Return the response type and, for SUCCESS, the key's entry. A key that came in clear is revoked."""
    number = text.partition("-")[0]
    entry = call.mw.store.find("api_key", int(number)) if number.isdigit() else None
    if entry is None or not check_key(text, entry) or username not in (None, entry["username"]):
        return "AUTH_ERR", None
    if not _good(entry):
        # From 26 on a revoked key is a wrong key, unless it has an end (plugins/auth_/login_ex_impl.py, login_ex_api_key_plain).
        return "AUTH_ERR" if call.mw.version >= "26" and not entry["expires_at"] else "EXPIRED", None
    assert call.session is not None
    if not call.session.secure:
        call.mw.store.update("api_key", entry["id"], {"revoked": True, "revoked_reason": "Attempt to use over an insecure transport"})
        return "EXPIRED", None
    return "SUCCESS", entry


def _good(entry: Entry) -> bool:
    return not (entry["revoked"] or (entry["expires_at"] and entry["expires_at"] < time.time()))


def _log_in(session: Session, username: str, kind: str, data: Entry) -> str:
    """Bind the session to an account; DENIED for one without API privilege."""
    found = account(session.mw, username)
    if found is None or not found["roles"]:
        return "DENIED"
    session.user = found
    session.credentials = {"type": kind, "data": data, "login_at": ejson.now()}
    return "SUCCESS"


@method("auth.login_ex_continue", LoginArgs, public=True, until="25.10")
@method("auth.login_ex_continue", LoginArgs26, public=True, since="26")
@method("auth.login_ex", LoginArgs, public=True, until="25.10")
@method("auth.login_ex", LoginArgs26, public=True, since="26")
def login_ex(call: Call, data: Entry) -> Any:
    """Log in; the answer's ``response_type`` says how it went."""
    assert call.session is not None
    if urls := call.mw.config.get("standby_of"):
        # The standby controller of a pair: plugins/auth.py, login_ex, before anything is checked.
        return {"response_type": "REDIRECT", "urls": list(urls)}
    if data["mechanism"] == "SCRAM":
        return _scram(call, data)
    call.session.scram = None
    if data["mechanism"] == "PASSWORD_PLAIN" and _password_is_right(call, data) and _has_second_factor(call, data["username"]):
        call.session.second_factor_of = data["username"]
        return {"response_type": "OTP_REQUIRED", "username": data["username"]}
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
        return "SUCCESS" if _password_is_right(call, data) else "AUTH_ERR", data["username"], "LOGIN_PASSWORD", {}
    if data["mechanism"] == "OTP_TOKEN":
        return _second_factor(call, data["otp_token"])
    token = _token(call, data["token"])
    return ("SUCCESS", token["username"], "TOKEN", {}) if token else ("AUTH_ERR", "", "TOKEN", {})


def _password_is_right(call: Call, data: Entry) -> bool:
    return account(call.mw, data["username"]) is not None and hmac.compare_digest(data["password"].encode(), call.mw.config["password"].encode())


def _has_second_factor(call: Call, username: str) -> bool:
    return bool((account(call.mw, username) or {}).get("twofactor_auth_configured"))


def _second_factor(call: Call, text: str) -> tuple[str, str, str, Entry]:
    """The second step of a login with a password; the token is a fixed one here."""
    assert call.session is not None
    username, call.session.second_factor_of = call.session.second_factor_of, None
    if username is None:
        raise CallError("OTP_TOKEN: one-time password was not requested", errno.EINVAL)
    return "SUCCESS" if text == OTP_TOKEN else "AUTH_ERR", username, "LOGIN_TWOFACTOR", {}


def _scram(call: Call, data: Entry) -> Entry:
    """Both messages of SCRAM. What is wrong with a key is not told: all of it is AUTH_ERR (plugins/auth.py, login_ex)."""
    session = call.session
    assert session is not None
    if data["scram_type"] == "CLIENT_FIRST_MESSAGE":
        keys = [one for one in call.mw.store.table("api_key") if _good(one)]
        session.scram = scram.first(data["rfc_str"], keys, tls=session.tls)
        if session.scram is None:
            return _failed()
        return {"response_type": "SCRAM_RESPONSE", "scram_type": "SERVER_FIRST_RESPONSE", "rfc_str": session.scram.reply, "user_info": None}
    exchange, session.scram = session.scram, None
    if exchange is None:
        raise CallError("SCRAM authentication is not in progress")
    proof = scram.final(data["rfc_str"], exchange, call.mw.config.get("certificate"))
    details = {"api_key": {"id": exchange.key["id"], "name": exchange.key["name"]}}
    if proof is None or _log_in(session, exchange.username, "API_KEY", details) != "SUCCESS":
        return _failed()
    return {"response_type": "SCRAM_RESPONSE", "scram_type": "SERVER_FINAL_RESPONSE", "rfc_str": proof, "user_info": _me(session)}


def _token(call: Call, text: str) -> Entry | None:
    assert call.session is not None
    return take_token(text, call.session.origin)


def take_token(text: str, origin: str) -> Entry | None:
    """Return a token that holds for a client at *origin*, and use it up if it is for one use."""
    token = _TOKENS.get(text)
    if token is None or token["ends"] < time.monotonic() or (token["match_origin"] and token["origin"] != origin):
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
