"""Shell scripts read as text."""

import pytest

from superpod.errors import ScenarioError
from superpod.frameworks.shell import read_script

SCRIPT = """\
#!/bin/bash
TP=${TP:-8} # eight
PP=2
export CP=${1:-"2"}
WORLD=$(($TP*PP * ${CP}))
A_ARGS=(
    --tensor-model-parallel-size $TP   # inside
    "--split '99,1,0'"
    --name 'costs $5 # no comment'
)
B_ARGS="
    --context-parallel-size ${CP} \\
    --pipeline $PP
"
if [[ "$PP" == "4" ]]; then
    A_ARGS+=(--never)
elif [ $TP -ge 8 ]; then
    A_ARGS+=("--taken yes")
else
    A_ARGS+=(--not-this)
fi
mkdir -p "$(dirname "$X")"
OMP=1 torchrun ${A_ARGS[@]} \\
    run.py $B_ARGS --world $WORLD --open $UNSET
"""


def test_a_script_in_the_style_of_the_public_ones() -> None:
    script = read_script(SCRIPT)
    words = " ".join(token.text for token in script.words)
    assert words == (
        'mkdir -p $(dirname "$X") torchrun --tensor-model-parallel-size 8'
        " --split '99,1,0' --name costs $5 # no comment"
        " --taken yes run.py --context-parallel-size 2 --pipeline 2 --world 32 --open $UNSET"
    )
    assert script.variables["WORLD"] == "32"
    assert not script.doubts
    assert {token.line for token in script.words if token.text == "--open"} == {24}


def test_a_condition_that_cannot_be_decided_is_said() -> None:
    script = read_script('if [[ "$1" == "fp8" ]]; then\n  X=1\nelse\n  X=2\nfi\n')
    assert script.variables == {"X": "1"}
    assert "line 1" in script.doubts[0]


def test_a_condition_of_several_parts_is_not_decided() -> None:
    script = read_script('A=1\nif [[ "$A" == 2 ]] || [[ "$B" == 3 ]]; then X=1; fi\n')
    assert script.variables["X"] == "1"
    assert "cannot be decided" in script.doubts[0]


def test_doubts_are_silent_where_nothing_hangs_on_them() -> None:
    assert not read_script("if [ ! -f run.py ]; then\n  echo missing\n  exit 1\nfi\nrun --x 1\n").doubts


def test_nothing_is_run() -> None:
    script = read_script("X=$((__import__('os').getpid()))\nrun $X $(touch /nowhere) `date`\n")
    assert script.variables["X"].startswith("$((")


@pytest.mark.parametrize("text", ["run 'open\n", '\n\nA="\n  --x 1\n'])
def test_an_open_quote_is_named_with_its_line(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"line [13]: found an opening"):
        read_script(text, "a.sh")


def test_a_variable_cannot_grow_without_bound() -> None:
    with pytest.raises(ScenarioError, match="grows beyond"):
        read_script("X=abcdefgh\n" + "X=$X$X\n" * 40)
