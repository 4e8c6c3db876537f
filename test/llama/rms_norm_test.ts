import {rmsNorm} from '../../src/llama/rms_norm';
import {describeBackends} from '../support/backends';
import * as composed from '../../tools/composed';
import {expectKeepsInputs, expectSameOp, randomTensor} from './ops';

describeBackends('rmsNorm', () => {
  const eps = 0.1;

  for (const shape of [[8], [3, 8], [2, 3, 8]]) {
    it(`has values and gradients of the composition, [${shape.join(', ')}]`, () =>
      expectSameOp(
        (x, weight) => rmsNorm(x, weight, eps),
        (x, weight) => composed.rmsNorm(x, weight, eps),
        [randomTensor(shape, 1), randomTensor([8], 2)],
      ));
  }

  it('keeps its inputs only', () => {
    const inputs = [randomTensor([2, 3, 8], 1), randomTensor([8], 2)];
    expectKeepsInputs((x, weight) => rmsNorm(x, weight, eps), inputs);
  });
});
