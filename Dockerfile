# sdgen on the processor, as a user without rights.
#
#   docker build -t sdgen .
#   docker run --rm -v "$PWD:/pictures" -v sdgen-models:/models sdgen "a lighthouse at dusk" -m demo

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY assets assets
COPY src src
# Cargo.toml names the bench, so that it has to be there.
COPY benches benches
RUN cargo build --release --locked --bin sdgen

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home sdgen \
    && mkdir /models /pictures \
    && chown sdgen:sdgen /models /pictures
COPY --from=build /src/target/release/sdgen /usr/local/bin/sdgen
USER sdgen
ENV HF_HOME=/models
WORKDIR /pictures
ENTRYPOINT ["sdgen"]
