/** What the rules of `outputs` say of a kernel's results. */
import * as tf from '@tensorflow/tfjs-core';

/** A backend of which it is known what its kernels put out. */
export const describedBackends = ['tensorflow', 'wasm', 'cpu', 'webgpu'] as const;
export type DescribedBackend = (typeof describedBackends)[number];

/** One output of a kernel: in memory of its own, unless it says otherwise. */
export interface KernelOutput {
  shape: number[];
  dtype: tf.DataType;
  /** The input over whose memory it is. */
  view?: string;
  /** The input that is changed in place, if no other tensor has its data; then this is over its memory. */
  inPlace?: string;
  /** Whether it has a data id of its own, though it is over the memory of an input. Default false. */
  hasOwnId?: boolean;
}

/** An input; on wasm, whose kernels look at it, also the shape that is stored with the data, which that of a view differs from. */
export type KernelInput = tf.TensorInfo & {storedShape?: number[]};

export type KernelInputs = Readonly<Record<string, KernelInput>>;

/**
 * The outputs of a kernel for valid arguments (`contracts`), from shapes, dtypes and attributes alone. A list if the kernel returns
 * one.
 */
export type OutputRule<Attributes = never> = (
  inputs: KernelInputs,
  attributes: Attributes,
  backend: DescribedBackend,
) => KernelOutput | KernelOutput[];

/** A kernel that tfjs does not have. */
export interface DescribedKernel {
  /** The backends that have it; wasm with SIMD. */
  on: readonly DescribedBackend[];
  outputs: OutputRule;
}

/** An output of some shape in memory of its own. */
export function made(shape: readonly number[], dtype: tf.DataType = 'float32'): KernelOutput {
  return {shape: [...shape], dtype};
}

/** One like a tensor, in memory of its own. */
export function like({shape, dtype}: tf.TensorInfo): KernelOutput {
  return made(shape, dtype);
}

/** Outputs like inputs, in memory of their own. */
export function likeAll(inputs: KernelInputs, names: readonly string[]): KernelOutput[] {
  return names.map((name) => like(inputs[name]!));
}
