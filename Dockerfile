# Two images, both without root: `services` (router, replica, manager) and `tools` (also the experiments: runs and load
# workers). Versions and hashes are those of the locks. `docker build --target services -t aegis-services .`
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS installer
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/aegis

FROM installer AS installed-services
COPY requirements-services.txt ./
RUN python -m pip --python /opt/aegis/bin/python install --quiet --require-hashes --compile \
      -r requirements-services.txt

FROM ${PYTHON} AS base
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin aegis
ENV PATH=/opt/aegis/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
STOPSIGNAL SIGTERM

FROM base AS services
COPY --from=installed-services /opt/aegis /opt/aegis
COPY services services
ARG REVISION=unknown
LABEL org.opencontainers.image.title="aegis-services" \
      org.opencontainers.image.description="Aegis' router, replica and manager" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision=${REVISION}
USER aegis
CMD ["python", "-m", "services.router", "--help"]

FROM installer AS installed-tools
COPY requirements.txt ./
RUN python -m pip --python /opt/aegis/bin/python install --quiet --require-hashes --compile -r requirements.txt

FROM base AS tools
COPY --from=installed-tools /opt/aegis /opt/aegis
COPY pyproject.toml ./
COPY services services
COPY experiments experiments
COPY analysis analysis
COPY conf conf
RUN mkdir results && chown aegis results
ARG REVISION=unknown
LABEL org.opencontainers.image.title="aegis-tools" \
      org.opencontainers.image.description="Aegis' experiments: runs, load workers, MLflow" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision=${REVISION}
USER aegis
CMD ["python", "-m", "experiments.run", "--help"]
