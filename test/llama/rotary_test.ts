import {expect} from 'chai';
import {resolveConfig} from '../../src/llama/config';
import {rotaryFrequencies} from '../../src/llama/rotary';
import {readJson} from '../support/fixtures';
import {readConfig} from './checkpoints';

describe('rotaryFrequencies', () => {
  for (const name of ['llama2', 'llama3'] as const) {
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
        // the only pair turns by 1 radian a position: 2 turns in 4π positions, half-way from 1 to 3
        originalMaxPositionEmbeddings: 4 * Math.PI,
      },
    });
    expect(stretched[0]).to.be.closeTo((1 + 1 / 4) / 2, 1e-12);
  });
});
