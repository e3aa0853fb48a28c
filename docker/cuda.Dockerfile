# narsfast on NVIDIA GPUs, with apex. Build from the repository's root:
#   docker build -f docker/cuda.Dockerfile -t narsfast:cuda .
# The image brings torch, torchvision, CUDA and apex with all its extensions; none of them is replaced.
ARG PYTORCH_IMAGE=nvcr.io/nvidia/pytorch:25.10-py3

FROM ${PYTORCH_IMAGE}
WORKDIR /source
COPY CMakeLists.txt pyproject.toml README.md LICENSE ./
COPY csrc csrc
COPY narsfast narsfast
RUN python -c "import torch, torchvision, importlib.metadata as m; \
print(*(f'{n}=={m.version(n)}' for n in ('torch', 'torchvision')), sep='\n')" > /tmp/brought.txt \
    && pip install --no-cache-dir -c /tmp/brought.txt '.[onnx]' -C cmake.define.NARSFAST_CUDA=ON \
    && cd / && python -c "import torch; from narsfast import _native; assert _native.cuda_built()" \
    && narsfast --help > /dev/null \
    && rm -r /source
# PyPI's apex is another project; this fails where the image's is not NVIDIA's.
RUN python -c "from apex.optimizers import FusedLAMB, FusedSGD"
RUN useradd --create-home narsfast && mkdir /runs && chown narsfast /runs
USER narsfast
ENV OMP_WAIT_POLICY=PASSIVE
WORKDIR /
VOLUME /runs
ENTRYPOINT ["narsfast"]
CMD ["--help"]
