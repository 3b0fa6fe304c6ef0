#!/bin/sh
# Writes the man pages and shell completions anew from the program's own table. Usage: docs/man/update.sh PROGRAM [FOLDER]; FOLDER: the repository
# (default), or where docs/man and completions are to go.
set -eu
program=$1
root=${2:-$(cd "$(dirname "$0")/../.." && pwd)}
mkdir -p "$root/docs/man" "$root/completions"
"$program" help --man >"$root/docs/man/weightmark.1"
for command in $("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    "$program" help "$command" --man >"$root/docs/man/weightmark-$command.1"
done
"$program" help --completion bash >"$root/completions/weightmark.bash"
"$program" help --completion zsh >"$root/completions/_weightmark"
"$program" help --completion fish >"$root/completions/weightmark.fish"
