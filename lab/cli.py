"""The command line: ``python -m lab [--name NAME] up|status|fault|down|env``."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time
from collections.abc import Sequence

from lab.components import COMPONENTS, all_faults, select
from lab.state import LabError, LabState, Row, say


def table(rows: Sequence[Row]) -> str:
    """Return the rows as an aligned table with a heading."""
    lines = [("COMPONENT", "STATE", "DETAIL"), *((row.component, row.state, row.detail) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(2)]
    return "\n".join(f"{line[0]:<{widths[0]}}  {line[1]:<{widths[1]}}  {line[2]}".rstrip() for line in lines)


def environment(state: LabState) -> dict[str, str]:
    """Return the variables under which people's tools find the lab."""
    connection = state.connection
    found = {"RESILIENT_LAB_NAME": state.name, "RESILIENT_LAB_CONNECTION": str(state.connection_file)}
    if proxmox := connection.get("proxmox"):
        found |= {
            "PROXMOX_HOST": proxmox["host"], "PROXMOX_PORT": str(proxmox["port"]), "PROXMOX_USER": proxmox["user"],
            "PROXMOX_TOKEN_ID": proxmox["token_id"], "PROXMOX_TOKEN_SECRET": proxmox["token_secret"],
            "PROXMOX_VALIDATE_CERTS": "true", "PROXMOX_CA_PATH": connection["ca_file"],
        }
    if s3 := connection.get("s3"):
        found |= {"AWS_ACCESS_KEY_ID": s3["access_key"], "AWS_SECRET_ACCESS_KEY": s3["secret_key"], "AWS_REGION": s3["region"]}
    return found


def _up(state: LabState, args: argparse.Namespace) -> int:
    with state.locked():
        for component in select(args.only):
            begun = time.monotonic()
            say(f"{component.name} … (usually {component.usual})")
            component.up(state)
            say(f"{component.name} is up ({time.monotonic() - begun:.1f} s)")
    if not args.only:
        print(state.connection_file)
    return 0


def _status(state: LabState, args: argparse.Namespace) -> int:
    del args
    rows = [row for component in COMPONENTS for row in component.status(state)]
    print(table(rows))
    return 0 if all(row.state == "up" for row in rows) else 1


def _fault(state: LabState, args: argparse.Namespace) -> int:
    faults = all_faults()
    if args.fault is None:
        for name, fault in sorted(faults.items()):
            print(f"{name:<16} {(fault.__doc__ or '').strip().splitlines()[0] if fault.__doc__ else ''}".rstrip())
        return 0
    if args.fault not in faults:
        raise LabError(f"Unknown fault '{args.fault}': the lab knows {', '.join(sorted(faults))}.")
    values = dict(argument.partition("=")[::2] for argument in args.arguments)
    print(faults[args.fault](state, values))
    return 0


def _down(state: LabState, args: argparse.Namespace) -> int:
    """Every component gets its turn even if one fails: what can be removed is removed."""
    del args
    failures = []
    with state.locked():
        for component in reversed(COMPONENTS):
            try:
                component.down(state)
            except LabError as exc:
                failures.append(f"{component.name}: {exc}")
    if failures:
        raise LabError("Not everything could be removed; run 'down' again.\n" + "\n".join(failures))
    shutil.rmtree(state.dir)
    say(f"removed {state.dir}")
    return 0


def _env(state: LabState, args: argparse.Namespace) -> int:
    del args
    for key, value in environment(state).items():
        print(f"export {key}={shlex.quote(value)}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    main_parser = argparse.ArgumentParser(prog="python -m lab", description="The platform in a box.")
    main_parser.add_argument("--name", default="default", help="the lab's name; two labs can run side by side (default: %(default)s)")
    commands = main_parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the lab up, or what is missing of it; prints the path of connection.json")
    up.add_argument("--only", metavar="COMPONENT,…", help=f"only these of: {', '.join(c.name for c in COMPONENTS)}")
    up.set_defaults(run=_up)
    commands.add_parser("status", help="show how every part is; exit code 1 unless all are up").set_defaults(run=_status)
    fault = commands.add_parser("fault", help="break something real; without a name: what can be broken")
    fault.add_argument("fault", nargs="?", metavar="NAME")
    fault.add_argument("arguments", nargs="*", metavar="KEY=VALUE")
    fault.set_defaults(run=_fault)
    commands.add_parser("down", help="remove the lab: processes, guests, mounts, networks, state").set_defaults(run=_down)
    commands.add_parser("env", help="print shell exports for the lab's endpoints").set_defaults(run=_env)
    return main_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Errors are one message, not a traceback."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(LabState.open(args.name, create=args.command == "up"), args)
    except LabError as exc:
        print(f"lab: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; the same command continues where it stopped", file=sys.stderr)
        return 130
    return code
