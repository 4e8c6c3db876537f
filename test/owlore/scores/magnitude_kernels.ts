import * as tf from '@tensorflow/tfjs-core';
import {defaultBackend} from '../../support/backends';
import {OwLoreCountAbove, OwLoreMagnitudeSums} from '../../../src/kernels/kernel_names';

const magnitudes = ({weight, norm}: tf.NamedTensorInfoMap): tf.Tensor =>
  tf.mul(norm as tf.Tensor, tf.abs(weight as tf.Tensor));

const kernels: Record<string, tf.KernelFunc> = {
  [OwLoreMagnitudeSums]: ({inputs}) => tf.tidy(() => tf.sum(magnitudes(inputs), -1)),
  [OwLoreCountAbove]: ({inputs, attrs}) =>
    tf.tidy(() => {
      const {thresholds} = attrs as unknown as {thresholds: number[]};
      const values = magnitudes(inputs);
      return tf.stack(thresholds.map((each) => tf.sum(tf.cast(tf.greater(values, each), 'int32'))));
    }),
};

/** A suite in which the cpu backend, which has no kernels for magnitudes, has plain ones. */
export function describeOnCpuWithKernels(title: string, body: () => void): void {
  describe(`${title}, on a backend that has the kernels`, () => {
    before(async () => {
      await tf.setBackend('cpu');
      for (const [kernelName, kernelFunc] of Object.entries(kernels)) {
        tf.registerKernel({kernelName, backendName: 'cpu', kernelFunc});
      }
    });
    after(() => {
      for (const kernelName of Object.keys(kernels)) tf.unregisterKernel(kernelName, 'cpu');
      return tf.setBackend(defaultBackend);
    });
    body();
  });
}
