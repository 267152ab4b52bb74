"""Install the peers: ``python -m benchmarks.peers --install [NAME …]``."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from worldmodel_trading.market.files.writer import write_whole

from . import PEERS, Peer, peers_folder


def main() -> int:
    """List the peers, or make their environments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--install", nargs="*", metavar="NAME", help="these peers, or all")
    arguments = parser.parse_args()
    if arguments.install is None:
        print(f"environments in {peers_folder()}")
        for peer in PEERS.values():
            print(f"{peer.name:<18} {'installed' if peer.is_installed() else 'not installed'}")
        return 0
    unknown = sorted(set(arguments.install) - set(PEERS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(PEERS)}")
    failed = [name for name in arguments.install or PEERS if not _install(PEERS[name])]
    if failed:
        print(f"not installed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _install(peer: Peer) -> bool:
    if peer.is_installed():
        print(f"{peer.name}: installed already")
        return True
    print(f"{peer.name}: installing into {peer.environment}", flush=True)
    shutil.rmtree(peer.environment, ignore_errors=True)
    pip = [str(peer.python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    commands = [
        [sys.executable, "-m", "venv", str(peer.environment)],
        # every package that is needed is pinned, so none is to be resolved
        [*pip, "--no-deps", "-r", str(peer.requirements)],
    ]
    for command in commands:
        if subprocess.run(command, check=False).returncode:
            return False
    write_whole(peer.stamp, peer.requirements_hash())
    return True


if __name__ == "__main__":
    sys.exit(main())
