/** All scores of LLaMA-style models with outliers, against activations of an independent forward pass. */

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {blockInfluenceScores} from '../../src/scores/block_influence';
import type {CalibrationBatch} from '../../src/scores/calibration';
import {outlierScores} from '../../src/scores/outlier';
import {relativeMagnitudeScores} from '../../src/scores/relative_magnitude';
import {loadCheckpoint} from '../llama/checkpoints';
import {describeBackends} from '../support/backends';
import {readJson, readTensors, toTensor} from '../support/fixtures';

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

describeBackends('scores of LLaMA-style models', (backend) => {
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
