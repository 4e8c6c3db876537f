import {expect} from 'chai';
import {eventIn} from '../../../src/cli/torch/events';

const model = [{layer: 'a', weights: ['a/w'], file: `${'0'.repeat(32)}.safetensors`}];
const events = {
  begin: {torch: '2.6.0', processes: 2, parallel: 'ddp', backend: null, device: 'cpu'},
  step: {
    ...{step: 1, loss: 2.5, learningRate: 0.1, blocks: ['a'], seconds: 0.1},
    ...{peakBytes: 10, stateBytes: 5},
  },
  heldOut: {step: 0, loss: 3},
  checkpoint: {step: 1, model, optimizer: {counters: {}, files: []}, stateBytes: 5},
  full: {path: '/run/a.safetensors', reason: 'No space left on device'},
  stopped: {step: 1},
  done: {model, skipped: 0},
};

describe('an event of finetune.py', () => {
  for (const [event, fields] of Object.entries(events)) {
    it(`'${event}' has all of its fields, each of its form`, () => {
      const whole = {event, ...fields};
      expect(eventIn(JSON.stringify(whole))).to.deep.equal(whole);
      for (const name of Object.keys(fields)) {
        const {[name]: _, ...missing} = whole as Record<string, unknown>;
        for (const wrong of [missing, {...whole, [name]: {}}, {...whole, [name]: -1.5}]) {
          if (name === 'optimizer' && name in wrong && typeof wrong[name] === 'object') continue;
          const isNumber = ['loss', 'learningRate', 'seconds', 'peakBytes'].includes(name);
          if (isNumber && wrong[name as keyof typeof wrong] === -1.5) continue;
          const line = JSON.stringify(wrong);
          expect(() => eventIn(line), line).to.throw(/^an event of finetune\.py/);
        }
      }
    });
  }

  it('has NaN for a loss that is not finite, which JSON has not', () => {
    const {step, heldOut} = events;
    const whole = {event: 'step', ...step};
    expect(eventIn(JSON.stringify({...whole, loss: null}))).to.deep.equal({...whole, loss: NaN});
    expect(eventIn(JSON.stringify({event: 'heldOut', ...heldOut, loss: null}))).to.deep.equal({
      ...{event: 'heldOut', step: 0, loss: NaN},
    });
  });

  it('is refused if it is cut off, no object, or of no known name', () => {
    const lines = ['{"event": "step", "step"', '{"event": "step"}', '{}', '{"event": "other"}'];
    for (const line of [...lines, '{"event": 1}', '{"event": null}', '[]', '']) {
      expect(() => eventIn(line), line).to.throw(/^an event of finetune\.py/);
    }
  });
});
