import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {NoAnswerError} from '../../src/files/http_get';
import {HubUnreachableError} from '../../src/llama/hub/hub_request';
import {outOfMemory} from '../../src/kernels/wasm/full_memory';
import {FineTuningError} from '../../src/worker/errors';
import {codedError} from '../../src/worker/failure';

describe('codedError', () => {
  const codeOf = async (error: unknown): Promise<string> => (await codedError(error)).code;

  it('takes the code that an error of this library has, whatever its words are', async () => {
    expect(await codeOf(outOfMemory(8))).to.equal('no-memory');
    expect(await codeOf(new NoAnswerError('x'))).to.equal('offline');
    expect(await codeOf(new HubUnreachableError('x'))).to.equal('offline');
    expect(await codeOf(new Error('x', {cause: outOfMemory()}))).to.equal('no-memory');
    const own = new FineTuningError('in-use', 'x');
    expect(await codedError(own)).to.equal(own);
  });

  it('knows errors of browsers by their names or words', async () => {
    expect(await codeOf(new DOMException('x', 'QuotaExceededError'))).to.equal('storage-full');
    expect(await codeOf(new RangeError('Array buffer allocation failed'))).to.equal('no-memory');
    expect(await codeOf(new Error('x'))).to.equal('failed');
    expect((await codedError(new Error('x'), 'wrong-file')).code).to.equal('wrong-file');
    expect(await codedError('x')).to.include({code: 'failed', message: 'x'});
  });

  it('does not take the codes of others for its own', async () => {
    expect(await codeOf(Object.assign(new Error('x'), {code: 'ENOENT'}))).to.equal('failed');
  });

  it('keeps the message, the stack and the cause', async () => {
    const error = new Error('why');
    expect(await codedError(error)).to.include({message: 'why', stack: error.stack, cause: error});
  });

  describe('of a device that is lost', () => {
    const before = tf.getBackend();
    let lose: (info: {reason: string; message: string}) => void;
    let tell: (event: {error: Error}) => void;
    beforeEach(async () => {
      const lost = new Promise((resolve) => (lose = resolve));
      const device = {lost, addEventListener: (_: string, hear: typeof tell) => (tell = hear)};
      const backend = Object.assign(new tf.DataStorage({} as never, {} as never), {
        device,
        dispose: () => undefined,
      });
      tf.registerBackend('webgpu', () => backend as never);
      await tf.setBackend('webgpu');
    });
    afterEach(async () => {
      tf.removeBackend('webgpu');
      await tf.setBackend(before);
    });

    it('says so, also where that is told after what failed because of it', async () => {
      const coded = codedError(new Error('mapAsync failed'));
      setTimeout(() => lose({reason: 'unknown', message: 'gone'}), 50);
      expect((await coded).code).to.equal('device-lost');
    });

    it('says that memory is short where that is why', async () => {
      class GPUOutOfMemoryError extends Error {}
      const coded = codedError(new Error('not finite'));
      setTimeout(() => tell({error: new GPUOutOfMemoryError('vkAllocateMemory failed')}), 50);
      expect((await coded).code).to.equal('no-memory');
    });
  });
});
