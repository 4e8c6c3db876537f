import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {
  OwLoreOptimizer,
  resumeCheckpoint,
  saveCheckpoint,
  type OwLoreOptions,
} from '../../src/index';
import {createLlama, sparseCrossEntropy} from '../../src/llama';
import {headGradient, lookUpGradient} from '../../src/llama/vocabulary_gradient';
import {startMemoryMeter} from '../../src/memory/meter';
import {randomizedBasis} from '../../src/owlore/optimizer/state/basis';
import {isFactored} from '../../src/tape/gradient';
import {factoredAxisOf} from '../../src/tape/recording';
import {streamVariableGrads} from '../../src/tape/tfjs_gradients';
import {describeFastBackends, type BackendName} from '../support/backends';
import {Comparison} from '../support/close';
import {rejection} from '../support/rejection';

const HIDDEN = 16;

/** Where a step's memory is what its gradients take, and a weight is changed in place. */
const inPlace: readonly BackendName[] = ['wasm', 'tensorflow'];

const projected = /embed_tokens|lm_head/;

function createModel(tied: boolean, vocabSize = 40, hiddenSize = HIDDEN): tfl.LayersModel {
  return createLlama({
    ...{vocabSize, hiddenSize, intermediateSize: 24, numHiddenLayers: 1, numAttentionHeads: 2},
    ...{tieWordEmbeddings: tied, headInLoss: true, seed: 5},
  });
}

/** Batch number `i`: ids, and the next ones as labels, every fourth of which is not counted. */
function batch(i: number, vocab = 40): [ids: tf.Tensor, labels: tf.Tensor] {
  const id = (j: number): number => (7 * i + j * j) % vocab;
  const positions = Array.from({length: 12}, (_, j) => j);
  const labels = positions.map((j) => (j % 4 === 3 ? -100 : id(j + 1)));
  return [tf.tensor(positions.map(id), [2, 6], 'int32'), tf.tensor(labels, [2, 6], 'int32')];
}

/** Trains for some batches, and gives the losses. */
async function train(
  model: tfl.LayersModel,
  optimizer: OwLoreOptimizer,
  [from, to]: [number, number],
  vocab?: number,
): Promise<number[]> {
  const variables = model.weights.map((weight) => weight.read() as tf.Variable);
  const losses: number[] = [];
  for (let i = from; i < to; i++) {
    const [ids, labels] = batch(i, vocab);
    const loss = (): tf.Scalar =>
      sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor);
    const value = optimizer.minimize(loss, true, variables)!;
    losses.push((await value.data<'float32'>())[0]!);
    await optimizer.settled();
    tf.dispose([ids, labels, value]);
  }
  return losses;
}

const options: OwLoreOptions = {
  ...{learningRate: 0.02, rank: 3, project: projected, refreshInterval: 3, weightDecay: 0.1},
};

describeFastBackends('gradients of a vocabulary in terms', (backend) => {
  const modes: Array<[string, OwLoreOptions]> = [
    ['as they come', {nonFinite: 'ignore'}],
    ['clipped', {clipNorm: 0.05}],
    ['accumulated', {accumulate: 2}],
    ['accumulated and clipped', {accumulate: 2, clipNorm: 0.05, scale: 1, moments: 'rotate'}],
  ];
  for (const tied of [true, false]) {
    for (const [title, mode] of tied && backend !== 'webgpu' ? modes : modes.slice(-1)) {
      it(`move the ${tied ? 'tied' : 'untied'} weights as whole gradients do: ${title}`, async () => {
        const before = tf.memory();
        // A function gets the gradient itself.
        const whole = {...options, ...mode, basis: randomizedBasis};
        const ends: Array<[number[], Float32Array[]]> = [];
        for (const each of [{...options, ...mode}, whole]) {
          const model = createModel(tied);
          const optimizer = new OwLoreOptimizer(each);
          const losses = await train(model, optimizer, [0, 6]);
          const values = model.weights.map((weight) => weight.read().data<'float32'>());
          ends.push([losses, await Promise.all(values)]);
          optimizer.dispose();
          model.dispose();
        }
        const [[losses, weights], [wholeLosses, wholeWeights]] = ends as [
          (typeof ends)[0],
          (typeof ends)[0],
        ];
        // Roundings of the gradients, 1e-7 of their size, that 6 Adam steps of 0.02 enlarge where a gradient is small.
        const comparison = new Comparison(title, {rtol: 2e-4, atol: 2e-4, rms: 2e-5});
        comparison.add('losses', losses, wholeLosses);
        weights.forEach((values, i) => comparison.add(`weight ${i}`, values, wholeWeights[i]!));
        comparison.finish();
        const {numTensors, numDataBuffers} = tf.memory();
        expect([numTensors, numDataBuffers]).to.deep.equal([
          before.numTensors,
          before.numDataBuffers,
        ]);
      });
    }
  }

  for (const axis of [0, 1] as const) {
    it(`have the sums that the formula gives, rows along axis ${axis}`, async () => {
      const [vocab, width, count] = [30, 6, 5];
      const shape: [number, number] = axis === 0 ? [vocab, width] : [width, vocab];
      const {numTensors} = tf.memory();
      const normal = (size: number[], seed: number) => tf.randomNormal(size, 0, 1, 'float32', seed);
      const [weight, hidden, basis] = [normal([vocab, width], 1), normal([count, width], 2), normal([width, 2], 3)]; // prettier-ignore
      const labels = tf.tensor([3, 0, 29, 3, 7], [count], 'int32');
      const weights = tf.tensor([0.1, 0.2, 0, 0.3, 0.4]);
      const vocabularyFirst = axis === 0 ? weight : tf.transpose(weight);
      const logSumExp = tf.tidy(() => tf.logSumExp(tf.matMul(hidden, weight, false, true), 1));
      const dy = normal([1, 2, width], 4);
      const ids = tf.tensor([3, 11], [1, 2], 'int32');
      const added = normal(shape, 5);
      const gradient = tf.tidy(() => {
        const headPart = headGradient(shape, axis, {hidden, logSumExp, labels, weights});
        const sum = axis === 0 ? headPart.plus(lookUpGradient(shape, ids, dy)) : headPart;
        return sum.plus(tf.clone(added)).times(0.5);
      });

      const [w, h, p, d, a] = (await Promise.all([weight, hidden, basis, dy, added].map((x) => x.array()))) as number[][][]; // prettier-ignore
      // In float64, from the definitions.
      const expected = Array.from({length: vocab}, (_, v) =>
        Array.from({length: width}, (_, k) => (axis === 0 ? a![v]![k]! : a![k]![v]!)),
      );
      const [counted, of] = [await weights.data(), await labels.data()];
      h!.forEach((x, i) => {
        const logits = w!.map((row) => row.reduce((sum, each, k) => sum + each * x[k]!, 0));
        const total = logits.reduce((sum, z) => sum + Math.exp(z), 0);
        logits.forEach((z, v) => {
          const dLogit = counted[i]! * (Math.exp(z) / total - (v === of[i] ? 1 : 0));
          x.forEach((each, k) => (expected[v]![k]! += dLogit * each));
        });
      });
      if (axis === 0) {
        [3, 11].forEach((id, i) =>
          (d![0] as unknown as number[][])[i]!.forEach((x, k) => (expected[id]![k]! += x)),
        );
      }
      const half = expected.map((row) => row.map((x) => x / 2));
      const product = (m: number[][], n: number[][]): number[][] =>
        m.map((row) => n[0]!.map((_, j) => row.reduce((sum, x, k) => sum + x * n[k]![j]!, 0)));
      const turned = (m: number[][]): number[][] => m[0]!.map((_, j) => m.map((row) => row[j]!));
      const inLayout = (m: number[][]): number[] => (axis === 0 ? m : turned(m)).flat();

      const results = tf.tidy(() => [
        gradient.reduce(vocabularyFirst, {isMade: true}).whole!,
        gradient.reduce(vocabularyFirst, {basis: basis as tf.Tensor2D}).projected!,
        gradient.reduce(vocabularyFirst, {isMeasured: true}).squares!,
        gradient.reduce(vocabularyFirst, {hasGram: true}).squares!,
        gradient.reduce(vocabularyFirst, {hasGram: true}).gram!,
      ]);
      const [whole, r, norm, trace, gram] = (await Promise.all(results.map((x) => x.data()))) as Float32Array[]; // prettier-ignore
      // Sums of up to 30 float32 products of numbers up to 5.
      const comparison = new Comparison('sums', {rtol: 2e-5, atol: 2e-5});
      comparison.add('G', whole!, inLayout(half));
      comparison.add('R', r!, inLayout(product(half, p!)));
      const squares = half.flat().reduce((sum, x) => sum + x * x, 0);
      comparison.add('‖G‖²', [norm![0]!, trace![0]!], [squares, squares]);
      const exact = product(turned(half), half).flat();
      comparison.add(
        'GᵀG',
        Array.from(gram!, (x) => (x * exact[0]!) / gram![0]!),
        exact,
      );
      comparison.finish();
      gradient.dispose();
      tf.dispose([weight, hidden, basis, labels, weights, vocabularyFirst, logSumExp, dy, ids, added, results]); // prettier-ignore
      expect(tf.memory().numTensors).to.equal(numTensors);
    });
  }

  it('are asked for only where a matrix is projected along the hidden size', () => {
    const model = createModel(true);
    const [embedding, ...others] = model.weights.map((weight) => weight.read() as tf.Variable);
    const [ids, labels] = batch(0);
    const kinds = (axis: 0 | 1 | undefined): boolean[] => {
      const inTerms: boolean[] = [];
      tf.dispose(
        streamVariableGrads(
          () => sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor),
          [embedding!, ...others],
          (variable, gradient) => {
            if (variable === embedding) inTerms.push(isFactored(gradient));
            gradient.dispose();
          },
          (variable) => (variable === embedding ? axis : undefined),
        ),
      );
      return inTerms;
    };
    expect([kinds(0), kinds(1), kinds(undefined)]).to.deep.equal([[true], [false], [false]]);
    expect(factoredAxisOf(embedding!)).to.equal(undefined);
    tf.dispose([ids, labels]);
    model.dispose();
  });

  it('skip a step by a NaN in one of the terms, and nothing leaks', async () => {
    const model = createModel(true);
    const optimizer = new OwLoreOptimizer({...options, nonFinite: 'skip'});
    await train(model, optimizer, [0, 1]);
    const variables = model.weights.map((weight) => weight.read() as tf.Variable);
    const [ids, labels] = batch(1);
    const before = await variables[0]!.data();
    const {numTensors} = tf.memory();
    // The loss is finite: the NaN is in what comes back to the embedding alone.
    const spoiled = tf.customGrad((x) => ({
      value: tf.clone(x as tf.Tensor),
      gradFunc: (dy: tf.Tensor) => tf.mul(dy, NaN),
    }));
    const embedding = model.getLayer('model.embed_tokens');
    const {call} = embedding;
    embedding.call = (inputs, kwargs) => {
      const result = call.call(embedding, inputs, kwargs) as tf.Tensor;
      return [inputs].flat()[0]!.rank === 2 ? spoiled(result) : result;
    };
    optimizer.minimize(
      () => sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor),
      false,
      variables,
    );
    await optimizer.settled();
    expect(optimizer.skippedSteps).to.equal(1);
    expect(await variables[0]!.data()).to.deep.equal(before);
    expect(tf.memory().numTensors).to.equal(numTensors);
    tf.dispose([ids, labels]);
    optimizer.dispose();
    model.dispose();
  });

  for (const stop of [1, 4]) {
    it(`go on bit by bit from a checkpoint after call ${stop} of 3 a step`, async () => {
      const own: OwLoreOptions = {...options, accumulate: 3, clipNorm: 0.05, refreshInterval: 2};
      const {numTensors} = tf.memory();
      const [model, other] = [createModel(true), createModel(true)];
      const whole = new OwLoreOptimizer(own);
      await train(model, whole, [0, stop]);
      const files = new Map<string, Uint8Array>();
      const numbers = batches(stop);
      await saveCheckpoint(files, {model, optimizer: whole, data: numbers});
      const losses = await train(model, whole, [stop, 6]);
      const resumed = new OwLoreOptimizer(own);
      await resumeCheckpoint(files, {model: other, optimizer: resumed, data: numbers});
      expect(resumed.stateBytes).to.be.above(0);
      expect(await train(other, resumed, [stop, 6])).to.deep.equal(losses);
      for (const [i, weight] of model.weights.entries()) {
        expect(await other.weights[i]!.read().data()).to.deep.equal(await weight.read().data());
      }
      for (const each of [whole, resumed, model, other]) each.dispose();
      expect(tf.memory().numTensors).to.equal(numTensors);
    });
  }

  it('are refused where saved ones do not fit together', async () => {
    const model = createModel(true);
    const optimizer = new OwLoreOptimizer({...options, accumulate: 2});
    await train(model, optimizer, [0, 1]);
    const saved = await optimizer.getWeights();
    const isTerm = ({name}: {name: string}): boolean => name.includes('/owlore.terms.');
    expect(saved.filter(isTerm).map(({name}) => name.split('/owlore.')[1])).to.have.members([
      ...['terms.shape', 'terms.lookUps.ids', 'terms.lookUps.rows'],
      ...['terms.softmaxes.hidden', 'terms.softmaxes.logSumExp', 'terms.softmaxes.weights'],
    ]);
    const other = new OwLoreOptimizer(options);
    const short = tf.zeros([1]);
    const wrong = (ending: string, name = ending): typeof saved =>
      saved.flatMap((each) =>
        each.name.endsWith(ending)
          ? name === ''
            ? []
            : [{name: each.name.replace(ending, name), tensor: short}]
          : [each],
      );
    expect((await rejection(other.setWeights(wrong('lookUps.ids')))).message).to.match(
      /lookUps.rows' must have the shape/,
    );
    expect((await rejection(other.setWeights(wrong('lookUps.ids', '')))).message).to.match(
      /lookUps' must have ids, rows/,
    );
    expect((await rejection(other.setWeights(wrong('lookUps.ids', 'none.ids')))).message).to.match(
      /not known here/,
    );
    expect((await rejection(other.setWeights(wrong('terms.shape')))).message).to.match(
      /two sizes and 0 or 1/,
    );
    tf.dispose(short);
    for (const each of [optimizer, other, model]) each.dispose();
  });

  if (!inPlace.includes(backend)) return;
  it('take no tensor as large as the weight beside it, at no time of a step', async () => {
    const [vocab, width] = [40_000, 64];
    const size = 4 * vocab * width;
    const large: number[] = [];
    const meter = startMemoryMeter({
      onAllocate(_, bytes) {
        if (bytes >= size) large.push(bytes);
      },
    });
    const model = createModel(true, vocab, width);
    const optimizer = new OwLoreOptimizer({...options, refreshInterval: 2, clipNorm: 1});
    await train(model, optimizer, [0, 1], vocab);
    expect(large).to.include(size);
    large.length = 0;
    meter.reset();
    await train(model, optimizer, [1, 4], vocab);
    expect(large).to.deep.equal([]);
    // The weight, its state with R and parts of R, and four tensors of the 4 MB that are made at a time.
    expect(meter.peak()).to.be.below(size + 4 * 2 ** 22 + size / 2);
    meter.stop();
    optimizer.dispose();
    model.dispose();
  });
});

/** Data at a place, as a checkpoint takes it. */
function batches(position: number) {
  return {
    state: () => ({position}),
    restore: () => undefined,
    iterator: () => Promise.reject(new Error('not read here')),
  };
}
