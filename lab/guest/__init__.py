"""Guests: containers that boot systemd as whole hosts and can do nothing to the machine (see lab/README.md)."""
