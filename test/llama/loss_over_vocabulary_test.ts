import * as tf from '@tensorflow/tfjs-core';
import {installKernelsForBackend} from '../../src/kernels/install_for_backend';
import {fromBfloat16, toBfloat16} from '../../src/files/half_precision';
import {sparseCrossEntropy} from '../../src/llama';
import {deferHead, type HeadKernel} from '../../src/llama/deferred_head';
import {PackedMatrix} from '../../src/model/packed_matrix';
import {packHalves} from '../../src/model/packed_weight';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import * as composed from '../../tools/composed';
import {describeFastBackends} from '../support/backends';
import {Comparison} from '../support/close';
import {held} from '../support/sentinels';
import {expect} from 'chai';

/** More than one piece of the vocabulary, the last smaller, in rows and columns of odd length. */
const [SEQ, WIDTH, VOCABULARY] = [1030, 5, 1291];

describeFastBackends('the loss of a frozen head, by pieces of the vocabulary', (backend) => {
  if (backend === 'webgl') return;
  before(installKernelsForBackend);

  for (const transposed of [false, true]) {
    for (const isPacked of [false, true]) {
      const layout = transposed ? '[vocab, hidden]' : '[hidden, vocab]';

      // tfjs's cpu is slow at this many logits
      const itRuns = backend === 'cpu' && !(isPacked && transposed) ? it.skip : it;
      itRuns(
        `has value and gradient of the composition, ${layout}, ${isPacked ? 'packed' : 'float32'}`,
        async () => {
          const start = held();
          const shape: [number, number] = transposed ? [VOCABULARY, WIDTH] : [WIDTH, VOCABULARY];
          const drawn = tf.randomNormal(shape, 0, 2, 'float32', 2);
          const halves = toBfloat16(await drawn.data<'float32'>());
          const kernel = tf.tensor(fromBfloat16(halves), shape);
          const packed = packHalves(halves);
          const head: HeadKernel = {
            kernel: isPacked ? new PackedMatrix(packed, shape, 'head') : kernel,
            transposed,
          };
          const hidden = tf.tidy(() =>
            tf.variable(tf.randomNormal([1, SEQ, WIDTH], 0, 2, 'float32', 1)),
          );
          const labels = Array.from({length: SEQ}, (_, i) =>
            i % 5 === 2 ? -100 : Math.round((i / (SEQ - 1)) * (VOCABULARY - 1)),
          );
          const y = tf.tensor2d(labels, [1, SEQ], 'int32');
          const actual = variableGrads(
            () => tf.mul(sparseCrossEntropy(y, deferHead(hidden, head)), 100),
            [hidden],
          );
          const plain = tf.tidy(() => tf.mul(sparseCrossEntropy(y, deferHead(hidden, head)), 100));
          const expected = tf.valueAndGrad((x: tf.Tensor) =>
            tf.mul(
              composed.sparseCrossEntropy(
                y,
                tf.matMul(tf.squeeze(x, [0]), kernel, false, transposed),
              ),
              100,
            ),
          )(hidden);
          const comparison = new Comparison('loss', {rtol: 1e-4, atol: 1e-5});
          comparison.add('value', await actual.value.data(), await expected.value.data());
          comparison.add('without gradient', await plain.data(), await expected.value.data());
          comparison.add(
            'gradient',
            await actual.grads[hidden.name]!.data(),
            await expected.grad.data(),
          );
          comparison.finish();
          tf.dispose([drawn, kernel, packed, hidden, y, plain, {...actual}, {...expected}]);
          expect(held()).to.deep.equal(start);
        },
      );
    }
  }
});
