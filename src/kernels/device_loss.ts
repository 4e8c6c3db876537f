import * as tf from '@tensorflow/tfjs-core';

/** The parts of tfjs's backends that are looked at here. */
interface BackendWithDevice {
  /** Of webgpu. */
  device?: {
    lost?: Promise<{reason: string; message: string}>;
    addEventListener?(
      type: 'uncapturederror',
      listener: (event: {error: {message: string}}) => void,
    ): void;
  };
  /** Of webgl. */
  gpgpu?: {gl?: {isContextLost(): boolean}};
}

/** Why the device of a webgpu backend is lost, null while it is not, for each backend that was asked for. */
const told = new WeakMap<object, string | null>();

/**
 * Why the device of the current backend is lost, in words; null if it is not, or the backend has none. webgl tells at once. webgpu
 * tells by a promise: to the second call at the earliest, and when the program has awaited something in between. A webgpu device
 * whose memory was full once counts as lost: some of what was asked for was not computed, and nothing else tells.
 */
export function deviceLoss(): string | null {
  if (!tf.getBackend()) return null;
  const backend = tf.backend() as BackendWithDevice;
  if (backend.gpgpu?.gl?.isContextLost()) return 'its context is lost';
  const {device} = backend;
  if (!device?.lost) return null;
  if (!told.has(backend)) {
    const tell = (why: string | null): unknown => told.set(backend, why);
    tell(null);
    void device.lost.then(({reason, message}) => tell(message ? `${reason}: ${message}` : reason));
    device.addEventListener?.('uncapturederror', ({error}) => {
      if (error.constructor.name === 'GPUOutOfMemoryError')
        tell(`out of memory: ${error.message.split('\n')[0]!}`);
    });
  }
  return told.get(backend)!;
}
