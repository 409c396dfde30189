"""`orrery debug` on whole machines: boots, and recorded runs; breakpoints by program there."""

from pathlib import Path

from orrery_cli import INCLUDES, orrery

from toolchain import cc, image


def said(commands: str, *words: str | Path) -> str:
    """What `orrery debug` with these words says to the commands."""
    run = orrery("debug", *words, stdin=commands)
    assert run.status == 0, run
    return run.out


def test_a_breakpoint_in_a_program_that_the_shell_will_run() -> None:
    commands = "b cat:main\nb cat.c:24\ninfo b\nc\nbt\nc\nrc\n"
    out = said(commands, "-c", "wc README; cat README | wc", "--mem=16")
    begin, _, rest = out.partition("(orrery) c\n")
    assert begin.startswith("The machine is switched on")
    assert begin.count(" in main at user/bin/cat.c:24") == 2
    there, back = rest.split("[Switching to process ")[1:]
    for stop in (there, back):
        assert "Breakpoint 1, main (argc=2, argv=" in stop
    assert "\n#0  main (argc=2" in there and " in _start ()" in there
    assert "All processes wait" in there  # at the end of the lines


def test_a_breakpoint_waits_for_a_program_that_only_the_drive_has(tmp_path: Path) -> None:
    source = tmp_path / "own.c"
    source.write_text(f"{INCLUDES}int work(int n) {{ return n; }}\nint main(void) {{ return work(3); }}\n")
    elf = cc.compile_user([source], optimize=False)
    drive = tmp_path / "fs.img"
    drive.write_bytes(before := image.rebuilt(image.default_image(), {"own": elf}))
    commands = "b work\nb own:nothing\nb stranger:main\nc\nbt\n"
    out = said(commands, "--drive", drive, "-c", "own; echo hi > new")
    assert 'Function "work" not defined.\nBreakpoint 1 (work) pending' in out
    assert 'Function "nothing" not defined in own.' in out
    assert 'No program "stranger".\nBreakpoint 2 (stranger:main) pending' in out
    assert "Breakpoint 1, work (n=3) at own.c:" in out and " in main () at own.c:" in out
    assert drive.read_bytes() == before


def test_a_recording_is_debugged_to_its_end_and_back(tmp_path: Path) -> None:
    path = tmp_path / "run.orr"
    assert orrery("record", "-o", path, "boot", "--mem=16", "-c", "echo hi; ls | wc").status == 0
    out = said("b wc:main\nc\nwhen\nc\nrc\nwhen\ntype echo no\nc\n", path)
    assert "$ echo hi; ls | wc\nhi\n[Switching" in out
    assert "The recording ends here." in out
    first, second = (line for line in out.splitlines() if "s, tick " in line)
    assert first == second
    assert out.count("Breakpoint 1, main (argc=1") >= 2


def test_a_recorded_program_begins_in_main(tmp_path: Path) -> None:
    source, path = tmp_path / "reader.c", tmp_path / "run.orr"
    source.write_text(INCLUDES + "int main(void) { char c; read(0, &c, 1); return c; }\n")
    assert orrery("record", "-o", path, "run", "--mem=16", source, stdin="A\n").status == 65
    out = said("tb read\nc\nc\nrc\n", path)
    assert " at reader.c:" in out.partition("(orrery)")[0]
    assert "[The machine is switched off, exit status 65]" in out


def test_what_cannot_be_debugged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.orr"
    path.write_text('{"recording": 99}\n')
    for words, text in {
        (path,): "is no recording of a run",
        (path, "--mem=16"): "--mem=16: ",
        (path, "word"): "word: ",
        ("-c", "ls", "prog.c"): "-c: ",
        ("--drive", tmp_path / "none.img"): "none.img",
    }.items():
        refused = orrery("debug", *words)
        assert refused.status == 2 and text in refused.err and refused.err.count("\n") == 1, refused
