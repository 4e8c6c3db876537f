import {existsSync} from 'node:fs';

/** Throws, with the way out, unless the library's kernels for wasm are built, which are not in the repository. */
export function needKernels(
  file = new URL('../../src/kernels/wasm/binaries.ts', import.meta.url),
): void {
  if (existsSync(file)) return;
  throw new Error(
    'the kernels for wasm are not built: run `npm run build:wasm` at the root of the repository, which `npm ci` does, too',
  );
}
