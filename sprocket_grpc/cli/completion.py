"""`sprocket-grpc completion`: scripts that make a shell complete commands, resources and options."""

import click
from click.shell_completion import get_completion_class

_NAME = "sprocket-grpc"
_VARIABLE = "_SPROCKET_GRPC_COMPLETE"
_INSTALLATION = {
    "bash": "in ~/.bashrc:  source <(sprocket-grpc completion bash)",
    "fish": "once:  sprocket-grpc completion fish > ~/.config/fish/completions/sprocket-grpc.fish",
    "zsh": "in ~/.zshrc, after compinit:  source <(sprocket-grpc completion zsh)",
}


@click.command("completion")
@click.argument("shell", type=click.Choice([*_INSTALLATION]))
def completion_command(shell: str) -> None:
    """Print a script that makes a shell complete commands, resources and options.

    The first line of the script says where to put it.
    """
    kind = get_completion_class(shell)
    assert kind, shell  # noqa: S101  # click supports these three
    script = kind(click.get_current_context().find_root().command, {}, _NAME, _VARIABLE)
    text = script.source_template % script.source_vars()  # `source` would run bash, which may not be installed
    click.echo(f"# {_INSTALLATION[shell]}\n{text}")
