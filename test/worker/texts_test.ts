import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {loadLlama, loadTokenizer, type LoadedLlama} from '../../src/llama/index';
import {writeText} from '../../src/worker/texts';
import {model as files} from './worker_in_node';

describe('writeText', () => {
  const backend = process.env.OWLORE_BACKENDS!.split(',').includes('wasm') ? 'wasm' : 'cpu';
  let loaded: LoadedLlama;
  before(async () => {
    await tf.setBackend(backend);
    loaded = await loadLlama(files);
  });
  after(() => loaded.model.dispose());

  it('leaves out a part of a character at the end, where the text is cut', async () => {
    const real = await loadTokenizer(files);
    // of which each token is a byte of a character of two
    const tokenizer = Object.assign(Object.create(real) as typeof real, {
      decode: (ids: readonly number[]) =>
        '\u00e9'.repeat(ids.length / 2) + (ids.length % 2 === 0 ? '' : '\ufffd'),
    });
    const pieces: string[] = [];
    const written = await writeText(
      {...loaded, generationConfig: {...loaded.generationConfig, stop: []}, tokenizer},
      [1, 2],
      {maxNewTokens: 3, seed: 0},
      (text) => pieces.push(text),
    );
    expect(written).to.deep.equal({text: '\u00e9', isCut: true});
    expect(pieces.join('')).to.equal('\u00e9');
  });
});
