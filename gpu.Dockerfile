# Speechlane on an NVIDIA GPU. From the root of the checkout:
#
#   docker build --file gpu.Dockerfile --tag speechlane-gpu .
#   docker run --gpus all --publish 127.0.0.1:8700:8700 --env SPEECHLANE_API_KEYS=tenant=KEY speechlane-gpu
#
# The pinned CTranslate2 opens cuBLAS of CUDA 12 and the host's driver, and has its own kernels where older releases
# called cuDNN, so the plain runtime image will do. The speech gate and the diarizer stay on the CPU. `make setup` is
# what CI runs on a bare machine; Ubuntu 24.04 brings Python 3.12, for which the same pins hold.

FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 speechlane \
    && install --directory --owner speechlane /app /data

USER speechlane
WORKDIR /app
ENV SPEECHLANE_DATA=/data SPEECHLANE_MODELS=/app/weights PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

COPY --chown=speechlane . .
RUN make setup

ENV SPEECHLANE_DEVICE=cuda SPEECHLANE_COMPUTE_TYPE=float16
EXPOSE 8700
VOLUME /data

# Listening beyond loopback needs SPEECHLANE_API_KEYS: without any the server says so and stops.
HEALTHCHECK --start-period=60s --interval=15s --timeout=3s \
    CMD [".venv/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8700/healthz', timeout=2)"]
ENTRYPOINT [".venv/bin/speechlane"]
CMD ["serve", "--host", "0.0.0.0"]
