# syntax=docker/dockerfile:1
# narsfast on CPUs. Build from the repository's root:
#   docker build -f docker/cpu.Dockerfile -t narsfast:cpu .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY CMakeLists.txt pyproject.toml README.md LICENSE ./
COPY csrc csrc
COPY narsfast narsfast
COPY docker/build-steps.sh docker/
RUN bash docker/build-steps.sh wheel /wheels

FROM ${PYTHON_IMAGE}
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# An index with CPU-only torch wheels makes the image some GB smaller; empty is pip's default index.
ARG TORCH_INDEX=
# torch has a layer of its own, which a change of narsfast leaves as it is. What is mounted is in no layer.
RUN --mount=type=bind,source=constraints.txt,target=/source/constraints.txt \
    --mount=type=bind,source=docker/build-steps.sh,target=/source/docker/build-steps.sh \
    bash /source/docker/build-steps.sh torch
ARG EXTRAS=onnx
RUN --mount=type=bind,source=constraints.txt,target=/source/constraints.txt \
    --mount=type=bind,source=docker/build-steps.sh,target=/source/docker/build-steps.sh \
    --mount=type=bind,from=build,source=/wheels,target=/wheels \
    bash /source/docker/build-steps.sh install /wheels "${EXTRAS}" \
    && bash /source/docker/build-steps.sh check
RUN useradd --create-home --uid 1000 narsfast && mkdir /runs && chown narsfast /runs
USER 1000
# Waiting threads sleep: containers rarely have the cores to themselves.
ENV OMP_WAIT_POLICY=PASSIVE
WORKDIR /
VOLUME /runs
HEALTHCHECK --interval=5m --timeout=60s CMD ["narsfast", "doctor"]
ENTRYPOINT ["narsfast"]
CMD ["--help"]
