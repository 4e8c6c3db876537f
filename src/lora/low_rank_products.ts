/**
 * While a layer runs, adds to each of its products `x W` with an adapted matrix the low-rank `scale · (dropout(x) A) B`, as LoRA's
 * equation 3 has it. The layer is called as it is: its ops are watched, and those that read an adapted matrix are recognized by
 * the tensor. What is added are ordinary ops, so that any tape takes their gradients, and the product A·B is never made.
 */
import * as tf from '@tensorflow/tfjs-core';
import {randomUniform} from '../kernels/host_tensors';
import {withSeparateProducts, type LowRankProduct} from '../kernels/products';
import {runningPartsBy} from '../tape/recompute';
import {drawnOnce} from '../tape/segment';
import {interceptOps, opDepth, type OpCall, type RunOp} from '../tfjs/engine';
import type {Adapter} from './adapter';

/** What a tensor is, if it is an adapted matrix as a layer reads it, or a view of that. */
interface AdaptedTensor {
  adapter: Adapter;
  isTransposed: boolean;
}

/** By the tensor that an adapted layer reads, which is all that an op of tfjs has of it. */
const adaptedTensors = new WeakMap<tf.Tensor, AdaptedTensor>();

/** Makes `tensor` known as the matrix of an adapter, with the values that its layer reads. */
export function markAdapted<T extends tf.Tensor>(tensor: T, adapter: Adapter): T {
  adaptedTensors.set(tensor, {adapter, isTransposed: false});
  return tensor;
}

/** Makes the variable of a matrix an ordinary one again. */
export function unmarkAdapted(tensor: tf.Tensor): void {
  adaptedTensors.delete(tensor);
}

/** Dropout of the inputs of all adapters of a model. */
export interface InputDropout {
  rate: number;
  /** The number of the next mask. */
  nextMask(): number;
  seed: number;
}

/** What adds the products of the part that runs, the innermost one; null where no layer runs that has any. */
let adding: object | null = null;

/**
 * Runs a call of a layer with its low-rank products.
 *
 * @param owner What messages start with.
 * @param dropout Null except in training.
 * @throws Error if the layer does something else with an adapted matrix than to multiply with it or to look rows up in it.
 */
export function withLowRankProducts<T>(
  owner: string,
  layer: string,
  dropout: InputDropout | null,
  body: () => T,
): T {
  // A layer around this one adds the products of both.
  if (adding) return body();
  return runningPartsBy((part) => addProducts(owner, layer, dropout, part), body);
}

function addProducts<T>(
  owner: string,
  layer: string,
  dropout: InputDropout | null,
  body: () => T,
): T {
  const depth = opDepth();
  const own = {};
  /** Whether an op runs whose low-rank part is added; what it consists of is its own affair. */
  let isKnownOp = false;
  const runKnown = (call: OpCall, run: RunOp): tf.Tensor => {
    isKnownOp = true;
    try {
      return run(call) as tf.Tensor;
    } finally {
      isKnownOp = false;
    }
  };
  const intercept = (call: OpCall, run: RunOp): tf.Tensor | tf.Tensor[] => {
    const {kernelName, inputs} = call;
    const isOther = isKnownOp || adding !== own;
    const [[name, adapted] = []] = isOther ? [] : adaptedInputs(inputs);
    if (!adapted || addsItself(call)) return run(call);
    const refuse = (): Error =>
      new Error(
        `${owner}: layer '${layer}' uses the matrix '${adapted.adapter.matrix.module}' in ${kernelName ?? 'a custom gradient'}, ` +
          'which is neither a product x W with it nor a look-up of its rows; leave it out of targets',
      );
    if (opDepth() > depth) throw refuse();
    const attrs = (call.attrs ?? {}) as unknown as tf.BatchMatMulAttrs & FusedAttrs;
    switch (kernelName) {
      case undefined:
        // such as a fused product with its bias: what it consists of has gradients, too
        return call.forwardFunc!(null, () => undefined) as tf.Tensor;
      case tf.Reshape:
      case tf.Identity:
      case tf.Transpose: {
        const view = runKnown(call, run);
        const isSwapped = kernelName === tf.Transpose && isSwap(call);
        const isTransposed = adapted.isTransposed !== isSwapped;
        if (!hasShape(view, adapted.adapter, isTransposed)) throw refuse();
        adaptedTensors.set(view, {...adapted, isTransposed});
        return view;
      }
      case tf.BatchMatMul: {
        if (name !== 'b' || attrs.transposeA || adaptedInputs(inputs).length > 1) throw refuse();
        const y = runKnown(call, run);
        const isTransposed = adapted.isTransposed !== attrs.transposeB;
        const x = withDropout(inputs.a!, dropout);
        return tf.add(y, lowRankProduct(x, {...adapted, isTransposed}, y.shape));
      }
      case tf._FusedMatMul: {
        const {a, b, bias, preluActivationWeights: slopes} = inputs;
        const product = tf.matMul(a!, b!, attrs.transposeA, attrs.transposeB);
        const biased = bias ? tf.add(product, bias) : product;
        return activations[attrs.activation ?? 'linear']!(biased, attrs, slopes);
      }
      case tf.GatherV2: {
        const {axis, batchDims} = call.attrs as unknown as tf.GatherV2Attrs;
        if (name !== 'x' || adapted.isTransposed || axis !== 0 || batchDims) throw refuse();
        const y = runKnown(call, run);
        const rows = tf.gather(adapted.adapter.a.read(), inputs.indices as tf.Tensor1D);
        return tf.add(y, scaledProduct(rows, adapted.adapter.b.read(), adapted.adapter, y.shape));
      }
      default:
        throw refuse();
    }
  };
  const around = adding;
  adding = own;
  try {
    // kernels that add low-rank products do so without dropout
    const hasDropout = dropout !== null && dropout.rate > 0;
    return withSeparateProducts(
      () => interceptOps(intercept, body),
      hasDropout ? null : lowRankProductOf,
    );
  } finally {
    adding = around;
  }
}

/** What a kernel has to add that does so itself. */
function lowRankProductOf(matrix: tf.Tensor): LowRankProduct | undefined {
  const adapted = adaptedTensors.get(matrix);
  if (!adapted || adapted.isTransposed) return undefined;
  const {a, b, scale} = adapted.adapter;
  return {a: a.read(), b: b.read(), scale};
}

/** Whether an op is a kernel that was given what it has to add to its products. */
function addsItself({inputs}: OpCall): boolean {
  return adaptedInputs(inputs).every(
    ([name, {adapter}]) => inputs[`${name}A`] === adapter.a.read(),
  );
}

/** The inputs of an op that are adapted matrices, by name. */
function adaptedInputs(inputs: OpCall['inputs']): Array<[name: string, adapted: AdaptedTensor]> {
  return Object.entries(inputs).flatMap(([name, tensor]) => {
    const adapted = tensor && adaptedTensors.get(tensor);
    return adapted ? [[name, adapted] as [string, AdaptedTensor]] : [];
  });
}

/** `scale · (x A) B`, or `scale · (x Bᵀ) Aᵀ` for the transposed matrix, in the shape of the product with W. */
function lowRankProduct(
  x: tf.Tensor,
  {adapter, isTransposed}: AdaptedTensor,
  shape: number[],
): tf.Tensor {
  const [a, b] = [adapter.a.read(), adapter.b.read()];
  const [first, second] = isTransposed ? [b, a] : [a, b];
  const inner = tf.matMul(asRows(x), first, false, isTransposed);
  return scaledProduct(inner, second, adapter, shape, isTransposed);
}

/** `scale · rows · second`; the factor comes to the small rows. */
function scaledProduct(
  rows: tf.Tensor,
  second: tf.Tensor,
  {scale}: Adapter,
  shape: number[],
  isTransposed = false,
): tf.Tensor {
  const product = tf.matMul(tf.mul(asRows(rows), scale), second, false, isTransposed);
  return tf.util.arraysEqual(product.shape, shape) ? product : tf.reshape(product, shape);
}

/** As a matrix; without an op where it is one. */
function asRows(x: tf.Tensor): tf.Tensor {
  return x.rank === 2 ? x : tf.reshape(x, [-1, x.shape.at(-1)!]);
}

/** The mask is another one for each product of each pass, but the same one when the backward pass runs the layer again. */
function withDropout(x: tf.Tensor, dropout: InputDropout | null): tf.Tensor {
  if (!dropout || dropout.rate === 0) return x;
  const mask = drawnOnce(() => dropout.nextMask());
  const kept = 1 - dropout.rate;
  // as tf.dropout, to the bit
  return tf.tidy(() => {
    const drawn = randomUniform(x.shape as [number, number], 0, 1, `${dropout.seed}, ${mask}`);
    return tf.mul(x, tf.div(tf.floor(tf.add(drawn, kept)), kept));
  });
}

interface FusedAttrs {
  /** Null where a layer asks for one that is not fused. */
  activation: string | null;
  leakyreluAlpha: number;
}

/** What a fused product may end with. */
const activations: Record<
  string,
  (x: tf.Tensor, attrs: FusedAttrs, slopes: tf.Tensor | undefined) => tf.Tensor
> = {
  linear: (x) => x,
  relu: (x) => tf.relu(x),
  relu6: (x) => tf.relu6(x),
  elu: (x) => tf.elu(x),
  sigmoid: (x) => tf.sigmoid(x),
  leakyrelu: (x, {leakyreluAlpha}) => tf.leakyRelu(x, leakyreluAlpha),
  prelu: (x, _, slopes) => tf.prelu(x, slopes!),
};

/** Whether a transposition exchanges the last two axes; otherwise it leaves all where they are, or its result is no matrix. */
function isSwap({attrs}: OpCall): boolean {
  const perm = attrs!.perm as number[];
  return perm.at(-1) !== perm.length - 1;
}

/** Whether a view of a matrix is that matrix, or the transposed one, perhaps with axes of length 1 before its own. */
function hasShape(view: tf.Tensor, {matrix}: Adapter, isTransposed: boolean): boolean {
  const shape = matrix.weight.shape as number[];
  const wanted = isTransposed ? [...shape].reverse() : shape;
  return (
    tf.util.arraysEqual(view.shape.slice(-2), wanted) &&
    view.size === matrix.weight.shape[0]! * shape[1]!
  );
}
