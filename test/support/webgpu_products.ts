import * as tf from '@tensorflow/tfjs-core';

/*
 * Of tfjs's programs for a product of matrices the one for the smallest results has 256 invocations sum up each number, with
 * barriers between them: quick on a GPU, but half a millisecond a number for a driver that computes on the processor. Tests on such
 * a driver have the program for small results throughout, whose products are the same.
 */

const FLAG = 'WEBGPU_MATMUL_PROGRAM_TYPE';
const AS_TFJS_CHOOSES = -1;
const FOR_SMALL_RESULTS = 2;

/** Sets tfjs's choice, if webgpu's adapter is one in software. */
export async function chooseProducts(): Promise<void> {
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter?.info.isFallbackAdapter) tf.env().set(FLAG, FOR_SMALL_RESULTS);
}

/** Runs `test` with the programs that users have. */
export async function withProductsOfTfjs(test: () => Promise<void>): Promise<void> {
  const chosen = tf.env().getNumber(FLAG);
  tf.env().set(FLAG, AS_TFJS_CHOOSES);
  try {
    await test();
  } finally {
    tf.env().set(FLAG, chosen);
  }
}
