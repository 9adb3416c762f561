# syntax=docker/dockerfile:1
# One stage builds the virtual environment, the other copies it: the image has no compiler, no pip cache and no sources.

FROM python:3.13-slim-bookworm AS build
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
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
 && /opt/sprocket-grpc/bin/python -m pip install --no-deps --no-index wheels/*.whl \
 && /opt/sprocket-grpc/bin/python -m pip uninstall --yes pip

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="sprocket-grpc" \
      org.opencontainers.image.description="Locations, sprocket types, factories, sprockets and production charts, as a gRPC service"
# The server writes no files, so the root file system can be read-only.
ENV PATH=/opt/sprocket-grpc/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SPROCKET_LISTEN=0.0.0.0:50051
COPY --from=build /opt/sprocket-grpc /opt/sprocket-grpc
USER 65532:65532
EXPOSE 50051 50052 9464
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 CMD ["sprocket-grpc", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["sprocket-grpc"]
CMD ["serve"]
