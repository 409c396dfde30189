"""`pytest --orrery` on the example lab and on what students hand in, run as a teacher runs it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import pytest
from orrery_cli import default_files
from processes import descendants, left
from source_tree import ROOT, changed_tree

from orrery import MachinePool
from orrery.grading import marker
from toolchain import mkfs

LAB = ROOT / "docs" / "examples" / "lab"
GUIDE = ROOT / "docs" / "grading.md"
WALL_S_MAX = 60
LAB_TESTS = 11
# As at a person's terminal: where these are set, pytest and its like shorten nothing and colour all.
TERMINAL_ENV = {k: v for k, v in os.environ.items() if k not in ("CI", "BUILD_NUMBER", "FORCE_COLOR")}


@dataclass(frozen=True)
class Graded:
    """A run of pytest that has ended; `xml` is what it wrote with --junitxml."""

    status: int
    out: str
    err: str
    xml: Path

    @cached_property
    def cases(self) -> dict[str, ElementTree.Element]:
        return {case.attrib["name"]: case for case in ElementTree.parse(self.xml).iter("testcase")}

    @property
    def outcomes(self) -> dict[str, str]:
        """By test: "passed", or failure, error or skipped as the XML file says."""
        kinds = ("failure", "error", "skipped")
        return {
            name: next((child.tag for child in case if child.tag in kinds), "passed")
            for name, case in self.cases.items()
        }

    def properties(self, name: str) -> dict[str, str]:
        return {one.attrib["name"]: one.attrib["value"] for one in self.cases[name].iter("property")}

    def failure(self, name: str) -> str:
        """What the report says of a test that failed."""
        (failure,) = self.cases[name].iter("failure")
        return failure.text or ""


def grade(directory: Path, *words: str | Path, env: Mapping[str, str] | None = None) -> Graded:
    """Run pytest in `directory`."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=x.xml", *map(str, words)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WALL_S_MAX,
        env={**TERMINAL_ENV, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        check=False,
    )
    return Graded(done.returncode, done.stdout, done.stderr, directory / "x.xml")


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A directory with the lab's test, and no pytest configuration but its own."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (tmp_path / "test_lab.py").write_text((LAB / "test_lab.py").read_text())
    return tmp_path


def write_tests(directory: Path, text: str, **programs: str) -> None:
    """A test file, and C programs beside it."""
    (directory / "test_it.py").write_text(f"import pytest\norrery = pytest.mark.orrery\n{text}")
    for name, program in programs.items():
        (directory / f"{name}.c").write_text(f'#include "user/user.h"\n{program}')


# --- the example lab ---


def test_the_solution_passes_on_two_workers_too(hidden: Path) -> None:
    graded = grade(hidden, "--orrery", "--orrery-programs", LAB / "solution", "-n", "2")
    assert graded.status == 0, graded.out
    assert list(graded.outcomes.values()) == ["passed"] * LAB_TESTS
    for name in graded.cases:
        properties = graded.properties(name)
        assert re.fullmatch(r"0\.\d{6}", properties["orrery_virtual_time_s"])
        assert float(properties["orrery_virtual_time_s"]) > 0
    assert graded.properties("test_missing_file")["orrery_exit_status"] == "0"  # of cat
    assert graded.properties("test_usage[-x]")["orrery_exit_status"] == "1"


def test_the_skeleton_fails_and_says_why(hidden: Path) -> None:
    graded = grade(hidden, "--orrery", "--orrery-programs", LAB / "skeleton")
    assert graded.status == 1
    assert graded.outcomes["test_reads_are_large"] == "passed"
    assert list(graded.outcomes.values()).count("failure") == LAB_TESTS - 1
    count = graded.failure("test_count")
    assert '>       assert machine.sh("uniq -c fruit") ==' in count
    assert "E         - 2 apple\nE         - 1 pear\n" in count
    assert "\n$ uniq -c fruit\n$ \n" in graded.out, "the console is in the report"
    assert "orrery/pool/forked_machine.py" not in graded.out, "nothing of ours is in the traceback"


def test_a_crash_in_the_xml_file(hidden: Path) -> None:
    """What is printed of wrong programs is in the guide; see below."""
    wrong = LAB / "wrong" / "crashes"
    graded = grade(hidden, "--orrery", "--orrery-programs", wrong, "-k", "standard_input or usage")
    assert "usertrap(): unexpected scause 0xf" in graded.failure("test_standard_input")
    assert graded.properties("test_standard_input")["orrery_exit_status"] == "255"


def test_nothing_handed_in(hidden: Path) -> None:
    graded = grade(hidden, "--orrery", "--orrery-programs", hidden)
    assert set(graded.outcomes.values()) == {"failure"}
    assert graded.failure("test_count").startswith("uniq.c: No such file or directory; ")


# --- machines, and what tests may ask of them ---


def test_settings(tmp_path: Path) -> None:
    write_tests(
        tmp_path,
        """
pytestmark = orrery(files={"both": "module"}, max_time=7, mem_mib=16)

def test_one(machine):
    assert machine.sh("cat both; echo new > f; cat f") == "modulenew\\n"

@orrery(files={"both": b"test"}, programs="hello.c")
def test_closest_counts(machine):
    assert machine.sh("cat both f; hello") == "testcat: cannot open f\\nhello\\n"

@orrery(max_time=0.5)
def test_time(machine):
    machine.sh("sleep 4")
    machine.sh("sleep 4")

@orrery(drive="own.img", files={})
def test_drive(machine):
    assert machine.sh("cat both") == "cat: cannot open both\\n"
    assert machine.sh("cat mine; echo new > mine") == "on the drive"

@pytest.fixture
def prepared(machine):
    machine.sh("mkdir d")
    return machine

def test_fixtures_build_on_it(prepared, machine):
    assert prepared is machine and machine.sh("cd d; ls") != ""

@orrery(engine="public")
def test_engine(machine):
    assert machine.sh("cat both") == "module"

@orrery(memory=3)
def test_unknown(machine):
    pass

@orrery(3)
def test_unnamed(machine):
    pass

@orrery(mem_mib=1)
def test_impossible(machine):
    pass

@orrery(programs=["nosuch.c"])
def test_early(broken):
    pass

@pytest.fixture
def broken(machine):
    machine.sh("echo")
""",
        hello='int main(void) { int unused; printf("hello\\n"); return 0; }',
    )
    (tmp_path / "own.img").write_bytes(mkfs.build({**default_files(), "mine": b"on the drive"}))
    graded = grade(tmp_path, "--orrery", "--orrery-max-time", "3", "-rP")
    failed = {name: kind for name, kind in graded.outcomes.items() if kind != "passed"}
    assert failed == {
        "test_time": "failure",
        "test_unknown": "failure",
        "test_unnamed": "failure",
        "test_impossible": "failure",
        "test_early": "error",
    }, graded.out
    assert "the limit of 0.5 s of virtual time is over" in graded.failure("test_time")
    taken = f"it takes {', '.join(marker.SETTINGS)}, by name"
    assert graded.failure("test_unknown") == f"BadInput: pytest.mark.orrery: memory: {taken}"
    assert graded.failure("test_unnamed") == f"BadInput: pytest.mark.orrery: 3: {taken}"
    assert graded.failure("test_impossible").startswith("BadInput: 1 MiB of memory: ")
    assert "hello.c:2:22: warning: unused variable" in graded.out


def test_limit_of_the_command_line(tmp_path: Path) -> None:
    write_tests(tmp_path, 'def test_it(machine): machine.sh("sleep 10")\n')
    assert grade(tmp_path, "--orrery", "--orrery-max-time", "0.9").outcomes == {"test_it": "failure"}
    assert grade(tmp_path, "--orrery", "--orrery-max-time", "1.5").outcomes == {"test_it": "passed"}


# --- kernels ---


def test_a_kernel_that_panics(tmp_path: Path) -> None:
    tree = changed_tree(
        tmp_path / "tree",
        "kernel/xv6/sysproc.py",
        "    return p.pid\n",
        '    print(f"getpid of {p.name}")\n    return p.pidd if p.name == "grader" else p.pid\n',
    )
    write_tests(
        tmp_path,
        """
pytestmark = orrery(programs=["grader.c", "other.c"])

def test_panic(machine):
    machine.sh("grader")

def test_fine(machine):
    assert machine.sh("other") == "3\\n"
""",
        grader="int main(void)\n{\n    return getpid();\n}",
        other='int main(void) { printf("%d\\n", getpid()); return 0; }',
    )
    graded = grade(tmp_path, "--orrery", "--orrery-root", tree, "-rP")
    assert graded.outcomes == {"test_panic": "failure", "test_fine": "passed"}
    report = graded.failure("test_panic")
    assert "KernelPanic: AttributeError: 'Process' object has no attribute 'pidd'" in report
    assert re.search(r"at kernel/xv6/sysproc.py:\d+ in sys_getpid", report)
    assert re.search(r"main\S* at grader.c:4", report), "the line of C that made the call"
    assert f"orrery: source tree {tree}" in graded.out
    assert "getpid of other\n" in graded.out, "what a kernel prints is shown"


def does_not_boot(directory: Path, old: str, new: str, message: str) -> None:
    """Every test fails with the reason, which is looked for only once."""
    tree = changed_tree(directory / "tree", "kernel/xv6/sysproc.py", old, new)
    graded = grade(directory, "--orrery", "--orrery-root", tree, "--orrery-programs", LAB / "solution")
    assert list(graded.outcomes.values()) == ["failure"] * LAB_TESTS
    for name in graded.cases:
        assert graded.failure(name).startswith(message)


def test_a_kernel_that_cannot_be_loaded(hidden: Path) -> None:
    message = "CannotBoot: the kernel cannot be loaded: SyntaxError: "
    does_not_boot(hidden, "def sys_getpid(", "def sys_getpid((", message)


@pytest.mark.long
def test_a_kernel_that_loops(hidden: Path) -> None:
    message = "KernelPanic: Stuck: no progress in 3 s of CPU time: it loops in kernel/xv6/sysproc.py, "
    does_not_boot(hidden, "    return k.procs.fork(p)\n", "    while True:\n        pass\n", message)


# --- docs/grading.md ---


def fences(language: str) -> list[str]:
    """The blocks of the book's page, but for those that quote a file."""
    text = re.sub(r"<!-- source:.*?^```$", "", GUIDE.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def differs(expected: list[str], lines: list[str]) -> str | None:
    """The first line that is not as expected; there "..." stands for any lines, or for a line's rest."""

    def bare(line: str) -> str:
        return re.sub(r"0x[0-9a-f]+|[0-9a-f]{16}|\d+", "N", line).rstrip()

    def same(wanted: str, line: str) -> bool:
        return line == wanted or (wanted.endswith("...") and line.startswith(wanted.removesuffix("...")))

    rest, gap = [bare(line) for line in lines], False
    for wanted in expected:
        if wanted == "...":
            gap = True
            continue
        while gap and rest and not same(bare(wanted), rest[0]):
            del rest[0]
        if not rest or not same(bare(wanted), rest.pop(0)):
            return wanted
        gap = False
    return rest[0] if rest and not gap else None


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the lab, as a teacher may have it, and beside it the kernel that the guide tells of."""
    top = tmp_path_factory.mktemp("course")
    read = "    return f.read(UserBuffer(k.usercopy, p.space, (dst, n)))\n"
    changed_tree(top / "tree", "kernel/xv6/sysfile.py", read, read.replace("f.read", "f.recieve"))
    shutil.copytree(LAB, top / "lab", ignore=shutil.ignore_patterns("__pycache__", "*.xml"))
    return top / "lab"


@pytest.mark.parametrize("session", fences("console"), ids=lambda session: session.partition("\n")[0][:70])
def test_the_guide_shows_what_is_printed(lab: Path, session: str) -> None:
    command = re.match(r"\$ (.*\n(?:> .*\n)*)", session)
    assert command is not None
    done = subprocess.run(
        re.sub("^> ", "", command[1], flags=re.MULTILINE),
        shell=True,
        cwd=lab,
        stdout=subprocess.PIPE,
        text=True,
        timeout=WALL_S_MAX,
        env={
            **TERMINAL_ENV,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TREE": str(lab.parent / "tree"),
        },
        check=False,
    )
    assert differs(session[command.end() :].splitlines(), done.stdout.splitlines()) is None, done.stdout


@pytest.mark.parametrize("script", fences("python"), ids=range(len(fences("python"))))
def test_the_scripts_of_the_guide_run(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(compile(script, GUIDE, "exec"), names)
    if "test_words" in names:
        with MachinePool() as pool, pool.machine() as machine:
            names["test_words"](machine)  # type: ignore[operator]


def test_the_guide_knows_every_option_and_setting() -> None:
    rows = set(re.findall(r"^\| `([^` ]+)", GUIDE.read_text(), re.MULTILINE))
    assert set(marker.SETTINGS) <= rows
    command = [sys.executable, "-m", "pytest", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  (--orrery[\w-]*)", text, re.MULTILINE)) == {
        row for row in rows if row.startswith("--")
    }


# --- pytest itself ---


def test_without_the_option_it_is_not_there(tmp_path: Path) -> None:
    write_tests(
        tmp_path,
        """
import sys

@orrery(max_time=1)
def test_machine(machine): pass

def test_other(): assert not [name for name in sys.modules if name.startswith(("kernel", "emu", "orrery."))
                              and name != "orrery.pytest_plugin"]
""",
    )
    graded = grade(tmp_path, "--strict-markers")
    assert graded.outcomes == {"test_machine": "error", "test_other": "passed"}, graded.out
    assert (
        "`machine` is a machine of Orrery's: give pytest --orrery, and each test gets its own" in graded.out
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--orrery", "--orrery-root", "."], "--orrery-root .: not a source tree of Orrery: it has no emu"),
        (["--orrery", "--orrery-programs", "none"], "--orrery-programs none: no such directory"),
        (["--orrery", "--orrery-max-time", "0"], "--orrery-max-time: 0: give a number of seconds"),
        (["--orrery", "--orrery-max-time", "1h"], "--orrery-max-time: 1h: give a number of seconds"),
        (["--orrery-root", "x"], "--orrery-root and --orrery-programs: give --orrery, too"),
    ],
)
def test_bad_options(tmp_path: Path, words: list[str], message: str) -> None:
    graded = grade(tmp_path, *words)
    assert graded.status == 4 and message in graded.err
    assert "Traceback" not in graded.err


def test_interrupted(tmp_path: Path) -> None:
    """C-c goes to all processes of the terminal: pytest ends as it should, and nothing stays behind."""
    write_tests(
        tmp_path,
        """
@orrery(programs="spin.c")
def test_it(machine):
    open("begun", "w").close()
    machine.sh("spin")
""",
        spin="int main(void) { for (volatile long i = 0;; i++); }",
    )
    # Who runs these tests in the background of a script has C-c ignored, and what is started inherits that.
    heed = "signal.signal(signal.SIGINT, signal.SIG_DFL)"
    by_hand = f"import os, signal, sys; {heed}; os.execv(sys.argv[1], sys.argv[1:])"
    pytest_words = [sys.executable, "-m", "pytest", "--orrery", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        [sys.executable, "-c", by_hand, *pytest_words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None, "pytest has ended before the test has begun"
            time.sleep(0.01)
        end = time.monotonic() + WALL_S_MAX
        while len(pids := list(descendants(process.pid))) != 3:  # a compiler may just be ending
            assert time.monotonic() < end, f"three processes are there in the end, and not {pids}"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=WALL_S_MAX)
    assert process.returncode == pytest.ExitCode.INTERRUPTED and "KeyboardInterrupt" in out
    assert left(pids) == []
