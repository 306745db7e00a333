"""A crowd in one file: fifty terminals, five hundred sockets, the console and faults, one order."""

import resource
from collections import Counter
from itertools import pairwise
from pathlib import Path

from programs.kit import written

from harness.language import load_scenario
from harness.run import Options
from harness.runner import run_scenario

CHATD = Path(__file__).parents[2] / "scenarios" / "profiles" / "chatd.yaml"
SHELLS, PLAIN, EXTENDED = 50, 250, 250
CROWD = f"""
scenario: Fifty at terminals and five hundred at sockets are in one conversation
use: chatd
server: {{args: [--grace, 0]}}
cast: {{s1..s{SHELLS}: shell, p1..p{PLAIN}: plain, w1..w{EXTENDED}: wire}}
patience: 120s

steps:
  - s1 types: /bc from a terminal
    everyone sees: {{bc: {{from: s1, text: from a terminal}}}}

  - w{EXTENDED} does: {{bc: {{text: from a socket}}}}
    others see: {{bc: {{from: w{EXTENDED}, text: from a socket}}}}

  - server types: /all from the console
    everyone sees: {{bc: {{from: server, text: from the console}}}}

  - s{SHELLS} types: /dm p{PLAIN} for one alone
    p{PLAIN} sees: {{dm: {{from: s{SHELLS}, text: for one alone}}}}
    s1, s2, w1, w2, p1, p2 never see: for one alone

  - together:
      - s1 types: /bc a terminal at once
      - s{SHELLS} types: /bc another terminal at once
      - w1 does: {{bc: {{text: a socket at once}}}}
      - p1 does: {{bc: {{text: a plain socket at once}}}}
      - server types: /all the console at once
        everyone sees: {{bc: {{from: server, text: the console at once}}}}

  - s2 is killed: KILL
    w2 resets:
    p2 closes:
    s1, w1 see in any order: [{{lost: {{who: s2}}}}, {{lost: {{who: w2}}}}, {{lost: {{who: p2}}}}]

  - p1 does: {{bc: {{text: the rest goes on}}}}
    others see: {{bc: {{from: p1, text: the rest goes on}}}}
"""
ONE_BY_ONE = ["from a terminal", "from a socket", "from the console", "for one alone"]
AT_ONCE = [f"{who} at once" for who in ("a terminal", "another terminal", "a socket",
                                        "a plain socket", "the console")]  # fmt: skip
LAST = "the rest goes on"


def test_fifty_shells_and_five_hundred_sockets_stand_in_one_journal(tmp_path):
    scenario = load_scenario(written(tmp_path, CROWD), profile=CHATD)
    outcome = run_scenario(scenario, {}, Options(keep=True))
    assert outcome.status == "passed", (outcome.what, outcome.details, outcome.place)
    events, everybody = outcome.events, SHELLS + PLAIN + EXTENDED
    kinds = Counter(outcome.cast.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{dict(kinds)}: {len(events)} events, {outcome.seconds:.0f} s, peak {peak:.0f} MiB")
    assert (kinds["shell"], kinds["wire"]) == (SHELLS, PLAIN + EXTENDED)
    assert [event.number for event in events] == list(range(len(events)))
    assert all(one.at <= other.at for one, other in pairwise(events))

    done = {text: [e.number for e in events if e.kind == "does" and text in e.text]
            for text in [*ONE_BY_ONE, *AT_ONCE, LAST]}  # fmt: skip
    told = {text: [e for e in events if e.kind == "sees" and e.actor != "server" and text in e.text]
            for text in done}  # fmt: skip
    assert {len(numbers) for numbers in done.values()} == {1}
    for text, hearings in told.items():  # whoever is told is told once, and after it was said
        assert max(Counter(event.actor for event in hearings).values()) == 1, text
        assert min(event.number for event in hearings) > done[text][0], text
    for text in [*ONE_BY_ONE[:3], *AT_ONCE]:
        assert everybody - 1 <= len(told[text]) <= everybody, text
    assert {event.actor for event in told["for one alone"]} == {f"s{SHELLS}", f"p{PLAIN}"}
    for text, following in pairwise([*ONE_BY_ONE, AT_ONCE[0]]):  # terminals, sockets, console
        assert max(event.number for event in told[text]) < done[following][0], text
