"""The threat model, line by line: what a submission tries against who grades it. See docs/threat-model.md."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import descendants, left
from source_tree import ROOT, changed_tree
from test_plugin import LAB, grade

from orrery import CannotGoOn, MachinePool, pytest_words
from orrery.pool import sandbox
from toolchain import landlock
from toolchain.paths import cache_dir

CHEAT = 'open("{ran}", "w").close()\ndef pytest_pyfunc_call(pyfuncitem): return True\n'
HELD = landlock.version() >= landlock.SIGNALS_SINCE and os.uname().machine in ("x86_64", "aarch64")
needs_landlock = pytest.mark.skipif(
    not HELD,
    reason=f"needs Landlock {landlock.SIGNALS_SINCE} on x86-64 or arm64; here is {landlock.version()}",
)
CONFIGURATIONS = {
    "pytest.ini": "[pytest]\naddopts = -p cheat\npythonpath = .\n",
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-p cheat"\npythonpath = ["."]\n',
    "tox.ini": "[pytest]\naddopts = -p cheat\npythonpath = .\n",
    "setup.cfg": "[tool:pytest]\naddopts = -p cheat\npythonpath = .\n",
}
MODULES = ("conftest.py", "cheat.py", "test_own.py", "sitecustomize.py", "json.py", "marshal.py")


def furnish(directory: Path, configuration: str) -> Path:
    """Put all that pytest and Python might load into a submission; the file that tells whether they did."""
    ran = directory.parent / "ran"
    directory.mkdir(exist_ok=True)
    (directory / configuration).write_text(CONFIGURATIONS[configuration])
    for name in MODULES:
        (directory / name).write_text(CHEAT.format(ran=ran))
    (directory / "uniq.c").write_text((LAB / "skeleton" / "uniq.c").read_text())
    return ran


# --- files of a submission, on the host ---


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A directory with a hidden test that takes no machine's time."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.orrery(programs=['uniq.c'], points=3)\n"
        "def test_it(machine): assert machine.sh('uniq README') == 'cheated'\n"
    )
    return tmp_path


def test_configuration_and_modules_of_a_submission(course: Path) -> None:
    """In two words, for which pytest would look there; no test is named, so that it would collect there."""
    ran = furnish(course / "sub", "pytest.ini")
    graded = grade(course, "--orrery", "--orrery-programs", "sub")
    assert graded.outcomes == {"test_it": "failure"}, graded.out
    assert not ran.exists() or not hook_is_installed()
    assert graded.cases["test_it"].attrib["classname"] == "test_it"


def test_configuration_of_a_tree(course: Path) -> None:
    file = "kernel/xv6/sysproc.py"
    tree = changed_tree(course / "tree", file, "    return p.pid\n", "    return p.pid + 0\n")
    ran = furnish(tree, "pyproject.toml")
    graded = grade(course, "--orrery", "--orrery-root", "tree", "--orrery-programs", "tree", "test_it.py")
    assert graded.outcomes == {"test_it": "failure"}, graded.out
    assert not ran.exists() or not hook_is_installed()
    assert graded.cases["test_it"].attrib["classname"] == "test_it"


def hook_is_installed() -> bool:
    return any(Path(entry, pytest_words.PTH_NAME).exists() for entry in sys.path)


def test_words_are_joined_before_pytest_sees_them(tmp_path: Path) -> None:
    """Where the .pth file is, as `make boot` writes it."""
    (tmp_path / pytest_words.PTH_NAME).write_text(pytest_words.PTH_LINE)
    runner = tmp_path / "pytest"
    runner.write_text(f"import site, sys; site.addsitedir({str(tmp_path)!r}); print(sys.argv[1:])")
    words = ["--orrery", "--orrery-root", "a b", "x", "--orrery-programs=c", "--orrery-gradescope", "r.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, expected in (("pytest", pytest_words.joined(words)), ("other", words)):
        command = [sys.executable, runner.rename(tmp_path / name), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert done.stdout == f"{expected}\n"
        runner = tmp_path / name
    assert pytest_words.joined(words) == [
        "--orrery", "--orrery-root=a b", "x", "--orrery-programs=c", "--orrery-gradescope=r.json",
    ]  # fmt: skip
    assert pytest_words.joined(["--", "--orrery-root", "a"]) == ["--", "--orrery-root", "a"]
    assert pytest_words.joined(["--orrery-root"]) == ["--orrery-root"]
    assert "Traceback" not in done.stderr, done.stderr


def test_sources_that_are_no_files(tmp_path: Path) -> None:
    top = tmp_path / "sub"
    top.mkdir()
    os.mkfifo(top / "fifo.c")
    (top / "zero.c").symlink_to("/dev/zero")
    (top / "out.c").symlink_to("/etc/passwd")
    (top / "dir.c").mkdir()
    with (top / "huge.c").open("wb") as file:
        file.truncate(1 << 40)
    (top / "elf.c").write_bytes(Path(sys.executable).resolve().read_bytes()[:2048])
    (top / "loop.c").symlink_to("loop.c")
    messages = {
        "loop.c": "loop",
        "fifo.c": "not a file",
        "zero.c": "leads out of",
        "out.c": "leads out of",
        "dir.c": "not a file",
        "huge.c": "bytes; a source has at most",
        "elf.c": "error: ",
        "\udcff.c": "No such file",
    }
    begin = time.monotonic()
    with MachinePool() as pool:
        for name, message in messages.items():
            with pytest.raises(Exception, match=re.escape(message)) as error:
                pool.machine(programs=[top / name], submission=top)
            assert not isinstance(error.value, AssertionError | UnicodeError), name
    assert time.monotonic() - begin < 60


# --- a changed kernel ---

ATTACKS = """

def _attacks():
    import ctypes, os, signal, socket, subprocess, sys
    libc = ctypes.CDLL(None, use_errno=True)
    secret, keeper, grader, cache, own = {secret!r}, {keeper}, {grader}, {cache!r}, os.environ["HOME"]

    def call(result):
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def link_of_cache():
        top = os.path.join(os.environ["XDG_CACHE_HOME"], "orrery", "elf")
        linked = [entry.path for entry in os.scandir(top) if entry.is_symlink()]
        return linked[0] if linked else "/nothing/is/cached"

    tries = dict(
        reads_a_hidden_test=lambda: open(secret).read(),
        lists_its_directory=lambda: os.listdir(os.path.dirname(secret)),
        reads_passwd=lambda: open("/etc/passwd").read(),
        reads_by_a_link=lambda: (os.symlink(secret, own + "/s"), open(own + "/s").read()),
        makes_a_hard_link=lambda: os.link(secret, own + "/h"),
        changes_a_hidden_test=lambda: open(secret, "a"),
        writes_beside_it=lambda: open(secret + ".xml", "w"),
        removes_it=lambda: os.unlink(secret),
        renames_it=lambda: os.rename(secret, secret + "x"),
        truncates_it=lambda: os.truncate(secret, 0),
        changes_its_mode=lambda: os.chmod(secret, 0),
        writes_to_tmp=lambda: open("/tmp/orrery-attack", "w"),
        changes_the_tree=lambda: open({tree!r} + "/kernel/new.py", "w"),
        changes_the_packages=lambda: open(os.path.dirname(ctypes.__file__) + "/x.pth", "w"),
        writes_to_the_cache=lambda: open(cache + "/x", "w"),
        changes_an_entry_of_the_cache=lambda: open(link_of_cache(), "r+b"),
        kills_the_grader=lambda: os.kill(grader, signal.SIGTERM),
        kills_all=lambda: [os.kill(-1, signal.SIGTERM), os.kill(grader, 0)],
        traces_the_grader=lambda: call(libc.ptrace(16, grader, 0, 0)),
        opens_its_memory=lambda: open(f"/proc/{{grader}}/mem", "r+b"),
        opens_its_descriptors=lambda: os.listdir(f"/proc/{{grader}}/fd"),
        makes_a_socket=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        makes_a_raw_one=lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        mounts=lambda: call(libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None)),
        makes_a_name_space=lambda: call(libc.unshare(0x10000000)),
        sets_the_user=lambda: os.setuid(12345),
        runs_a_program=lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
        opens_the_terminal=lambda: open("/dev/tty"),
        writes_a_large_file=lambda: open(own + "/large", "wb").truncate(1 << 40),
        takes_much_memory=lambda: bytearray(1 << 36),
        raises_its_limits=lambda: __import__("resource").setrlimit(7, (1 << 20, 1 << 20)),
    )
    for name, attempt in tries.items():
        try:
            attempt()
        except (OSError, MemoryError, ValueError, subprocess.SubprocessError):
            pass
        else:
            print("DONE:", name)
    names = sorted(name for name in os.environ if name not in ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"))
    descriptors = []
    for fd in range(3, 1024):
        try:
            if not os.path.samestat(os.fstat(fd), os.fstat(1)):
                descriptors.append(os.fstat(fd).st_mode & 0o170000 == 0o140000)  # a socket
        except OSError:
            pass
    print("ENVIRONMENT:", *names)
    print("DESCRIPTORS:", all(descriptors), os.getcwd() == own)


def _stays_behind():
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)


def _forks():
    import os, time
    while True:
        if os.fork() == 0:
            time.sleep(1000)


def _sends_nonsense():
    import marshal, os, socket
    for fd in range(3, 1024):
        try:
            if os.fstat(fd).st_mode & 0o170000 == 0o140000:
                for body in (marshal.dumps((True, "passed", ())), b"[true,1,[0,0,{{}},[],[]]]"):
                    os.write(fd, len(body).to_bytes(8, "little") + body)
        except OSError:
            pass
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, list[Path]]]:
    """A tree that attacks in getpid, by the name of the caller; a secret; and these callers."""
    top = tmp_path_factory.mktemp("hostile")
    (top / "hidden").mkdir()
    secret = top / "hidden" / "test_hidden.py"
    secret.write_text("SECRET = 42\n")
    names = ("attacks", "stays_behind", "forks", "sends_nonsense")
    calls = "".join(f'    if p.name == "{name}":\n        _{name}()\n' for name in names)
    getpid = "    return p.pid\n"
    tree = changed_tree(top / "tree", "kernel/xv6/sysproc.py", getpid, f"{calls}{getpid}")
    file = tree / "kernel" / "xv6" / "sysproc.py"
    file.write_text(
        file.read_text()
        + ATTACKS.format(
            secret=str(secret),
            grader=os.getpid(),
            keeper=os.getppid(),
            cache=str(cache_dir()),
            tree=str(tree),
        )
    )
    programs = top / "programs"
    programs.mkdir()
    (programs / "test_beside.py").write_text("SECRET = 43\n")
    for name in names:
        (programs / f"{name}.c").write_text('#include "user/user.h"\nint main() { return getpid() < 0; }')
    yield tree, secret, [programs / f"{name}.c" for name in names]


@needs_landlock
def test_a_changed_kernel(hostile: tuple[Path, Path, list[Path]]) -> None:
    """One machine for all: each line is tried, and nothing is done."""
    tree, secret, programs = hostile
    before = set(descendants(os.getpid()))
    with MachinePool(tree) as pool:
        with pool.machine(programs=programs) as machine:
            assert machine.sh("attacks") == ""
            said = pool.take_log()
            assert "DONE" not in said and "ENVIRONMENT:" in said, said
            assert "ENVIRONMENT: HOME PYTHONDONTWRITEBYTECODE PYTHONPATH TMPDIR XDG_CACHE_HOME\n" in said
            assert "DESCRIPTORS: True True\n" in said
            assert machine.sh("stays_behind") == ""
        with (
            pool.machine(programs=programs) as machine,
            pytest.raises(CannotGoOn, match="does not answer as it should"),
        ):
            machine.sh("sends_nonsense")
        with pool.machine(programs=programs) as machine:
            assert machine.sh("echo still here") == "still here\n"
        below = [pid for pid in descendants(os.getpid()) if pid not in before]
        assert len(below) >= 4, "the keeper, the fork server, a parent, and what stays behind"
    assert left(below) == []
    assert secret.read_text() == "SECRET = 42\n" and os.listdir(secret.parent) == [secret.name]


@needs_landlock
def test_a_kernel_that_forks_without_end(hostile: tuple[Path, Path, list[Path]]) -> None:
    tree, _, programs = hostile
    before = set(descendants(os.getpid()))
    with (
        MachinePool(tree) as pool,
        pool.machine(programs=programs) as machine,
        pytest.raises(CannotGoOn),
    ):
        machine.sh("forks")
    below = [pid for pid in descendants(os.getpid()) if pid not in before]
    assert left(below) == []


def test_the_hidden_test_beside_the_sources_is_not_readable(hostile: tuple[Path, Path, list[Path]]) -> None:
    from orrery.pool.recipe import Recipe

    _, _, programs = hostile
    recipe = Recipe(programs=tuple((str(path), "") for path in programs))
    assert set(recipe.read_from) == {str(path) for path in programs}


def test_a_grader_that_is_killed_leaves_no_kernel_behind(hostile: tuple[Path, Path, list[Path]]) -> None:
    tree, _, _ = hostile
    script = (
        "import sys; from orrery import MachinePool; pool = MachinePool(sys.argv[1]);"
        "machine = pool.machine(); print('begun', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tree], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as caller:
        assert caller.stdout is not None and caller.stdout.readline() == b"begun\n"
        pids = list(descendants(caller.pid))
        assert len(pids) == 4
        caller.kill()
    assert left(pids) == []


def test_the_sandbox_ends_with_the_status_of_the_command(tmp_path: Path) -> None:
    """And says what it could not start."""
    policy = f'{{"reads": [], "own": "{tmp_path}", "cache": "{tmp_path}/none", "memory": {1 << 30}}}'
    command = [sys.executable, "-I", "-S", sandbox.__file__, policy, "/nosuch/python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 126 and done.stderr.startswith("sandbox: [Errno ")
