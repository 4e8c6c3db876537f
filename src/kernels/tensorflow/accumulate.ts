import type * as tf from '@tensorflow/tfjs-core';
import type {OwLoreAccumulateInputs} from '../kernel_names';
import {nativeOf, NativeOps, type NodeBackend} from './native_ops';
import {changeTensors} from './native_variables';

/** OwLoreAccumulate, in place where no other tensor has the memory of the sum. */
export function accumulate({
  inputs: {sum, x},
  backend,
}: {
  inputs: OwLoreAccumulateInputs;
  backend: NodeBackend;
}): tf.TensorInfo {
  const ops = new NativeOps(backend);
  const [result] = ops.scope(() =>
    changeTensors(backend, ops, [sum], ([variable]) => {
      const attributes = {dtype: ops.float32};
      ops.runAll('AssignAddVariableOp', [variable!, nativeOf(backend, x)], attributes, 0);
    }),
  );
  return result!;
}
