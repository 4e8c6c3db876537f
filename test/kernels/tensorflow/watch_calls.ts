import * as tf from '@tensorflow/tfjs-core';
import type {NodeBackend} from '../../../src/kernels/tensorflow/native_ops';

/** What TensorFlow is called for. */
export interface Calls {
  /** Ops, one by one. */
  readonly ops: string[];
  /** How many graphs were run. */
  graphs: number;
}

/** Notes the calls of TensorFlow, the current backend, until `stop`. A graph belongs to the watch that it was loaded in. */
export function watchCalls(): {
  /** Those since the last time. */
  take: () => Calls;
  stop: () => void;
} {
  const backend = tf.backend() as unknown as NodeBackend; // the backend's own, of which tfjs shows a part
  const {binding} = backend;
  let calls: Calls = {ops: [], graphs: 0};
  const watching: Partial<NodeBackend['binding']> = {
    executeOp(op, ...rest) {
      calls.ops.push(op);
      return binding.executeOp(op, ...rest);
    },
    runSavedModel(...args) {
      calls.graphs++;
      return binding.runSavedModel(...args);
    },
  };
  const properties = Object.entries(watching).map(([name, value]) => [name, {value}] as const);
  // Its own properties cannot be changed.
  backend.binding = Object.create(binding, Object.fromEntries(properties)) as typeof binding;
  const take = (): Calls => {
    const taken = calls;
    calls = {ops: [], graphs: 0};
    return taken;
  };
  return {take, stop: () => void (backend.binding = binding)};
}
