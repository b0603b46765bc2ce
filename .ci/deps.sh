#!/usr/bin/env bash
# Checks for what the build needs and says nothing if all is there. On Debian and Ubuntu
# it installs what is missing, as root or with a sudo that asks no password; elsewhere it
# prints what to install and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

have() { command -v "$1" >/dev/null 2>&1; }
header() { # header NAME: can the C++ compiler find it?
	printf '#if !__has_include(<%s>)\n#error missing\n#endif\n' "$1" |
		"${CXX:-c++}" -E -x c++ - >/dev/null 2>&1 ||
		{ have brew && [[ -e "$(brew --prefix)/include/$1" ]]; }
}

check_go() {
	local need have_version
	need=$(awk '$1 == "go" { print $2; exit }' go.mod)
	if ! have go; then
		echo "proxy-rlhf needs Go $need or newer: https://go.dev/dl" >&2
		return 1
	fi
	# Inside the module the go command answers as the toolchain that it would use.
	if ! have_version=$(go env GOVERSION) || [[ -z $have_version ]]; then
		echo "proxy-rlhf needs Go $need or newer and this Go cannot fetch it (see above): https://go.dev/dl" >&2
		return 1
	fi
}

# look fills the lists of what is missing; each entry is "apt|dnf|brew".
look() {
	missing=() optional=()
	have "${CXX:-c++}" && have "${CC:-cc}" || missing+=("g++|gcc-c++|gcc")
	have make || missing+=("make|make|make")
	have git || missing+=("git|git|git")
	have python3 || missing+=("python3|python3|python3")
	python3 -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("pip") or u.find_spec("ensurepip")))' 2>/dev/null ||
		missing+=("python3-pip|python3-pip|python3")
	header nlohmann/json_fwd.hpp || missing+=("nlohmann-json3-dev|json-devel|nlohmann-json")
	header stb/stb_image.h || missing+=("libstb-dev|stb_image-devel|")
	[[ -n $(.ci/openblas.sh) ]] || optional+=("libopenblas-dev|openblas-devel|openblas")
}

names() { # names COLUMN ENTRIES...: the packages of one system
	local column=$1
	shift
	printf '%s\n' "$@" | cut -d'|' -f"$column" | awk 'NF && !seen[$0]++' | paste -sd' ' -
}

apt_install() { # as whoever may
	local run=()
	if [[ $(id -u) != 0 ]]; then
		run=(sudo -n)
	fi
	"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" ||
		{ "${run[@]}" apt-get update && "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; }
}

check_go
look
if ((${#missing[@]} + ${#optional[@]} == 0)); then
	exit 0
fi
all=(${missing[@]+"${missing[@]}"} ${optional[@]+"${optional[@]}"})

if have apt-get && { [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null; }; then
	read -ra packages <<<"$(names 1 "${all[@]}")"
	echo "installing ${packages[*]}"
	apt_install "${packages[@]}" >&2 || true # what counts is what is there afterwards
	look
fi
if ((${#missing[@]} > 0)); then
	{
		echo "proxy-rlhf cannot be built yet. Please install what is missing:"
		echo "  Debian, Ubuntu  apt-get install --no-install-recommends $(names 1 "${all[@]}")"
		echo "  Fedora          dnf install $(names 2 "${all[@]}")"
		echo "  Homebrew        brew install $(names 3 "${all[@]}")"
		if [[ " ${missing[*]-} " == *libstb-dev* ]]; then
			echo "                  and put https://github.com/nothings/stb at /usr/local/include/stb"
		fi
	} >&2
	exit 1
fi
if ((${#optional[@]} > 0)); then
	echo "OpenBLAS not found ($(names 1 "${optional[@]}")): the trainer is built in pure Go, which is 5 to 8 times slower" >&2
fi
