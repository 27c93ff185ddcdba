# syntax=docker/dockerfile:1

# Builds the single executable once and ships it in two small images:
#   docker build --target velas-sphere-node -t velas-sphere-node .
#   docker build --target velas-sphere-plugin -t velas-sphere-plugin .

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm install --no-save --no-audit --no-fund
COPY . .
RUN node tools/build-exe.ts && mkdir -p /out/data && cp dist/velas-sphere /out/

# Distroless "cc" holds glibc and libstdc++, which the executable links, and no shell.
FROM gcr.io/distroless/cc-debian12:nonroot AS base
COPY --from=build --chown=nonroot:nonroot /out/velas-sphere /usr/local/bin/velas-sphere
USER nonroot
WORKDIR /home/nonroot

FROM base AS velas-sphere-plugin
EXPOSE 8082
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
  CMD ["/usr/local/bin/velas-sphere", "health", "--rpc", "127.0.0.1:8082"]
ENTRYPOINT ["/usr/local/bin/velas-sphere", "plugin", "--listen", "0.0.0.0:8082"]

FROM base AS velas-sphere-node
COPY --from=build --chown=nonroot:nonroot /out/data /data
VOLUME /data
ENV VELAS_SPHERE_NODE_DATA_DIR=/data
EXPOSE 3000 8081 8083
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
  CMD ["/usr/local/bin/velas-sphere", "health"]
ENTRYPOINT ["/usr/local/bin/velas-sphere", "node"]
