# syntax=docker/dockerfile:1
# One stage builds the virtual environment, the other copies it: the image has no compiler, no pip cache and no sources.
# The base is a tag, because its digest changes with each of its security updates, and must be looked up in the registry:
# `docker buildx imagetools inspect python:3.13-slim-bookworm --format '{{.Manifest.Digest}}'`, then
# `docker build --build-arg PYTHON=python:3.13-slim-bookworm@sha256:... .`, as the release workflow does.
ARG PYTHON=python:3.13-slim-bookworm

FROM $PYTHON AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/sprocket-grpc \
 && python -m pip install --require-hashes --no-deps -r requirements/build.txt \
 && /opt/sprocket-grpc/bin/python -m pip install --require-hashes --no-deps -r requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY sprocket sprocket
COPY sprocket_grpc sprocket_grpc
COPY migrations migrations
COPY share share
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
 && /opt/sprocket-grpc/bin/python -m pip install --no-deps --no-index wheels/*.whl \
 && /opt/sprocket-grpc/bin/python -m pip uninstall --yes pip

FROM $PYTHON
# The server writes no files, so the root file system can be read-only.
ENV PATH=/opt/sprocket-grpc/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SPROCKET_LISTEN=0.0.0.0:50051
COPY --from=build /opt/sprocket-grpc /opt/sprocket-grpc
USER 65532:65532
EXPOSE 50051 50052 9464 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 CMD ["sprocket-grpc", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["sprocket-grpc"]
CMD ["serve"]
# Last, because they differ from build to build.
ARG PYTHON
ARG VERSION=
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="sprocket-grpc" \
      org.opencontainers.image.description="Locations, sprocket types, factories, sprockets and production charts, as a gRPC service" \
      org.opencontainers.image.base.name=$PYTHON \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.source=$SOURCE
