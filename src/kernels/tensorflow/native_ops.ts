import type * as tf from '@tensorflow/tfjs-core';

/** A TensorFlow tensor that tfjs does not know of. */
export interface Native {
  readonly id: number;
  readonly shape: readonly number[];
  /** TensorFlow's number for the dtype. */
  readonly dtype: number;
}

/** A dtype, as an attribute of an op. */
export class NativeType {
  constructor(readonly number: number) {}
}

/** Attributes of an op by name; an array is a shape. */
export type Attributes = Readonly<
  Record<string, NativeType | boolean | number | string | readonly number[]>
>;

/** The parts of the backend of tfjs-node and tfjs-node-gpu that are used here. */
export interface NodeBackend {
  binding: {
    TF_ATTR_TYPE: number;
    TF_ATTR_BOOL: number;
    TF_ATTR_INT: number;
    TF_ATTR_SHAPE: number;
    TF_ATTR_STRING: number;
    TF_FLOAT: number;
    TF_INT32: number;
    executeOp(
      op: string,
      attributes: ReadonlyArray<{name: string; type: number; value: unknown}>,
      inputs: readonly number[],
      outputs: number,
    ): Native[];
    createTensor(shape: readonly number[], type: number, values: ArrayBufferView): number;
    deleteTensor(id: number): void;
    loadSavedModel(folder: string, tags: string): number;
    /** Names of nodes, separated by commas. */
    runSavedModel(
      id: number,
      inputs: readonly number[],
      inputNames: string,
      outputNames: string,
    ): Native[];
    deleteSavedModel(id: number): void;
  };
  isUsingGpuDevice: boolean;
  /** The ids of TensorFlow's tensors; it copies values that are still in JavaScript to TensorFlow. */
  getInputTensorIds(inputs: tf.TensorInfo[]): number[];
  tensorMap: {get(dataId: object): {id: number}};
  refCount(dataId: object): number;
  incRef(dataId: object): void;
  readSync(dataId: object): ArrayLike<number>;
  createOutputTensor(output: Native): tf.Tensor;
}

/** TensorFlow's number for float64, which tfjs does not have. */
const TF_DOUBLE = 2;

/**
 * The last scalars of each backend. One may be deleted as soon as so many others have been asked for, so that it must have been read
 * by then.
 */
const scalars = new WeakMap<NodeBackend, Map<number, Native>>();
const MAX_SCALARS = 64;

/** Bindings to a TensorFlow that has refused an op of oneDNN. */
const withoutOneDnn = new WeakSet();

/**
 * Largest inner sizes of products for which oneDNN's `dnnl_sgemm` keeps its buffer on the stack, with a margin: the limits are 84
 * with AVX-512 and 252 with AVX2.
 */
const SHORT = 80;
const SHORT_WITHOUT_AVX512 = 240;

/**
 * TensorFlow's ops without tfjs in between: tfjs's engine takes ten times as long for an op as TensorFlow needs to start it.
 * A tensor lives to the end of the innermost {@link scope}; none may be made outside a scope.
 */
export class NativeOps {
  readonly float32: NativeType;
  readonly float64 = new NativeType(TF_DOUBLE);
  readonly int32: NativeType;
  private made: Native[] = [];

  /** @param longestInner Products with a longer inner size are computed in parts. */
  constructor(
    private readonly backend: NodeBackend,
    private readonly longestInner = longestSafeInner(),
  ) {
    const {TF_FLOAT, TF_INT32} = backend.binding;
    this.float32 = new NativeType(TF_FLOAT);
    this.int32 = new NativeType(TF_INT32);
  }

  /** Whether one product is safe, however long its inner size is; otherwise the length decides how many there are. */
  get isAnyProductSafe(): boolean {
    return this.longestInner === Infinity || this.backend.isUsingGpuDevice;
  }

  /** Runs `f` and frees all tensors that it made except those that it returns, which belong to the surrounding scope. */
  scope<T>(f: () => T): T {
    const outer = this.made;
    this.made = [];
    let results: readonly unknown[] = [];
    try {
      const result = f();
      results = [result].flat();
      return result;
    } finally {
      const {made} = this;
      this.made = outer;
      for (const x of made) {
        if (results.includes(x)) outer.push(x);
        else this.backend.binding.deleteTensor(x.id);
      }
    }
  }

  /** Takes a tensor out of the innermost scope, where it was made: no scope will free it. */
  release(x: Native): Native {
    this.made = this.made.filter((other) => other !== x);
    return x;
  }

  /** Runs an op of several outputs, or of none. */
  runAll(op: string, inputs: readonly Native[], attributes: Attributes, outputs: number): Native[] {
    const typed = Object.entries(attributes).map(([name, value]) => this.attribute(name, value));
    const ids = inputs.map(({id}) => id);
    const results = this.backend.binding.executeOp(op, typed, ids, outputs);
    this.made.push(...results);
    return results;
  }

  /** Runs an op of one output, by default one whose only attribute is its dtype `T`, float32. */
  run(op: string, inputs: readonly Native[], attributes: Attributes = {T: this.float32}): Native {
    return this.runAll(op, inputs, attributes, 1)[0]!;
  }

  constant(values: Float32Array | Int32Array, shape: readonly number[]): Native {
    const {binding} = this.backend;
    const type = values instanceof Int32Array ? this.int32 : this.float32;
    const id = binding.createTensor(shape, type.number, values);
    const x = {id, shape, dtype: type.number};
    this.made.push(x);
    return x;
  }

  /**
   * A scalar for the next ops, which is kept for later calls: TensorFlow takes longer to make one than to run an op on it. Where an
   * unlimited number of them is needed at a time, they must be constants.
   */
  scalar(value: number): Native {
    const kept = scalars.get(this.backend) ?? new Map<number, Native>();
    scalars.set(this.backend, kept);
    const scalar = kept.get(value) ?? this.release(this.constant(Float32Array.of(value), []));
    // The last one is the one that was used last.
    kept.delete(value);
    kept.set(value, scalar);
    if (kept.size > MAX_SCALARS) {
      const [oldest, unused] = kept.entries().next().value!;
      kept.delete(oldest);
      this.backend.binding.deleteTensor(unused.id);
    }
    return scalar;
  }

  zeros(shape: readonly number[]): Native {
    const dims = this.constant(Int32Array.from(shape), [shape.length]);
    return this.run('Fill', [dims, this.scalar(0)], {T: this.float32, index_type: this.int32});
  }

  add(a: Native, b: Native): Native {
    return this.run('AddV2', [a, b]);
  }

  sub(a: Native, b: Native): Native {
    return this.run('Sub', [a, b]);
  }

  mul(a: Native, b: Native): Native {
    return this.run('Mul', [a, b]);
  }

  div(a: Native, b: Native): Native {
    return this.run('RealDiv', [a, b]);
  }

  /**
   * The product of two matrices. TensorFlow's own op for it is the fastest for small matrices; it is safe where the inner size is
   * short or another size is 1, and on a GPU: see {@link batchMatMul}.
   */
  matMul(a: Native, b: Native, transposeA = false, transposeB = false): Native {
    const isSafe =
      innerSize(a, transposeA) <= SHORT ||
      [...a.shape, ...b.shape].includes(1) ||
      this.backend.isUsingGpuDevice;
    const isRow = a.shape.length === 2 && a.shape[transposeA ? 1 : 0] === 1;
    // A row times bᵀ is computed as b times a column, which reads b in its order; with more rows the other op is faster.
    if (transposeB && isRow && isSafe) {
      const column = this.run('MatMul', [b, a], {
        ...{T: this.float32, transpose_a: false, transpose_b: !transposeA},
      });
      return this.reshape(column, [1, b.shape[0]!]);
    }
    if (transposeB || !isSafe) return this.batchMatMul(a, b, transposeA, transposeB);
    const attributes = {T: this.float32, transpose_a: transposeA, transpose_b: transposeB};
    return this.run('MatMul', [a, b], attributes);
  }

  /**
   * Products of stacks of matrices, with broadcasting. With AVX-512 oneDNN's primitive computes them, which is safe. Without
   * AVX-512, and in TensorFlow's MatMul, oneDNN's function `dnnl_sgemm` does, which is not safe for long inner sizes: while it
   * computes, the stack pointer points into a buffer on the heap, so that if a signal is handled meanwhile, the system overwrites
   * the memory below, which belongs to others.
   */
  batchMatMul(a: Native, b: Native, transposeA = false, transposeB = false): Native {
    if (innerSize(a, transposeA) > this.longestInner && !this.backend.isUsingGpuDevice) {
      return this.scope(() => this.sumOfProducts(a, b, transposeA, transposeB));
    }
    const attributes = {T: this.float32, adj_x: transposeA, adj_y: transposeB};
    return this.oneDnn('BatchMatMulV2', [a, b], attributes);
  }

  /** The same, as a sum of products over parts of the inner size, none of which is too long. */
  private sumOfProducts(a: Native, b: Native, transposeA: boolean, transposeB: boolean): Native {
    const inner = innerSize(a, transposeA);
    const parts = Math.ceil(inner / this.longestInner);
    const sizes = Array.from({length: parts}, (_, i) => Math.floor((inner + i) / parts));
    const partsOfA = this.split(a, sizes, transposeA ? -2 : -1);
    const partsOfB = this.split(b, sizes, transposeB ? -1 : -2);
    const product = (part: number): Native =>
      this.batchMatMul(partsOfA[part]!, partsOfB[part]!, transposeA, transposeB);
    let sum = this.scope(() => product(0));
    for (let i = 1; i < parts; i++) {
      const before = sum;
      sum = this.scope(() => this.add(before, product(i)));
      this.backend.binding.deleteTensor(this.release(before).id);
    }
    return sum;
  }

  reshape(x: Native, shape: readonly number[]): Native {
    const to = this.constant(Int32Array.from(shape), [shape.length]);
    return this.run('Reshape', [x, to], {T: new NativeType(x.dtype), Tshape: this.int32});
  }

  /** The entries from `begin` to before `begin + size`. */
  slice(x: Native, begin: readonly number[], size: readonly number[]): Native {
    const [from, extent] = [begin, size].map((v) => this.constant(Int32Array.from(v), [v.length]));
    const attributes = {T: new NativeType(x.dtype), Index: this.int32};
    return this.run('Slice', [x, from!, extent!], attributes);
  }

  /** `a` where the condition holds, `b` elsewhere, with broadcasting. */
  select(condition: Native, a: Native, b: Native): Native {
    return this.run('SelectV2', [condition, a, b]);
  }

  transpose(x: Native, axes: readonly number[]): Native {
    const order = this.constant(Int32Array.from(axes), [axes.length]);
    return this.run('Transpose', [x, order], {T: this.float32, Tperm: this.int32});
  }

  /** Joins the parts along an axis; a single part is returned as it is. */
  concat(parts: readonly Native[], axis: number): Native {
    if (parts.length === 1) return parts[0]!;
    const where = this.constant(Int32Array.of(axis), []);
    const attributes = {T: this.float32, Tidx: this.int32, N: parts.length};
    return this.run('ConcatV2', [...parts, where], attributes);
  }

  split(x: Native, sizes: readonly number[], axis: number): Native[] {
    const parts = this.constant(Int32Array.from(sizes), [sizes.length]);
    const where = this.constant(Int32Array.of(axis), []);
    const attributes = {num_split: sizes.length, T: this.float32, Tlen: this.int32};
    return this.runAll('SplitV', [x, parts, where], attributes, sizes.length);
  }

  /** Softmax over the last axis; oneDNN takes half the time. */
  softmax(x: Native): Native {
    return this.oneDnn('Softmax', [x], {T: this.float32});
  }

  /** Sums over an axis, which is kept with length 1. */
  sum(x: Native, axis: number): Native {
    const where = this.constant(Int32Array.of(axis), [1]);
    const attributes = {T: this.float32, Tidx: this.int32, keep_dims: true};
    return this.run('Sum', [x, where], attributes);
  }

  /** Runs an op of one output: on a CPU by oneDNN, where TensorFlow was built with it. */
  private oneDnn(op: string, inputs: readonly Native[], attributes: Attributes): Native {
    const {binding, isUsingGpuDevice} = this.backend;
    if (isUsingGpuDevice || withoutOneDnn.has(binding)) return this.run(op, inputs, attributes);
    try {
      return this.run(`_Mkl${op}`, inputs, {...attributes, _kernel: 'MklNameChangeOp'});
    } catch {
      const result = this.run(op, inputs, attributes); // throws if the inputs are wrong
      withoutOneDnn.add(binding);
      return result;
    }
  }

  private attribute(
    name: string,
    value: Attributes[string],
  ): {name: string; type: number; value: unknown} {
    const {TF_ATTR_TYPE, TF_ATTR_BOOL, TF_ATTR_INT, TF_ATTR_SHAPE, TF_ATTR_STRING} =
      this.backend.binding;
    if (value instanceof NativeType) return {name, type: TF_ATTR_TYPE, value: value.number};
    if (Array.isArray(value)) return {name, type: TF_ATTR_SHAPE, value};
    if (typeof value === 'boolean') return {name, type: TF_ATTR_BOOL, value};
    return {name, type: typeof value === 'number' ? TF_ATTR_INT : TF_ATTR_STRING, value};
  }
}

function innerSize(a: Native, transposeA: boolean): number {
  return a.shape.at(transposeA ? -2 : -1)!;
}

/**
 * The longest inner size of a product that oneDNN computes without a stack pointer on the heap. There is no limit on processors
 * other than x64, nor on Windows, which has no such signals.
 */
function longestSafeInner(): number {
  if (process.arch !== 'x64' || process.platform === 'win32') return Infinity;
  // Of the other systems only Linux tells what its processor has.
  if (process.platform !== 'linux') return SHORT;
  hasAvx512 ??= seesAvx512();
  return hasAvx512 ? Infinity : SHORT_WITHOUT_AVX512;
}

/** Of the processor; undefined until it is asked for. */
let hasAvx512: boolean | undefined;

/** Whether oneDNN finds what it calls `avx512_core`, and may use it. */
function seesAvx512(): boolean {
  const {ONEDNN_MAX_CPU_ISA, DNNL_MAX_CPU_ISA} = process.env;
  const maxIsa = ONEDNN_MAX_CPU_ISA ?? DNNL_MAX_CPU_ISA ?? 'DEFAULT';
  if (!/^(default|all|avx512_core|avx10)/i.test(maxIsa)) return false;
  const {existsSync, readFileSync} = process.getBuiltinModule('node:fs');
  const info = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const flags = /^flags\s*:(.*)$/m.exec(info)?.[1]?.split(' ') ?? [];
  return ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl'].every((flag) => flags.includes(flag));
}

/** The TensorFlow tensor behind a tfjs tensor, float32 or int32. */
export function nativeOf(backend: NodeBackend, info: tf.TensorInfo): Native {
  const {TF_FLOAT, TF_INT32} = backend.binding;
  const dtype = info.dtype === 'int32' ? TF_INT32 : TF_FLOAT;
  return {id: backend.getInputTensorIds([info])[0]!, shape: info.shape, dtype};
}
