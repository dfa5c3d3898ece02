# Images of StraightLine, by target:
#   application (default)      all processes of the system; the command selects one
#   digits                     image form of the example model, for the gpu-container pool
#   train, validate            environments of training and validation, without GPUs
#   digits-release             the application and the trained example, to fill the volumes
#
# The base image needs `python3` (3.11 or newer) with the module `venv`. Packages come from pip's index or, with
# PIP_FIND_LINKS and PIP_NO_INDEX=1, from a directory of wheels. Their hashes are checked.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS installer
# pip stays in this stage: the final images have no installer.
RUN ["python3", "-m", "venv", "/pip"]
RUN ["python3", "-m", "venv", "--without-pip", "/opt/straightline"]
COPY requirements /requirements
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_PYTHON=/opt/straightline/bin/python \
    PIP_REQUIRE_HASHES=1 PIP_ROOT_USER_ACTION=ignore

FROM installer AS application-packages
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
RUN ["/pip/bin/python", "-m", "pip", "install", "-r", "/requirements/app.txt", "-r", "/requirements/serve.txt"]

FROM installer AS serving-packages
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
RUN ["/pip/bin/python", "-m", "pip", "install", "-r", "/requirements/serve.txt"]

FROM installer AS training-packages
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
RUN ["/pip/bin/python", "-m", "pip", "install", "-r", "/requirements/dev.txt"]

# Environments of `python -m modelkit train` and `validate`: only packages, no code of StraightLine.
FROM ${PYTHON_IMAGE} AS train
COPY --from=training-packages /opt/straightline /opt/straightline
ENV PATH=/opt/straightline/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
USER 65532:65532

FROM ${PYTHON_IMAGE} AS validate
COPY --from=serving-packages /opt/straightline /opt/straightline
ENV PATH=/opt/straightline/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
USER 65532:65532

FROM installer AS code
COPY straightline /srv/straightline/straightline
COPY broker_config /srv/straightline/broker_config
COPY outcomes /srv/straightline/outcomes
COPY scheduler /srv/straightline/scheduler
COPY workers /srv/straightline/workers
COPY model_server /srv/straightline/model_server
COPY function_host /srv/straightline/function_host
COPY modelkit /srv/straightline/modelkit
COPY gateway /srv/straightline/gateway
COPY migrations /srv/straightline/migrations
# File modes of a checkout may exclude other users. Modules are compiled now, since the root is read-only later.
RUN chmod -R a+rX,go-w /srv/straightline && python3 -m compileall -q /srv/straightline

FROM training-packages AS digits-trained
COPY --from=code /srv/straightline /srv/straightline
COPY examples/digits /srv/straightline/examples/digits
WORKDIR /srv/straightline
ENV PYTHONPATH=/srv/straightline
RUN ["/opt/straightline/bin/python", "-m", "examples.digits.make_model", "--out", "/release/models"]
# Only the serving code, as in images of `python -m modelkit package --form image`.
RUN ["/opt/straightline/bin/python", "-c", \
     "from pathlib import Path; from modelkit.package.code import copy_code; copy_code(Path('/release/code'))"]
RUN chmod -R a+rX,go-w /release && python3 -m compileall -q /release/code

FROM ${PYTHON_IMAGE} AS digits
COPY --from=serving-packages /opt/straightline /opt/straightline
COPY --from=digits-trained /release/code /srv/straightline
COPY --from=digits-trained /release/models /srv/models
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    STRAIGHTLINE_MODELS_DIR=/srv/models STRAIGHTLINE_SERVE_BIND=0.0.0.0:8080
WORKDIR /srv/straightline
USER 65532:65532
EXPOSE 8080
CMD ["/opt/straightline/bin/python", "-m", "gunicorn", "-c", "python:model_server.gunicorn_conf", \
     "model_server.app:create()"]

FROM ${PYTHON_IMAGE} AS application
# Mount points of volumes: an empty volume takes over the owner.
RUN groupadd --gid 10001 straightline \
    && useradd --uid 10001 --gid straightline --no-create-home --home-dir /tmp --shell /usr/sbin/nologin straightline \
    && install -d -o straightline -g straightline /models /functions /store
COPY --from=application-packages /opt/straightline /opt/straightline
COPY --from=code /srv/straightline /srv/straightline
ENV PATH=/opt/straightline/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/srv/straightline PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 \
    MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072 HOME=/tmp
WORKDIR /srv/straightline
USER straightline
CMD ["python", "-m", "straightline", "--help"]

FROM application AS digits-release
COPY --from=digits-trained /release/models /release/models
CMD ["sh", "-c", "cp -R /release/models/. /models/ && exec python -m modelkit package --bundle /models/digits/1 --form function --out /"]

# The last target is the default.
FROM application
