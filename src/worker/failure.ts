/** What kind of error it is that a worker has run into. */
import * as tf from '@tensorflow/tfjs-core';
import {deviceLoss} from '../kernels/device_loss';
import {GIVE_TOKEN} from '../llama/hub/hub_request';
import {errorCodes, FineTuningError, type FineTuningErrorCode} from './errors';

/** What messages of browsers and of tfjs have where memory is short; errors of this library have a code. */
const NO_MEMORY =
  /out of memory|memory allocation|allocation failed|cannot enlarge memory|array buffer allocation|invalid typed array length|memory access out of bounds|failed to grow|OOM|createBuffer failed/i;

/** Milliseconds for which a webgpu backend has time to tell that its device is lost. */
const DEVICE_LOSS = 1000;

/**
 * An error with the code of its kind.
 *
 * @param otherwise The code where nothing tells it.
 */
export async function codedError(
  cause: unknown,
  otherwise: FineTuningErrorCode = 'failed',
): Promise<FineTuningError> {
  if (cause instanceof FineTuningError) return cause;
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const message = error.message.replace(GIVE_TOKEN, 'give a token of yours by the option token');
  const coded = new FineTuningError(await codeOf(error, otherwise), message, {cause});
  if (error.stack !== undefined) coded.stack = error.stack;
  return coded;
}

async function codeOf(error: Error, otherwise: FineTuningErrorCode): Promise<FineTuningErrorCode> {
  const all: Array<Error & {code?: unknown}> = [];
  for (let each: unknown = error; each instanceof Error && all.length < 8; each = each.cause)
    all.push(each);
  const known = all.map(({code}) => errorCodes.find((name) => name === code)).find(Boolean);
  if (known) return known;
  if (all.some(({name}) => name === 'QuotaExceededError')) return 'storage-full';
  const loss = await lossOfDevice();
  if (loss !== null) return NO_MEMORY.test(loss) ? 'no-memory' : 'device-lost';
  if (all.some(({message}) => NO_MEMORY.test(message))) return 'no-memory';
  const {onLine = true} = (globalThis.navigator ?? {}) as Partial<Navigator>;
  return !onLine && otherwise === 'wrong-file' ? 'offline' : otherwise;
}

/** Why the backend's device is lost, of which webgpu tells some time after what fails because of it; null if it is not. */
async function lossOfDevice(): Promise<string | null> {
  const end = performance.now() + DEVICE_LOSS;
  while (deviceLoss() === null) {
    if (tf.getBackend() !== 'webgpu' || performance.now() > end) return null;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return deviceLoss();
}
