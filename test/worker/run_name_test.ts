import {expect} from 'chai';
import {checkRunName, defaultRunName} from '../../src/worker/run_name';

describe('defaultRunName', () => {
  const now = new Date('2026-11-30T23:15:02Z');

  it('is made of the model and the time, and a name that a run may have', () => {
    const blob = new Blob();
    for (const [model, expected] of [
      ['owner/SmolLM2-135M@main', 'SmolLM2-135M'],
      ['https://example.org/a/b/model.gguf?x=1', 'model'],
      ['https://example.org', 'model'],
      [{'Q4_0.gguf': blob}, 'Q4_0'],
      [new Map([['config.json', blob]]), 'model'],
      [{name: '..\\my: model?'} as FileSystemDirectoryHandle, 'my-model'],
      ['x/'.concat('y'.repeat(300)), 'y'.repeat(70)],
      [{[`a${'𠮷'.repeat(50)}.gguf`]: blob}, `a${'𠮷'.repeat(34)}`],
    ] as const) {
      const name = defaultRunName(model, now);
      expect(name).to.equal(`${expected} 2026-11-30 23.15.02`);
      checkRunName('test', name);
    }
  });
});
