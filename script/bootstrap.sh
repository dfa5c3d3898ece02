# Sourced by the other commands: changes to the root of the checkout and installs what they need, the programs of
# RabbitMQ and Postgres and a Python environment in .venv with the locked requirements. The packages' own services
# are neither started nor enabled; the stack runs private instances.

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
export STRAIGHTLINE_CALLED_FROM=$PWD # for relative paths in arguments
cd -- "$ROOT" || exit 1
# Directory of runs, logs and `env`; another one allows a second stack from the same checkout.
export STRAIGHTLINE_STATE=${STRAIGHTLINE_STATE:-$ROOT/.straightline}
STATE=$STRAIGHTLINE_STATE
LOCKED=requirements/dev.txt
export PYTHONUNBUFFERED=1

say() { printf '%s\n' "$*"; }
fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# With --help, print the comment at the head of the command and install nothing.
usage() {
  case " $* " in
  *" -h "* | *" --help "*)
    sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "script/${0##*/}"
    exit 0
    ;;
  esac
}

# Whether the caller set this variable, rather than sourcing it from .straightline/env.
given() { [ -n "${!1:-}" ] && [[ " ${STRAIGHTLINE_UP:-} " != *" $1 "* ]]; }

# bootstrap [rabbitmq] [postgres] [h2load]: install what the command needs.
bootstrap() {
  mkdir -p "$STATE"
  # Of two commands in one checkout, the second waits and then finds everything installed.
  exec 9>"$STATE/bootstrap.lock"
  if ! flock -n 9; then
    say "Another command is installing packages. Waiting ..."
    flock 9
  fi
  provide_packages "$@"
  provide_environment
  exec 9>&-
}

have_rabbitmq() {
  local place
  for place in /usr/lib/rabbitmq/bin /opt/rabbitmq/sbin /usr/local/sbin /usr/sbin; do
    [ -x "$place/rabbitmq-server" ] && return 0
  done
  return 1
}

have_postgres() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null
}

# Print the path of a Python 3.11 or newer.
find_python() {
  local name
  for name in python3 python3.11 python3.12 python3.13; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  fail "Python 3.11 or newer not found. Install it, for example as root: apt-get install python3" "$(other_way)"
}

other_way() { say "Or run everything in containers: script/compose-env && docker compose up"; }

provide_packages() {
  local missing=() python
  python=$(find_python)
  if [ ! -x .venv/bin/python ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=(python3-venv)
  fi
  case " $* " in *" rabbitmq "*) have_rabbitmq || missing+=(rabbitmq-server) ;; esac
  case " $* " in *" postgres "*) have_postgres || missing+=(postgresql) ;; esac
  case " $* " in *" h2load "*) command -v h2load >/dev/null || missing+=(nghttp2-client) ;; esac
  [ ${#missing[@]} -eq 0 ] && return

  if ! command -v apt-get >/dev/null; then
    fail "Missing packages, by their Debian names: ${missing[*]}" \
      "Install them with this system's package manager and run the command again." "$(other_way)"
  fi
  if [ "$(id -u)" -ne 0 ]; then
    fail "Missing packages; installing them needs root:" \
      "    sudo apt-get install --no-install-recommends ${missing[*]}" "$(other_way)"
  fi
  install_packages "${missing[@]}"
}

install_packages() {
  local log=$STATE/packages.log
  : >"$log"
  quieten_packages
  if ! { step "Refreshing the list of Debian packages" "$log" apt-get -o Acquire::Retries=3 update &&
    step "Installing $*" "$log" env DEBIAN_FRONTEND=noninteractive \
      apt-get -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"; }; then
    unquieten_packages
    tail -n 15 "$log" >&2
    fail "Installing the packages failed. Log: $log. To install them by hand:" \
      "    apt-get update && apt-get install --no-install-recommends $*" "$(other_way)"
  fi
  unquieten_packages
  if [ -d /run/systemd/system ]; then
    # Only the programs are needed: the services must not start at the next boot.
    local package
    for package in "$@"; do
      case $package in
      rabbitmq-server | postgresql) systemctl --quiet disable "$package.service" || true ;;
      esac
    done
  fi
}

POLICY=/usr/sbin/policy-rc.d
CLUSTERS=/etc/postgresql-common/createcluster.d
OUR_POLICY=no

# Debian starts installed services and creates a database cluster unless these two files forbid it.
quieten_packages() {
  trap unquieten_packages EXIT
  if [ ! -e $POLICY ]; then
    OUR_POLICY=yes
    printf '#!/bin/sh\nexit 101\n' >$POLICY
    chmod 755 $POLICY
  fi
  mkdir -p $CLUSTERS
  say 'create_main_cluster = false' >$CLUSTERS/straightline.conf
}

unquieten_packages() {
  trap - EXIT
  [ $OUR_POLICY = yes ] && rm -f $POLICY
  OUR_POLICY=no
  rm -f $CLUSTERS/straightline.conf
}

provide_environment() {
  local python wanted log=$STATE/requirements.log
  python=$(find_python)
  wanted=$(sha256sum <$LOCKED)
  [ "$(cat .venv/.requirements 2>/dev/null)" = "$wanted" ] && return
  : >"$log"
  if ! .venv/bin/python -c '' 2>/dev/null; then
    step "Creating a Python environment in .venv" "$log" "$python" -m venv --clear .venv ||
      fail "$(tail -n 15 "$log")" "Creating the Python environment failed. Log: $log." "$(other_way)"
  fi
  step "Installing the locked requirements, $(grep -c '^[a-z].*==' $LOCKED) packages" "$log" \
    .venv/bin/python -m pip --disable-pip-version-check install --progress-bar off \
    --require-hashes -r $LOCKED ||
    fail "$(tail -n 15 "$log")" "Installing the requirements failed. Log: $log." "$(other_way)"
  say "$wanted" >.venv/.requirements
}

# step TITLE LOG COMMAND...: run a command with its output in the log, and show its progress.
step() {
  local title=$1 log=$2 began=$SECONDS shown=0
  shift 2
  say "$title ..."
  "$@" >>"$log" 2>&1 </dev/null 9>&- &
  local worker=$!
  # Background jobs do not receive Ctrl-C.
  trap 'kill '$worker'; wait '$worker'; exit 130' INT TERM
  while kill -0 $worker 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r\033[K  %3d s  %.80s' $((SECONDS - began)) "$(tail -n 1 "$log" | tr -d '\r')"
    elif [ $((SECONDS - began)) -ge $((shown + 15)) ]; then
      shown=$((SECONDS - began))
      say "  $shown s ..."
    fi
    sleep 0.5
  done
  local status=0
  wait $worker || status=$?
  trap - INT TERM
  [ -t 1 ] && printf '\r\033[K'
  [ $status -eq 0 ] && say "  done in $((SECONDS - began)) s"
  return $status
}
