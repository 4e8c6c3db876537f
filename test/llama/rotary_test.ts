import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {resolveConfig} from '../../src/llama/config';
import {rotaryFrequencies, rotaryTable, rotate} from '../../src/llama/rotary';
import {describeBackends} from '../support/backends';
import {readJson} from '../support/fixtures';
import {readConfig} from './checkpoints';
import * as composed from '../../tools/composed';
import {expectSameOp, randomTensor} from './ops';

describe('rotaryFrequencies', () => {
  for (const name of ['llama2', 'llama3', 'mistral', 'qwen2', 'smollm2'] as const) {
    it(`are those of the reference, ${name}`, () => {
      const {invFreq} = readJson<{invFreq: number[]}>(`llama/${name}`);
      const frequencies = rotaryFrequencies(resolveConfig(readConfig(name)));
      expect(frequencies).to.have.length(invFreq.length);
      // the reference is double precision, too
      frequencies.forEach((f, i) => expect(f / invFreq[i]!).to.be.closeTo(1, 1e-12));
    });
  }

  it('interpolates between long and short wavelengths', () => {
    const stretched = rotaryFrequencies({
      headDim: 2,
      ropeTheta: 10000,
      ropeScaling: {
        factor: 4,
        lowFreqFactor: 1,
        highFreqFactor: 3,
        // the only pair rotates by 1 radian a position: 2 cycles in 4π positions, half-way from 1 to 3
        originalMaxPositionEmbeddings: 4 * Math.PI,
      },
    });
    expect(stretched[0]).to.be.closeTo((1 + 1 / 4) / 2, 1e-12);
  });
});

describeBackends('rotate', () => {
  it('has values and gradients of the composition', async () => {
    const table = rotaryTable(5, {headDim: 6, ropeTheta: 100, ropeScaling: null});
    await expectSameOp(
      (x) => rotate(x, table),
      (x) => composed.rotate(x, table),
      [randomTensor([2, 3, 5, 6], 1)],
    );
    tf.dispose([table.cos, table.sin]);
  });
});
