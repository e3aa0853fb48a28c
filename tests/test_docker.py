"""What can be known of the Docker files without an engine. Their steps are run by .ci/run, see docker/build-steps.sh."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
STEPS = ROOT / "docker" / "build-steps.sh"
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def lines(file):
    """Return the instructions of a Docker file, one per line."""
    text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.M)
    return text.replace("\\\n", " ").splitlines()


def sources_of(file):
    """Return the paths of the repository that a Docker file copies or mounts."""
    found = []
    for line in lines(file):
        if re.match(r"COPY (?!--from)", line):
            found += line.split()[1:-1]
        found += re.findall(r"--mount=type=bind,source=([^, ]+)", line)
    return found


def steps(text):
    """Return the steps of build-steps.sh that a text calls, in order."""
    return re.findall(r"bash \S*build-steps\.sh (\w+)", text)


def test_there_are_two_images():
    assert [file.name for file in FILES] == ["cpu.Dockerfile", "cuda.Dockerfile"]


@each_file
def test_hadolint_reports_nothing(file):
    done = subprocess.run(["hadolint", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@each_file
def test_copied_paths_exist_and_are_not_ignored(file):
    not_ignored = {
        line[1:] for line in Path(f"{file}.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    sources = {source.rstrip("/") for source in sources_of(file)}
    assert {"csrc", "narsfast", "CMakeLists.txt", "pyproject.toml", "docker/build-steps.sh"} <= sources
    for source in sources:
        assert (ROOT / source).exists(), source
    assert sources == not_ignored


@each_file
def test_image_runs_the_command_as_a_user_with_a_health_check(file):
    last = lines(file)[-8:]
    assert "USER 1000" in last
    assert 'ENTRYPOINT ["narsfast"]' in last
    assert any(
        line.startswith("HEALTHCHECK ") and line.endswith('CMD ["narsfast", "doctor"]') for line in last
    )
    assert re.search(r'^narsfast = "narsfast\.cli:main"', (ROOT / "pyproject.toml").read_text(), re.M)


@each_file
def test_image_has_no_compiler_and_no_sources(file):
    build, runtime = re.split(r"^FROM ", "\n".join(lines(file)), flags=re.M)[1:]
    assert "g++" in build
    assert "g++" not in runtime
    assert "COPY" not in runtime
    assert "-devel" not in runtime


def test_steps_of_the_images_exist_and_ci_runs_all_but_apex():
    script = STEPS.read_text()
    defined = set(re.findall(r"^(\w+)\(\) \{$", script, re.M))
    used = {step for file in FILES for step in steps("\n".join(lines(file)))}
    assert used == defined
    assert set(steps((ROOT / ".ci" / "run").read_text())) == defined - {"apex"}


def test_unknown_step_prints_the_usage():
    done = subprocess.run(["bash", STEPS, "tarch"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: bash docker/build-steps.sh" in done.stderr


def test_apex_is_pinned_and_built_for_the_devices_of_the_kernels():
    script = STEPS.read_text()
    assert re.search(r"^apex_commit=[0-9a-f]{40}$", script, re.M)
    kernels = re.search(r"set\(CMAKE_CUDA_ARCHITECTURES (\d.*)\)", (ROOT / "csrc" / "cuda.cmake").read_text())
    numbers = [re.sub(r"-real$", "", name) for name in kernels[1].split()]
    apex = re.search(r'TORCH_CUDA_ARCH_LIST="(.*?)(\+PTX)?"', script)[1]
    assert apex.replace(".", "").split(";") == numbers


def test_cuda_version_is_that_of_torch():
    wanted = re.search(
        r"^ARG CUDA=(\d+\.\d+)\.\d+$", (ROOT / "docker" / "cuda.Dockerfile").read_text(), re.M
    )[1]
    pinned = re.search(r"^torch==([\d.]+)", (ROOT / "constraints.txt").read_text(), re.M)[1]
    if torch.version.cuda is None or torch.__version__.partition("+")[0] != pinned:
        pytest.skip("this torch has no CUDA, or is not that of the images")
    assert torch.version.cuda == wanted
