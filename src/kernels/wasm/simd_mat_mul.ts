import * as tf from '@tensorflow/tfjs-core';
import {addressOf, allocate, type KernelArgs} from './kernel';
import {broadcastIndices, matMulShapes} from './mat_mul_shapes';
import {callEach, threadsOf} from './parallel';
import {simdModule, type SimdModule} from './simd_module';

type MatMulArgs = KernelArgs<'a' | 'b', tf.BatchMatMulAttrs>;

/** Whether the module should compute a product; not if the backend itself has several threads, and the module one. */
export function isForModule({inputs: {a, b}, backend}: MatMulArgs): boolean {
  const isFloat = a.dtype === 'float32' && b.dtype === 'float32';
  const ofModule = threadsOf(simdModule(backend)!);
  return isFloat && (ofModule > 1 || backend.wasm.tfjs.getThreadsCount() <= 1);
}

/** BatchMatMul by the module: any transposition and any stacks, one product for each pair of matrices. */
export function simdBatchMatMul(
  module: SimdModule,
  {inputs: {a, b}, backend, attrs}: MatMulArgs,
): tf.TensorInfo {
  const {transposeA, transposeB} = attrs;
  const {inner, columns, batchA, batchB, batch, outShape, ...shapes} = matMulShapes(a, b, attrs);
  const out = allocate(backend, outShape);
  if (tf.util.sizeFromShape(outShape) === 0) return out;
  const to = addressOf(backend, out);
  const left = addressOf(backend, a);
  const right = addressOf(backend, b);

  // a stack times one matrix is one product of all rows
  const asOne = tf.util.sizeFromShape(batchB) === 1 && !transposeA;
  const rows = asOne ? shapes.rows * tf.util.sizeFromShape(batch) : shapes.rows;
  const leftIndices = asOne ? [0] : broadcastIndices(batchA, batch);
  const rightIndices = asOne ? [0] : broadcastIndices(batchB, batch);
  const leftStep = (transposeA ? rows : inner) * 4;
  const rightStep = (transposeB ? inner : columns) * 4;
  const product = {
    rows,
    columns,
    inner,
    transposeA,
    transposeB,
    a: left,
    aStep: leftStep,
    b: right,
    bStep: rightStep,
    c: to,
    cStep: columns * 4,
    add: false,
  };
  const changes = leftIndices.map((index, i) => ({
    a: left + index * rows * inner * 4,
    b: right + rightIndices[i]! * inner * columns * 4,
    c: to + i * rows * columns * 4,
  }));
  callEach(module, 'multiply', product, changes, changes.length * rows * columns * inner);
  return out;
}
