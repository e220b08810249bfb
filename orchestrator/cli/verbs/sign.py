"""`rosetta sign`: vouch for a capsule with an SSH key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

EXIT_CODES = (
    "Exit codes: 0 signed · 2 no such file, or the key cannot be used · 4 no ssh-keygen · 8 it is no capsule, or the "
    "signature cannot be written"
)
CapsuleArgument = Annotated[
    Path, typer.Argument(help="what `rosetta report --capsule` wrote", metavar="CAPSULE", show_default=False)
]
KeyOption = Annotated[
    Optional[Path],
    typer.Option(help="your SSH key, or a public one whose private half ssh-agent has", metavar="FILE"),
]


def command(capsule: CapsuleArgument, key: KeyOption = None) -> None:
    """Sign a capsule: people who trust your key then see that these results and certificates come from you.

    Writes CAPSULE.sig beside it with ssh-keygen, which asks for a passphrase if the key has one. The default key is
    the first SSH key in ~/.ssh. Give both files to others; `report`, `compare` and `reproduce` check the signature.

    \b
    Examples:
      rosetta report --capsule capsule.json
      rosetta sign capsule.json
      rosetta sign capsule.json --key ~/.ssh/id_ed25519
    """
    from orchestrator.record import capsule as capsules
    from orchestrator.record import signatures

    capsules.require_file(capsule, hint="make one: `rosetta report --capsule capsule.json`")
    with signatures.unchanged(capsule):
        capsules.runs_in(capsule)
        chosen = signatures.default_key() if key is None else Path(os.path.expanduser(key))  # noqa: PTH111
        made = signatures.sign(capsule, chosen)
    typer.echo(f"{signatures.beside(capsule)} is your signature, made with the key {made.fingerprint}")
    if made.key:  # on one line, so that it can be copied
        typer.echo("Give both files to others. They trust it once their file ~/.config/rosetta/allowed_signers has:")
        typer.echo(f"NAME {made.key}")
