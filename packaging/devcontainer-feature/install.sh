#!/bin/sh
# Installs keepline while the image is built, as root: the program, its user, and one command that anybody may have root run.
set -eu

fail() { # CAUSE NEXT_STEP
    echo "keepline: $1" >&2
    echo "  try: $2" >&2
    exit 1
}

has_python() {
    python3 -I -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

cd "$(dirname "$0")"
[ "$(id -u)" -eq 0 ] || fail "a Feature is installed by root" "devcontainer build, or remoteUser in place of it"
[ -d source/relay ] || fail "the Feature's folder has no source" "packaging/devcontainer-feature/pack FOLDER, in a clone"

needed=
has_python || needed="python3 python3-venv"
command -v sudo >/dev/null || needed="$needed sudo"
if [ -n "$needed" ] && command -v apt-get >/dev/null; then
    apt-get -qq update
    # shellcheck disable=SC2086 # words
    apt-get -qq install -y --no-install-recommends $needed >/dev/null
fi
has_python || fail "no Python 3.11 or later with venv" "an image of Debian 12 or later, or the Feature of Python before this"
for program in flock sudo setpriv useradd visudo; do
    command -v $program >/dev/null || fail "no $program" "an image with sudo, util-linux and shadow, such as Debian's"
done
case $(id -un 1337 2>/dev/null || true) in
'') useradd --uid 1337 --user-group --no-create-home --home-dir /var/lib/keepline --shell /usr/sbin/nologin keepline ;;
keepline) ;;
*) fail "user 1337 is $(id -un 1337), and the rules leave that user alone" "another id for that user" ;;
esac
case ,${_CONTAINER_USER:-},${_REMOTE_USER:-}, in
*,keepline,* | *,1337,*) fail "programs would run as the relay's user" "another containerUser and remoteUser" ;;
esac

python3 -I -m venv /opt/keepline
/opt/keepline/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: -r source/requirements.txt
site=$(/opt/keepline/bin/python3 -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp -r source/keepline.py source/netns source/relay "$site/"
# shellcheck disable=SC2016 # the words are those of the script that is written
printf '#!/bin/sh\nexec /opt/keepline/bin/python3 -I %s/relay/__main__.py "$@"\n' "$site" >/opt/keepline/bin/keepline
chmod 755 /opt/keepline/bin/keepline
chown -R root:root /opt/keepline
chmod -R go-w /opt/keepline
ln -sf /opt/keepline/bin/keepline /usr/local/bin/keepline

install -d -m 755 /usr/local/libexec/keepline
install -m 755 start entrypoint /usr/local/libexec/keepline/
install -d -o keepline -g keepline -m 700 /var/lib/keepline
# What was asked for, a file for each: read as it stands, never as words of a shell.
install -d -m 755 /etc/keepline-feature
printf %s "${ALLOW:-}" >/etc/keepline-feature/allow
printf %s "${DENY:-}" >/etc/keepline-feature/deny
printf %s "${EXCLUDECIDR:-}" >/etc/keepline-feature/exclude-cidr

# One command without arguments, which makes the rules or finds them made: it opens nothing to whoever calls it.
echo 'ALL ALL=(root) NOPASSWD: /usr/local/libexec/keepline/start ""' >/etc/sudoers.d/keepline
chmod 440 /etc/sudoers.d/keepline
/opt/keepline/bin/keepline --version >/dev/null
visudo -cqf /etc/sudoers.d/keepline || fail "sudo does not take /etc/sudoers.d/keepline" "a current sudo"
