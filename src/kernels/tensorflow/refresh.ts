import type * as tf from '@tensorflow/tfjs-core';
import {SMALLEST_NORMAL} from '../capabilities';
import {OwLoreRefresh, type OwLoreRefreshAttrs, type OwLoreRefreshed} from '../kernel_names';
import type {KernelGraphs} from './graphs';
import {nativeInputs, runOps, type NativeInputs, type NativeKernel} from './kernel';
import {
  choleskyQ,
  householderQ,
  largestMagnitude,
  maximum,
  nearlyOrthonormalize,
} from './linear_algebra';
import {NativeOps, type Native, type NodeBackend} from './native_ops';

/** Makes the columns of a matrix nearly orthonormal. */
type Orthonormalize = (ops: NativeOps, matrix: Native) => Native;

/**
 * OwLoreRefresh: all of it as one graph, in which the decompositions of several matrices run side by side. Each of them takes a single
 * thread.
 */
export function createRefresh(graphs: KernelGraphs): tf.KernelFunc {
  const run = graphs.runner(OwLoreRefresh, refreshBy(choleskyQ));
  const refreshAnyNumbers = refreshBy(
    (ops, matrix) => nearlyOrthonormalize(ops, {matrix}, {}) as Native,
  );
  return (args) => {
    const backend = args.backend as NodeBackend;
    const inputs = nativeInputs(backend, args.inputs);
    // The registry has one type for the attributes of all kernels; these are of this one.
    const attrs = args.attrs as unknown as OwLoreRefreshAttrs;
    const results = ((): Native[] => {
      try {
        return run(backend, inputs, attrs);
      } catch {
        // a gradient is not finite, and TensorFlow's Cholesky refuses it
        return runOps(refreshAnyNumbers, new NativeOps(backend), inputs, attrs);
      }
    })();
    return results.map((x) => backend.createOutputTensor(x));
  };
}

function refreshBy(orthonormalize: Orthonormalize): NativeKernel<OwLoreRefreshAttrs> {
  return (ops, inputs, {refreshes, scalesDirections}) =>
    refreshes.flatMap((attrs, i) =>
      ops.scope(() => {
        const basis = subspaceIteration(ops, inputs, i, attrs, orthonormalize);
        const g = inputs[`gradient${i}`]!;
        const isLeft = attrs.side === 'left';
        const r = isLeft ? ops.matMul(basis, g, true) : ops.matMul(g, basis);
        if (!scalesDirections) return [basis, r];
        const scales = directionScales(ops, r, isLeft);
        const scalesOfR = isLeft ? ops.reshape(scales, [-1, 1]) : scales;
        return [ops.mul(basis, ops.reshape(scales, [1, -1])), ops.mul(r, scalesOfR)];
      }),
    );
}

/** P, as `randomizedBasis` (`owlore/optimizer/state/basis`) makes it. */
function subspaceIteration(
  ops: NativeOps,
  inputs: NativeInputs,
  i: number,
  {side, multiplications}: OwLoreRefreshed,
  orthonormalize: Orthonormalize,
): Native {
  const [g, random] = [inputs[`gradient${i}`]!, inputs[`random${i}`]!];
  const isRight = side === 'right';
  return ops.scope(() => {
    let scale: Native | undefined;
    const multiply = (matrix: Native): Native => {
      const inner = ops.matMul(g, matrix, !isRight);
      scale ??= ops.div(ops.scalar(1), largestMagnitude(ops, inner, [0, 1]));
      return ops.mul(ops.matMul(g, ops.mul(inner, scale), isRight), scale);
    };
    // In place of columns of zeros random ones.
    const complete = (matrix: Native): Native => {
      const isZero = ops.run('Equal', [maximum(ops, ops.run('Abs', [matrix]), [0]), ops.scalar(0)]);
      const factors = ops.select(isZero, ops.scalar(1), ops.scalar(0));
      return ops.add(matrix, ops.mul(random, factors));
    };
    let basis = inputs[`previous${i}`] ?? random;
    for (let k = 0; k < multiplications; k++) {
      const before = basis;
      basis = complete(orthonormalize(ops, multiply(before)));
    }
    const image = multiply(basis);
    const scaled = ops.div(image, largestMagnitude(ops, image, [0]));
    return householderQ(ops, ops.add(scaled, ops.mul(random, ops.scalar(1e-6))));
  });
}

/** The factors of `directionScales` (`owlore/optimizer/step/update`), [rank]. */
function directionScales(ops: NativeOps, r: Native, isLeft: boolean): Native {
  return ops.scope(() => {
    const scaled = ops.div(r, largestMagnitude(ops, r, [0, 1]));
    const squares = ops.sum(ops.run('Square', [scaled]), isLeft ? 1 : 0);
    const flat = ops.reshape(squares, [-1]);
    const axis = ops.constant(Int32Array.of(0), [1]);
    const attributes = {T: ops.float32, Tidx: ops.int32, keep_dims: false};
    const mean = ops.run('Mean', [flat, axis], attributes);
    const ratios = ops.div(flat, ops.run('Maximum', [mean, ops.scalar(SMALLEST_NORMAL)]));
    return ops.run('Maximum', [ops.scalar(1), ops.run('Sqrt', [ratios])]);
  });
}
