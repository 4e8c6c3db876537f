import {sayOnce} from '../common/say_once';

/** Warns, once, that some of this library's kernels are missing on a backend, and why. */
export function warnOfFailure(backendName: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  sayOnce(
    'warn',
    `tfjs-owlore: not all of its kernels for the backend '${backendName}' could be installed; steps are slower, take more memory, ` +
      `and on wasm some models do not train: ${reason}`,
  );
}
