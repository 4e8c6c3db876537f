import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {attention, type AttentionOptions, type AttentionWeights} from '../../src/llama/attention';
import {rotaryTable} from '../../src/llama/rotary';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {describeBackends} from '../support/backends';
import * as composed from '../../tools/composed';
import {expectSameOp, randomTensor} from './ops';

interface Case extends Pick<
  AttentionOptions,
  'numKeyValueHeads' | 'headDim' | 'slidingWindow' | 'queryPreAttnScalar'
> {
  batch: number;
  seq: number;
  hidden: number;
  group: number;
  isBiased: boolean;
  isNormalized: boolean;
}

/** Sizes that fill no vector or tile, windows of one key and of more than there are. */
const cases: fc.Arbitrary<Case> = fc.record({
  batch: fc.constantFrom(1, 2),
  seq: fc.constantFrom(1, 2, 7, 16, 33, 70, 150),
  hidden: fc.constantFrom(3, 8, 13),
  numKeyValueHeads: fc.constantFrom(1, 2),
  group: fc.constantFrom(1, 3),
  headDim: fc.constantFrom(2, 6, 8),
  slidingWindow: fc.option(fc.constantFrom(1, 2, 5, 16, 31, 64, 200)),
  isBiased: fc.boolean(),
  isNormalized: fc.boolean(),
  queryPreAttnScalar: fc.constantFrom(2, 8, 20),
});

function optionsOf({group, ...sizes}: Case): AttentionOptions {
  const numAttentionHeads = sizes.numKeyValueHeads * group;
  return {...sizes, numAttentionHeads, rmsNormEps: 1e-5, ropeTheta: 100, ropeScaling: null};
}

/** `x`, four kernels and, if there are any, three biases and the weights of two norms. */
function inputsOf(given: Case): tf.Tensor[] {
  const {batch, seq, hidden, isBiased, isNormalized} = given;
  const {numAttentionHeads, numKeyValueHeads, headDim} = optionsOf(given);
  const [queries, keys] = [numAttentionHeads * headDim, numKeyValueHeads * headDim];
  const kernels = [
    [hidden, queries],
    [hidden, keys],
    [hidden, keys],
    [queries, hidden],
  ];
  const biases = isBiased ? [[queries], [keys], [keys]] : [];
  const norms = isNormalized ? [[headDim], [headDim]] : [];
  const shapes = [[batch * seq, hidden], ...kernels, ...biases, ...norms];
  return tf.tidy(() =>
    shapes.map((shape, i) => tf.mul(randomTensor(shape, i + 1), i === 0 ? 1 : hidden ** -0.5)),
  );
}

function weightsOf({isBiased}: Case, [q, k, v, o, ...others]: tf.Tensor[]): AttentionWeights {
  const [qBias, kBias, vBias] = isBiased ? others : [];
  const [qNorm, kNorm] = others.slice(isBiased ? 3 : 0);
  return {
    ...{q: q!, k: k!, v: v!, o: o!},
    ...(qBias && {qBias, kBias: kBias!, vBias: vBias!}),
    ...(qNorm && {qNorm, kNorm: kNorm!}),
  };
}

/** All scores at once, with tfjs's own gradients. */
function reference(given: Case, x: tf.Tensor, weights: tf.Tensor[]): tf.Tensor {
  const {batch, seq, headDim} = given;
  const named = weightsOf(given, weights);
  const project = (name: 'q' | 'k' | 'v'): tf.Tensor => {
    const product = tf.matMul(x, named[name]);
    const bias = named[`${name}Bias`];
    const projected = bias ? tf.add(product, bias) : product;
    const heads = tf.reshape(projected, [batch, seq, -1, headDim]);
    const norm = name === 'v' ? undefined : named[`${name}Norm`];
    return norm ? composed.rmsNorm(heads, norm, 1e-5) : heads;
  };
  const table = rotaryTable(seq, optionsOf(given));
  const factor = Math.sqrt(headDim / given.queryPreAttnScalar); // the rest of 1/√headDim
  const [q, k, v] = [project('q'), project('k'), project('v')];
  const mixed = composed.selfAttention(tf.mul(q, factor), k, v, table, given.slidingWindow);
  return tf.matMul(tf.reshape(mixed, [batch * seq, -1]), named.o);
}

describeBackends('attention', (backend) => {
  it('has values and gradients of the composition, with and without biases, norms and window', () =>
    fc.assert(
      fc.asyncProperty(cases, (given) =>
        expectSameOp(
          (x, ...weights) => attention(x, given.seq, weightsOf(given, weights), optionsOf(given)),
          (x, ...weights) => tf.tidy(() => reference(given, x, weights)),
          inputsOf(given),
          // a sum over up to 300 positions and 6 heads, in another order
          {rtol: 1e-4, atol: 1e-4},
        ),
      ),
      // software GPUs take seconds for some, and the cpu backend's sums are slow
      {numRuns: {cpu: 15, wasm: 60, tensorflow: 40, webgpu: 3, webgl: 3}[backend]},
    )).timeout(120_000);

  it('has the gradients of a bias alone', async () => {
    const given: Case = {
      ...{batch: 1, seq: 9, hidden: 8, numKeyValueHeads: 1, group: 2, headDim: 4},
      ...{slidingWindow: 3, isBiased: true, isNormalized: false, queryPreAttnScalar: 4},
    };
    const before = tf.memory().numTensors;
    const [x, ...weights] = inputsOf(given) as [tf.Tensor, ...tf.Tensor[]];
    const bias = tf.variable(weights[5]!);
    const trained = weights.map((weight, i) => (i === 5 ? bias : weight));
    const gradientOf = (f: () => tf.Tensor): Promise<ArrayLike<number>> => {
      const {value, grads} = variableGrads(() => tf.sum(tf.square(f())), [bias]);
      const gradient = grads[bias.name]!;
      return gradient.data().finally(() => {
        tf.dispose([value, gradient]);
      });
    };
    const actual = await gradientOf(() =>
      attention(x, given.seq, weightsOf(given, trained), optionsOf(given)),
    );
    const expected = await gradientOf(() => reference(given, x, trained));
    // adding a number to all keys of a query's sight changes no softmax, but rotated keys are not alike
    Array.from(expected).forEach((value, i) => expect(actual[i]).to.be.closeTo(value, 1e-4));
    expect(Math.max(...Array.from(expected).map(Math.abs))).to.be.above(1e-3);
    tf.dispose([x, weights, bias]);
    expect(tf.memory().numTensors).to.equal(before);
  });
});
