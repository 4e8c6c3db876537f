/** Text from a model whose weights are kept at 16 bits: the same, and on wasm without widening them. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreUnpackBfloat16} from '../../../src/kernels/kernel_names';
import {
  OwLoreDecodeBlocks,
  OwLorePackedMatMul,
  OwLoreUnpackWindow,
} from '../../../src/kernels/llama/kernel_names';
import {createLlama, generateBatch, loadLlama, saveLlama, type FloatType} from '../../../src/llama';
import {multipliesPacked} from '../../../src/model/packed_matrix';
import {packedWeight} from '../../../src/model/packed_weight';
import {describeBackends} from '../../support/backends';
import {held} from '../../support/sentinels';

async function filesOf(
  dtype: FloatType,
  tieWordEmbeddings: boolean,
): Promise<Map<string, Uint8Array>> {
  const model = createLlama({
    ...{vocabSize: 50, hiddenSize: 24, intermediateSize: 35, numHiddenLayers: 2},
    ...{numAttentionHeads: 4, numKeyValueHeads: 2, initializerRange: 0.3, seed: 3},
    tieWordEmbeddings,
  });
  const files = new Map<string, Uint8Array>();
  await saveLlama(model, files, {dtype});
  model.dispose();
  return files;
}

/** How often each kernel runs in `body`. */
async function runsIn(body: () => Promise<unknown>): Promise<Map<string, number>> {
  const runs = new Map<string, number>();
  const engine = tf.engine();
  const runKernel = engine.runKernel.bind(engine);
  engine.runKernel = (name, ...args) => {
    runs.set(name, (runs.get(name) ?? 0) + 1);
    return runKernel<never>(name, ...args);
  };
  try {
    await body();
  } finally {
    Reflect.deleteProperty(engine, 'runKernel');
  }
  return runs;
}

const prompts = [[3, 1, 4, 1, 5], [9], [2, 6, 5]];
const options = {maxNewTokens: 9};

describeBackends('text from weights at 16 bits', (backend) => {
  if (backend !== 'cpu' && backend !== 'wasm' && backend !== 'tensorflow') return;

  for (const isTied of [true, false]) {
    it(`is that of float32, with the head ${isTied ? 'tied' : 'untied'}, and leaves nothing`, async () => {
      const files = await filesOf('BF16', isTied);
      const before = held();
      const {model: floats} = await loadLlama(files);
      const expected = await generateBatch(floats, prompts, options);
      floats.dispose();
      const {model} = await loadLlama(files, {frozenDtype: 'BF16'});
      const runs = await runsIn(async () => {
        expect(await generateBatch(model, prompts, options)).to.deep.equal(expected);
      });
      model.dispose();
      expect(held()).to.deep.equal(before);
      if (!multipliesPacked()) return;
      // all tokens but the first ones, which come after prompts
      expect(runs.get(OwLoreDecodeBlocks)).to.equal(8);
      expect(runs.get(OwLorePackedMatMul)).to.equal(3 + 8);
      expect(runs.get(OwLoreUnpackBfloat16)).to.equal(3 * 2 * 7);
      expect(runs.get(OwLoreUnpackWindow)).to.equal(undefined);
    });
  }

  it("frozenDtype: 'auto' keeps at 16 bits what is so in the files, where the backend multiplies with it", async () => {
    for (const dtype of ['BF16', 'F32'] as const) {
      const {model} = await loadLlama(await filesOf(dtype, true), {frozenDtype: 'auto'});
      const packed = model.weights.filter((weight) => packedWeight(weight)?.isPacked);
      expect(multipliesPacked()).to.equal(backend === 'wasm');
      expect(packed.length).to.equal(backend === 'wasm' && dtype === 'BF16' ? 2 * 7 + 1 : 0);
      model.dispose();
    }
  });
});
