/** Backends for which the warning was given. */
const failed = new WeakSet();

/** Warns, once for each backend, that some of this library's kernels are missing on it, and why. */
export function warnOfFailure(backendName: string, backend: object, error: unknown): void {
  if (failed.has(backend)) return;
  failed.add(backend);
  const reason = error instanceof Error ? error.message : String(error);
  console.warn(
    `tfjs-owlore: not all of its kernels for the backend '${backendName}' could be installed; steps are slower and take more memory, ` +
      `and on wasm some models do not train: ${reason}`,
  );
}
