/*
 * Adapters inside of this library's kernels for blocks on tensorflow. Their gradients beside those of plain ops: stock tfjs's tape runs
 * no kernel of a block, and is the slow obvious way here; that the kernels ran is counted. (`training_runs_test` holds the same
 * path to peft and torch.)
 */
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {variableGrads} from '../../src';
import * as fused from '../../src/kernels/llama/kernel_names';
import * as tensorflow from '../../src/kernels/tensorflow';
import {createLlama, loadLlama, sparseCrossEntropy} from '../../src/llama';
import {applyLora, type LoraOptions} from '../../src/lora';
import {withRecomputedLayers} from '../../src/tape/recompute_layers';
import {backends, defaultBackend} from '../support/backends';
import {calledKernels} from '../support/called_kernels';
import {loadCheckpoint} from '../llama/checkpoints';

const {OwLoreBlock, OwLoreBlockGrad, OwLoreMlpSublayer, OwLoreAttentionSublayer} = fused;

interface Gradients {
  loss: number;
  grads: Map<string, Float32Array>;
  called: string[];
}

/** Loss and gradients of all that trains in a model, by a tape. */
async function gradientsBy(
  tape: typeof tf.variableGrads,
  model: tfl.LayersModel,
  ids: tf.Tensor,
  weights = model.trainableWeights,
): Promise<Gradients> {
  const variables = weights.map((weight) => weight.read() as tf.Variable);
  let found!: Omit<Gradients, 'called'>;
  const called = await calledKernels(() => {
    const labels = tf.expandDims(ids, 2);
    const lossOf = (): tf.Scalar =>
      sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor).mean();
    const {value, grads} = tape(lossOf, variables);
    const read = Object.entries(grads).map(
      ([name, gradient]) => [name, gradient.dataSync().slice() as Float32Array] as const,
    );
    found = {loss: value.dataSync()[0]!, grads: new Map(read)};
    tf.dispose([labels, value, grads]);
  });
  return {...found, called};
}

const recomputing =
  (which: 'auto' | 'blocks' | 'none'): typeof tf.variableGrads =>
  (f, variables) =>
    variableGrads(() => withRecomputedLayers(which, f), variables);

/** Largest difference, as a part of the largest gradient. */
function farthest(some: Gradients, others: Gradients): number {
  expect([...some.grads.keys()]).to.have.members([...others.grads.keys()]);
  let [far, max] = [0, 0];
  for (const [name, values] of some.grads) {
    const other = others.grads.get(name)!;
    values.forEach((value, i) => {
      far = Math.max(far, Math.abs(value - other[i]!));
      max = Math.max(max, Math.abs(value));
    });
  }
  return far / max;
}

function randomize(weights: ReadonlyMap<string, {a: tf.Variable; b: tf.Variable}>): void {
  let seed = 1;
  for (const {a, b} of weights.values()) {
    for (const weight of [a, b])
      tf.tidy(() => weight.assign(tf.randomNormal(weight.shape, 0, 0.2, 'float32', seed++)));
  }
}

(backends.includes('tensorflow') ? describe : describe.skip)(
  'adapters in the kernels of a block [tensorflow]',
  () => {
    let tensors: number;
    before(async () => {
      await tf.setBackend('tensorflow');
      await tensorflow.installKernels();
    });
    after(async () => {
      tensorflow.uninstallKernels();
      await tf.setBackend(defaultBackend);
    });
    beforeEach(() => void (tensors = tf.memory().numTensors));
    afterEach(() => expect(tf.memory().numTensors, 'tensors').to.equal(tensors));

    /** What a model gives by the kernels, in each way of recomputing, beside what it gives by plain ops. */
    async function compare(
      model: tfl.LayersModel,
      options: LoraOptions,
      kernel: string,
    ): Promise<void> {
      const lora = applyLora(model, {rank: 3, alpha: 5, ...options});
      randomize(lora.weights);
      // so much that attention is recomputed by itself
      const ids = tf.randomUniform([8, 24], 3, 90, 'int32', 5);
      const own = /^OwLore.*(Block|Sublayer)/;
      const plain = await gradientsBy(tf.variableGrads, model, ids);
      expect(plain.called.filter((name) => own.test(name))).to.deep.equal([]);
      for (const which of ['none', 'blocks', 'auto'] as const) {
        const found = await gradientsBy(recomputing(which), model, ids);
        expect(found.loss).to.be.closeTo(plain.loss, 1e-5);
        expect(farthest(found, plain), which).to.be.below(1e-4); // sums of some hundred float32 products
        const isInParts = which === 'auto' && kernel === OwLoreBlock;
        const [expected] = isInParts ? [OwLoreAttentionSublayer] : [kernel];
        expect(found.called, which).to.include.members([expected, `${expected}Grad`]);
      }
      ids.dispose();
      model.dispose();
      lora.dispose();
    }

    // grouped queries; a window; biases; norms of queries and keys, where only the MLP has a kernel
    for (const [name, targets, kernel] of [
      ['smollm2', 'all-linear', OwLoreBlock],
      ['smollm2', ['q_proj', 'down_proj'], OwLoreBlock],
      ['mistral', 'mlp', OwLoreBlock],
      ['qwen2', ['k_proj', 'v_proj', 'o_proj'], OwLoreBlock],
      ['qwen3', 'all-linear', OwLoreMlpSublayer],
    ] as const) {
      it(`the gradients of plain ops: ${name}, ${[targets].flat().join(' and ')}`, () =>
        compare(loadCheckpoint(name), {targets}, kernel));
    }

    it('… beside frozen weights that are packed', async () => {
      const folder = fileURLToPath(new URL('../fixtures/llama/smollm2', import.meta.url));
      const {model} = await loadLlama(folder, {frozenDtype: 'BF16', headInLoss: false});
      await compare(model, {}, OwLoreBlock);
    });

    it('a block is one kernel in each pass, and no op more than where all its weights train', async () => {
      const countOf = async (blocks: number, hasAdapters: boolean): Promise<string[]> => {
        const model = createLlama({
          ...{vocabSize: 99, hiddenSize: 16, intermediateSize: 24, numHiddenLayers: blocks},
          ...{numAttentionHeads: 2, numKeyValueHeads: 1, maxPositionEmbeddings: 16},
        });
        const lora = hasAdapters ? applyLora(model, {rank: 2}) : null;
        const ids = tf.zeros([1, 8], 'int32');
        const {called} = await gradientsBy(recomputing('blocks'), model, ids);
        for (const each of [ids, model, lora]) each?.dispose();
        return called;
      };
      const perBlock = async (hasAdapters: boolean): Promise<number> => {
        const [two, five] = [await countOf(2, hasAdapters), await countOf(5, hasAdapters)];
        const runs = (name: string): number => five.filter((each) => each === name).length;
        expect([runs(OwLoreBlock), runs(OwLoreBlockGrad)]).to.deep.equal([10, 5]);
        return (five.length - two.length) / 3;
      };
      expect(await perBlock(true)).to.be.at.most(await perBlock(false));
    });

    it('dropout, and a gradient of a weight beside adapters, are left to other ops', async () => {
      const ids = tf.randomUniform([2, 6], 3, 90, 'int32', 5);
      for (const [given, further, isInHalves] of [
        [{dropout: 0.1}, null, false],
        [{}, /layers.*layernorm/, false],
        // in the half that has no adapter
        [{targets: 'mlp'}, /q_proj/, true],
      ] as const) {
        const model = loadCheckpoint('smollm2');
        const lora = applyLora(model, {rank: 2, ...given});
        randomize(lora.weights);
        const others = model.weights.filter(
          ({name}) => further?.test(name) && !name.includes('lora'),
        );
        for (const weight of others) weight.trainable = true;
        const weights = [...new Set([...model.trainableWeights, ...others])];
        const found = await gradientsBy(recomputing('none'), model, ids, weights);
        expect(found.called).not.to.include(OwLoreBlock);
        expect(found.called.includes(OwLoreMlpSublayer)).to.equal(isInHalves);
        if (further) {
          const plain = await gradientsBy(tf.variableGrads, model, ids, weights);
          expect(others).not.to.have.length(0);
          expect(found.grads.size).to.equal(2 * lora.modules.length + others.length);
          expect(farthest(found, plain)).to.be.below(1e-4);
        }
        model.dispose();
        lora.dispose();
      }
      ids.dispose();
    });
  },
);
