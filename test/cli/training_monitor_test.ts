import {expect} from 'chai';
import {TrainingMonitor} from '../../src/cli/training_monitor';

describe('TrainingMonitor', () => {
  it('shows how far the held-out loss is', async () => {
    const shown: Array<[number, string | undefined]> = [];
    const monitor = new TrainingMonitor({
      ...{steps: 3, blocks: [], evaluateEvery: 1, optimizer: {learningRate: 1, stateBytes: 0}},
      meter: {
        ...{current: () => 0, peak: () => 0, bufferOf: () => undefined},
        ...{reset: () => undefined, stop: () => undefined},
      },
      evaluate: async (watch) => {
        watch('8 of 12 examples');
        watch('12 of 12 examples');
        return 2;
      },
      startProgress: () => ({
        ...{line: () => undefined, end: () => undefined},
        update: (done, what) => void shown.push([done, what]),
      }),
    });
    await monitor.onTrainBegin();
    expect(shown).to.deep.equal([
      [0, 'held-out loss, 8 of 12 examples'],
      [0, 'held-out loss, 12 of 12 examples'],
    ]);
    expect(monitor.heldOut).to.deep.equal([{step: 0, loss: 2}]);
  });
});
