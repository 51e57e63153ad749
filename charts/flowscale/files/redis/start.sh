# Adds the users to the configuration and becomes the server. Only hashes of their passwords are written, to a folder in
# memory; no password is an argument, which everybody on the node could read.
set -eu
umask 077
hash() { printf '%s' "$1" | sha256sum | cut -d ' ' -f 1; }

{
    cat /etc/valkey/valkey.conf
    echo
    # FlowScale's parts: their own keys and channels, nothing that administers the server, and INFO, by which they know it.
    echo "user flowscale on #$(hash "$FLOWSCALE_PASSWORD") ~$KEY_PREFIX:* &$KEY_PREFIX:* +@all -@admin -@dangerous +info"
    if [ -n "${ADMIN_PASSWORD:-}" ]; then
        echo "user default on #$(hash "$ADMIN_PASSWORD") ~* &* +@all"
    else
        echo 'user default off'
    fi
} >/run/valkey/valkey.conf
unset KEY_PREFIX FLOWSCALE_PASSWORD ADMIN_PASSWORD
exec valkey-server /run/valkey/valkey.conf
