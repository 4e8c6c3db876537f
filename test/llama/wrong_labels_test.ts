import {expect} from 'chai';
import fc from 'fast-check';
import * as tf from '@tensorflow/tfjs-core';
import {
  createLlama,
  generate,
  logLikelihoods,
  perplexity,
  sparseCrossEntropy,
} from '../../src/llama';
import {deferHead} from '../../src/llama/deferred_head';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {describeBackends} from '../support/backends';
import {fuzz} from '../support/fuzz';
import {rejection} from '../support/rejection';
import {held, Sentinels} from '../support/sentinels';

const config = {
  ...{vocabSize: 7, hiddenSize: 8, intermediateSize: 12, numHiddenLayers: 1},
  ...{numAttentionHeads: 2, maxPositionEmbeddings: 8, seed: 1},
};

describeBackends('wrong labels and token ids', (backend) => {
  const canRead = backend !== 'webgpu';
  let start: ReturnType<typeof held>;
  beforeEach(() => (start = held()));
  afterEach(() => expect(held()).to.deep.equal(start));

  const cases: Array<[what: string, make: () => tf.Tensor, message: RegExp]> = [
    [
      'too few',
      () => tf.zeros([1, 3, 1], 'int32'),
      /one for each of the 6 rows of logits; got 3, \[1,3,1\]/,
    ],
    ['too many', () => tf.zeros([2, 4], 'int32'), /got 8, \[2,4\]/],
    ['none', () => tf.zeros([0], 'int32'), /got 0, \[0\]/],
    [
      'strings',
      () => tf.tensor(new Array<string>(6).fill('a')),
      /must be whole numbers; got string \[6\]/,
    ],
  ];
  const values: typeof cases = [
    [
      'the size of the vocabulary',
      () => tf.fill([2, 3], 5, 'int32'),
      /below the vocabulary's size, 5; number 0 of \[2,3\] is 5/,
    ],
    ['fractions', () => tf.fill([2, 3], 0.5), /number 0 of \[2,3\] is 0.5/],
    ['NaN', () => tf.fill([2, 3], NaN), /is NaN/],
  ];
  for (const withHead of [false, true]) {
    const lossOf = (labels: tf.Tensor): tf.Scalar => {
      const kernel = tf.ones([4, 5]);
      const hidden = tf.ones([2, 3, 4]);
      const output = withHead ? deferHead(hidden, {kernel, transposed: false}) : tf.ones([2, 3, 5]);
      return sparseCrossEntropy(labels, output);
    };
    for (const [what, make, message] of [...cases, ...(canRead ? values : [])]) {
      it(`refuses labels: ${what}${withHead ? ', of a head' : ''}`, async () => {
        const sentinels = new Sentinels();
        expect(() => tf.tidy(() => lossOf(make()))).to.throw(message);
        await sentinels.expectUntouched(what);
        sentinels.dispose();
      });
    }
  }

  const itCannotRead = canRead ? it.skip : it;
  itCannotRead('makes the loss NaN where a label that is too large cannot be read', async () => {
    const variable = tf.tidy(() => tf.variable(tf.ones([6, 5])));
    const {value, grads} = variableGrads(() => {
      const labels = tf.tensor1d([0, 1, 2, 3, 5, 4], 'int32');
      return sparseCrossEntropy(labels, variable);
    }, [variable]);
    expect((await value.data())[0]).to.be.NaN;
    const rows = Array.from(await grads[variable.name]!.data(), Number.isNaN);
    expect(rows.filter(Boolean).length).to.equal(5);
    tf.dispose([value, grads, variable]);
  });

  it('refuses token ids that are outside of the vocabulary, or are none', async () => {
    const model = createLlama(config);
    const sentinels = new Sentinels();
    // What is no integer tfjs makes one on the way in.
    for (const id of canRead ? [7, -1] : []) {
      const run = (): unknown => tf.tidy(() => model.predict(tf.fill([1, 3], id)));
      expect(run).to.throw(
        /token ids must be whole numbers from 0 to below .* 7; number 0 of \[1,3\]/,
      );
    }
    expect((await rejection(generate(model, [7]))).message).to.match(/ids\[0\] must be/);
    const request = {context: [1], continuation: [9]};
    expect((await rejection(logLikelihoods(model, [request]))).message).to.match(
      /token 9 is outside/,
    );
    await sentinels.expectUntouched('token ids');
    sentinels.dispose();
    model.dispose();
  });

  it('perplexity refuses batches that do not fit, and frees them', async () => {
    const model = createLlama(config);
    const batch = {xs: tf.zeros([2, 4], 'int32'), ys: tf.zeros([2, 3, 1], 'int32')};
    const error = await rejection(perplexity(model, [batch as never]));
    expect(error.message).to.match(
      /perplexity: a batch must have labels.*\[2,4\]; got labels \[2,3,1\]/,
    );
    model.dispose();
  });

  const itReads = canRead ? it : it.skip;
  itReads('writes into no other tensor, whatever the labels are', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom<number>(0, 1, 2, 3, 6, 50), {maxLength: 3}),
        fc.constantFrom<number>(-100, -1, 0, 4, 5, 2 ** 31 - 1),
        async (shape, label) => {
          const sentinels = new Sentinels();
          const isRight = shape.reduce((a, b) => a * b, 1) === 6 && label < 5;
          const loss = (): number =>
            tf.tidy(
              () =>
                sparseCrossEntropy(
                  tf.fill(shape, label, 'int32'),
                  tf.ones([2, 3, 5]),
                ).dataSync()[0]!,
            );
          if (isRight) expect(loss()).to.be.closeTo(label < 0 ? 0 : Math.log(5), 1e-5);
          else expect(loss).to.throw(/sparseCrossEntropy: labels must be/);
          await sentinels.expectUntouched(`${shape.join()} of ${label}`);
          sentinels.dispose();
        },
      ),
      fuzz(60),
    ),
  );
});
