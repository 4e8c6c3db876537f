/** What kind of error it is that a worker has run into. */
import {deviceLoss} from '../kernels/device_loss';
import {FineTuningError, type FineTuningErrorCode} from './errors';

/** What messages of engines and of tfjs have where memory is short. */
const NO_MEMORY =
  /out of memory|memory allocation|allocation failed|does not fit into the memory|cannot enlarge memory|array buffer allocation|invalid typed array length|memory access out of bounds|failed to grow|OOM/i;

/** What messages of browsers and of this library have where a server does not answer. */
const NO_ANSWER =
  /failed to fetch|networkerror|network error|load failed|fetch failed|broke off|sends nothing|no answer|brings \d+ bytes/i;

/**
 * An error with the code of its kind.
 *
 * @param otherwise The code where nothing tells it.
 */
export function codedError(
  cause: unknown,
  otherwise: FineTuningErrorCode = 'failed',
): FineTuningError {
  if (cause instanceof FineTuningError) return cause;
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const coded = new FineTuningError(codeOf(error, otherwise), error.message, {cause});
  if (error.stack !== undefined) coded.stack = error.stack;
  return coded;
}

function codeOf(error: Error, otherwise: FineTuningErrorCode): FineTuningErrorCode {
  const all: Error[] = [];
  for (let each: unknown = error; each instanceof Error && all.length < 8; each = each.cause)
    all.push(each);
  if (deviceLoss() !== null) return 'device-lost';
  if (all.some(({name}) => name === 'QuotaExceededError')) return 'storage-full';
  if (all.some(({message}) => NO_MEMORY.test(message))) return 'no-memory';
  const {onLine = true} = (globalThis.navigator ?? {}) as Partial<Navigator>;
  if (all.some(({message}) => NO_ANSWER.test(message))) return 'offline';
  if (!onLine && otherwise === 'wrong-file') return 'offline';
  return otherwise;
}
