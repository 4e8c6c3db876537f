#!/usr/bin/env bash
# Builds the native binding of @tensorflow/tfjs-node from its npm source and puts it where the tests find it.
#
#   bash scripts/build-tfjs-node.sh
#
# The package's own installer downloads a prebuilt binding and library. This script needs neither: headers and
# libraries come from the tensorflow-cpu wheel on PyPI. It needs Linux on x86-64, a C++ compiler, make and
# python3 with pip, and takes under a minute.
#
# The build is kept in ${XDG_CACHE_HOME:-~/.cache}/tfjs-owlore and is reused by later runs and other checkouts.
# In the checkout it becomes .tfjs-node/node_modules/@tensorflow/tfjs-node: outside node_modules, so that `npm ci`
# leaves it alone, and without tfjs packages of its own, so that Node's look-up walks on to the checkout's
# node_modules and there is one copy of tfjs-core.
set -euo pipefail

tfjs_version=4.22.0 # must match the tfjs packages in package-lock.json
tensorflow_version=2.15.1
napi_version=8

fail() {
  echo "build-tfjs-node: $*" >&2
  exit 1
}

[[ "$(uname -sm)" == 'Linux x86_64' ]] ||
  fail "only Linux on x86-64 is supported, this is $(uname -sm); use \`npm install --no-save @tensorflow/tfjs-node@$tfjs_version\` instead"
for tool in node npm python3 make c++; do
  command -v "$tool" >/dev/null || fail "$tool is needed and was not found"
done

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tfjs-owlore
build=$cache/tfjs-node-$tfjs_version-tensorflow-$tensorflow_version-napi-$napi_version

# Everything happens in a folder of its own that gets its final name last: a run that was cut off leaves nothing
# that a later one would take for finished.
if [[ ! -d "$build" ]]; then
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/build.XXXXXX")
  trap 'rm -rf "$work"' EXIT

  echo "build-tfjs-node: fetching the sources of @tensorflow/tfjs-node $tfjs_version"
  npm install --prefix "$work" --no-save --no-package-lock --ignore-scripts --omit=dev --no-audit --no-fund \
    --loglevel=error "@tensorflow/tfjs-node@$tfjs_version"
  package=$work/node_modules/@tensorflow/tfjs-node
  find "$work/node_modules/@tensorflow" -mindepth 1 -maxdepth 1 ! -name tfjs-node -exec rm -rf {} +

  echo "build-tfjs-node: fetching headers and libraries of TensorFlow $tensorflow_version"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
    --platform manylinux2014_x86_64 --dest "$work/wheel" "tensorflow-cpu==$tensorflow_version"
  python3 - "$work/wheel" "$package/deps" <<'PYTHON'
import pathlib, shutil, sys, zipfile

wheel, = pathlib.Path(sys.argv[1]).glob('*.whl')
deps = pathlib.Path(sys.argv[2])
headers = ('tensorflow/include/tensorflow/', 'tensorflow/include/tsl/')
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith(headers) and name.endswith('.h'):
            target = deps / name.removeprefix('tensorflow/')
        elif name in ('tensorflow/libtensorflow_cc.so.2', 'tensorflow/libtensorflow_framework.so.2'):
            target = deps / 'lib' / pathlib.Path(name).name
        elif name.endswith('.dist-info/LICENSE'):
            target = deps / 'LICENSE'
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, open(target, 'wb') as copy:
            shutil.copyfileobj(source, copy, 1 << 22)
PYTHON
  rm -rf "$work/wheel"
  # The names that the package's binding.gyp links with.
  ln -s libtensorflow_cc.so.2 "$package/deps/lib/libtensorflow.so"
  ln -s libtensorflow_framework.so.2 "$package/deps/lib/libtensorflow_framework.so"

  echo 'build-tfjs-node: compiling'
  # npm brings node-gyp along. Node's headers usually lie beside node itself; where they do not, node-gyp fetches them.
  node_gyp=$(npm root --global)/npm/node_modules/node-gyp/bin/node-gyp.js
  [[ -f "$node_gyp" ]] || fail "npm's own node-gyp was expected in $node_gyp"
  prefix=$(node -p 'path.dirname(path.dirname(process.execPath))')
  headers=()
  [[ -f "$prefix/include/node/node_api.h" ]] && headers=("--nodedir=$prefix")
  if ! (cd "$package" && node "$node_gyp" rebuild "${headers[@]}" --module_name=tfjs_binding \
    --module_path="$package/lib/napi-v$napi_version" --napi_build_version="$napi_version") >"$work/log" 2>&1; then
    cat "$work/log" >&2
    fail 'the binding did not compile'
  fi
  rm -rf "$package/build" "$package/deps/include"
  mv -T "$work" "$build"
  trap - EXIT
fi

# Hard links where cache and checkout share a file system (the libraries are 600 MB), copies elsewhere.
rm -rf "$root/.tfjs-node"
cp -al "$build" "$root/.tfjs-node" 2>/dev/null || { rm -rf "$root/.tfjs-node" && cp -a "$build" "$root/.tfjs-node"; }

echo "build-tfjs-node: @tensorflow/tfjs-node $tfjs_version is ready in .tfjs-node"
