import {expect} from 'chai';
import {methodDefaults} from '../../../demo/web/method_defaults';
import {loraDefaults} from '../../../src/lora/lora_options';
import {paperMethodNames, paperMethods, type MethodParts} from '../../../src/methods';
import {owloreDefaults} from '../../../src/owlore/optimizer/options';
import {fittedGamma} from '../../../src/owlore/sampling/block_probabilities';
import {fittedInterval} from '../../../src/owlore/sampling/periods';
import {learningRates, tenthOf} from '../../../src/training_defaults';

describe('demo/web: method_defaults', () => {
  for (const method of paperMethodNames)
    it(`are those of the library: ${method}`, () => {
      const {sampling, lowRank, lora = false}: MethodParts = paperMethods[method];
      for (const [steps, blocks] of [
        [1, 1],
        [45, 2],
        [100, 4],
        [200, 30],
        [2000, 8],
      ] as const)
        // prettier-ignore
        expect(methodDefaults(method, steps, blocks)).to.deep.equal({
          learningRate: learningRates[method],
          ...(sampling && {gamma: fittedGamma(sampling.gamma, blocks)}),
          ...(lora ? {rank: loraDefaults.rank} : lowRank && {rank: owloreDefaults.rank}),
          interval: fittedInterval(steps),
          ...{evaluateEvery: tenthOf(steps), sampleEvery: tenthOf(steps)},
        });
      const {gamma} = methodDefaults(method, 100);
      expect(gamma).to.equal(sampling?.gamma);
    });
});
