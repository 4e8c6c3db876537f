import type * as tf from '@tensorflow/tfjs-core';
import {nativeOf, type Native, type NativeOps, type NodeBackend} from './native_ops';

/**
 * Variables of TensorFlow's by name, made once for each backend: TensorFlow takes longer to make one than to run any op on it.
 * Between uses they hold a scalar.
 */
const variables = new WeakMap<object, Map<string, Native>>();

/**
 * A variable of TensorFlow's with a value that ops may change in place, or a copy of it if the value has another owner, until
 * {@link endVariable}. No two at a time may have the same name.
 */
function toVariable(backend: NodeBackend, ops: NativeOps, value: Native, name: string): Native {
  let ofBackend = variables.get(backend);
  if (!ofBackend) variables.set(backend, (ofBackend = new Map<string, Native>()));
  let variable = ofBackend.get(name);
  if (!variable) {
    variable = ops.release(
      ops.run('VarHandleOp', [], {
        dtype: ops.float32,
        shape: [],
        container: '',
        shared_name: `tfjs-owlore/${name}`,
      }),
    );
    ofBackend.set(name, variable);
  }
  ops.runAll('AssignVariableOp', [variable, value], {dtype: ops.float32}, 0);
  return variable;
}

export function readVariable(ops: NativeOps, variable: Native): Native {
  return ops.run('ReadVariableOp', [variable], {dtype: ops.float32});
}

/** The value of a variable, of which it is not the owner any more. */
function endVariable(ops: NativeOps, variable: Native): Native {
  const value = readVariable(ops, variable);
  ops.runAll('AssignVariableOp', [variable, ops.scalar(0)], {dtype: ops.float32}, 0);
  return value;
}

/**
 * Lets `change` work on tensors as on variables of TensorFlow's. Those that share their data with no other tensor are changed
 * in place and put out again, even if it throws; of the others TensorFlow makes copies.
 */
export function changeTensors(
  backend: NodeBackend,
  ops: NativeOps,
  tensors: readonly tf.TensorInfo[],
  change: (variables: Native[]) => void,
): tf.TensorInfo[] {
  const variables = tensors.map((tensor, i) =>
    toVariable(backend, ops, nativeOf(backend, tensor), `changed ${i}`),
  );
  const entries = tensors.map(({dataId}) =>
    backend.refCount(dataId) === 1 ? backend.tensorMap.get(dataId) : null,
  );
  // The variable is to be the only owner of what it changes.
  for (const entry of entries) if (entry) backend.binding.deleteTensor(entry.id);
  let values: Native[] = [];
  try {
    change(variables);
  } finally {
    values = variables.map((variable) => endVariable(ops, variable));
    entries.forEach((entry, i) => {
      if (entry) entry.id = ops.release(values[i]!).id;
    });
  }
  return tensors.map(({dataId, shape, dtype}, i) => {
    if (!entries[i]) return backend.createOutputTensor(ops.release(values[i]!));
    backend.incRef(dataId);
    return {dataId, shape, dtype};
  });
}
