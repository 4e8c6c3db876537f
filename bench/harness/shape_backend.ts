/**
 * A tfjs backend that computes shapes and no values. A training step makes and frees the same buffers as on a real backend, but
 * takes only the time that tfjs needs between its kernels, whatever the size of the model. Every value read from it is 0.
 */
import * as tf from '@tensorflow/tfjs-core';
import {loadBackend} from '../../tools/load_backend';
import {outputsByRule, type Attributes, type Inputs, type Output} from './shape_rules';

/** The backends that can be imitated; wasm with tfjs's own kernels, which copy where this library's return a view. */
export const imitatedBackends = ['cpu', 'wasm', 'tensorflow'] as const;

export type ImitatedBackend = (typeof imitatedBackends)[number];

/** A kernel's outputs, each with the name of the input over whose buffer it is a view; undefined: a buffer of its own. */
type Outputs = Array<Output & {viewOf?: string}>;

interface Result {
  outputs: Outputs;
  /** Whether the kernel returns an array, if only of one. */
  isList: boolean;
}

/** Registers the backend, unless it is there already; returns its name, for `tf.setBackend`. */
export async function registerShapeBackend(imitated: ImitatedBackend): Promise<string> {
  const name = `shapes of ${imitated}`;
  if (tf.findBackendFactory(name)) return name;
  await loadBackend('cpu');
  const backend = new ShapeBackend();
  tf.registerBackend(name, () => backend);
  for (const kernel of tf.getKernelsForBackend('cpu')) {
    // This library's own may be there or not; without them it computes by tfjs's ops.
    if (kernel.kernelName.startsWith('OwLore')) continue;
    const results = new Map<string, Result>();
    tf.registerKernel({
      kernelName: kernel.kernelName,
      backendName: name,
      kernelFunc: (call) => {
        const inputs = given(call.inputs);
        const attributes = (call.attrs ?? {}) as unknown as Attributes;
        const key = signature(inputs, attributes);
        const result = results.get(key) ?? resultOf(kernel, inputs, attributes, imitated);
        results.set(key, result);
        const infos = result.outputs.map(({viewOf, shape, dtype}) => {
          const dataId = viewOf === undefined ? null : inputs[viewOf]!.dataId;
          if (dataId) backend.incRef(dataId);
          return {dataId: dataId ?? backend.write(null, shape, dtype), shape, dtype};
        });
        return result.isList ? infos : infos[0]!;
      },
    });
  }
  return name;
}

class ShapeBackend extends tf.KernelBackend {
  private readonly buffers = new tf.DataStorage<{
    size: number;
    dtype: tf.DataType;
    references: number;
  }>(this, tf.engine());

  override write(_values: unknown, shape: number[], dtype: tf.DataType): object {
    const dataId = {};
    this.move(dataId, null, shape, dtype, 1);
    return dataId;
  }

  override move(
    dataId: object,
    _values: unknown,
    shape: number[],
    dtype: tf.DataType,
    references: number,
  ): void {
    this.buffers.set(dataId, {size: tf.util.sizeFromShape(shape), dtype, references});
  }

  override readSync(dataId: object): tf.backend_util.BackendValues {
    const {size, dtype} = this.buffers.get(dataId);
    return tf.util.makeZerosTypedArray(size, dtype as 'float32');
  }

  override async read(dataId: object): Promise<tf.backend_util.BackendValues> {
    return this.readSync(dataId);
  }

  override refCount(dataId: object): number {
    return this.buffers.has(dataId) ? this.buffers.get(dataId).references : 0;
  }

  override incRef(dataId: object): void {
    this.buffers.get(dataId).references++;
  }

  override disposeData(dataId: object, force = false): boolean {
    if (!this.buffers.has(dataId)) return true;
    if (--this.buffers.get(dataId).references > 0 && !force) return false;
    this.buffers.delete(dataId);
    return true;
  }

  override numDataIds(): number {
    return this.buffers.numDataIds();
  }

  override memory(): {unreliable: boolean} {
    return {unreliable: false};
  }

  override floatPrecision(): 32 {
    return 32;
  }
}

function resultOf(
  kernel: tf.KernelConfig,
  inputs: Inputs,
  attributes: Attributes,
  imitated: ImitatedBackend,
): Result {
  const outputs = outputsByRule(kernel.kernelName, inputs, attributes);
  if (!outputs) return runOnCpu(kernel, inputs, attributes);
  const viewOf = viewedInput(imitated, kernel.kernelName, inputs, attributes);
  return {
    outputs: [outputs].flat().map((output) => ({...output, viewOf})),
    isList: Array.isArray(outputs),
  };
}

/** The name of the input over whose buffer a kernel returns a view: the backends differ in it. */
function viewedInput(
  imitated: ImitatedBackend,
  kernel: string,
  {x}: Inputs,
  {dtype}: Attributes,
): string | undefined {
  switch (kernel) {
    case tf.ExpandDims:
      return 'input';
    case tf.Reshape:
      return 'x';
    case tf.Identity:
      return imitated === 'wasm' ? undefined : 'x';
    case tf.Cast: {
      const isView = {
        cpu: !tf.util.hasEncodingLoss(x!.dtype, dtype),
        wasm: false,
        // A buffer of its own for the engine, but not in TensorFlow: see the memory meter.
        tensorflow: x!.dtype === dtype,
      };
      return isView[imitated] ? 'x' : undefined;
    }
    default:
      return undefined;
  }
}

/** Lets the cpu backend work on zeros, for a kernel without a rule. */
function runOnCpu(kernel: tf.KernelConfig, inputs: Inputs, attributes: Attributes): Result {
  const cpu = tf.engine().findBackend('cpu');
  const names = Object.keys(inputs);
  const zeros = Object.values(inputs).map(({shape, dtype}) => {
    const values = tf.util.makeZerosTypedArray(tf.util.sizeFromShape(shape), dtype as 'float32');
    return {dataId: cpu.write(values, shape, dtype), shape, dtype};
  });
  const result = kernel.kernelFunc({
    // Concat and its kin take a list.
    inputs: Array.isArray(inputs)
      ? (zeros as unknown as tf.NamedTensorInfoMap)
      : Object.fromEntries(names.map((name, i) => [name, zeros[i]])),
    attrs: {...attributes},
    backend: cpu,
  });
  const infos = [result].flat();
  const outputs = infos.map(({dataId, shape, dtype}) => ({
    shape,
    dtype,
    viewOf: names[zeros.findIndex((zero) => zero.dataId === dataId)],
  }));
  for (const {dataId} of [...zeros, ...infos]) cpu.disposeData(dataId);
  return {outputs, isList: Array.isArray(result)};
}

/** The inputs without those that were left out, as a bias may be. */
function given(inputs: tf.NamedTensorInfoMap): Inputs {
  if (Array.isArray(inputs)) return inputs as unknown as Inputs;
  return Object.fromEntries(
    Object.entries(inputs).filter((entry): entry is [string, tf.TensorInfo] => entry[1] != null),
  );
}

function signature(inputs: Inputs, attributes: Attributes): string {
  const operands = Object.entries(inputs).map(([name, {shape, dtype}]) => [name, shape, dtype]);
  return JSON.stringify([operands, attributes]);
}
