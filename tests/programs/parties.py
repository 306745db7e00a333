"""What the tests of fences share: profiles of the line server, one for each kind of proof."""

from pathlib import Path

HERE = Path(__file__).parent
PROFILE = """\
profile: party
server:
  run: python3 {here}/party.py {flags}
  ready: {{prints: 'listening on port ${{port=int}}'}}
roles:
  wire:
    tcp: 127.0.0.1:${{server.port}}
    frames: lines
    login:
      - self sends: name ${{name}}
        self sees: welcome ${{name=word}}
  shell:
    pty: python3 {here}/line.py
    args: ['${{server.port}}', '${{name}}']
    login:
      - self sees: welcome ${{name=word}}
  pipe:
    pipe: python3 {here}/line.py
    args: ['${{server.port}}', '${{name}}']
    login:
      - self sees: welcome ${{name=word}}
delivery: {delivery}
fence: {fence}
acts:
  dm:
    wire: {{sends: 'dm ${{to}} ${{text}}'}}
    shell: {{types: 'dm ${{to}} ${{text}}'}}
    pipe: {{types: 'dm ${{to}} ${{text}}'}}
patience: {patience}
"""
ASKED = """
  roundtrip:
    wire: {sends: 'ping ${token}', sees: 'pong ${token}'}
    shell: {types: 'ping ${token}', sees: 'pong ${token}'}
    pipe: {types: 'ping ${token}', sees: 'pong ${token}'}"""
RELAYED = """
  relay:
    wire: {sends: 'dm ${to} ${token}', sees: '${from}: ${token}'}
    shell: {types: 'dm ${to} ${token}', sees: '${from}: ${token}'}
    pipe: {types: 'dm ${to} ${token}', sees: '${from}: ${token}'}"""
FENCES = {  # grade -> what the server promises, how that is made use of
    "unproved": ("inline", "{}"),
    "roundtrip": ("inline", ASKED),
    "relay": ("queued", ASKED + RELAYED),
    "quiet": ("inline", "quiet"),
    "window": ("timers", ASKED + "\n  window: {window}"),
}


def profile(folder, grade, *flags, window="300ms", patience="5s"):
    """The file of a profile that declares this proof for the server with these options."""
    delivery, fence = FENCES[grade]
    path = folder / f"{grade}.yaml"
    text = PROFILE.format(
        here=HERE, flags=" ".join(flags), delivery=delivery, patience=patience,
        fence=fence.replace("{window}", window),
    )  # fmt: skip
    path.write_text(text)
    return path


PROMISES = """
scenario: What a party promises
cast: {ana: wire, ben: wire, cid: wire, dan: wire}
steps:
  - ana sends: dm ben hello there
    ben sees only: 'ana: hello there'
    ana sees only: sent hello there
    cid, dan see nothing:
  - ben sends: bc good morning
    ana, cid, dan see only: 'ben: good morning'
    ben sees only: sent good morning
  - cid sends: dm zoe hello
    cid sees only: no user zoe
    ana, ben, dan see nothing:
  - cid sends: who
    cid sees only: users ana ben cid dan
  - dan sends: quit
    dan is closed:
    ana, ben, cid see only: dan left
"""
PRIVATE = """
scenario: A direct message is private
cast: {ana: wire, ben: wire, cid: wire}
steps:
  - ana does: {dm: {to: ben, text: hello}}
    ben sees: 'ana: hello'
    cid never sees: hello
    until: fence
"""
# Only patience ends these: nobody can know that an answer is not coming, or that a notice about
# somebody who is gone is not.
WAITED_FOR = ("hang-one", "silent", "no-pong", "no-leave", "wrong-leave")
