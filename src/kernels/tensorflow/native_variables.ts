import type * as tf from '@tensorflow/tfjs-core';
import {nativeOf, type Native, type NativeOps, type NodeBackend} from './native_ops';

/**
 * TensorFlow variables by name, made once for each backend: TensorFlow takes longer to make one than to run any op on it.
 * Between uses they hold a scalar.
 */
const variables = new WeakMap<object, Map<string, Native>>();

/**
 * A TensorFlow variable with a value that ops may change in place until {@link endVariable}; TensorFlow copies the value first if
 * it has another owner. No two variables may have the same name at a time.
 */
function toVariable(backend: NodeBackend, ops: NativeOps, value: Native, name: string): Native {
  let backendVariables = variables.get(backend);
  if (!backendVariables) variables.set(backend, (backendVariables = new Map<string, Native>()));
  let variable = backendVariables.get(name);
  if (!variable) {
    variable = ops.release(
      ops.run('VarHandleOp', [], {
        dtype: ops.float32,
        shape: [],
        container: '',
        shared_name: `tfjs-owlore/${name}`,
      }),
    );
    backendVariables.set(name, variable);
  }
  ops.runAll('AssignVariableOp', [variable, value], {dtype: ops.float32}, 0);
  return variable;
}

export function readVariable(ops: NativeOps, variable: Native): Native {
  return ops.run('ReadVariableOp', [variable], {dtype: ops.float32});
}

/** The value of a variable, which gives up owning it. */
function endVariable(ops: NativeOps, variable: Native): Native {
  const value = readVariable(ops, variable);
  ops.runAll('AssignVariableOp', [variable, ops.scalar(0)], {dtype: ops.float32}, 0);
  return value;
}

/** The value of a new tensor after `change` has worked on it, in place, as a TensorFlow variable. */
export function changedInPlace(
  backend: NodeBackend,
  ops: NativeOps,
  make: () => Native,
  change: (variable: Native) => void,
): Native {
  const variable = ops.scope(() => toVariable(backend, ops, make(), 'new'));
  let value: Native | undefined;
  try {
    change(variable);
  } finally {
    value = endVariable(ops, variable);
  }
  return value;
}

/**
 * Lets `change` work on tensors as TensorFlow variables. Tensors that share their data with no other tensor are changed in place
 * and registered again, even if `change` throws; of the others TensorFlow makes copies.
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
  // The variable must be the only owner of the data that it changes.
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

/** By binding, whether its TensorFlow has `DisableCopyOnRead`. */
const rowChangers = new WeakMap<object, boolean>();

/**
 * Whether {@link addToRows} changes a variable in place. When some of its rows are changed, TensorFlow goes over to copying the variable at
 * every read; this op is the way back. 2.11 and later have it; the npm package of tfjs-node has 2.9, which was not tried.
 */
export function changesRows(backend: NodeBackend, ops: NativeOps): boolean {
  const {binding} = backend;
  if (backend.isUsingGpuDevice) return false;
  if (!rowChangers.has(binding)) {
    rowChangers.set(binding, false);
    try {
      changedInPlace(
        backend,
        ops,
        () => ops.scalar(0),
        (variable) => endRows(ops, variable),
      );
      rowChangers.set(binding, true);
    } catch {
      // it does not know the op
    }
  }
  return rowChangers.get(binding)!;
}

/** Adds rows to those of a variable from number `from` on. {@link endRows} must follow. */
export function addToRows(ops: NativeOps, variable: Native, from: number, rows: Native): void {
  const count = rows.shape[0]!;
  const numbers = Int32Array.from({length: count}, (_, i) => from + i);
  const places = ops.constant(numbers, [count]);
  const attributes = {dtype: ops.float32, Tindices: ops.int32};
  ops.runAll('ResourceScatterAdd', [variable, places, rows], attributes, 0);
}

/** Ends the changes of rows of a variable: it is read without a copy again. */
export function endRows(ops: NativeOps, variable: Native): void {
  ops.runAll('DisableCopyOnRead', [variable], {}, 0);
}
