"""The `superpod` command."""

import os
import shlex
import sys
from importlib import import_module

import click

from superpod.cli.options import question_words
from superpod.errors import SuperpodError, did_you_mean

# A verb's file is imported when it is called or listed; it imports numpy, pydantic and rich only when it runs.
VERBS = (
    "catalog",
    "show",
    "train",
    "serve",
    "compare",
    "fabric",
    "power",
    "reliability",
    "cost",
    "claims",
    "validate",
    "measure",
    "calibrate",
)
USAGE_ERROR = 2
INTERRUPTED = 130
EXAMPLES = """
\b
Examples:
  superpod catalog
  superpod serve deepseek-r1 --pod cloudmatrix384
  superpod compare deepseek-v3 --pods cloudmatrix384,gb200-nvl72 --at equal-power
  superpod fabric cloudmatrix384 --collective all_reduce --fail plane:pod:0
  superpod claims
"""


class Verbs(click.Group):
    """The verbs by name, each in the file of that name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb; None where there is none of that name."""
        if cmd_name not in VERBS:
            return None
        command = import_module(f"superpod.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb of the arguments; a usage error with the closest verbs where there is none."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(f"unknown verb {args[0]!r}; {did_you_mean(args[0], VERBS) or 'the verbs are ' + ', '.join(VERBS)}")
        return super().resolve_command(ctx, args)


def print_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    """Print the installed version and leave."""
    if not asked or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"superpod {version('superpod')}")
    except PackageNotFoundError:
        click.echo("superpod (not installed)")
    ctx.exit()


@click.command(cls=Verbs, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Print the version."
)
def cli() -> None:
    """What will this model do on these supernodes, and does the system beat the chip?"""
    context = click.get_current_context()
    context.meta["superpod.command"] = shlex.join(["superpod", *context.obj]) if context.obj else "superpod"


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets question marks, not a traceback
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code: 0, 2 for an error that the user can cure, 130 when interrupted."""
    try:
        outcome = cli.main(args=arguments, prog_name="superpod", standalone_mode=False, obj=question_words(arguments))
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SuperpodError as error:
        print_error(error)
        return USAGE_ERROR
    except BrokenPipeError:
        # The reader has gone: give the interpreter's last flush a place to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return outcome if isinstance(outcome, int) else 0


def print_error(error: SuperpodError) -> None:
    """Say on stderr what happened, where, and what to do about it."""
    place = f"{error.where}: " if error.where else ""
    click.echo(f"error: {place}{error.message}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)
