import * as tf from '@tensorflow/tfjs-core';

/** The parts of tfjs's backends that are looked at here. */
interface BackendWithDevice {
  /** Of webgpu. */
  device?: {lost?: Promise<{reason?: string; message: string}>};
  /** Of webgl. */
  gpgpu?: {gl?: {isContextLost(): boolean}};
}

/** Why the device of a webgpu backend is lost, undefined while it is not, for each backend that was asked for. */
const told = new WeakMap<object, {why?: string}>();

/**
 * Why the device of the current backend is lost, in words; null if it is not, or the backend has none. webgl tells at once. webgpu
 * tells by a promise: to the second call at the earliest, and when the program has awaited something in between.
 */
export function deviceLoss(): string | null {
  if (!tf.getBackend()) return null;
  const backend = tf.backend() as BackendWithDevice;
  if (backend.gpgpu?.gl?.isContextLost()) return 'its context is lost';
  const lost = backend.device?.lost;
  if (!lost) return null;
  let loss = told.get(backend);
  if (!loss) {
    const watched: {why?: string} = {};
    loss = watched;
    told.set(backend, watched);
    void lost.then(({reason, message}) => {
      watched.why = [reason, message].filter((part) => part).join(': ') || 'for an unknown reason';
    });
  }
  return loss.why ?? null;
}
