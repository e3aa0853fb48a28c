# syntax=docker/dockerfile:1
# narsfast on NVIDIA GPUs, with DALI and apex. Build from the repository's root:
#   docker build -f docker/cuda.Dockerfile -t narsfast:cuda .
# The compiler's CUDA must be the one that torch was built with (13.0 for the torch of constraints.txt).
ARG CUDA=13.0.2
ARG SYSTEM=ubuntu24.04

FROM nvidia/cuda:${CUDA}-devel-${SYSTEM} AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ git python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/narsfast
ENV PATH=/opt/narsfast/bin:${PATH} PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY constraints.txt ./
COPY docker/build-steps.sh docker/
# apex is compiled against torch; a change of narsfast leaves these layers as they are.
RUN bash docker/build-steps.sh torch
ARG MAX_JOBS=4
RUN bash docker/build-steps.sh apex /wheels
COPY CMakeLists.txt pyproject.toml README.md LICENSE ./
COPY csrc csrc
COPY narsfast narsfast
RUN NARSFAST_CUDA=ON bash docker/build-steps.sh wheel /wheels

FROM nvidia/cuda:${CUDA}-base-${SYSTEM}
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/narsfast
ENV PATH=/opt/narsfast/bin:${PATH} PIP_NO_CACHE_DIR=1
# What is mounted is in no layer.
RUN --mount=type=bind,source=constraints.txt,target=/source/constraints.txt \
    --mount=type=bind,source=docker/build-steps.sh,target=/source/docker/build-steps.sh \
    bash /source/docker/build-steps.sh torch
ARG EXTRAS=onnx,dali
RUN --mount=type=bind,source=constraints.txt,target=/source/constraints.txt \
    --mount=type=bind,source=docker/build-steps.sh,target=/source/docker/build-steps.sh \
    --mount=type=bind,from=build,source=/wheels,target=/wheels \
    bash /source/docker/build-steps.sh install /wheels "${EXTRAS}" \
    && bash /source/docker/build-steps.sh check cuda_built=True apex=NVIDIA \
    && python -c "import torch, amp_C, apex_C; from apex.optimizers import FusedLAMB, FusedSGD"
# The system's first user, of id 1000, would take ours.
RUN (userdel --remove ubuntu || true) && useradd --create-home --uid 1000 narsfast && mkdir /runs && chown narsfast /runs
USER 1000
# Waiting threads sleep: containers rarely have the cores to themselves.
ENV OMP_WAIT_POLICY=PASSIVE
WORKDIR /
VOLUME /runs
HEALTHCHECK --interval=5m --timeout=60s CMD ["narsfast", "doctor"]
ENTRYPOINT ["narsfast"]
CMD ["--help"]
