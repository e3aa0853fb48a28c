# narsfast on CPUs. Build from the repository's root:
#   docker build -f docker/cpu.Dockerfile -t narsfast:cpu .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY CMakeLists.txt pyproject.toml README.md LICENSE constraints.txt ./
COPY csrc csrc
COPY narsfast narsfast
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${PYTHON_IMAGE}
# An index with CPU-only torch wheels makes the image some GB smaller; empty is pip's default index.
ARG TORCH_INDEX=
COPY constraints.txt /tmp/constraints.txt
RUN pip install --no-cache-dir -c /tmp/constraints.txt ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch torchvision
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(ls /wheels/*.whl)[onnx]" && rm -r /wheels \
    && python -c "import torch, narsfast._native" && narsfast --help > /dev/null
RUN useradd --create-home narsfast && mkdir /runs && chown narsfast /runs
USER narsfast
# Waiting threads sleep: containers rarely have the cores to themselves.
ENV OMP_WAIT_POLICY=PASSIVE
WORKDIR /
VOLUME /runs
ENTRYPOINT ["narsfast"]
CMD ["--help"]
