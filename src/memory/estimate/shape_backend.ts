/**
 * A backend of tfjs that knows shapes, dtypes and bytes alone: its kernels put out what the rules of `kernels/outputs` and
 * `kernels/tfjs_outputs` say. On it a training makes and frees the tensors that it makes and frees on the backend whose name it has,
 * whatever the size of the model, in the time that tfjs takes between kernels.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {
  DescribedBackend,
  KernelInputs,
  KernelOutput,
  OutputRule,
} from '../../kernels/kernel_outputs';
import {outputs} from '../../kernels/outputs';
import {describedKernels, tfjsOutputs} from '../../kernels/tfjs_outputs';
import {withoutLines} from '../../common/say_once';
import {isInScope, makeTensor, onOwnEngine} from '../../tfjs/engine';
import {withKernels} from '../../tfjs/kernels';
import {withOwnNames} from '../../tfjs/layer_names';

/** Data of tensors. */
interface Data {
  /** As they were made; a tensor over them may have another. */
  shape: number[];
  dtype: tf.DataType;
  references: number;
  /** Values that were given, such as ids, and single numbers that follow from others. */
  values: ArrayLike<number> | undefined;
  /** Stands for the place in memory, by the name that the wasm backend has for it. */
  memoryOffset: number;
}

/** Values were read that nobody has computed. */
export class UnknownValues extends Error {}

/** Single numbers that are known: a loss's gradient, say, is compared with 1. */
const scalars: Readonly<Record<string, (...values: number[]) => number>> = {
  [tf.Add]: (a, b) => a + b,
  [tf.Sub]: (a, b) => a - b,
  [tf.Multiply]: (a, b) => a * b,
  [tf.RealDiv]: (a, b) => a / b,
  [tf.Cast]: (x) => x,
  [tf.Reshape]: (x) => x,
  [tf.Identity]: (x) => x,
  [tf.Sum]: (x) => x,
  [tf.Mean]: (x) => x,
};

/** On wasm the memory meter looks at `dataIdMap`, and `checkRoom` at `makeOutput`. */
export class ShapeBackend extends tf.KernelBackend {
  readonly dataIdMap = new Map<object, Data>();
  private memory_ = 1;
  /** For `computesValues`. */
  readonly computesNoValues = true;

  constructor(readonly name: DescribedBackend) {
    super();
  }

  /** The kernels of the backend, by the rules. */
  kernels(): tf.KernelConfig[] {
    const own = Object.entries(outputs).flatMap(([name, {on, outputs}]) =>
      on.includes(this.name) ? [[name, outputs] as const] : [],
    );
    const tfjsKernels = describedKernels.map((name) => [name, tfjsOutputs(name)!] as const);
    return [...own, ...tfjsKernels].map(([kernelName, rule]) => ({
      ...{kernelName, backendName: this.name},
      kernelFunc: ({inputs, attrs}) => this.run(kernelName, rule, inputs, attrs),
    }));
  }

  private run(
    kernel: string,
    rule: OutputRule,
    given: tf.NamedTensorInfoMap,
    attrs: tf.NamedAttrMap = {},
  ): tf.TensorInfo | tf.TensorInfo[] {
    const x = given['x'];
    const storedShape = x && this.dataIdMap.get(x.dataId)?.shape;
    const {dataId, shape, dtype} = x ?? ({} as tf.TensorInfo);
    // only tfjs's kernels of one input ask for it
    const inputs = (
      this.name === 'wasm' && storedShape && (kernel === tf.Identity || kernel === tf.Cast)
        ? {x: {dataId, shape, dtype, storedShape}}
        : given
    ) as KernelInputs;
    const made = rule(inputs, attrs as never, this.name);
    if (Array.isArray(made)) return made.map((output) => this.put(output, inputs));
    const result = this.put(made, inputs);
    if (tf.util.sizeFromShape(made.shape) === 1) this.compute(kernel, inputs, attrs, result.dataId);
    return result;
  }

  /** The tensor of an output. */
  private put(
    {shape, dtype, view, inPlace, hasOwnId = false}: KernelOutput,
    inputs: KernelInputs,
  ): tf.TensorInfo {
    const isAlone = inPlace !== undefined && this.refCount(inputs[inPlace]!.dataId) === 1;
    const over = view ?? (isAlone ? inPlace : undefined);
    const source = over === undefined ? undefined : inputs[over]!.dataId;
    const data = source && this.dataIdMap.get(source);
    if (isAlone && data) data.values = undefined;
    // data from before this backend count as no one's
    if (!source || !data) return {dataId: this.add(shape, dtype), shape, dtype};
    if (!hasOwnId) {
      data.references++;
      return {dataId: source, shape, dtype};
    }
    const dataId = this.add(shape, dtype, data.values, data.memoryOffset);
    if (isAlone) this.dataIdMap.delete(source);
    // as tfjs-node's kernels do: the memory meter sees then of which kernel the tensor is
    if (this.name === 'tensorflow') return makeTensor({dataId, shape, dtype});
    return {dataId, shape, dtype};
  }

  private compute(kernel: string, inputs: KernelInputs, attrs: object, dataId: object): void {
    const data = this.dataIdMap.get(dataId)!;
    if (kernel === tf.Fill) data.values = [(attrs as tf.FillAttrs).value as number];
    const rule = scalars[kernel];
    if (!rule) return;
    const values = Object.values(inputs).map((input) => this.dataIdMap.get(input.dataId)?.values);
    const areKnown = values.every((each) => each?.length === 1);
    if (areKnown) data.values = [rule(...values.map((each) => each![0]!))];
  }

  private add(
    shape: number[],
    dtype: tf.DataType,
    values?: ArrayLike<number>,
    memoryOffset = this.memory_++,
  ): object {
    const dataId = {};
    this.dataIdMap.set(dataId, {shape, dtype, references: 1, values, memoryOffset});
    return dataId;
  }

  override write(values: unknown, shape: number[], dtype: tf.DataType): object {
    return this.add(shape, dtype, (values ?? undefined) as ArrayLike<number> | undefined);
  }

  /** As wasm's. */
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo {
    return {dataId: this.add(shape, dtype), shape, dtype};
  }

  /** @throws UnknownValues if a forward pass reads what nobody has computed; elsewhere that is 0. */
  override readSync(dataId: object): tf.backend_util.BackendValues {
    const {values, shape, dtype} = this.dataIdMap.get(dataId) ?? {shape: [0], dtype: 'float32'};
    if (values) return values as Float32Array;
    if (isInScope('forward')) throw new UnknownValues();
    return tf.util.makeZerosTypedArray(tf.util.sizeFromShape(shape), dtype as 'float32');
  }

  override async read(dataId: object): Promise<tf.backend_util.BackendValues> {
    return this.readSync(dataId);
  }

  override refCount(dataId: object): number {
    return this.dataIdMap.get(dataId)?.references ?? 0;
  }

  override incRef(dataId: object): void {
    const data = this.dataIdMap.get(dataId);
    if (data) data.references++;
  }

  override disposeData(dataId: object, force = false): boolean {
    const data = this.dataIdMap.get(dataId);
    if (data && --data.references > 0 && !force) return false;
    this.dataIdMap.delete(dataId);
    return true;
  }

  override numDataIds(): number {
    return this.dataIdMap.size;
  }

  override memory(): {unreliable: boolean} {
    return {unreliable: false};
  }

  override floatPrecision(): 32 {
    return 32;
  }
}

/**
 * Runs `body` as a program whose backend is one that knows shapes alone. The program around it finds everything as it was: its
 * backend, kernels and tensors, and the names that variables get.
 */
export function onShapes<T>(name: DescribedBackend, body: () => T): T {
  const backend = new ShapeBackend(name);
  const onEngine = (): T => onOwnEngine(name, backend, body);
  return withoutLines(() => withOwnNames(() => withKernels(name, backend.kernels(), onEngine)));
}
