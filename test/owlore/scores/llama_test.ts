/** All scores of LLaMA-style models with outliers, against activations of an independent forward pass. */

import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import * as tensorflow from '../../../src/kernels/tensorflow';
import {setLlamaWeights} from '../../../src/llama';
import {blockInfluenceScores} from '../../../src/owlore/scores/block_influence';
import type {CalibrationBatch} from '../../../src/owlore/scores/calibration';
import {InputNorms} from '../../../src/owlore/scores/input_norms';
import {outlierScores, type OutlierScores} from '../../../src/owlore/scores/outlier';
import {relativeMagnitudeScores} from '../../../src/owlore/scores/relative_magnitude';
import {variableGrads} from '../../../src/tape/tfjs_gradients';
import {
  loadCheckpoint,
  readCheckpoint,
  readConfig,
  type CheckpointName,
} from '../../llama/checkpoints';
import {createComposedLlama} from '../../../tools/composed_model';
import {describeFastBackends} from '../../support/backends';
import {readJson, readTensors, toTensor} from '../../support/fixtures';

interface Variant {
  granularity: Record<'block' | 'layer', Record<string, {counts: number[]; ratios: number[]}>>;
  numel: number[];
  relativeMagnitude: Array<{meanAbs: number}>;
  blockInfluence: number[];
}

interface OwlCase {
  variants: Record<string, Variant>;
  tolerance: Record<string, {blockInfluence: {rtol: number; atol: number; rms: number}}>;
}

/** In the padded cases the padded rows do not count; the models see only earlier tokens anyway. */
const cases = [
  {name: 'llama2_full', checkpoint: 'llama2Outliers', variant: 'all'},
  {name: 'llama2_padded', checkpoint: 'llama2Outliers', variant: 'valid'},
  {name: 'llama3_full', checkpoint: 'llama3Outliers', variant: 'all'},
  {name: 'llama3_padded', checkpoint: 'llama3Outliers', variant: 'valid'},
] as const;

const blockNames = ['model.layers.0', 'model.layers.1', 'model.layers.2'];

/** The outliers of a model's blocks in a fixture's tokens. */
async function outliersOf(model: tfl.LayersModel, name: CheckpointName): Promise<OutlierScores> {
  const ids = toTensor(readTensors(`llama/${name}`).get('ids')!);
  const scores = await outlierScores(model, [ids], {tau: 3});
  ids.dispose();
  return scores;
}

describeFastBackends('scores of LLaMA-style models', (backend) => {
  for (const name of ['qwen2', 'qwen3', 'gemma3'] as const) {
    it(`sees all weights of ${name}, as in the same model composed of plain ops`, async () => {
      const model = loadCheckpoint(name);
      const plain = createComposedLlama(readConfig(name));
      setLlamaWeights(plain, readCheckpoint(name));
      const [actual, expected] = [await outliersOf(model, name), await outliersOf(plain, name)];
      expect(actual).to.deep.equal(expected);
      const {hiddenSize, intermediateSize, numAttentionHeads, headDim} = readConfig(name);
      const queries = numAttentionHeads * headDim!; // twice as many as keys, and as values
      const size = hiddenSize * (3 * queries + 3 * intermediateSize);
      expect(actual.sizes).to.deep.equal([size, size, size]);
      expect(Math.min(...actual.counts)).to.be.above(0);
      model.dispose();
      plain.dispose();
    });
  }

  it('sees the weights of a block where gradients are recorded, too', async () => {
    if (backend === 'tensorflow') await tensorflow.installKernels();
    const model = loadCheckpoint('llama2');
    const ids = toTensor(readTensors('llama/llama2').get('ids')!);
    const weights = model
      .getLayer('model.layers.1')
      .weights.filter(({shape}) => shape.length === 2);
    const variables = weights.map((weight) => weight.read() as tf.Variable);
    const [norms, plain] = [new InputNorms(variables), new InputNorms(variables)];
    const {value, grads} = variableGrads(() => {
      let sum: tf.Scalar | undefined;
      norms.watch(() => (sum = tf.sum(model.apply(ids) as tf.Tensor)));
      return sum!;
    }, variables);
    plain.watch(() => tf.tidy(() => void model.predictOnBatch(ids)));
    for (const variable of variables) {
      const [actual, expected] = [norms.of(variable)!, plain.of(variable)!];
      expect(actual, variable.name).not.to.equal(undefined);
      expect(actual.shape).to.deep.equal(variable.shape);
      const values = await actual.data();
      // sums of some tens of squares in float32, perhaps by other kernels
      (await expected.data()).forEach((value, i) =>
        expect(values[i], variable.name).to.be.closeTo(value, 1e-5 * (1 + value)),
      );
      tf.dispose([actual, expected]);
    }
    norms.dispose();
    plain.dispose();
    tf.dispose([ids, value, grads]);
    model.dispose();
    if (backend === 'tensorflow') tensorflow.uninstallKernels();
  });

  for (const {name, checkpoint, variant} of cases) {
    const {variants, tolerance} = readJson<OwlCase>(`owl/${name}`);
    const expected = variants[variant]!;
    const tensors = readTensors(`owl/${name}`);

    /** The batch of the fixture, for a test that disposes of it. */
    const readBatch = (): CalibrationBatch & object => {
      const mask = tensors.get('mask');
      return {inputs: toTensor(tensors.get('ids')!), ...(mask && {mask: toTensor(mask)})};
    };

    it(`counts the outliers of ${name}`, async () => {
      const model = loadCheckpoint(checkpoint);
      const batch = readBatch();
      for (const granularity of ['block', 'layer'] as const) {
        for (const [tau, {counts, ratios}] of Object.entries(expected.granularity[granularity])) {
          // A pass takes a second on a software driver of webgpu.
          if (backend === 'webgpu' && !['3', '13'].includes(tau)) continue;
          const result = await outlierScores(model, [batch], {tau: Number(tau), granularity});
          expect(result.blocks).to.deep.equal(blockNames);
          expect(result.sizes).to.deep.equal(expected.numel);
          expect(result.counts, `${granularity}, tau ${tau}`).to.deep.equal(counts);
          expect(result.scores).to.deep.equal(ratios);
        }
      }
      tf.dispose(batch);
      model.dispose();
    });

    it(`takes block influence and relative magnitude of ${name}`, async () => {
      const model = loadCheckpoint(checkpoint);
      const batch = readBatch();
      const {rtol, atol, rms} = tolerance[variant]!.blockInfluence;
      const influence = await blockInfluenceScores(model, [batch]);
      const differences = expected.blockInfluence.map((value, i) => influence.scores[i]! - value);
      differences.forEach((difference, i) => {
        expect(Math.abs(difference)).to.be.at.most(atol + rtol * expected.blockInfluence[i]!);
      });
      expect(Math.hypot(...differences) / Math.sqrt(differences.length)).to.be.at.most(rms);

      const magnitude = await relativeMagnitudeScores(model);
      expect(magnitude.blocks).to.deep.equal(blockNames);
      expected.relativeMagnitude.forEach(({meanAbs}, i) => {
        expect(magnitude.scores[i]).to.be.closeTo(meanAbs, 1e-5 * meanAbs); // float32 sums
      });
      tf.dispose(batch);
      model.dispose();
    });
  }
});
