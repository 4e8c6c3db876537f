import {runInNewContext} from 'node:vm';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';
import {expect} from 'chai';
import {readFiles} from './checkpoint_files';

const entry = fileURLToPath(new URL('../../../src/llama/index.ts', import.meta.url));

describe('files of a checkpoint in a browser', () => {
  it('are read and written by a bundle without any module of Node', async function () {
    this.timeout(60_000);
    const {outputFiles} = await build({
      stdin: {
        contents: `
          import '@tensorflow/tfjs-backend-cpu';
          import {loadLlama, saveLlama} from ${JSON.stringify(entry)};
          globalThis.roundTrip = async (files) => {
            const {model} = await loadLlama(files);
            const saved = new Map();
            await saveLlama(model, saved);
            return saved;
          };
        `,
        resolveDir: fileURLToPath(new URL('../../..', import.meta.url)),
      },
      bundle: true,
      platform: 'browser',
      format: 'iife',
      write: false,
      logLevel: 'silent',
    });
    // what the code needs of a browser
    const browser: Record<string, unknown> & {
      roundTrip?: (files: Map<string, Uint8Array>) => Promise<Map<string, Uint8Array>>;
    } = {TextDecoder, TextEncoder, Blob, URL, Headers, fetch, crypto, performance, setTimeout};
    // of this context, so that `instanceof` finds those that the files are
    Object.assign(browser, {Uint8Array, Map, window: browser, document: {}, console});
    runInNewContext(outputFiles[0]!.text, browser);
    const files = readFiles('smollm2');
    const saved = await browser.roundTrip!(files);
    expect(
      Buffer.compare(saved.get('model.safetensors')!, files.get('model.safetensors')!),
    ).to.equal(0);
  });
});
