#!/usr/bin/env bash
# Prints the linker flags that bring OpenBLAS, or nothing if it is not installed.
set -euo pipefail

links() { # links FLAGS...: can the C compiler link a CBLAS call with them?
	echo 'void cblas_saxpy(); int main(void) { cblas_saxpy(); return 0; }' |
		"${CC:-cc}" -w -x c - -o /dev/null "$@" 2>/dev/null
}

candidates=("-lopenblas")
if flags=$(pkg-config --libs openblas 2>/dev/null); then
	candidates+=("$flags")
fi
if command -v brew >/dev/null && prefix=$(brew --prefix openblas 2>/dev/null); then
	candidates+=("-L$prefix/lib -lopenblas")
fi
for flags in "${candidates[@]}"; do
	# The flags are words: splitting is meant.
	# shellcheck disable=SC2086
	if links $flags; then
		echo "$flags"
		exit 0
	fi
done
