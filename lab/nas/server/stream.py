"""One ``zfs send | zfs recv`` between two NASes (or within one)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from lab.nas.server.zfs import Zfs

Hook = Callable[[Callable[[], None]], None]


class StreamError(Exception):
    """One of the two sides failed; the text is what both said. ``recoverable``: trying again may help."""

    def __init__(self, text: str, *, recoverable: bool) -> None:
        super().__init__(text)
        self.recoverable = recoverable


def transfer(source: Zfs, send: list[str], target: Zfs, receive: list[str], on_abort: Hook | None = None) -> None:
    """Run both commands with a pipe between them. StreamError."""
    sender = subprocess.Popen([*source.prefix, "zfs", "send", *send], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert sender.stdout is not None and sender.stderr is not None
    try:
        receiver = subprocess.Popen([*target.prefix, "zfs", "recv", *receive], stdin=sender.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except OSError:
        sender.kill()
        raise
    sender.stdout.close()  # so that the sender sees a broken pipe when the receiver ends
    if on_abort:
        on_abort(lambda: _kill(sender, receiver))
    try:
        _, received = receiver.communicate()
        sent = sender.stderr.read()
        sender.wait()
    finally:
        _kill(sender, receiver)
        sender.stderr.close()
    if sender.returncode or receiver.returncode:
        texts = [raw.decode(errors="replace").strip() for raw in (received, sent)]
        text = "; ".join(text for text in texts if text) or f"zfs send ended with {sender.returncode}, zfs recv with {receiver.returncode}"
        recoverable = any(part in text for part in ("I/O error", "Broken pipe", "internal error", "busy", "Connection refused"))
        raise StreamError(text.replace("\n", " "), recoverable=recoverable)


def _kill(*processes: subprocess.Popen[bytes]) -> None:
    """End what still runs."""
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()
