"""Three views of a terminal, at full size: a thousand messages while somebody types."""

import pytest
from programs.kit import closing
from test_harness_clients import STYLES, played

MESSAGES = 1000


@pytest.mark.parametrize("style", STYLES)
def test_a_thousand_messages_while_typing_are_all_seen_in_order_and_the_draft_stays(
    tmp_path, style
):
    numbers = ", ".join(f"'ben: {n}'" for n in range(1, MESSAGES + 1))
    done = played(tmp_path, f"""
  - ana drafts: hel
  - ben sends: /flood {MESSAGES}
    ana sees next: [{numbers}]
    patience: 60s
  - ana types: lo
    ana, ben see next: 'ana: hello'
""", [style])  # fmt: skip
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout


@pytest.mark.parametrize("style", STYLES)
def test_twenty_lines_nobody_answers_and_not_one_is_taken_for_an_answer(tmp_path, style):
    done = played(tmp_path, """
  - repeat: 20
    steps:
      - ana types: /silent NEVER ${round}
        ana sees nothing:
  - ana types: /silent NEVER
    ana sees one of: [/silent NEVER, '...NEVER...', 'say>...', '>...']
""", [style])  # fmt: skip
    assert closing(done) == "0 passed, 1 failed, 0 skipped", done.stdout
    assert "is not coming (fence: roundtrip)" in done.stdout
