# MaaS API on UBI 9. Build it from the repository's root:
#
#   podman build -t REGISTRY/maas-api:TAG .
#
# The base is pinned by digest: a rebuild gives the same image, and an update of the base is a commit.
ARG BASE=registry.access.redhat.com/ubi9/python-312-minimal@sha256:f0f762a4babb280458627ab5cdaafbe86506aa60355c6fd4417074a5aa4727b8

FROM ${BASE} AS build
USER 0
WORKDIR /src
COPY pyproject.toml README.md LICENSE openapi.yaml ./
COPY requirements ./requirements
COPY image ./image
COPY maas_api ./maas_api
ENV PIP_NO_CACHE_DIR=1
RUN ./image/install.sh /opt/maas-api

# The last stage: the base, the installed files, nothing that was needed to make them.
FROM ${BASE}
LABEL name="maas-api" \
      summary="Control plane of a Models-as-a-Service gateway" \
      description="Mints API keys, lists models, validates every call" \
      org.opencontainers.image.title="maas-api" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="Control plane of a Models-as-a-Service gateway" \
      io.k8s.display-name="MaaS API" \
      io.openshift.expose-services="8443:https"
COPY --from=build /opt/maas-api /opt/maas-api
# Reached from outside its pod: elsewhere the service listens on the machine itself only.
ENV PATH=/opt/maas-api/bin:$PATH \
    LISTEN_HOST=0.0.0.0 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
# Any user: nothing under /opt/maas-api is written, so OpenShift's random UID reads it as 1001 does.
USER 1001
EXPOSE 8080 8443 9090
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["maas-api", "healthcheck"]
ENTRYPOINT ["maas-api"]
CMD ["serve"]
