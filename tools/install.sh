# Installs the Debian packages of the parts named (build, test) that are missing. Sourced by
# ./quickstart and ./check with $root set to the source directory; plain sh, quiet when there is
# nothing to do, and it never removes or upgrades what is there.

say() { printf '%s\n' "$*" >&2; }

missing_packages() {
    while read -r part name command; do
        case " $* " in *" $part "*) ;; *) continue ;; esac
        [ -z "$command" ] || ! command -v "$command" >/dev/null 2>&1 || continue
        state=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) || state=none
        [ "$state" = installed ] || printf '%s ' "$name"
    done <"$root/tools/packages.txt"
}

install_packages() {
    command -v dpkg-query >/dev/null 2>&1 || {
        say "This is no Debian system: install what tools/packages.txt names (doc/DEPENDENCIES.md)."
        return 0
    }
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && sudo -v; then
        as_root=sudo
    else
        say "These packages are missing, and neither root nor sudo is at hand. Run as root:"
        say "    apt-get update && apt-get install --no-install-recommends $missing"
        return 1
    fi
    say "Installing: $missing"
    log=$(mktemp) || return 1
    # shellcheck disable=SC2086 # a list of words on purpose
    if $as_root apt-get update >"$log" 2>&1 &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            $missing >>"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 15 "$log" >&2
    say "Installing packages failed; the full log is in $log."
    return 1
}

# The compiler to give to meson on a first setup: through ccache when that is there.
compiler() {
    if command -v ccache >/dev/null 2>&1; then echo "ccache $1"; else echo "$1"; fi
}

# Runs a command quietly; shows what it printed only when it failed.
quietly() {
    out=$(mktemp) || return 1
    if "$@" >"$out" 2>&1; then
        rm -f "$out"
        return 0
    fi
    tail -n 60 "$out" >&2
    say "failed: $*   (all of it: $out)"
    return 1
}
