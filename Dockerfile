# Two images, both without root: `services` (router, replica, manager) and `tools` (also the experiments: runs and load
# workers). Versions and hashes are those of the locks. `docker build --target services -t aegis-services .`
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS installer
RUN python -m pip install --quiet --no-cache-dir --disable-pip-version-check uv==0.13.9
RUN uv venv --quiet --python "$(command -v python)" /opt/aegis
ENV VIRTUAL_ENV=/opt/aegis UV_NO_CACHE=1 UV_LINK_MODE=copy

FROM installer AS installed-services
COPY requirements-services.txt ./
RUN uv pip install --quiet --compile-bytecode --require-hashes -r requirements-services.txt

FROM ${PYTHON} AS base
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin aegis
ENV PATH=/opt/aegis/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
STOPSIGNAL SIGTERM

FROM base AS services
COPY --from=installed-services /opt/aegis /opt/aegis
COPY services services
ARG REVISION=unknown
ENV AEGIS_REVISION=${REVISION}
LABEL org.opencontainers.image.title="aegis-services" \
      org.opencontainers.image.description="Aegis' router, replica and manager" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision=${REVISION}
USER aegis
CMD ["python", "-m", "services.router", "--help"]

FROM installer AS installed-tools
COPY requirements.txt ./
RUN uv pip install --quiet --compile-bytecode --require-hashes -r requirements.txt

FROM base AS tools
COPY --from=installed-tools /opt/aegis /opt/aegis
COPY pyproject.toml ./
COPY services services
COPY record record
COPY experiments experiments
COPY analysis analysis
COPY conf conf
RUN mkdir results /artifacts && chown aegis results /artifacts
ARG REVISION=unknown
ENV AEGIS_REVISION=${REVISION}
LABEL org.opencontainers.image.title="aegis-tools" \
      org.opencontainers.image.description="Aegis' experiments: runs, load workers, MLflow" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision=${REVISION}
USER aegis
CMD ["python", "-m", "experiments.run", "--help"]
