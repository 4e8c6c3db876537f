/** Errors of a worker, with a code by which a page can tell them apart. */

/** All codes. */
export const errorCodes = [
  ...(['no-webgpu', 'no-webgl', 'device-lost', 'no-memory', 'wrong-file', 'storage-full'] as const),
  ...(['offline', 'refused', 'bad-option', 'in-use', 'worker', 'failed'] as const),
];

/**
 * What kind of error it is: the browser has no WebGPU, or no WebGL; the device of the backend is lost; there is no memory; a file of the
 * model or the data is not what it should be; the browser's storage is full; the network does not answer; the Hub does not give the model,
 * for its name or for want of a token; an option is wrong; another tab has the run; the worker could not be started, or ended; anything else.
 */
export type FineTuningErrorCode = (typeof errorCodes)[number];

/** An error of a training in a worker, with the stack that it had there. */
export class FineTuningError extends Error {
  override name = 'FineTuningError';

  constructor(
    /** What kind of error it is. */
    readonly code: FineTuningErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** An error as a message has it. */
export interface SentError {
  code: FineTuningErrorCode;
  message: string;
  stack?: string;
}

/** The error of a message. */
export function receivedError({code, message, stack}: SentError): FineTuningError {
  const error = new FineTuningError(code, message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** An error as a message; one without a code gets `code`. */
export function sentError(error: unknown, code: FineTuningErrorCode = 'failed'): SentError {
  const known = error instanceof FineTuningError ? error.code : code;
  if (!(error instanceof Error)) return {code: known, message: String(error)};
  const {message, stack} = error;
  return {code: known, message, ...(stack !== undefined && {stack})};
}

/** Has errors the code of a wrong option. */
export function asBadOption<T>(check: () => T): T {
  try {
    return check();
  } catch (cause) {
    if (cause instanceof FineTuningError) throw cause;
    throw new FineTuningError('bad-option', (cause as Error).message, {cause});
  }
}
